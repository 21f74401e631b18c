#include "tests/model/read_frame.h"

#include <algorithm>
#include <array>

namespace fairlead::model {
namespace {

uint32_t Get32(std::span<const uint8_t> bytes, size_t at) {
  return uint32_t{Get16(bytes, at)} << 16 | Get16(bytes, at + 2);
}

constexpr size_t kIpv4Bytes = 20;
constexpr size_t kIpv6Bytes = 40;
constexpr size_t kTcpBytes = 20;

base::IpAddress Ipv4At(std::span<const uint8_t> bytes, size_t at) {
  return base::IpAddress::FromIpv4(uint32_t{Get16(bytes, at)} << 16 |
                                   Get16(bytes, at + 2));
}

base::IpAddress Ipv6At(std::span<const uint8_t> bytes, size_t at) {
  std::array<uint8_t, 16> address = {};
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), address.size(),
              address.begin());
  return base::IpAddress(address);
}

// Next headers of RFC 8200 and RFC 4302 that are followed by another one.
constexpr uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44,
                  kAuthentication = 51, kDestination = 60;
// As many as RFC 8200 has in front of TCP, and one for good measure.
constexpr int kMaxExtensions = 6;
constexpr size_t kIcmpBytes = 8;

bool IsExtension(uint8_t next_header) {
  return next_header == kHopByHop || next_header == kRouting ||
         next_header == kFragment || next_header == kAuthentication ||
         next_header == kDestination;
}

std::span<const uint8_t> Behind(std::span<const uint8_t> bytes, size_t count) {
  return bytes.subspan(std::min(count, bytes.size()));
}

// The fixed header of each family and IPv4's options. The payload is all that
// follows.
IpPacket Ipv4Header(std::span<const uint8_t> bytes) {
  const unsigned int version = bytes[0] >> 4;
  const uint16_t fragment = Get16(bytes, 6);
  const unsigned int offset = fragment & 0x1fffu;
  const bool more_fragments = (fragment & 0x2000) != 0;

  IpPacket ip;
  ip.is_ipv4 = true;
  ip.tos = bytes[1];
  ip.length = Get16(bytes, 2);
  ip.header = size_t{4} * (bytes[0] & 15u);
  ip.dont_fragment = (fragment & 0x4000) != 0;
  ip.protocol = bytes[9];
  ip.source = Ipv4At(bytes, 12);
  ip.destination = Ipv4At(bytes, 16);
  ip.payload = Behind(bytes, ip.header);
  if (version != 4 || ip.header < kIpv4Bytes || ip.length < ip.header) {
    ip.fault = IpFault::kHeader;
  } else if (offset != 0) {
    ip.fault = IpFault::kLaterFragment;
  } else if (ip.length > bytes.size()) {
    ip.fault = IpFault::kCutShort;
  } else if (more_fragments) {
    ip.fault = IpFault::kFirstFragment;
  } else if (bytes[8] == 0) {
    ip.fault = IpFault::kHopLimit;
  }
  return ip;
}

IpPacket Ipv6Header(std::span<const uint8_t> bytes) {
  const unsigned int version = bytes[0] >> 4;
  const size_t length = kIpv6Bytes + Get16(bytes, 4);

  IpPacket ip;
  ip.tos = static_cast<uint8_t>(Get16(bytes, 0) >> 4 & 0xff);
  // Nobody on an IPv6 path fragments.
  ip.dont_fragment = true;
  ip.protocol = bytes[6];
  ip.source = Ipv6At(bytes, 8);
  ip.destination = Ipv6At(bytes, 24);
  ip.header = kIpv6Bytes;
  ip.payload = Behind(bytes, kIpv6Bytes);
  // An IPv4 address in its mapped form is no address of an IPv6 packet.
  if (version != 6 || ip.source.is_ipv4() || ip.destination.is_ipv4()) {
    ip.fault = IpFault::kHeader;
  } else if (length > bytes.size() || length > 0xffff) {
    ip.fault = IpFault::kCutShort;
  } else if (bytes[7] == 0) {
    ip.fault = IpFault::kHopLimit;
  }
  ip.length = static_cast<uint16_t>(length);
  return ip;
}

