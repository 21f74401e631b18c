// VLAN tags: what comes with one is served as what comes without; what goes to
// a backend has that of its next hop, all else has its own.
#include <linux/bpf.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/packet/crowd.h"
#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

const Vlan kClients = {.id = 100, .priority = 5, .drop_eligible = true};
constexpr uint16_t kInside = 4094;

const std::vector<Packet>& Fronts() {
  static const std::vector<Packet> fronts = {
      Eth{}, Eth{} / kClients, Eth{} / Vlan{.id = 0, .priority = 7}};
  return fronts;
}

// Nobody's, the smallest number, the largest, and that of the clients.
constexpr std::optional<uint16_t> kVlansInside[] = {std::nullopt, 1, kInside,
                                                    100};

base::IpAddress BackendAddress(bool is_ipv4) {
  return Ip(is_ipv4 ? "192.0.2.11" : "2001:db8:2::1");
}

// With and without a tag on both sides, in every encapsulation, over both
// families.
void ForEachWay(const std::function<void(LbWorld&, const Packet& front,
                                         const HopList& hops)>& check) {
  LbWorld world;
  world.SetRows({1, 2});
  for (const uint8_t encap :
       Bytes{FL_ENCAP_GUE, FL_ENCAP_GUE_PLAIN, FL_ENCAP_IPIP, FL_ENCAP_L2}) {
    for (const bool outer_ipv4 : {true, false}) {
      for (const std::optional<uint16_t>& vlan : kVlansInside) {
        world.service().encap = encap;
        world.StoreService();
        world.SetBackend(1,
                         {.address = BackendAddress(outer_ipv4), .vlan = vlan});
        for (const Packet& front : Fronts()) {
          INFO("encap " << int{encap} << " outer IPv4 " << outer_ipv4
                        << " vlan " << vlan.value_or(-1) << " tagged "
                        << (front.Find<Vlan>() != nullptr));
          world.ClearFlows();
          check(world, front, {.ids = {1, 2}});
        }
      }
    }
  }
}

TEST_CASE("a tag of each side is of that side alone", "[packet][lb][vlan]") {
  ForEachWay([](LbWorld& world, const Packet& front, const HopList& hops) {
    HopList first = hops, hit = hops, miss = hops;
    first.acceptors = 0b11;
    hit.acceptors = 1;
    miss.flags = FL_WIRE_LEARN;
    for (const Packet& ip : {Packet(Ipv4{.tos = 0xb9}), Packet(Ipv6{})}) {
      const Packet syn = front / ip / Tcp{.seq = 7, .syn = true};
      const Packet data =
          front / ip / Tcp{.seq = 8, .ack = true} / Payload(100);
      const Packet stray = front / ip / Tcp{.sport = 1, .ack = true};
      world.Check(syn, {.verdict = FL_LB_TX_SYN_NEW,
                        .packet = world.Encapsulated(syn, first),
                        .backend = 1,
                        .new_flows = 1,
                        .backend_new_flows = 1});
      world.Check(data, {.verdict = FL_LB_TX_HIT,
                         .packet = world.Encapsulated(data, hit),
                         .backend = 1});
      world.Check(stray, {.verdict = FL_LB_TX_MISS,
                          .packet = world.Encapsulated(stray, miss),
                          .backend = 1,
                          .misses = 1});
    }
    world.CheckLoad();
  });
}

TEST_CASE("tagged or not, it is one flow", "[packet][lb][vlan]") {
  LbWorld world;
  world.Send(Eth{} / kClients / Ipv4{} / Tcp{.syn = true}, FL_LB_TX_SYN_NEW);
  world.Send(Eth{} / Ipv4{} / Tcp{.ack = true}, FL_LB_TX_HIT);
  world.Send(Eth{} / Vlan{.id = 7} / Ipv4{} / Tcp{.ack = true}, FL_LB_TX_HIT);
  world.CheckLoad();
}

