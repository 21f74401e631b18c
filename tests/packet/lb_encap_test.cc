// The encapsulations that list no hops: GUE for any receiver, IP in IP, and
// none at all. Each in every mix of families.
#include <linux/bpf.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <utility>
#include <vector>

#include "tests/packet/crowd.h"
#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

struct Form {
  const char* name;
  uint8_t encap;
  uint16_t bytes;  // what it takes of a path, whatever the family
};

const std::vector<Form>& Forms() {
  static const std::vector<Form> forms = {{"gue", FL_ENCAP_GUE_PLAIN, 52},
                                          {"ipip", FL_ENCAP_IPIP, 40},
                                          {"l2", FL_ENCAP_L2, 0}};
  return forms;
}

// Row order: an IPv4 backend, or an IPv6 one, and another behind it that no
// packet of these services may name.
class EncapWorld : public LbWorld {
 public:
  explicit EncapWorld(const Form& form) {
    service().encap = form.encap;
    StoreService();
    SetBackend(2, {.address = Ip("2001:db8:2::2")});
  }

  // Requires: `backend` is 1, of IPv4, or 2.
  void Use(uint16_t backend) { SetRows({backend, 3}); }
};

Packet Syn4() { return Eth{} / Ipv4{} / Tcp{.seq = 7, .syn = true}; }
Packet Syn6() { return Eth{} / Ipv6{} / Tcp{.seq = 7, .syn = true}; }

// An IP packet of `length` bytes.
Packet Sized4(size_t length, const Ipv4& ip = {}) {
  return Eth{} / ip / Tcp{.seq = 8, .ack = true} / Payload(length - 40);
}
Packet Sized6(size_t length, const Ipv6& ip = {}) {
  return Eth{} / ip / Tcp{.seq = 8, .ack = true} / Payload(length - 60);
}

void ForEachMix(const std::function<void(EncapWorld&, const Form&,
                                         uint16_t backend)>& check) {
  for (const Form& form : Forms()) {
    for (const uint16_t backend : {uint16_t{1}, uint16_t{2}}) {
      INFO(form.name << " to backend " << backend);
      EncapWorld world(form);
      world.Use(backend);
      check(world, form, backend);
    }
  }
}

TEST_CASE("a flow goes to its backend in every encapsulation",
          "[packet][lb][encap]") {
  ForEachMix([](EncapWorld& world, const Form&, uint16_t backend) {
    const HopList to = {.ids = {backend}};
    for (const auto& [syn, data] :
         {std::pair(Syn4(), Sized4(140)), std::pair(Syn6(), Sized6(160))}) {
      world.Check(syn, {.verdict = FL_LB_TX_SYN_NEW,
                        .packet = world.Encapsulated(syn, to),
                        .backend = backend,
                        .new_flows = 1,
                        .backend_new_flows = 1});
      world.Check(data, {.verdict = FL_LB_TX_HIT,
                         .packet = world.Encapsulated(data, to),
                         .backend = backend});
    }
    const Packet stray = Eth{} / Ipv4{} / Tcp{.sport = 1, .ack = true};
    world.Check(stray, {.verdict = FL_LB_TX_MISS,
                        .packet = world.Encapsulated(stray, to),
                        .backend = backend,
                        .misses = 1});
    world.CheckLoad();
  });
}

TEST_CASE("DSCP and ECN are on the outer header of each encapsulation",
          "[packet][lb][encap]") {
  ForEachMix([](EncapWorld& world, const Form&, uint16_t backend) {
    for (const uint8_t tos : Bytes{0x00, 0x01, 0x02, 0x03, 0xb8, 0xff}) {
      INFO("tos " << int{tos});
      for (const Packet& packet :
           {Sized4(60, {.tos = tos}), Sized6(80, {.tos = tos})})
        CHECK_THAT(world.Send(packet, FL_LB_TX_MISS).packet,
                   IsPacket(world.Encapsulated(packet, {.ids = {backend}})));
    }
  });
}

// TTL 1 reaches the backend, which is no further than one that has the address.
TEST_CASE("what a client sent is untouched inside each encapsulation",
          "[packet][lb][encap]") {
  ForEachMix([](EncapWorld& world, const Form&, uint16_t backend) {
    const Bytes nops(40, 1);
    const Packet v4 =
        Eth{} / Ipv4{.ttl = 1, .id = 77, .df = false, .options = nops} /
        Tcp{.seq = 5, .psh = true, .ack = true, .options = nops} / Payload(33);
    const Packet v6 = Eth{} / Ipv6{.hop_limit = 1} / Extension{.type = 60} /
                      Tcp{.seq = 5, .ack = true} / Payload(33);
    for (const Packet& packet : {v4, v6})
      CHECK_THAT(world.Send(packet, FL_LB_TX_MISS).packet,
                 IsPacket(world.Encapsulated(packet, {.ids = {backend}})));
  });
}

TEST_CASE("padding is not counted by any outer header", "[packet][lb][encap]") {
  ForEachMix([](EncapWorld& world, const Form&, uint16_t backend) {
    for (const size_t size : std::vector<size_t>{1, 6, 300}) {
      const Padding padding = {Bytes(size, 0xee)};
      const Packet bare = Sized4(40);
      CHECK_THAT(
          world.Send(bare / padding, FL_LB_TX_MISS).packet,
          IsPacket(world.Encapsulated(bare, {.ids = {backend}}) / padding));
    }
  });
}

