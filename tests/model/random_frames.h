// Frames for the differential test: segments of known and of unknown flows,
// most of them whole; what is near them (other protocols, tags, quotes); and
// all of these again with a few bytes wrong. The same random numbers, the same
// frames.
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

  Bytes Stranger();
  Bytes Extended(const test::Flow& flow);
  Bytes Tagged(const test::Flow& flow);
  Bytes IcmpError(const test::Flow& flow);
  Bytes IcmpEcho(const test::Flow& flow);

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
