// Frames for the differential test: segments of known and of unknown flows,
// most of them whole; what is near them (fragments, extension headers, ICMP,
// other protocols); all of these with a few bytes wrong, and with VLAN tags.
// The same random numbers, the same frames.
#pragma once

#include <span>
#include <vector>

#include "base/ip_address.h"
#include "tests/sim/simulated_random.h"
#include "tests/support/packet.h"
#include "tests/support/reference_siphash.h"

namespace fairlead::model {

using test::Bytes;
using testing::SimulatedRandom;

// Path MTUs of backends; frames are often just as long as one of them lets
// pass.
inline constexpr uint16_t kMtus[] = {
    1500, 1500, 1500, 1500, 1500, 1500, 1500, 9000, 9000, 65535, 576,
    576,  577,  577,  575,  0,    1280, 1280, 1400, 1400, 2000,  2000};

inline constexpr uint8_t kProtos[] = {0,  1,  4,  6,  6,  17, 41,
                                      43, 44, 50, 51, 58, 59, 60};
inline constexpr uint16_t kEtherTypes[] = {0x0800, 0x86dd, 0x0806, 0x8100,
                                           0x88a8, 0x88cc, 0x0000, 0x0026};
// IPv4's flags and offset: don't, more, reserved.
inline constexpr uint16_t kFragments[] = {0x4000, 0x2000, 0x8000, 0x0000,
                                          0xc000, 0x2001, 0x0001, 0x1fff,
                                          0x6000, 0xe000};

inline void Put16(Bytes& to, uint64_t value) {
  to.push_back(static_cast<uint8_t>(value >> 8));
  to.push_back(static_cast<uint8_t>(value));
}
inline void PutAll(Bytes& to, std::span<const uint8_t> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}
// Nothing if `to` ends before.
inline void Set16(Bytes& to, size_t at, uint64_t value) {
  if (to.size() < at + 2) return;
  to[at] = static_cast<uint8_t>(value >> 8);
  to[at + 1] = static_cast<uint8_t>(value);
}
inline void PutAddress(Bytes& to, const base::IpAddress& address) {
  PutAll(to, std::span(address.bytes()).subspan(address.is_ipv4() ? 12 : 0));
}

template <typename T>
const T& OneOf(SimulatedRandom& random, std::span<const T> from) {
  return from[random.Next() % from.size()];
}
template <typename T>
const T& OneOf(SimulatedRandom& random, const std::vector<T>& from) {
  return OneOf(random, std::span<const T>(from));
}
template <typename T, size_t N>
const T& OneOf(SimulatedRandom& random, const T (&from)[N]) {
  return OneOf(random, std::span<const T>(from, N));
}

class RandomFrames {
 public:
  // `random` is borrowed.
  RandomFrames(SimulatedRandom& random, std::vector<base::Endpoint> services,
               std::vector<test::Flow> known)
      : random_(random),
        services_(std::move(services)),
        known_(std::move(known)) {}

  // 14 bytes at least: the kernel runs no program on less.
  Bytes Next();

 private:
  test::Flow AnyFlow();
  Bytes Segment(const test::Flow& flow);
  Bytes Ipv4(const test::Flow& flow, uint8_t proto, const Bytes& payload);
  Bytes Ipv6(const test::Flow& flow, uint8_t proto, const Bytes& payload);
  Bytes Ip(const test::Flow& flow, uint8_t proto, const Bytes& payload);
  Bytes Tcp(const test::Flow& flow, size_t data);
  size_t DataLength();
  // With Ethernet in front, and sometimes padding behind.
  Bytes Frame(uint16_t type, const Bytes& packet);

  // random_strangers.cc.
  Bytes Stranger();
  Bytes Extended();
  Bytes Extend(uint8_t& proto, Bytes payload);
  Bytes Extension(uint8_t type, uint8_t next);
  Bytes Fragment();
  // Nothing if the frame ends before.
  void AddTag(Bytes& frame);
  Bytes IcmpError();
  Bytes Quote(const test::Flow& flow);
  Bytes IcmpEcho();
  test::Flow Ipv6Flow();
  // As one that is no host's, or just is.
  void SetSource(Bytes& frame);

  void Mutate(Bytes& frame);
  void MutateAnywhere(Bytes& frame);
  void MutateIp(Bytes& frame);
  void MutateTcp(Bytes& frame);

  Bytes RandomBytes(size_t size);
  uint8_t Byte() { return static_cast<uint8_t>(random_.Next() >> 56); }

  SimulatedRandom& random_;
  const std::vector<base::Endpoint> services_;
  const std::vector<test::Flow> known_;
};

// A client of the address family, from the documentation ranges.
base::Endpoint RandomClient(SimulatedRandom& random, bool is_ipv4);

}  // namespace fairlead::model