TEST_CASE("a tagged frame's options, extensions and padding stay",
          "[packet][lb][vlan]") {
  ForEachWay([](LbWorld& world, const Packet& front, const HopList& hops) {
    HopList miss = hops;
    miss.flags = FL_WIRE_LEARN;
    const Bytes nops(40, 1);
    const Packet v4 = front / Ipv4{.ttl = 1, .df = false, .options = nops} /
                      Tcp{.seq = 5, .ack = true, .options = nops};
    const Packet v6 =
        front / Ipv6{} / Extension{.type = 60} / Tcp{.seq = 5, .ack = true};
    const Padding padding = {Bytes(6, 0xee)};
    for (const Packet& packet : {v4, v6})
      CHECK_THAT(world.Send(packet / padding, FL_LB_TX_MISS).packet,
                 IsPacket(world.Encapsulated(packet, miss) / padding));
  });
}

TEST_CASE("a tagged ICMP error goes to its connection", "[packet][lb][vlan]") {
  ForEachWay([](LbWorld& world, const Packet& front, const HopList& hops) {
    const auto quote = [](const Packet& reply) {
      Bytes bytes = reply.Wire();
      bytes.resize(bytes.size() - 92);
      return Raw{bytes};
    };
    const Tcp tcp = {.sport = kVipPort, .dport = kClientPort, .ack = true};
    const Packet error4 =
        front / Ipv4{.src = Ip("203.0.113.99")} /
        Icmp{.type = 3, .code = 4, .rest = 1300} /
        quote(Ipv4{.src = kVip4, .dst = kClient4} / tcp / Payload(80));
    const Packet error6 =
        front / Ipv6{.src = Ip("2001:db8:7::99")} /
        Icmp{.type = 2, .rest = 1300} /
        quote(Ipv6{.src = kVip6, .dst = kClient6} / tcp / Payload(80));
    world.Check(error4, {.verdict = FL_LB_TX_ICMP_ERROR,
                         .packet = world.Encapsulated(
                             error4, hops, Eth{} / Ipv4{} / Tcp{.syn = true}),
                         .backend = 1});
    world.Check(error6, {.verdict = FL_LB_TX_ICMP_ERROR,
                         .packet = world.Encapsulated(
                             error6, hops, Eth{} / Ipv6{} / Tcp{.syn = true}),
                         .backend = 1});
  });
}

TEST_CASE("a backend's VLAN is behind another interface, too",
          "[packet][lb][vlan]") {
  ForEachWay([](LbWorld& world, const Packet& front, const HopList& hops) {
    HopList miss = hops;
    miss.flags = FL_WIRE_LEARN;
    world.lb().backends()[1].egress = kOtherEgress[1];
    const Packet packet = front / Ipv6{} / Tcp{.ack = true};
    world.Check(packet, {.verdict = FL_LB_TX_MISS,
                         .packet = world.Encapsulated(packet, miss),
                         .action = XDP_REDIRECT,
                         .backend = 1,
                         .misses = 1});
    // What is answered goes back to where it came from.
    CHECK(
        world.Send(front / Ipv4{} / Icmp{.type = 8} / Payload(8), FL_LB_TX_ECHO)
            .action == XDP_TX);
    world.lb().backends()[1].egress = 3;
    world.Check(packet, {.verdict = FL_LB_DROP_NO_EGRESS});
  });
}

