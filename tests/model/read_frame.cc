#include "tests/model/read_frame.h"

#include <algorithm>
#include <array>

namespace fairlead::model {
namespace {

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

IpFault NextHeaderFault(uint8_t next_header) {
  switch (next_header) {
    case 44:  // fragment
      return IpFault::kFragment;
    case 0:   // hop-by-hop options
    case 43:  // routing
    case 51:  // authentication
    case 60:  // destination options
      return IpFault::kExtension;
    default:
      return IpFault::kNone;
  }
}

}  // namespace

std::optional<uint16_t> ReadEtherType(std::span<const uint8_t> frame) {
  if (frame.size() < kEthernetBytes) return std::nullopt;
  return Get16(frame, 12);
}

std::optional<IpPacket> ReadIpv4(std::span<const uint8_t> bytes) {
  if (bytes.size() < kIpv4Bytes) return std::nullopt;
  const unsigned int version = bytes[0] >> 4;
  const size_t header = size_t{4} * (bytes[0] & 15u);
  const uint16_t length = Get16(bytes, 2);
  const uint16_t fragment = Get16(bytes, 6);

  IpPacket ip;
  ip.is_ipv4 = true;
  ip.tos = bytes[1];
  ip.dont_fragment = (fragment & 0x4000) != 0;
  ip.protocol = bytes[9];
  ip.source = Ipv4At(bytes, 12);
  ip.destination = Ipv4At(bytes, 16);
  if (version != 4 || header < kIpv4Bytes || length < header ||
      length > bytes.size()) {
    ip.fault = IpFault::kHeader;
    return ip;
  }
  const bool more_fragments = (fragment & 0x2000) != 0;
  const unsigned int offset = fragment & 0x1fffu;
  if (more_fragments || offset != 0) {
    ip.fault = IpFault::kFragment;
    return ip;
  }
  ip.length = length;
  ip.payload = bytes.subspan(header, length - header);
  return ip;
}

std::optional<IpPacket> ReadIpv6(std::span<const uint8_t> bytes) {
  if (bytes.size() < kIpv6Bytes) return std::nullopt;
  const unsigned int version = bytes[0] >> 4;
  const size_t payload = Get16(bytes, 4);

  IpPacket ip;
  ip.tos = static_cast<uint8_t>(Get16(bytes, 0) >> 4 & 0xff);
  // Nobody on an IPv6 path fragments.
  ip.dont_fragment = true;
  ip.protocol = bytes[6];
  ip.source = Ipv6At(bytes, 8);
  ip.destination = Ipv6At(bytes, 24);
  // An IPv4 address in its mapped form is no address of an IPv6 packet.
  if (version != 6 || kIpv6Bytes + payload > bytes.size() ||
      ip.source.is_ipv4() || ip.destination.is_ipv4()) {
    ip.fault = IpFault::kHeader;
    return ip;
  }
  ip.fault = NextHeaderFault(ip.protocol);
  if (ip.fault != IpFault::kNone) return ip;
  ip.length = static_cast<uint16_t>(kIpv6Bytes + payload);
  ip.payload = bytes.subspan(kIpv6Bytes, payload);
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
  const unsigned int flags = payload[13];
  tcp.fin = (flags & 0x01) != 0;
  tcp.syn = (flags & 0x02) != 0;
  tcp.rst = (flags & 0x04) != 0;
  tcp.ack = (flags & 0x10) != 0;
  return tcp;
}

}  // namespace fairlead::model