TEST_CASE("an ICMP error goes to its connection in every encapsulation",
          "[packet][lb][encap]") {
  ForEachMix([](EncapWorld& world, const Form&, uint16_t backend) {
    const HopList to = {.ids = {backend}};
    const auto quote = [](const Packet& reply) {
      Bytes bytes = reply.Wire();
      bytes.resize(bytes.size() - 92);  // eight bytes of TCP and of nothing
      return Raw{bytes};
    };
    const Tcp tcp = {.sport = kVipPort, .dport = kClientPort, .ack = true};
    const Packet error4 =
        Eth{} / Ipv4{.src = Ip("203.0.113.99")} /
        Icmp{.type = 3, .code = 4, .rest = 1300} /
        quote(Ipv4{.src = kVip4, .dst = kClient4} / tcp / Payload(80));
    const Packet error6 =
        Eth{} / Ipv6{.src = Ip("2001:db8:7::99")} /
        Icmp{.type = 2, .rest = 1300} /
        quote(Ipv6{.src = kVip6, .dst = kClient6} / tcp / Payload(80));
    for (const bool known : {false, true}) {
      INFO("recorded " << known);
      if (known) {
        world.Send(Syn4(), FL_LB_TX_SYN_NEW);
        world.Send(Syn6(), FL_LB_TX_SYN_NEW);
      }
      world.Check(error4, {.verdict = FL_LB_TX_ICMP_ERROR,
                           .packet = world.Encapsulated(error4, to, Syn4()),
                           .backend = backend});
      world.Check(error6, {.verdict = FL_LB_TX_ICMP_ERROR,
                           .packet = world.Encapsulated(error6, to, Syn6()),
                           .backend = backend});
    }
  });
}

TEST_CASE("each encapsulation has its own limit of what fits",
          "[packet][lb][encap][mtu]") {
  ForEachMix([](EncapWorld& world, const Form& form, uint16_t backend) {
    for (const uint16_t mtu : std::vector<uint16_t>{1320, 1400, 1500}) {
      INFO("mtu " << mtu);
      world.SetBackend(backend, {.address = backend == 1 ? Ip("192.0.2.11")
                                                         : Ip("2001:db8:2::2"),
                                 .mtu = mtu});
      const auto limit = static_cast<uint16_t>(mtu - form.bytes);
      world.Send(Sized4(limit), FL_LB_TX_MISS);
      world.Send(Sized6(limit), FL_LB_TX_MISS);
      const Packet v4 = Sized4(limit + 1u), v6 = Sized6(limit + 1u);
      Bytes quote4 = v4.Inner().Wire(), quote6 = v6.Inner().Wire();
      quote4.resize(68);
      quote6.resize(448);
      const Eth back = {.dst = kRouterMac, .src = kLbMac};
      world.Check(
          v4,
          {.verdict = FL_LB_TX_TOO_BIG,
           .packet = back / Ipv4{.src = kVip4, .dst = kClient4, .df = false} /
                     Icmp{.type = 3, .code = 4, .rest = limit} / Raw{quote4},
           .too_big = 1});
      // IPv6 promises 1280 to everybody: no answer may name less.
      world.Check(v6, {.verdict = FL_LB_TX_TOO_BIG,
                       .packet = back / Ipv6{.src = kVip6, .dst = kClient6} /
                                 Icmp{.type = 2,
                                      .rest = std::max<uint32_t>(limit, 1280)} /
                                 Raw{quote6},
                       .too_big = 1});
      world.Check(Sized4(limit + 1u, {.df = false}),
                  {.verdict = FL_LB_DROP_TOO_BIG});
    }
  });
}

TEST_CASE("each encapsulation leaves by the backend's interface",
          "[packet][lb][encap]") {
  for (const Form& form : Forms()) {
    INFO(form.name);
    EncapWorld world(form);
    const Packet packet = Sized4(100);
    Expected expected = {.verdict = FL_LB_TX_MISS,
                         .packet = world.Encapsulated(packet, {.ids = {1}}),
                         .backend = 1,
                         .misses = 1};
    world.SetBackend(1,
                     {.address = Ip("192.0.2.11"), .egress = kOtherEgress[0]});
    expected.action = XDP_REDIRECT;
    world.Check(packet, expected);
    world.SetBackend(1, {.address = Ip("192.0.2.11"), .egress = kIngress});
    expected.action = XDP_TX;
    world.Check(packet, expected);
    world.SetState(1, kReady & ~FL_BACKEND_NEXT_HOP);
    world.SetRows({1});
    world.Check(packet, {.verdict = FL_LB_DROP_NO_NEXT_HOP});
  }
}

// As in lb_forward_test.cc. What gets nothing in front needs no room.
TEST_CASE("only what gets a header needs headroom", "[packet][lb][encap]") {
  for (const Form& form : Forms()) {
    INFO(form.name);
    EncapWorld world(form);
    const Crowd crowd(world.lb().program_fd());
    const LbResult result =
        world.lb().Run(Sized4(200), {.through_fd = crowd.program_fd()});
    CHECK(result.verdict ==
          (form.encap == FL_ENCAP_L2 ? FL_LB_TX_MISS : FL_LB_DROP_NO_HEADROOM));
  }
}

}  // namespace
}  // namespace fairlead::test