TEST_CASE("answers have the tag of what they answer", "[packet][lb][vlan]") {
  for (const Packet& front : Fronts()) {
    INFO("tagged " << (front.Find<Vlan>() != nullptr));
    Packet back = Eth{.dst = kRouterMac, .src = kLbMac};
    if (const Vlan* vlan = front.Find<Vlan>()) back /= *vlan;
    LbWorld world;
    // Nothing of these is about a next hop.
    for (uint16_t id = 1; id <= 4; id++)
      world.SetBackend(id, {.mtu = 1500, .egress = 2, .vlan = kInside});
    const auto quote = [](const Packet& packet, size_t size) {
      Bytes bytes = packet.Inner().Wire();
      bytes.resize(size);
      return Raw{bytes};
    };
    const Ipv4 to4 = {.src = kVip4, .dst = kClient4, .df = false};
    const Ipv6 to6 = {.src = kVip6, .dst = kClient6};
    const Packet big4 = front / Ipv4{} / Tcp{.ack = true} / Payload(1400);
    const Packet big6 = front / Ipv6{} / Tcp{.ack = true} / Payload(1400);
    world.Check(big4, {.verdict = FL_LB_TX_TOO_BIG,
                       .packet = back / to4 /
                                 Icmp{.type = 3, .code = 4, .rest = 1500 - 84} /
                                 quote(big4, 68),
                       .too_big = 1});
    world.Check(big6,
                {.verdict = FL_LB_TX_TOO_BIG,
                 .packet = back / to6 / Icmp{.type = 2, .rest = 1500 - 84} /
                           quote(big6, 448),
                 .too_big = 1});
    const Packet part4 =
        front / Ipv4{.more_fragments = true} / Tcp{.ack = true} / Payload(12);
    world.Check(part4, {.verdict = FL_LB_TX_FRAGMENT_REFUSED,
                        .packet = back / to4 / Icmp{.type = 3, .code = 13} /
                                  quote(part4, 28),
                        .service = 0});
    const Packet part6 = front / Ipv6{} /
                         Extension{.type = 44, .detail = {0, 1, 0, 0, 0, 1}} /
                         Tcp{.ack = true} / Payload(12);
    world.Check(part6, {.verdict = FL_LB_TX_FRAGMENT_REFUSED,
                        .packet = back / to6 / Icmp{.type = 1, .code = 1} /
                                  quote(part6, 56),
                        .service = 0});
    world.Check(
        front / Ipv4{.ttl = 3, .df = false} / Icmp{.rest = 77} / Payload(56),
        {.verdict = FL_LB_TX_ECHO,
         .packet = back / to4 / Icmp{.type = 0, .rest = 77} / Payload(56),
         .service = 0});
    world.Check(
        front / Ipv6{} / Icmp{.type = 128, .rest = 77} / Payload(56),
        {.verdict = FL_LB_TX_ECHO,
         .packet = back / to6 / Icmp{.type = 129, .rest = 77} / Payload(56),
         .service = 0});
  }
}

// Four bytes of Ethernet are no bytes of the path MTU.
TEST_CASE("a tag takes nothing of what fits", "[packet][lb][vlan][mtu]") {
  ForEachWay([](LbWorld& world, const Packet& front, const HopList&) {
    static constexpr size_t kTakes[] = {84, 52, 40, 0};
    const size_t fits = 1500 - kTakes[world.service().encap];
    world.Send(front / Ipv4{} / Tcp{.ack = true} / Payload(fits - 40),
               FL_LB_TX_MISS);
    world.Send(front / Ipv6{} / Tcp{.ack = true} / Payload(fits - 60),
               FL_LB_TX_MISS);
    world.Send(front / Ipv4{} / Tcp{.ack = true} / Payload(fits - 39),
               FL_LB_TX_TOO_BIG);
    world.Send(front / Ipv6{} / Tcp{.ack = true} / Payload(fits - 59),
               FL_LB_TX_TOO_BIG);
  });
}

TEST_CASE("tagged frames of the host's own pass as they came",
          "[packet][lb][vlan]") {
  const base::IpAddress host4 = Ip("192.0.2.200"), host6 = Ip("2001:db8:2::9");
  const Packet front = Eth{} / kClients;
  CheckUntouched({
      {"ARP", Eth{} / Vlan{.type = 0x0806} / Payload(46), FL_LB_PASS_NOT_IP},
      {"UDP", front / Ipv4{} / Udp{.dport = kVipPort} / Payload(9),
       FL_LB_PASS_NOT_TCP},
      {"neighbour solicitation", front / Ipv6{} / Icmp{.type = 135},
       FL_LB_PASS_NOT_TCP},
      {"ping", front / Ipv4{.dst = host4} / Icmp{} / Payload(8),
       FL_LB_PASS_NOT_TCP},
      {"TCP", front / Ipv4{.dst = host4} / Tcp{.syn = true},
       FL_LB_PASS_NOT_SERVICE},
      {"TCP over IPv6", front / Ipv6{.dst = host6} / Tcp{.syn = true},
       FL_LB_PASS_NOT_SERVICE},
      {"fragment", front / Ipv4{.dst = host4, .fragment_offset = 3} / Tcp{},
       FL_LB_PASS_NOT_SERVICE},
  });
}

