#include "tests/model/write_frame.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "tests/model/read_frame.h"
#include "tests/support/checksum.h"

namespace fairlead::model {
namespace {

constexpr size_t kUdpBytes = 8, kHopListSize = 8;
constexpr uint8_t kTtl = 64;
// Quoted of a packet that was too big: all IPv4 options and the first 8 bytes
// behind them; for IPv6 a round number.
constexpr size_t kQuote4 = 68, kQuote6 = 448;
// Of a first fragment: its headers and 8 bytes, as RFC 792 has it.
constexpr size_t kFragmentQuote4 = 28, kFragmentQuote6 = 56;
// IPv6 promises this to every client (RFC 8200, section 5).
constexpr uint32_t kMinMtu6 = 1280;

void Put8(Bytes& to, unsigned int value) {
  to.push_back(static_cast<uint8_t>(value));
}
void Put16(Bytes& to, uint64_t value) {
  Put8(to, value >> 8 & 0xff);
  Put8(to, value & 0xff);
}
void Put32(Bytes& to, uint32_t value) {
  Put16(to, value >> 16);
  Put16(to, value & 0xffff);
}
void PutAll(Bytes& to, std::span<const uint8_t> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}
void Set16(Bytes& to, size_t at, uint16_t value) {
  to[at] = static_cast<uint8_t>(value >> 8);
  to[at + 1] = static_cast<uint8_t>(value);
}

struct IpFields {
  base::IpAddress source, destination;
  uint8_t protocol = 0;
  uint8_t tos = 0;
  uint16_t fragment = 0;  // IPv4: flags and offset
  size_t payload = 0;     // bytes behind the header
};

Bytes Ipv4Header(const IpFields& fields) {
  Bytes ip;
  Put8(ip, 0x45);
  Put8(ip, fields.tos);
  Put16(ip, 20 + fields.payload);
  Put16(ip, 0);  // id
  Put16(ip, fields.fragment);
  Put8(ip, kTtl);
  Put8(ip, fields.protocol);
  Put16(ip, 0);  // checksum
  Put32(ip, fields.source.ipv4());
  Put32(ip, fields.destination.ipv4());
  Set16(ip, 10, test::InternetChecksum(ip));
  return ip;
}

Bytes Ipv6Header(const IpFields& fields) {
  Bytes ip;
  Put32(ip, uint32_t{6} << 28 | uint32_t{fields.tos} << 20);
  Put16(ip, fields.payload);
  Put8(ip, fields.protocol);
  Put8(ip, kTtl);
  PutAll(ip, fields.source.bytes());
  PutAll(ip, fields.destination.bytes());
  return ip;
}

Bytes Wire(const HopList& list) {
  Bytes out;
  Put8(out, 1);  // version
  Put8(out, list.flags);
  Put8(out, 0);  // index: this copy is for the first hop
  Put8(out, static_cast<unsigned int>(list.hops.size()));
  Put8(out, list.acceptors);
  Put8(out, 0xff);  // weak: none
  Put8(out, 0);     // key id
  Put8(out, 0);
  Put16(out, list.lb_id);
  Put16(out, list.row);
  Put32(out, list.epoch);
  for (const uint16_t hop : list.hops) Put16(out, hop);
  for (size_t i = list.hops.size(); i < kHopListSize; i++) Put16(out, 0);
  return out;
}

std::array<uint8_t, 6> MacOf(uint64_t word) {
  std::array<uint8_t, 6> mac = {};
  std::memcpy(mac.data(), &word, mac.size());
  return mac;
}

// From whom `frame` was for, to whom it is from.
Bytes EthernetBack(std::span<const uint8_t> frame) {
  Bytes out;
  PutAll(out, frame.subspan(6, 6));
  PutAll(out, frame.subspan(0, 6));
  PutAll(out, frame.subspan(12, 2));
  return out;
}

struct Replacement {
  size_t at = 0;
  uint8_t value = 0;
  size_t checksum = 0;  // of what the byte is in
};

// Changes a byte that is an even number of bytes into what the checksum is of,
// and the checksum by as much. It counts modulo 0xffff (RFC 1071), and 0 is
// what a sum of 0 has, for what is not all zeros sums up to 0xffff.
void Replace8(Bytes& to, const Replacement& change) {
  constexpr uint32_t kRing = 0xffff;
  const uint32_t claimed = kRing - Get16(to, change.checksum);
  const uint32_t sum = (claimed + kRing - uint32_t{to[change.at]} * 256 +
                        uint32_t{change.value} * 256) %
                       kRing;
  to[change.at] = change.value;
  Set16(to, change.checksum, static_cast<uint16_t>((kRing - sum) % kRing));
}

}  // namespace

Bytes OuterHeaders(const Tunnel& tunnel) {
  if (tunnel.form == Form::kBare) return {};
  if (tunnel.form == Form::kIpip) {
    const IpFields ip = {
        .source = tunnel.source,
        .destination = tunnel.destination,
        .protocol = tunnel.inner_is_ipv4 ? kProtoIpv4 : kProtoIpv6,
        .tos = tunnel.tos,
        .fragment = 0x4000,  // DF
        .payload = tunnel.inner_length};
    return tunnel.destination.is_ipv4() ? Ipv4Header(ip) : Ipv6Header(ip);
  }
  Bytes gue;
  const Bytes list = tunnel.hop_list ? Wire(*tunnel.hop_list) : Bytes{};
  Put8(gue, static_cast<unsigned int>(list.size() / 4));
  Put8(gue, tunnel.inner_is_ipv4 ? kProtoIpv4 : kProtoIpv6);
  Put16(gue, 0);
  PutAll(gue, list);

  const size_t udp_length = kUdpBytes + gue.size() + tunnel.inner_length;
  const bool is_ipv4 = tunnel.destination.is_ipv4();
  const IpFields ip = {.source = tunnel.source,
                       .destination = tunnel.destination,
                       .protocol = kProtoUdp,
                       .tos = tunnel.tos,
                       .fragment = 0x4000,  // DF
                       .payload = udp_length};
  Bytes out = is_ipv4 ? Ipv4Header(ip) : Ipv6Header(ip);
  Put16(out, tunnel.source_port);
  Put16(out, tunnel.gue_port);
  Put16(out, udp_length);
  Put16(out, 0);  // no checksum, RFC 6935
  PutAll(out, gue);
  return out;
}

Bytes Encapsulate(std::span<const uint8_t> frame, const fl_backend& backend,
                  const Bytes& outer) {
  Bytes out;
  out.reserve(frame.size() + outer.size());
  PutAll(out, MacOf(backend.next_hop));
  PutAll(out, MacOf(backend.source));
  const auto packet = frame.subspan(kEthernetBytes);
  const uint8_t first = outer.empty() ? packet[0] : outer[0];
  Put16(out, first >> 4 == 4 ? kEtherIpv4 : kEtherIpv6);
  PutAll(out, outer);
  PutAll(out, packet);
  return out;
}

Bytes WithTag(std::span<const uint8_t> frame, uint16_t control) {
  Bytes out;
  PutAll(out, frame.first(12));
  Put16(out, kEtherTag);
  Put16(out, control);
  PutAll(out, frame.subspan(12));
  return out;
}

Bytes WithoutTag(std::span<const uint8_t> frame) {
  Bytes out;
  PutAll(out, frame.first(12));
  PutAll(out, frame.subspan(12 + kTagBytes));
  return out;
}

IcmpError TooBigError(const TooBig& answer) {
  IcmpError error = {.is_ipv4 = answer.is_ipv4,
                     .service = answer.service,
                     .client = answer.client};
  if (answer.is_ipv4) {
    // Unreachable: fragmentation needed (RFC 1191).
    error.type = 3;
    error.code = 4;
    error.rest = answer.mtu;
    error.quoted = kQuote4;
  } else {
    // Packet too big (RFC 4443).
    error.type = 2;
    error.rest = std::max(answer.mtu, kMinMtu6);
    error.quoted = kQuote6;
  }
  return error;
}

// Unreachable: communication administratively prohibited, which RFC 1812 and
// RFC 4443 have by different numbers.
IcmpError FragmentError(const base::IpAddress& service,
                        const base::IpAddress& client) {
  const bool is_ipv4 = service.is_ipv4();
  return {.is_ipv4 = is_ipv4,
          .service = service,
          .client = client,
          .type = static_cast<uint8_t>(is_ipv4 ? 3 : 1),
          .code = static_cast<uint8_t>(is_ipv4 ? 13 : 1),
          .quoted = is_ipv4 ? kFragmentQuote4 : kFragmentQuote6};
}

Bytes AnswerError(std::span<const uint8_t> frame, const IcmpError& error) {
  Bytes icmp;
  Put8(icmp, error.type);
  Put8(icmp, error.code);
  Put16(icmp, 0);  // checksum
  Put32(icmp, error.rest);
  PutAll(icmp, frame.subspan(kEthernetBytes, error.quoted));
  const uint64_t pseudo =
      error.is_ipv4 ? 0
                    : test::PseudoHeaderSum(error.service, error.client,
                                            kProtoIcmpv6, icmp.size());
  Set16(icmp, 2, test::InternetChecksum(icmp, pseudo));

  Bytes out = EthernetBack(frame);
  const IpFields ip = {.source = error.service,
                       .destination = error.client,
                       .protocol = error.is_ipv4 ? kProtoIcmp : kProtoIcmpv6,
                       .payload = icmp.size()};
  PutAll(out, error.is_ipv4 ? Ipv4Header(ip) : Ipv6Header(ip));
  PutAll(out, icmp);
  return out;
}

size_t AnswerHeaderBytes(bool is_ipv4) { return is_ipv4 ? 28 : 48; }

Bytes AnswerReset(std::span<const uint8_t> frame, const Reset& reset) {
  Bytes tcp;
  Put16(tcp, reset.service.port);
  Put16(tcp, reset.client.port);
  Put32(tcp, reset.sequence);
  Put32(tcp, reset.acknowledges.value_or(0));
  Put8(tcp, 0x50);
  Put8(tcp, reset.acknowledges ? 0x14 : 0x04);
  Put16(tcp, 0);  // window
  Put16(tcp, 0);  // checksum
  Put16(tcp, 0);  // urgent
  Bytes summed;   // behind a pseudo header
  for (const base::IpAddress& address :
       {reset.service.address, reset.client.address}) {
    if (reset.is_ipv4)
      Put32(summed, address.ipv4());
    else
      PutAll(summed, address.bytes());
  }
  Put32(summed, static_cast<uint32_t>(tcp.size()));
  Put32(summed, kProtoTcp);
  PutAll(summed, tcp);
  Set16(tcp, 16, test::InternetChecksum(summed));
  const IpFields ip = {.source = reset.service.address,
                       .destination = reset.client.address,
                       .protocol = kProtoTcp,
                       .fragment = 0x4000,  // DF
                       .payload = tcp.size()};
  Bytes out = EthernetBack(frame);
  PutAll(out, reset.is_ipv4 ? Ipv4Header(ip) : Ipv6Header(ip));
  PutAll(out, tcp);
  return out;
}

Bytes AnswerPing(std::span<const uint8_t> frame) {
  Bytes out = EthernetBack(frame);
  PutAll(out, frame.subspan(kEthernetBytes));
  const bool is_ipv4 = ReadEtherType(frame) == kEtherIpv4;
  const size_t icmp = kEthernetBytes + (is_ipv4 ? 20 : 40);
  const size_t addresses = icmp - (is_ipv4 ? 8 : 32);
  const auto first = out.begin() + static_cast<std::ptrdiff_t>(addresses);
  const std::ptrdiff_t length = is_ipv4 ? 4 : 16;
  std::swap_ranges(first, first + length, first + length);
  if (is_ipv4) {
    Replace8(out, {.at = kEthernetBytes + 8,
                   .value = kTtl,
                   .checksum = kEthernetBytes + 10});
    Replace8(out, {.at = icmp, .value = 0, .checksum = icmp + 2});
    // 0 and 0xffff are one number, and a receiver sums up either; but a message
    // of nothing but zeros has 0xffff. It is said where all may be zero.
    if (Get16(out, icmp + 2) == 0 && Get16(out, icmp + 4) == 0 &&
        Get16(out, icmp + 6) == 0)
      Set16(out, icmp + 2, 0xffff);
  } else {
    out[kEthernetBytes + 7] = kTtl;
    Replace8(out, {.at = icmp, .value = 129, .checksum = icmp + 2});
  }
  return out;
}

}  // namespace fairlead::model