// Moves the extension headers that the payload begins with to the header, and
// gives what is wrong with them.
IpFault ReadExtensions(IpPacket& ip) {
  for (int i = 0; IsExtension(ip.protocol); i++) {
    if (i == kMaxExtensions) return IpFault::kExtension;
    if (ip.payload.size() < 8) return IpFault::kHeader;
    const uint8_t type = ip.protocol;
    size_t size = size_t{8} * (ip.payload[1] + 1u);
    bool first_fragment = false;
    if (type == kAuthentication) return IpFault::kExtension;
    // Segments left: the destination is not yet the last one.
    if (type == kRouting && ip.payload[3] != 0) return IpFault::kExtension;
    if (type == kFragment) {
      const uint16_t fragment = Get16(ip.payload, 2);
      if (fragment >> 3 != 0) return IpFault::kLaterFragment;
      first_fragment = (fragment & 1) != 0;
      size = 8;
    }
    ip.protocol = ip.payload[0];
    ip.header += size;
    ip.payload = Behind(ip.payload, size);
    if (first_fragment) return IpFault::kFirstFragment;
  }
  return IpFault::kNone;
}

bool IsIcmpError(bool is_ipv4, uint8_t type) {
  // Unreachable, time exceeded, parameter problem; source quench and redirect
  // are of the past.
  if (is_ipv4) return type == 3 || type == 11 || type == 12;
  // The same and packet too big.
  return type >= 1 && type <= 4;
}

}  // namespace

std::optional<uint16_t> ReadEtherType(std::span<const uint8_t> frame) {
  if (frame.size() < kEthernetBytes) return std::nullopt;
  return Get16(frame, 12);
}

std::optional<IpPacket> ReadIpv4(std::span<const uint8_t> bytes) {
  if (bytes.size() < kIpv4Bytes) return std::nullopt;
  IpPacket ip = Ipv4Header(bytes);
  if (ip.fault == IpFault::kNone)
    ip.payload = ip.payload.first(ip.length - ip.header);
  return ip;
}

std::optional<IpPacket> ReadIpv6(std::span<const uint8_t> bytes) {
  if (bytes.size() < kIpv6Bytes) return std::nullopt;
  IpPacket ip = Ipv6Header(bytes);
  if (ip.fault != IpFault::kNone) return ip;
  ip.payload = ip.payload.first(ip.length - kIpv6Bytes);
  ip.fault = ReadExtensions(ip);
  return ip;
}

std::optional<TcpSegment> ReadTcp(std::span<const uint8_t> payload) {
  if (payload.size() < 4) return std::nullopt;
  TcpSegment tcp;
  tcp.source_port = Get16(payload, 0);
  tcp.destination_port = Get16(payload, 2);
  if (payload.size() < kTcpBytes) return tcp;
  const size_t header = size_t{4} * (payload[12] >> 4);
  if (header < kTcpBytes || header > payload.size()) return tcp;
  tcp.whole = true;
  tcp.sequence = Get32(payload, 4);
  tcp.acknowledges = Get32(payload, 8);
  tcp.data = payload.size() - header;
  const unsigned int flags = payload[13];
  tcp.fin = (flags & 0x01) != 0;
  tcp.syn = (flags & 0x02) != 0;
  tcp.rst = (flags & 0x04) != 0;
  tcp.ack = (flags & 0x10) != 0;
  return tcp;
}

bool IsIcmp(const IpPacket& ip) {
  return ip.protocol == (ip.is_ipv4 ? kProtoIcmp : kProtoIcmpv6);
}

bool IsPlainPing(const IpPacket& ip) {
  const bool plain = ip.header == (ip.is_ipv4 ? kIpv4Bytes : kIpv6Bytes);
  return plain && ip.payload.size() >= kIcmpBytes &&
         ip.payload[0] == (ip.is_ipv4 ? 8 : 128) && ip.payload[1] == 0;
}

std::optional<Quote> ReadQuote(const IpPacket& ip) {
  if (ip.payload.size() < kIcmpBytes || !IsIcmpError(ip.is_ipv4, ip.payload[0]))
    return std::nullopt;
  const auto bytes = ip.payload.subspan(kIcmpBytes);
  if (bytes.size() < (ip.is_ipv4 ? kIpv4Bytes : kIpv6Bytes))
    return std::nullopt;
  IpPacket quoted = ip.is_ipv4 ? Ipv4Header(bytes) : Ipv6Header(bytes);
  // It is the start of a packet, whose last hop this may have been.
  if (quoted.fault == IpFault::kCutShort || quoted.fault == IpFault::kHopLimit)
    quoted.fault = IpFault::kNone;
  if (quoted.fault == IpFault::kNone && !quoted.is_ipv4)
    quoted.fault = ReadExtensions(quoted);
  // A first fragment has the ports.
  if (quoted.fault != IpFault::kNone && quoted.fault != IpFault::kFirstFragment)
    return std::nullopt;
  if (quoted.protocol != kProtoTcp || quoted.payload.size() < 4)
    return std::nullopt;
  return Quote{{quoted.source, Get16(quoted.payload, 0)},
               {quoted.destination, Get16(quoted.payload, 2)}};
}

}  // namespace fairlead::model
