// Packets for tests, composed of layers:
//
//   Eth{} / Ipv4{.dst = kVip4} / Tcp{.dport = 443, .syn = true} / Payload(100)
//
// Every default is valid and goes with the other defaults: lengths, protocol
// numbers and checksums are worked out from what follows, so a test writes only
// what matters to it. A field that a test sets (an optional) is taken as it is,
// however wrong. Checksums come from checksum.h, which shares no code with the
// packet path.
//
// Addresses are from the documentation ranges. Plain values; not for threads to
// share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/ip_address.h"

namespace fairlead::test {

using Bytes = std::vector<uint8_t>;
using Mac = std::array<uint8_t, 6>;

// Requires: `text` is an address.
base::IpAddress Ip(absl::string_view text);

inline constexpr Mac kRouterMac = {0x02, 0, 0, 0, 0, 0x01};
inline constexpr Mac kLbMac = {0x02, 0, 0, 0, 0, 0x02};
inline const base::IpAddress kClient4 = Ip("203.0.113.7");
inline const base::IpAddress kClient6 = Ip("2001:db8:7::7");
inline const base::IpAddress kVip4 = Ip("198.51.100.10");
inline const base::IpAddress kVip6 = Ip("2001:db8:10::10");
inline constexpr uint16_t kClientPort = 50000;
inline constexpr uint16_t kVipPort = 443;

struct Eth {
  Mac dst = kLbMac;
  Mac src = kRouterMac;
  std::optional<uint16_t> type;
};

// An 802.1Q tag, behind Ethernet or another one.
struct Vlan {
  uint16_t id = 100;
  uint8_t priority = 0;
  bool drop_eligible = false;
  std::optional<uint16_t> type;  // of what follows
};

struct Ipv4 {
  base::IpAddress src = kClient4;
  base::IpAddress dst = kVip4;
  uint8_t tos = 0;
  uint8_t ttl = 64;
  uint16_t id = 0;
  bool df = true;
  bool more_fragments = false;
  uint16_t fragment_offset = 0;  // in units of 8 bytes
  Bytes options;                 // a multiple of 4 bytes
  std::optional<uint8_t> version;
  std::optional<uint8_t> ihl;
  std::optional<uint8_t> proto;
  std::optional<uint16_t> length;
  std::optional<uint16_t> checksum;
};

struct Ipv6 {
  base::IpAddress src = kClient6;
  base::IpAddress dst = kVip6;
  uint8_t tos = 0;
  uint8_t hop_limit = 64;
  std::optional<uint8_t> version;
  std::optional<uint8_t> next_header;
  std::optional<uint16_t> length;
};

// An IPv6 extension header: what follows its next header and its length, six
// bytes or eight times as many more.
struct Extension {
  uint8_t type = 0;
  Bytes detail = Bytes(6);
};

struct Tcp {
  uint16_t sport = kClientPort;
  uint16_t dport = kVipPort;
  uint32_t seq = 0;
  uint32_t ack_number = 0;
  bool fin = false;
  bool syn = false;
  bool rst = false;
  bool psh = false;
  bool ack = false;
  uint16_t window = 0xffff;
  Bytes options;  // a multiple of 4 bytes
  std::optional<uint8_t> doff;
  std::optional<uint16_t> checksum;
};

// Only tunnels use it here: the checksum is 0, as in a tunnel.
struct Udp {
  uint16_t sport = 0;
  uint16_t dport = 6080;
  std::optional<uint16_t> length;
  uint16_t checksum = 0;
};

struct Gue {
  std::optional<uint8_t> version_hlen;  // from whether Hops follow
  std::optional<uint8_t> proto;
  uint16_t flags = 0;
};

struct Hops {
  std::vector<uint16_t> ids;  // 8 at most
  uint8_t version = 1;
  uint8_t flags = 0;
  uint8_t index = 0;
  std::optional<uint8_t> count;
  uint8_t acceptors = 0;
  uint8_t weak = 0xff;
  uint16_t lb_id = 0;
  uint16_t row = 0;
  uint32_t epoch = 0;
};

// ICMP or ICMPv6, as the IP header in front of it says.
struct Icmp {
  uint8_t type = 8;
  uint8_t code = 0;
  uint32_t rest = 0;
};

struct Raw {
  Bytes bytes;
};

// Behind the IP packet and part of no length: what Ethernet pads with.
struct Padding {
  Bytes bytes;
};

using Layer = std::variant<Eth, Vlan, Ipv4, Ipv6, Extension, Tcp, Udp, Gue,
                           Hops, Icmp, Raw, Padding>;

// `size` bytes that differ from each other and from padding.
Raw Payload(size_t size);

class Packet {
 public:
  Packet() = default;
  // A layer alone is a packet: composing needs no other word.
  template <typename T>
  requires std::is_convertible_v<T, Layer>
  // NOLINTNEXTLINE(google-explicit-constructor): as said above.
  Packet(T layer) : layers_({Layer(std::move(layer))}) {}

  // Appends the layers of `next`.
  Packet& operator/=(const Packet& next);

  // The packet as it is on the wire.
  Bytes Wire() const;
  // Without Ethernet and its tag: what a tunnel carries.
  Packet Inner() const;
  // The first layer of the type, or null.
  template <typename T>
  const T* Find() const {
    for (const Layer& layer : layers_) {
      if (const T* found = std::get_if<T>(&layer)) return found;
    }
    return nullptr;
  }

 private:
  std::vector<Layer> layers_;
};

template <typename T>
concept PacketPart = std::is_convertible_v<T, Packet>;

template <PacketPart A, PacketPart B>
Packet operator/(const A& a, const B& b) {
  Packet packet = a;
  packet /= b;
  return packet;
}

}  // namespace fairlead::test
