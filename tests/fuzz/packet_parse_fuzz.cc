// The packet path's parser, compiled for the host: it stays inside the frame,
// and what it calls a TCP segment or an error about one is that. (The verifier
// proves the first part for the BPF program; this looks at the second.)
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "base/check.h"
#include "lib/quote.h"

namespace {

enum class Kind { kOther, kSegment, kError };

Kind Parse(fl_cursor* cursor, fl_packet* packet) {
  __be16 type = 0;
  if (fl_parse_ethernet(cursor, &type) == 0) return Kind::kOther;
  fl_ip_anomaly odd = FL_IP_FINE;
  int whole = 0;
  if (type == fl_swap16(ETH_P_IP)) whole = fl_parse_ipv4(cursor, packet, &odd);
  if (type == fl_swap16(ETH_P_IPV6))
    whole = fl_parse_ipv6(cursor, packet, &odd);
  if (whole != 0 && odd == FL_IP_FINE && fl_has_extensions(packet) != 0)
    odd = fl_skip_extensions(cursor, packet, packet->ip_length);
  if (whole == 0 || odd != FL_IP_FINE) return Kind::kOther;
  if (packet->service.proto == fl_icmp_proto(packet->is_ipv4))
    return fl_parse_quote(cursor, packet) != 0 ? Kind::kError : Kind::kOther;
  return packet->service.proto == IPPROTO_TCP &&
                 fl_parse_ports(cursor, packet) != 0 &&
                 fl_parse_tcp(cursor, packet) != 0
             ? Kind::kSegment
             : Kind::kOther;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // No byte to spare behind the frame; two before it, so that the IP header is
  // aligned as the sanitizer wants it. The packet path does not need that.
  constexpr size_t kPadding = 2;
  const auto buffer = std::make_unique<uint8_t[]>(kPadding + size);
  uint8_t* const frame = buffer.get() + kPadding;
  if (size > 0) std::memcpy(frame, data, size);
  fl_cursor cursor = {frame, frame + size};
  fl_packet packet = {};
  const Kind kind = Parse(&cursor, &packet);
  const auto* const at = static_cast<const uint8_t*>(cursor.at);
  if (kind == Kind::kError) {
    // The quoted ports.
    FL_CHECK(at + 4 <= frame + size);
    FL_CHECK(packet.service.proto == IPPROTO_TCP);
  }
  if (kind != Kind::kSegment) return 0;
  const size_t ip_at = sizeof(ethhdr);
  const size_t tcp_at = static_cast<size_t>(at - frame);
  FL_CHECK(tcp_at == ip_at + packet.ip_header_length);
  FL_CHECK(ip_at + packet.ip_length <= size);
  FL_CHECK(tcp_at + sizeof(tcphdr) <= ip_at + packet.ip_length);
  FL_CHECK(packet.ip_header_length >= (packet.is_ipv4 ? 20 : 40));
  FL_CHECK(packet.tcp_flags == at[13]);
  return 0;
}