TEST_CASE("what is dropped of tagged frames is named as without a tag",
          "[packet][lb][vlan]") {
  const Packet front = Eth{} / kClients;
  CheckUntouched({
      {"length", front / Ipv4{.length = 10} / Tcp{}, FL_LB_DROP_IP_HEADER},
      {"hop limit", front / Ipv6{.hop_limit = 0} / Tcp{.ack = true},
       FL_LB_DROP_HOP_LIMIT},
      {"later fragment", front / Ipv4{.fragment_offset = 1} / Tcp{},
       FL_LB_DROP_FRAGMENT},
      {"extension", front / Ipv6{} / Extension{.type = 51} / Tcp{.ack = true},
       FL_LB_DROP_EXTENSION},
      {"no ports", front / Ipv4{.proto = 6} / Payload(3),
       FL_LB_DROP_TCP_HEADER},
  });
  LbWorld world;
  world.Check(front / Ipv4{} / Tcp{}, {.verdict = FL_LB_DROP_TCP_FLAGS});
  world.SetRows({});
  world.Check(front / Ipv6{} / Tcp{.ack = true},
              {.verdict = FL_LB_DROP_NO_BACKEND});
}

TEST_CASE("two tags, and those of providers, are not served",
          "[packet][lb][vlan]") {
  const Packet syn4 = Ipv4{} / Tcp{.syn = true};
  const Packet syn6 = Ipv6{} / Tcp{.syn = true};
  for (const Packet& syn : {syn4, syn6}) {
    CheckUntouched({
        {"802.1ad", Eth{.type = 0x88a8} / kClients / syn, FL_LB_PASS_TAGS},
        {"802.1Q in 802.1ad", Eth{.type = 0x88a8} / Vlan{} / kClients / syn,
         FL_LB_PASS_TAGS},
        {"802.1ad in 802.1Q", Eth{} / Vlan{.type = 0x88a8} / kClients / syn,
         FL_LB_PASS_TAGS},
        {"802.1Q in 802.1Q", Eth{} / Vlan{} / kClients / syn, FL_LB_PASS_TAGS},
    });
  }
}

TEST_CASE("a frame may end in its tag or just behind it",
          "[packet][lb][vlan]") {
  const Bytes whole = (Eth{} / kClients / Ipv4{} / Tcp{.syn = true}).Wire();
  LbProgram lb;
  for (size_t size = 14; size <= 37; size++) {
    INFO(size << " bytes");
    const Bytes frame(whole.begin(),
                      whole.begin() + static_cast<std::ptrdiff_t>(size));
    const LbResult result = lb.Run(frame);
    CHECK(result.verdict == FL_LB_PASS_TRUNCATED);
    CHECK(result.action == XDP_PASS);
    CHECK(result.packet == frame);
  }
}

// There are 16 bytes of room. What comes without its tag has 4 more.
TEST_CASE("a tag needs room in front like any header", "[packet][lb][vlan]") {
  LbWorld world;
  const Crowd crowd(world.lb().program_fd());
  struct Case {
    const char* name;
    bool tagged_in;
    std::optional<uint16_t> vlan;
    uint8_t encap;
    fl_lb_verdict verdict;
  };
  for (const Case& c : {
           Case{"a tag fits", false, kInside, FL_ENCAP_L2, FL_LB_TX_MISS},
           Case{"for another", true, kInside, FL_ENCAP_L2, FL_LB_TX_MISS},
           Case{"IPv4 does not", false, std::nullopt, FL_ENCAP_IPIP,
                FL_LB_DROP_NO_HEADROOM},
           Case{"but where a tag was", true, std::nullopt, FL_ENCAP_IPIP,
                FL_LB_TX_MISS},
           Case{"not both of them", true, kInside, FL_ENCAP_IPIP,
                FL_LB_DROP_NO_HEADROOM},
       }) {
    INFO(c.name);
    world.service().encap = c.encap;
    world.StoreService();
    world.SetBackend(1, {.address = Ip("192.0.2.11"), .vlan = c.vlan});
    const uint64_t before = world.lb().backend_stats(1).packets;
    const Packet front = c.tagged_in ? Eth{} / kClients : Packet(Eth{});
    const LbResult result =
        world.lb().Run(front / Ipv4{} / Tcp{.ack = true} / Payload(200),
                       {.through_fd = crowd.program_fd()});
    CHECK(result.verdict == c.verdict);
    const bool sent = c.verdict == FL_LB_TX_MISS;
    CHECK(world.lb().backend_stats(1).packets - before == (sent ? 1 : 0));
  }
}

}  // namespace
}  // namespace fairlead::test
