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
inline constexpr uint16_t kEtherTag = 0x8100;       // 802.1Q
inline constexpr uint16_t kEtherOuterTag = 0x88a8;  // 802.1ad
inline constexpr size_t kTagBytes = 4;
inline constexpr uint8_t kProtoIcmp = 1, kProtoIpv4 = 4, kProtoTcp = 6,
                         kProtoUdp = 17, kProtoIpv6 = 41, kProtoIcmpv6 = 58;

inline uint16_t Get16(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

// Why an IP packet is not to be served. Of several reasons the first one counts
// in the order in which ReadIpv4() and ReadIpv6() look.
enum class IpFault {
  kNone,
  kHeader,         // lies about its version or its own length
  kCutShort,       // ends behind its frame
  kFirstFragment,  // has the ports, but not all of the segment
  kLaterFragment,  // has no ports
  kHopLimit,       // is 0: nobody may pass it on
  kExtension       // IPv6: behind it the ports cannot be trusted
};

struct IpPacket {
  bool is_ipv4 = false;
  base::IpAddress source, destination;
  IpFault fault = IpFault::kNone;
  uint8_t protocol = 0;
  uint8_t tos = 0;  // DSCP and ECN
  bool dont_fragment = false;
  // All of these by the IP header, and only if there is no fault or it is that
  // of a first fragment.
  uint16_t length = 0;
  // Of the IP header, and in IPv6 of all extension headers.
  size_t header = 0;
  std::span<const uint8_t> payload;  // borrowed; without Ethernet's padding
};

// What an ICMP error quotes: a packet of TCP, by who sent it to whom.
struct Quote {
  base::Endpoint source, destination;
};

struct TcpSegment {
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  // The header is all there and its data offset is possible. Otherwise nothing
  // below is known.
  bool whole = false;
  bool fin = false, syn = false, rst = false, ack = false;
  uint32_t sequence = 0, acknowledges = 0;
  size_t data = 0;  // bytes behind the header

  // The first segment of a connection, and not the answer to one.
  bool opens() const { return syn && !ack; }
  bool ends() const { return fin || rst; }
};

// Nothing if the frame ends before it.
std::optional<uint16_t> ReadEtherType(std::span<const uint8_t> frame);
// `bytes` is what follows Ethernet. Nothing if it ends inside the fixed header.
// Extension headers of IPv6 are part of the header as far as nobody is asked to
// do anything about them.
std::optional<IpPacket> ReadIpv4(std::span<const uint8_t> bytes);
std::optional<IpPacket> ReadIpv6(std::span<const uint8_t> bytes);
// `payload` is that of an IP packet. Nothing if it ends before both ports.
std::optional<TcpSegment> ReadTcp(std::span<const uint8_t> payload);

// ICMP or ICMPv6, as the packet's family has it.
bool IsIcmp(const IpPacket& ip);
// An echo request without anything that would have to be obeyed or returned:
// options, extension headers, a code.
// Requires for both: IsIcmp().
bool IsPlainPing(const IpPacket& ip);
// What the ICMP error quotes; nothing if it is no error, or not about TCP. The
// quote ends where the error does, which is often before the quoted packet.
std::optional<Quote> ReadQuote(const IpPacket& ip);

}  // namespace fairlead::model
