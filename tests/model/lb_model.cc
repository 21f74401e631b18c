#include "tests/model/lb_model.h"

#include <linux/bpf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "fairlead/abi/wire.h"
#include "tests/model/flow_model.h"
#include "tests/model/icmp_model.h"
#include "tests/model/read_frame.h"
#include "tests/model/route_model.h"
#include "tests/model/write_frame.h"
#include "tests/support/bpf_fixture.h"

namespace fairlead::model {
namespace {

// Every host takes this much (RFC 791); a path that does not is none.
constexpr uint32_t kMinPathMtu = 576;
// The kernel keeps this much of the room before a frame for itself.
constexpr size_t kFrameInfo = 40;

// The longest form of the outer headers, of which IPv6 is the longer.
uint32_t LongestOuter(uint8_t encap) {
  switch (encap) {
    case FL_ENCAP_GUE:
      return 40 + 8 + 4 + 32;
    case FL_ENCAP_GUE_PLAIN:
      return 40 + 8 + 4;
    case FL_ENCAP_IPIP:
      return 40;
    default:
      return 0;
  }
}

void CountBackend(Host& host, const Route& route, uint64_t bytes) {
  fl_backend_stats& stats = host.counters.backends[route.target];
  stats.packets++;
  stats.bytes += bytes;
  if (route.verdict == FL_LB_TX_SYN_NEW ||
      route.verdict == FL_LB_TX_SYN_UNRECORDED ||
      route.verdict == FL_LB_TX_SYN_OVER_BUDGET)
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
  // DSCP, and ECN as RFC 6040's normal mode has it.
  tunnel.tos = segment.ip.tos;
  tunnel.inner_is_ipv4 = segment.ip.is_ipv4;
  tunnel.inner_length = segment.ip.length;
  if (service.encap == FL_ENCAP_IPIP) tunnel.form = Form::kIpip;
  if (service.encap == FL_ENCAP_L2) tunnel.form = Form::kBare;
  if (service.encap != FL_ENCAP_GUE) return tunnel;
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

Departure Send(Host& host, const Arrival& arrival, const Segment& segment,
               const fl_service& service, const Route& route) {
  const fl_backend& backend = host.backends[route.hops.front()];
  const auto mtu = static_cast<uint32_t>(backend.next_hop >> 48);
  if ((backend.state & FL_BACKEND_NEXT_HOP) == 0 || mtu < kMinPathMtu)
    return Leave(FL_LB_DROP_NO_NEXT_HOP, arrival.frame);
  const uint32_t limit = mtu - LongestOuter(service.encap);
  if (segment.ip.length > limit) {
    // No error is answered by another.
    const bool asks = segment.ip.dont_fragment && !segment.is_error;
    if (!asks || !IsOneHost(segment.ip.source))
      return Leave(FL_LB_DROP_TOO_BIG, arrival.frame);
    return TellTooBig(host, arrival, segment.ip, limit, service.id);
  }
  const Bytes outer =
      OuterHeaders(TunnelOf(host, segment, service, route, arrival.now_ns));
  const bool elsewhere =
      backend.egress != 0 && backend.egress != arrival.ingress;
  if (elsewhere && !host.egress.contains(backend.egress))
    return Leave(FL_LB_DROP_NO_EGRESS, arrival.frame);
  const auto vlan = static_cast<uint16_t>(backend.source >> 48);
  const size_t front = outer.size() + (vlan == 0 ? 0 : kTagBytes);
  if (front != 0 && !HasRoom(arrival, front))
    return Leave(FL_LB_DROP_NO_HEADROOM, arrival.frame);
  CountBackend(host, route, segment.ip.length);
  Departure sent =
      Leave(route.verdict, Encapsulate(arrival.frame, backend, outer));
  if (vlan != 0) sent.frame = WithTag(sent.frame, vlan & 0xfff);
  if (elsewhere) sent.action = XDP_REDIRECT;
  sent.to_backend = true;
  return sent;
}

// What is told to whoever sent the segment (RFC 9293, section 3.5.2).
Reset ResetOf(const Segment& segment) {
  const TcpSegment& tcp = segment.tcp;
  Reset reset = {.is_ipv4 = segment.ip.is_ipv4,
                 .service = segment.flow.service,
                 .client = segment.flow.client};
  if (tcp.ack) {
    reset.sequence = tcp.acknowledges;
  } else {
    reset.acknowledges = tcp.sequence + static_cast<uint32_t>(tcp.data) +
                         (tcp.syn ? 1 : 0) + (tcp.fin ? 1 : 0);
  }
  return reset;
}

// A packet for `service`, whatever becomes of it.
Departure Serve(Host& host, const Arrival& arrival, const Segment& segment,
                const fl_service& service) {
  const TcpSegment& tcp = segment.tcp;
  if ((service.flags & FL_SERVICE_TOMBSTONE) != 0)
    return Leave(FL_LB_DROP_TOMBSTONE, arrival.frame);
  if (!segment.is_error) {
    if (!tcp.whole) return Leave(FL_LB_DROP_TCP_HEADER, arrival.frame);
    // No stack sends none of these, or a SYN that ends.
    if ((!tcp.syn && !tcp.ack && !tcp.ends()) || (tcp.syn && tcp.ends()))
      return Leave(FL_LB_DROP_TCP_FLAGS, arrival.frame);
  }

  const Route route = FindRoute(host, segment, service, arrival.now_ns);
  if (route.fail_open) host.counters.services[service.id].fail_open++;
  if (route.verdict == FL_LB_TX_SYN_REFUSED)
    return Leave(route.verdict, AnswerReset(arrival.frame, ResetOf(segment)));
  if (route.hops.empty()) return Leave(route.verdict, arrival.frame);
  return Send(host, arrival, segment, service, route);
}

void CountService(fl_service_stats& stats, uint64_t bytes,
                  fl_lb_verdict verdict) {
  stats.packets++;
  stats.bytes += bytes;
  if (verdict == FL_LB_TX_SYN_NEW || verdict == FL_LB_TX_SYN_UNRECORDED ||
      verdict == FL_LB_TX_SYN_CLAIM || verdict == FL_LB_TX_SYN_OVER_BUDGET)
    stats.new_flows++;
  if (verdict == FL_LB_TX_SYN_OVER_BUDGET) stats.over_budget++;
  if (verdict == FL_LB_TX_MISS) stats.misses++;
  if (verdict == FL_LB_TX_TOO_BIG) stats.too_big++;
  if (verdict == FL_LB_DROP_DENIED) stats.denied++;
}

bool IsServiceAddress(const Host& host, const base::IpAddress& address) {
  const auto at = host.services.lower_bound({address, 0});
  return at != host.services.end() && at->first.address == address;
}

// A packet that is not to be served: dropped by name if it is for a service's
// address, else none of our business.
Departure LeaveOdd(Host& host, const Arrival& arrival, const IpPacket& ip) {
  const auto leave = [&](fl_lb_verdict verdict) {
    return Leave(verdict, arrival.frame);
  };
  if (!IsServiceAddress(host, ip.destination))
    return leave(FL_LB_PASS_NOT_SERVICE);
  switch (ip.fault) {
    case IpFault::kFirstFragment:
      if (!CanRefuse(ip)) return leave(FL_LB_DROP_FRAGMENT);
      // It stays silent.
      if (IsTombstone(host, ip.destination)) return leave(FL_LB_DROP_TOMBSTONE);
      return RefuseFragment(host, arrival, ip);
    case IpFault::kLaterFragment:
      return leave(FL_LB_DROP_FRAGMENT);
    case IpFault::kHopLimit:
      return leave(FL_LB_DROP_HOP_LIMIT);
    case IpFault::kExtension:
      return leave(FL_LB_DROP_EXTENSION);
    case IpFault::kHeader:
    case IpFault::kCutShort:
      return leave(FL_LB_DROP_IP_HEADER);
    case IpFault::kNone:
      break;
  }
  return leave(FL_LB_DROP_INTERNAL);
}

// To its service, if there is one.
Departure Deliver(Host& host, const Arrival& arrival, const Segment& segment) {
  const auto found = host.services.find(segment.flow.service);
  if (found == host.services.end())
    return Leave(FL_LB_PASS_NOT_SERVICE, arrival.frame);
  const fl_service& service = found->second;
  Departure departure = Serve(host, arrival, segment, service);
  CountService(host.counters.services[service.id], segment.ip.length,
               departure.verdict);
  return departure;
}

// Pings of a service's address and errors about its connections; all else is
// the host's own business.
Departure LiveIcmp(Host& host, const Arrival& arrival, const IpPacket& ip) {
  const Departure pass = Leave(FL_LB_PASS_NOT_TCP, arrival.frame);
  if (!IsServiceAddress(host, ip.destination)) return pass;
  if (IsPlainPing(ip) && IsOneHost(ip.source)) {
    if (IsTombstone(host, ip.destination))
      return Leave(FL_LB_DROP_TOMBSTONE, arrival.frame);
    return Echo(host, arrival, ip);
  }
  const std::optional<Quote> quote = ReadQuote(ip);
  // It has to tell whoever sent what it quotes.
  if (!quote || quote->source.address != ip.destination) return pass;
  return Deliver(
      host, arrival,
      {.ip = ip,
       .tcp = {},
       .flow = {.client = quote->destination, .service = quote->source},
       .is_error = true});
}

Departure LiveUntagged(Host& host, const Arrival& arrival) {
  const auto leave = [&](fl_lb_verdict verdict) {
    return Leave(verdict, arrival.frame);
  };
  const std::span<const uint8_t> frame = arrival.frame;
  const std::optional<uint16_t> type = ReadEtherType(frame);
  if (!type) return leave(FL_LB_PASS_TRUNCATED);
  if (type == kEtherOuterTag) return leave(FL_LB_PASS_TAGS);
  if (type != kEtherIpv4 && type != kEtherIpv6) return leave(FL_LB_PASS_NOT_IP);
  const auto packet = frame.subspan(kEthernetBytes);
  const std::optional<IpPacket> ip =
      type == kEtherIpv4 ? ReadIpv4(packet) : ReadIpv6(packet);
  if (!ip) return leave(FL_LB_PASS_TRUNCATED);
  if (ip->fault != IpFault::kNone) return LeaveOdd(host, arrival, *ip);
  if (IsIcmp(*ip)) return LiveIcmp(host, arrival, *ip);
  if (ip->protocol != kProtoTcp) return leave(FL_LB_PASS_NOT_TCP);
  const std::optional<TcpSegment> tcp = ReadTcp(ip->payload);
  if (!tcp) {
    return leave(IsServiceAddress(host, ip->destination)
                     ? FL_LB_DROP_TCP_HEADER
                     : FL_LB_PASS_NOT_SERVICE);
  }
  const test::Flow flow = {{ip->source, tcp->source_port},
                           {ip->destination, tcp->destination_port}};
  return Deliver(host, arrival, {.ip = *ip, .tcp = *tcp, .flow = flow});
}

// A frame's tag is no part of the packet. It stays on what goes back to where
// it came from and on what stays here; a backend's next hop has its own.
Departure Live(Host& host, const Arrival& arrival) {
  const std::span<const uint8_t> frame = arrival.frame;
  if (ReadEtherType(frame) != kEtherTag) return LiveUntagged(host, arrival);
  if (frame.size() < kEthernetBytes + kTagBytes)
    return Leave(FL_LB_PASS_TRUNCATED, arrival.frame);
  const uint16_t type = Get16(frame, 12 + kTagBytes);
  if (type == kEtherTag || type == kEtherOuterTag)
    return Leave(FL_LB_PASS_TAGS, arrival.frame);
  if (type != kEtherIpv4 && type != kEtherIpv6)
    return Leave(FL_LB_PASS_NOT_IP, arrival.frame);
  Arrival untagged = arrival;
  untagged.frame = WithoutTag(frame);
  untagged.headroom += kTagBytes;
  Departure departure = LiveUntagged(host, untagged);
  if (!departure.to_backend)
    departure.frame = WithTag(departure.frame, Get16(frame, 14));
  return departure;
}

}  // namespace

Departure Leave(fl_lb_verdict verdict, Bytes frame) {
  return {verdict, test::VerdictAction(verdict), std::move(frame)};
}

base::IpPrefix PrefixOf(const base::IpAddress& address, int bits) {
  std::array<uint8_t, 16> bytes = address.bytes();
  for (int bit = bits; bit < 128; bit++)
    bytes[static_cast<size_t>(bit / 8)] &=
        static_cast<uint8_t>(~(0x80 >> bit % 8));
  return {base::IpAddress(bytes), bits};
}

bool HasRoom(const Arrival& arrival, size_t bytes) {
  return bytes + kFrameInfo <= arrival.headroom;
}

uint16_t AddressId(const Host& host, const base::IpAddress& address) {
  return host.services.lower_bound({address, 0})->second.id;
}

bool IsTombstone(const Host& host, const base::IpAddress& address) {
  return std::ranges::all_of(host.services, [&](const auto& entry) {
    const auto& [at, service] = entry;
    return at.address != address || (service.flags & FL_SERVICE_TOMBSTONE) != 0;
  });
}

Departure Receive(Host& host, const Arrival& arrival) {
  Departure departure = Live(host, arrival);
  host.counters.verdicts[departure.verdict]++;
  return departure;
}

}  // namespace fairlead::model
