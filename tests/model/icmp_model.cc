#include "tests/model/icmp_model.h"

#include <algorithm>

#include "tests/model/flow_model.h"
#include "tests/model/write_frame.h"

namespace fairlead::model {
namespace {

constexpr uint32_t kAnswersPerTick = 1000;

bool TakeOfRate(AnswerCount& count, uint64_t now_ns) {
  const uint32_t now = TickAt(now_ns);
  if (count.tick != now) count = {.tick = now};
  return count.given++ < kAnswersPerTick;
}

Departure Answer(AnswerCount& count, const Arrival& arrival,
                 fl_lb_verdict verdict, const IcmpError& error) {
  if (!TakeOfRate(count, arrival.now_ns))
    return Leave(FL_LB_DROP_ICMP_LIMIT, arrival.frame);
  if (!HasRoom(arrival, AnswerHeaderBytes(error.is_ipv4)))
    return Leave(FL_LB_DROP_NO_HEADROOM, arrival.frame);
  return Leave(verdict, AnswerError(arrival.frame, error));
}

}  // namespace

bool IsOneHost(const base::IpAddress& address) {
  const auto& bytes = address.bytes();
  if (address.is_ipv4()) {
    // This network, loopback, multicast, and what is reserved or broadcast.
    const uint8_t first = bytes[12];
    return first != 0 && first != 127 && first < 224;
  }
  // Unspecified, loopback, and IPv4-compatible ones, which nobody has any more
  // (RFC 4291).
  const bool starts_with_zeros =
      std::all_of(bytes.begin(), bytes.begin() + 12,
                  [](uint8_t byte) { return byte == 0; });
  const bool is_multicast = bytes[0] == 0xff;
  return !starts_with_zeros && !is_multicast;
}

Departure TellTooBig(Host& host, const Arrival& arrival, const IpPacket& ip,
                     uint32_t mtu, uint16_t service) {
  return Answer(host.answered[service][kAnswerTooBig], arrival,
                FL_LB_TX_TOO_BIG,
                TooBigError({.is_ipv4 = ip.is_ipv4,
                             .service = ip.destination,
                             .client = ip.source,
                             .mtu = mtu}));
}

Departure RefuseFragment(Host& host, const Arrival& arrival,
                         const IpPacket& ip) {
  const uint16_t id = AddressId(host, ip.destination);
  return Answer(host.answered[id][kAnswerRefusal], arrival,
                FL_LB_TX_FRAGMENT_REFUSED,
                FragmentError(ip.destination, ip.source));
}

Departure Echo(Host& host, const Arrival& arrival, const IpPacket& ip) {
  const uint16_t id = AddressId(host, ip.destination);
  if (!TakeOfRate(host.answered[id][kAnswerEcho], arrival.now_ns))
    return Leave(FL_LB_DROP_ICMP_LIMIT, arrival.frame);
  return Leave(FL_LB_TX_ECHO, AnswerPing(arrival.frame));
}

bool MayAnswer(Host& host, uint16_t id, size_t kind, uint64_t now_ns) {
  return TakeOfRate(host.answered[id][kind], now_ns);
}

bool CanRefuse(const IpPacket& ip) {
  // In IPv6 the fragment header is the only one more.
  const size_t plain = ip.is_ipv4 ? 20 : 40 + 8;
  return ip.protocol == kProtoTcp && ip.header == plain &&
         ip.length >= plain + 8 && IsOneHost(ip.source);
}

}  // namespace fairlead::model
