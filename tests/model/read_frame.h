// What a frame says, byte by byte, as RFC 791, RFC 8200 and RFC 9293 draw it.
// It judges headers and knows no service. It shares no code with bpf/lib.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/ip_address.h"
#include "tests/support/packet.h"

namespace fairlead::model {

using test::Bytes;

inline constexpr size_t kEthernetBytes = 14;
inline constexpr uint16_t kEtherIpv4 = 0x0800;
inline constexpr uint16_t kEtherIpv6 = 0x86dd;
inline constexpr uint8_t kProtoIcmp = 1, kProtoIpv4 = 4, kProtoTcp = 6,
                         kProtoUdp = 17, kProtoIpv6 = 41, kProtoIcmpv6 = 58;

inline uint16_t Get16(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

// Why the ports of an IP packet cannot be had or trusted; of several reasons
// the first one here counts.
enum class IpFault {
  kNone,
  kHeader,    // lies about its version or a length
  kFragment,  // any part of a fragmented packet, the first one too
  kExtension  // IPv6: something stands between the header and TCP
};

struct IpPacket {
  bool is_ipv4 = false;
  base::IpAddress source, destination;
  IpFault fault = IpFault::kNone;
  uint8_t protocol = 0;
  uint8_t tos = 0;  // DSCP and ECN
  bool dont_fragment = false;
  // All of these by the IP header, and only if there is no fault.
  uint16_t length = 0;
  std::span<const uint8_t> payload;  // borrowed; without Ethernet's padding
};

struct TcpSegment {
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  // The header is all there and its data offset is possible. Otherwise nothing
  // below is known.
  bool whole = false;
  bool fin = false, syn = false, rst = false, ack = false;

  // The first segment of a connection, and not the answer to one.
  bool opens() const { return syn && !ack; }
  bool ends() const { return fin || rst; }
};

// Nothing if the frame ends before it.
std::optional<uint16_t> ReadEtherType(std::span<const uint8_t> frame);
// `bytes` is what follows Ethernet. Nothing if it ends inside the fixed header.
std::optional<IpPacket> ReadIpv4(std::span<const uint8_t> bytes);
std::optional<IpPacket> ReadIpv6(std::span<const uint8_t> bytes);
// `payload` is that of an IP packet. Nothing if it ends before both ports.
std::optional<TcpSegment> ReadTcp(std::span<const uint8_t> payload);

}  // namespace fairlead::model
