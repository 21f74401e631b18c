// Every verdict of a backend's program: over both families outside and inside,
// with a VLAN tag and without, byte by byte. What needs two agents and real
// clients is in tests/netns.
#include <linux/bpf.h>

#include <catch2/catch.hpp>
#include <optional>
#include <vector>

#include "tests/packet/agent_world.h"
#include "tests/packet/syn_cookie.h"

namespace fairlead::test {
namespace {

constexpr uint8_t kNotEct = 0, kEct1 = 1, kEct0 = 2, kCongested = 3;

// Delivered: Ethernet and its tag stay as they came.
Packet Delivered(const AgentWay& way, const Packet& inner) {
  return way.front / inner;
}

Packet WithTos(const AgentWay& way, uint8_t tos) {
  const Tcp syn = {.sport = 1, .syn = true};
  return way.inner_ipv4 ? Ipv4{.tos = tos} / syn : Ipv6{.tos = tos} / syn;
}

TEST_CASE("what is not encapsulated for this backend passes untouched",
          "[packet][agent]") {
  AgentWorld world;
  ForEachWay([&](const AgentWay& way) {
    const Packet inner = world.Own(way);
    const Packet ip = way.outer_ipv4 ? Packet(Ipv4{.dst = Ip("192.0.2.11")})
                                     : Ipv6{.dst = Ip("2001:db8:2::11")};
    const Packet elsewhere = way.outer_ipv4
                                 ? Packet(Ipv4{.src = Ip("192.0.2.1")})
                                 : Ipv6{.src = Ip("2001:db8:2::1")};
    const std::vector<Packet> cases = {
        way.front / inner,
        way.front / ip / Udp{.sport = 1, .dport = 53} / Payload(64),
        way.front / elsewhere / Udp{.sport = 1} / Gue{} / inner,
        Eth{} / Vlan{} / Vlan{} / ip / Udp{.sport = 1} / Gue{} / inner,
        Eth{.type = 0x0806} / Payload(28),
        Eth{.type = 0x8100} / Payload(1),
    };
    for (const Packet& packet : cases)
      world.Check(packet, FL_AGENT_PASS_NOT_TUNNEL);
  });
}

TEST_CASE("strangers and broken headers are dropped by name",
          "[packet][agent]") {
  AgentWorld world;
  ForEachWay([&](const AgentWay& way) {
    const Packet own = world.Own(way);
    const Packet stranger = way.outer_ipv4
                                ? Packet(Ipv4{.dst = Ip("192.0.2.11")})
                                : Ipv6{.dst = Ip("2001:db8:2::11")};
    world.Check(
        way.front / stranger / Udp{.sport = 1} / Gue{} / ListOf({kSelf}) / own,
        FL_AGENT_DROP_SOURCE);
    // The headers in front of GUE.
    const Packet udp =
        way.front /
        (way.outer_ipv4
             ? Packet(Ipv4{.src = Ip("192.0.2.1"), .dst = Ip("192.0.2.11")})
             : Ipv6{.src = Ip("2001:db8:2::1"), .dst = Ip("2001:db8:2::11")}) /
        Udp{.sport = 1};
    for (const Packet& gue : std::vector<Packet>{
             Payload(3), Gue{.flags = 1} / own, Gue{.version_hlen = 7} / own,
             Gue{.version_hlen = 0x40} / own,
             Gue{} / ListOf({kSelf}, {.version = 2}) / own})
      world.Check(udp / gue, FL_AGENT_DROP_TUNNEL_HEADER);
    for (const Hops& hops :
         {ListOf({kSelf}, {.count = 0}), ListOf({kSelf}, {.count = 9}),
          ListOf({kSelf}, {.index = 1}), ListOf({kPeer4, kSelf}),
          ListOf({kUnknown}), ListOf({kSelf, kPeer4}, {.weak = 0}),
          ListOf({kPeer4, kSelf}, {.index = 1, .weak = 1}),
          // On its way back, to nobody.
          ListOf({kPeer4, kSelf}, {.flags = FL_WIRE_FINAL, .index = 2})})
      world.Check(AgentWorld::Tunnel(way, hops, own), FL_AGENT_DROP_HOP_LIST);
    const Packet ip = way.inner_ipv4 ? Packet(Ipv4{}) : Ipv6{};
    const Packet short_list =
        AgentWorld::Tunnel(way, ListOf({kSelf}), ip / Payload(10));
    world.Check(short_list, FL_AGENT_DROP_INNER);
    world.Check(AgentWorld::Tunnel(way, ListOf({kSelf}),
                                   ip / Udp{.sport = 1} / Payload(8)),
                FL_AGENT_DROP_INNER);
    world.Check(AgentWorld::Tunnel(way, ListOf({kSelf}),
                                   ip / Tcp{.dport = 80, .syn = true}),
                FL_AGENT_DROP_NOT_SERVICE);
  });
}

TEST_CASE("without a hop list a packet is for a plain service alone",
          "[packet][agent]") {
  AgentWorld world;
  ForEachWay([&](const AgentWay& way) {
    const Packet own = world.Own(way);
    world.SetVip({});
    world.Check(AgentWorld::Plain(way, own), FL_AGENT_DROP_NO_LIST);
    world.SetVip({.flags = FL_VIP_PLAIN});
    world.Check(AgentWorld::Plain(way, own), FL_AGENT_PASS_PLAIN,
                Delivered(way, own));
  });
}

TEST_CASE("a SYN is for the first acceptor that wants it", "[packet][agent]") {
  AgentWorld world;
  ForEachWay([&](const AgentWay& way) {
    const Packet syn = AgentWorld::Stranger(way, {.syn = true});
    const auto list = [](uint8_t acceptors, uint8_t index = 0) {
      return ListOf({kSelf, kPeer4, kPeer6},
                    {.index = index, .acceptors = acceptors});
    };
    world.agent().state().flags = 0;
    world.Check(AgentWorld::Tunnel(way, list(1), syn), FL_AGENT_PASS_SYN,
                Delivered(way, syn));
    world.Check(AgentWorld::Tunnel(way, list(2), syn), FL_AGENT_TX_NEXT_HOP,
                AgentWorld::HandedOn(kPeer4, list(2, 1), syn));
    for (const uint64_t declines :
         {uint64_t{FL_AGENT_DRAINING}, uint64_t{FL_AGENT_HOT}}) {
      world.agent().state().flags = declines;
      world.Check(AgentWorld::Tunnel(way, list(1 | 4), syn),
                  FL_AGENT_TX_NEXT_HOP,
                  AgentWorld::HandedOn(kPeer6, list(1 | 4, 2), syn));
      // There is no other.
      world.Check(AgentWorld::Tunnel(way, list(1), syn), FL_AGENT_PASS_SYN,
                  Delivered(way, syn));
    }
    world.agent().state().flags = 0;
    const Hops last = ListOf({kPeer4, kSelf}, {.index = 1, .acceptors = 1});
    world.Check(AgentWorld::Tunnel(way, last, syn), FL_AGENT_DROP_NOBODY);
    // Two ids of this host, one after the other.
    const Hops twice = ListOf({kSelf, kSelfAgain}, {.acceptors = 2});
    world.Check(AgentWorld::Tunnel(way, twice, syn), FL_AGENT_PASS_SYN,
                Delivered(way, syn));
  });
}

TEST_CASE("the SYN of a connection that lives here stays", "[packet][agent]") {
  AgentWorld world;
  ForEachWay([&](const AgentWay& way) {
    const Packet syn = world.OwnSyn(way);
    const Hops claim =
        ListOf({kSelf, kPeer4}, {.flags = FL_WIRE_CLAIM0, .acceptors = 2});
    world.Check(AgentWorld::Tunnel(way, claim, syn), FL_AGENT_PASS_SYN_CLAIM,
                Delivered(way, syn));
  });
}

TEST_CASE("a segment of a connection that lives here is delivered and learned",
          "[packet][agent]") {
  AgentWorld world;
  const auto learned = [&](const Packet& inner) {
    const uint64_t hash = AgentWorld::HashOf(inner);
    fl_learned& entry =
        world.agent().learned()[hash >> 24 & (FL_AGENT_LEARNED - 1)];
    const bool found =
        entry.hash == hash && entry.lb_id == kLbId && entry.vip == kVipIndex;
    entry = {};
    return found;
  };
  ForEachWay([&](const AgentWay& way) {
    const Packet own = world.Own(way);
    const auto deliver = [&](const Hops& hops) {
      world.Check(AgentWorld::Tunnel(way, hops, own), FL_AGENT_PASS_SOCKET,
                  Delivered(way, own));
    };
    deliver(ListOf({kSelf, kPeer4}));
    CHECK_FALSE(learned(own));
    deliver(ListOf({kPeer4, kSelf}, {.index = 1}));
    CHECK(learned(own));
    deliver(ListOf({kSelf}, {.flags = FL_WIRE_LEARN}));
    CHECK(learned(own));
  });
}

TEST_CASE("a segment that nobody here knows goes to the next hop",
          "[packet][agent]") {
  AgentWorld world;
  ForEachWay([&](const AgentWay& way) {
    const Packet stranger = AgentWorld::Stranger(way, {.ack = true});
    const uint8_t tos = 0xb8 | kEct0;
    // Over the other family, and into and out of VLANs.
    for (const Id id : {kPeer4, kPeer6, kTagged4, kTagged6}) {
      INFO("to " << id);
      const Hops list = ListOf({kSelf, id});
      Hops after = list;
      after.index = 1;
      world.Check(AgentWorld::Tunnel(way, list, stranger, tos),
                  FL_AGENT_TX_NEXT_HOP,
                  AgentWorld::HandedOn(id, after, stranger, tos));
    }
    const Hops other = ListOf({kSelf, kBehindOther});
    Hops after = other;
    after.index = 1;
    world.Check(AgentWorld::Tunnel(way, other, stranger), FL_AGENT_TX_NEXT_HOP,
                AgentWorld::HandedOn(kBehindOther, after, stranger),
                XDP_REDIRECT);
    // Who cannot be reached could not say whether it has the connection.
    const Hops skips = ListOf({kSelf, kUnreachable, kUnknown, kPeer4},
                              {.flags = FL_WIRE_SETTLED});
    after = skips;
    after.index = 3;
    after.flags = 0;
    world.Check(AgentWorld::Tunnel(way, skips, stranger), FL_AGENT_TX_NEXT_HOP,
                AgentWorld::HandedOn(kPeer4, after, stranger));
  });
}

TEST_CASE("the end of the list resets only on the word of the newest table",
          "[packet][agent]") {
  AgentWorld world;
  ForEachWay([&](const AgentWay& way) {
    const Packet stranger = AgentWorld::Stranger(way, {.ack = true});
    const auto check = [&](Hops hops, fl_agent_verdict verdict) {
      const Packet tunnel = AgentWorld::Tunnel(way, hops, stranger);
      world.Check(
          tunnel, verdict,
          verdict == FL_AGENT_PASS_SETTLED ? Delivered(way, stranger) : tunnel);
    };
    const uint16_t row = AgentWorld::RowOf(stranger);
    const fl_vip vip = {.index = kVipIndex, .row_mask = 1023, .epoch = kEpoch};
    world.SetVip(vip);
    const Hops sure = ListOf(
        {kPeer4, kSelf}, {.flags = FL_WIRE_SETTLED, .index = 1, .row = row});
    check(sure, FL_AGENT_PASS_SETTLED);
    Hops other = sure;
    other.flags = 0;
    check(other, FL_AGENT_DROP_NOBODY);
    other = sure;
    other.row = row ^ 1;
    check(other, FL_AGENT_DROP_SKEW);
    other = sure;
    other.epoch = kEpoch - 1;
    check(other, FL_AGENT_DROP_SKEW);
    fl_vip disputed = vip;
    disputed.flags = FL_VIP_DISPUTED;
    world.SetVip(disputed);
    check(sure, FL_AGENT_DROP_SKEW);
    world.SetVip(vip);
  });
}

TEST_CASE("who has a socket for the tuple gets what nobody is sure of",
          "[packet][agent]") {
  AgentWorld world;
  ForEachWay([&](const AgentWay& way) {
    const Packet misfit = world.Misfit(way);
    const Packet stranger = AgentWorld::Stranger(way, {.ack = true});
    // First the others are asked.
    const Hops first = ListOf({kSelf, kPeer4}, {.flags = FL_WIRE_SETTLED});
    Hops after = first;
    after.index = 1;
    after.weak = 0;
    world.Check(AgentWorld::Tunnel(way, first, misfit), FL_AGENT_TX_NEXT_HOP,
                AgentWorld::HandedOn(kPeer4, after, misfit));
    // At the end of the list it is this host's own, or goes back.
    const Hops alone = ListOf({kSelf}, {.flags = FL_WIRE_SETTLED});
    world.Check(AgentWorld::Tunnel(way, alone, misfit), FL_AGENT_PASS_WEAK,
                Delivered(way, misfit));
    for (const Id id : {kPeer4, kPeer6, kTagged4, kTagged6}) {
      INFO("back to " << id);
      const Hops last = ListOf({id, kSelf}, {.index = 1, .weak = 0});
      after = last;
      after.index = 2;
      after.flags = FL_WIRE_FINAL;
      world.Check(AgentWorld::Tunnel(way, last, stranger), FL_AGENT_TX_WEAK_HOP,
                  AgentWorld::HandedOn(id, after, stranger));
    }
    const Hops gone = ListOf({kUnreachable, kSelf}, {.index = 1, .weak = 0});
    world.Check(AgentWorld::Tunnel(way, gone, stranger), FL_AGENT_DROP_NO_PEER);
    const Hops back = ListOf({kSelf, kPeer4},
                             {.flags = FL_WIRE_FINAL, .index = 2, .weak = 0});
    world.Check(AgentWorld::Tunnel(way, back, misfit), FL_AGENT_PASS_WEAK,
                Delivered(way, misfit));
    world.Check(AgentWorld::Tunnel(way, back, stranger), FL_AGENT_DROP_NOBODY);
  });
}

TEST_CASE("a SYN cookie is known by the host that sent it", "[packet][agent]") {
  AgentWorld world;
  ForEachWay([&](const AgentWay& way) {
    const Packet ip = way.inner_ipv4 ? Packet(Ipv4{}) : Ipv6{};
    const base::Endpoint service = {way.inner_ipv4 ? kVip4 : kVip6, 8443};
    world.agent().SetVip(service, {.index = kVipIndex, .row_mask = 1023});
    const SynCookie cookie(service, way.inner_ipv4 ? kClient4 : kClient6);
    Tcp ack = {.sport = SynCookie::kClientPort,
               .dport = service.port,
               .seq = SynCookie::kSequence + 1,
               .ack_number = cookie.sequence() + 1,
               .ack = true};
    const Hops list = ListOf({kSelf, kPeer4});
    world.Check(AgentWorld::Tunnel(way, list, ip / ack), FL_AGENT_PASS_COOKIE,
                Delivered(way, ip / ack));
    ack.ack_number ^= 0x10000;
    Hops after = list;
    after.index = 1;
    world.Check(AgentWorld::Tunnel(way, list, ip / ack), FL_AGENT_TX_NEXT_HOP,
                AgentWorld::HandedOn(kPeer4, after, ip / ack));
  });
}

TEST_CASE("congestion on the way is told to the connection as RFC 6040 has it",
          "[packet][agent]") {
  struct Row {
    uint8_t inner, outer;
    std::optional<uint8_t> delivered;  // unset: dropped
  };
  constexpr Row kTable[] = {
      {kNotEct, kNotEct, kNotEct},
      {kNotEct, kEct0, kNotEct},
      {kNotEct, kEct1, kNotEct},
      {kNotEct, kCongested, std::nullopt},
      {kEct0, kNotEct, kEct0},
      {kEct0, kEct0, kEct0},
      {kEct0, kEct1, kEct1},
      {kEct0, kCongested, kCongested},
      {kEct1, kNotEct, kEct1},
      {kEct1, kEct0, kEct1},
      {kEct1, kEct1, kEct1},
      {kEct1, kCongested, kCongested},
      {kCongested, kNotEct, kCongested},
      {kCongested, kEct0, kCongested},
      {kCongested, kEct1, kCongested},
      {kCongested, kCongested, kCongested},
  };
  AgentWorld world;
  ForEachWay([&](const AgentWay& way) {
    for (const Row& row : kTable) {
      INFO("inner " << int{row.inner} << " outer " << int{row.outer});
      const uint8_t dscp = 0xb8;
      const Packet tunnel =
          AgentWorld::Tunnel(way, ListOf({kSelf}, {.acceptors = 1}),
                             WithTos(way, dscp | row.inner), dscp | row.outer);
      if (row.delivered.has_value()) {
        world.Check(tunnel, FL_AGENT_PASS_SYN,
                    Delivered(way, WithTos(way, dscp | *row.delivered)));
      } else {
        world.Check(tunnel, FL_AGENT_DROP_CONGESTION);
      }
    }
  });
}

TEST_CASE("an ICMP error goes to who has the connection that it quotes",
          "[packet][agent]") {
  AgentWorld world;
  ForEachWay([&](const AgentWay& way) {
    // A router says so of what the service sent to its client.
    const auto error = [&](uint16_t client_port) {
      const Tcp quoted = {.sport = kVipPort, .dport = client_port, .ack = true};
      return way.inner_ipv4
                 ? Ipv4{.src = Ip("203.0.113.1")} / Icmp{.type = 3, .code = 4} /
                       Ipv4{.src = kVip4, .dst = kClient4} / quoted
                 : Ipv6{.src = Ip("2001:db8:7::1")} / Icmp{.type = 2} /
                       Ipv6{.src = kVip6, .dst = kClient6} / quoted;
    };
    const Packet own = error(world.Own(way).Find<Tcp>()->sport);
    const Packet stranger = error(1);
    const Hops list = ListOf({kSelf, kPeer4}, {.flags = FL_WIRE_SETTLED});
    world.Check(AgentWorld::Tunnel(way, list, own), FL_AGENT_PASS_SOCKET,
                Delivered(way, own));
    Hops after = list;
    after.index = 1;
    world.Check(AgentWorld::Tunnel(way, list, stranger), FL_AGENT_TX_NEXT_HOP,
                AgentWorld::HandedOn(kPeer4, after, stranger));
    const Hops last =
        ListOf({kPeer4, kSelf}, {.flags = FL_WIRE_SETTLED, .index = 1});
    world.Check(AgentWorld::Tunnel(way, last, stranger), FL_AGENT_DROP_NOBODY);
  });
}

}  // namespace
}  // namespace fairlead::test
