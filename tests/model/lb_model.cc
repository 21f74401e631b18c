#include "tests/model/lb_model.h"

#include <linux/bpf.h>

#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "fairlead/abi/wire.h"
#include "tests/model/flow_model.h"
#include "tests/model/read_frame.h"
#include "tests/model/route_model.h"
#include "tests/model/write_frame.h"
#include "tests/support/bpf_fixture.h"

namespace fairlead::model {
namespace {

// Every host takes this much (RFC 791); a path that does not is none.
constexpr uint32_t kMinPathMtu = 576;
// The longest form of the outer headers: IPv6, UDP, GUE and the hop list.
constexpr uint32_t kLongestOuter = 40 + 8 + 4 + 32;
constexpr uint32_t kLongestPlainOuter = 40 + 8 + 4;
// The kernel keeps this much of the room before a frame for itself.
constexpr size_t kFrameInfo = 40;

Departure Leave(fl_lb_verdict verdict, Bytes frame) {
  return {verdict, test::VerdictAction(verdict), std::move(frame)};
}

void CountBackend(Host& host, const Route& route, uint64_t bytes) {
  fl_backend_stats& stats = host.counters.backends[route.target];
  stats.packets++;
  stats.bytes += bytes;
  if (route.verdict == FL_LB_TX_SYN_NEW ||
      route.verdict == FL_LB_TX_SYN_UNRECORDED)
    stats.new_flows++;
  if (route.verdict == FL_LB_TX_SYN_AGAIN) stats.syn_again++;
}

Tunnel TunnelOf(const Host& host, const Segment& segment,
                const fl_service& service, const Route& route,
                uint64_t now_ns) {
  const fl_backend& backend = host.backends[route.hops.front()];
  std::array<uint8_t, 16> address = {};
  std::memcpy(address.data(), backend.address, address.size());

  Tunnel tunnel;
  tunnel.destination = base::IpAddress(address);
  tunnel.source =
      tunnel.destination.is_ipv4() ? host.config.node4 : host.config.node6;
  tunnel.source_port = static_cast<uint16_t>(0xc000 | route.hash >> 50);
  tunnel.gue_port = host.config.gue_port;
  // DSCP without ECN (RFC 6040, compatibility mode).
  tunnel.tos = segment.ip.tos & 0xfc;
  tunnel.inner_is_ipv4 = segment.ip.is_ipv4;
  tunnel.inner_length = segment.ip.length;
  if (service.encap == FL_ENCAP_GUE_PLAIN) return tunnel;
  const bool settled = now_ns < host.leases[service.id];
  tunnel.hop_list = HopList{.flags = static_cast<uint8_t>(
                                route.flags | (settled ? FL_WIRE_SETTLED : 0)),
                            .acceptors = route.acceptors,
                            .lb_id = host.config.lb_id,
                            .row = route.row,
                            .epoch = service.epoch,
                            .hops = route.hops};
  return tunnel;
}

bool HasRoom(const Arrival& arrival, size_t bytes) {
  return bytes + kFrameInfo <= arrival.headroom;
}

Departure TellTooBig(const Arrival& arrival, const Segment& segment,
                     uint32_t mtu) {
  const bool is_ipv4 = segment.ip.is_ipv4;
  if (!HasRoom(arrival, AnswerHeaderBytes(is_ipv4)))
    return Leave(FL_LB_DROP_NO_HEADROOM, arrival.frame);
  return Leave(FL_LB_TX_TOO_BIG,
               AnswerTooBig(arrival.frame, {.is_ipv4 = is_ipv4,
                                            .service = segment.ip.destination,
                                            .client = segment.ip.source,
                                            .mtu = mtu}));
}

Departure Send(Host& host, const Arrival& arrival, const Segment& segment,
               const fl_service& service, const Route& route) {
  const fl_backend& backend = host.backends[route.hops.front()];
  const auto mtu = static_cast<uint32_t>(backend.next_hop >> 48);
  if ((backend.state & FL_BACKEND_NEXT_HOP) == 0 || mtu < kMinPathMtu)
    return Leave(FL_LB_DROP_NO_NEXT_HOP, arrival.frame);
  const uint32_t limit =
      mtu - (service.encap == FL_ENCAP_GUE_PLAIN ? kLongestPlainOuter
                                                 : kLongestOuter);
  if (segment.ip.length > limit) {
    if (!segment.ip.dont_fragment)
      return Leave(FL_LB_DROP_TOO_BIG, arrival.frame);
    return TellTooBig(arrival, segment, limit);
  }
  const Bytes outer =
      OuterHeaders(TunnelOf(host, segment, service, route, arrival.now_ns));
  if (!HasRoom(arrival, outer.size()))
    return Leave(FL_LB_DROP_NO_HEADROOM, arrival.frame);
  CountBackend(host, route, segment.ip.length);
  Departure sent =
      Leave(route.verdict, Encapsulate(arrival.frame, backend, outer));
  if (backend.egress != 0 && backend.egress != arrival.ingress)
    sent.action = XDP_REDIRECT;
  return sent;
}

// A packet for `service`, whatever becomes of it.
Departure Serve(Host& host, const Arrival& arrival, const Segment& segment,
                const fl_service& service) {
  const TcpSegment& tcp = segment.tcp;
  if ((service.flags & FL_SERVICE_TOMBSTONE) != 0)
    return Leave(FL_LB_DROP_TOMBSTONE, arrival.frame);
  if (!tcp.whole) return Leave(FL_LB_DROP_TCP_HEADER, arrival.frame);
  // No stack sends none of these, or a SYN that ends.
  if ((!tcp.syn && !tcp.ack && !tcp.ends()) || (tcp.syn && tcp.ends()))
    return Leave(FL_LB_DROP_TCP_FLAGS, arrival.frame);

  const Route route = FindRoute(host, segment, service, TickAt(arrival.now_ns));
  if (route.fail_open) host.counters.services[service.id].fail_open++;
  if (route.hops.empty()) return Leave(FL_LB_DROP_NO_BACKEND, arrival.frame);
  return Send(host, arrival, segment, service, route);
}

void CountService(fl_service_stats& stats, uint64_t bytes,
                  fl_lb_verdict verdict) {
  stats.packets++;
  stats.bytes += bytes;
  if (verdict == FL_LB_TX_SYN_NEW || verdict == FL_LB_TX_SYN_UNRECORDED ||
      verdict == FL_LB_TX_SYN_CLAIM)
    stats.new_flows++;
  if (verdict == FL_LB_TX_MISS) stats.misses++;
  if (verdict == FL_LB_TX_TOO_BIG) stats.too_big++;
}

bool IsServiceAddress(const Host& host, const base::IpAddress& address) {
  const auto at = host.services.lower_bound({address, 0});
  return at != host.services.end() && at->first.address == address;
}

// The ports of `ip` cannot be had: dropped by name if it is for a service's
// address, else none of our business.
fl_lb_verdict JudgeOdd(const Host& host, const IpPacket& ip,
                       fl_lb_verdict verdict) {
  return IsServiceAddress(host, ip.destination) ? verdict
                                                : FL_LB_PASS_NOT_SERVICE;
}

Departure Live(Host& host, const Arrival& arrival) {
  const auto leave = [&](fl_lb_verdict verdict) {
    return Leave(verdict, arrival.frame);
  };
  const std::span<const uint8_t> frame = arrival.frame;
  const std::optional<uint16_t> type = ReadEtherType(frame);
  if (!type) return leave(FL_LB_PASS_TRUNCATED);
  if (type != kEtherIpv4 && type != kEtherIpv6) return leave(FL_LB_PASS_NOT_IP);
  const auto packet = frame.subspan(kEthernetBytes);
  const std::optional<IpPacket> ip =
      type == kEtherIpv4 ? ReadIpv4(packet) : ReadIpv6(packet);
  if (!ip) return leave(FL_LB_PASS_TRUNCATED);

  switch (ip->fault) {
    case IpFault::kNone:
      break;
    case IpFault::kHeader:
      return leave(JudgeOdd(host, *ip, FL_LB_DROP_IP_HEADER));
    case IpFault::kFragment:
      return leave(JudgeOdd(host, *ip, FL_LB_DROP_FRAGMENT));
    case IpFault::kExtension:
      return leave(JudgeOdd(host, *ip, FL_LB_DROP_EXTENSION));
  }
  if (ip->protocol != kProtoTcp) return leave(FL_LB_PASS_NOT_TCP);
  const std::optional<TcpSegment> tcp = ReadTcp(ip->payload);
  if (!tcp) return leave(JudgeOdd(host, *ip, FL_LB_DROP_TCP_HEADER));

  const test::Flow flow = {{ip->source, tcp->source_port},
                           {ip->destination, tcp->destination_port}};
  const auto found = host.services.find(flow.service);
  if (found == host.services.end()) return leave(FL_LB_PASS_NOT_SERVICE);
  const fl_service& service = found->second;
  Departure departure = Serve(host, arrival, {*ip, *tcp, flow}, service);
  CountService(host.counters.services[service.id], ip->length,
               departure.verdict);
  return departure;
}

}  // namespace

Departure Receive(Host& host, const Arrival& arrival) {
  Departure departure = Live(host, arrival);
  host.counters.verdicts[departure.verdict]++;
  return departure;
}

}  // namespace fairlead::model
