// The packet that leaves: headers, hop list, families, interfaces, and what
// stops a packet that has a backend already.
#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <catch2/catch.hpp>
#include <ctime>

#include "absl/time/time.h"
#include "tests/packet/crowd.h"
#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

// Should the first decline, any other one will do.
const HopList kNewFlow = {.ids = {1, 2, 3, 4}, .acceptors = 0b1111};
const HopList kHit = {.ids = {1, 2, 3, 4}, .acceptors = 1};
const HopList kMiss = {.ids = {1, 2, 3, 4}, .flags = FL_WIRE_LEARN};

const BackendOptions kBackend6 = {.address = Ip("2001:db8:2::1")};

Packet Syn4() { return Eth{} / Ipv4{} / Tcp{.seq = 7, .syn = true}; }
Packet Syn6() { return Eth{} / Ipv6{} / Tcp{.seq = 7, .syn = true}; }
Packet Data4() {
  return Eth{} / Ipv4{} / Tcp{.seq = 8, .ack = true} / Payload(100);
}
Packet Data6() {
  return Eth{} / Ipv6{} / Tcp{.seq = 8, .ack = true} / Payload(100);
}

// A SYN, its flow's next segment, and a segment of a flow that is not recorded.
void CheckFlow(LbWorld& world, const Packet& syn, const Packet& data,
               const Packet& stray) {
  world.Check(syn, {.verdict = FL_LB_TX_SYN_NEW,
                    .packet = world.Encapsulated(syn, kNewFlow),
                    .backend = 1,
                    .new_flows = 1,
                    .backend_new_flows = 1});
  world.Check(data, {.verdict = FL_LB_TX_HIT,
                     .packet = world.Encapsulated(data, kHit),
                     .backend = 1});
  world.Check(stray, {.verdict = FL_LB_TX_MISS,
                      .packet = world.Encapsulated(stray, kMiss),
                      .backend = 1,
                      .misses = 1});
  world.CheckLoad();
}

TEST_CASE("IPv4 travels in IPv4", "[packet][lb][forward]") {
  LbWorld world;
  CheckFlow(world, Syn4(), Data4(),
            Eth{} / Ipv4{} / Tcp{.sport = 1, .ack = true});
}

TEST_CASE("IPv6 travels in IPv4", "[packet][lb][forward]") {
  LbWorld world;
  CheckFlow(world, Syn6(), Data6(),
            Eth{} / Ipv6{} / Tcp{.sport = 1, .ack = true});
}

TEST_CASE("IPv4 travels in IPv6", "[packet][lb][forward]") {
  LbWorld world;
  world.SetBackend(1, kBackend6);
  CheckFlow(world, Syn4(), Data4(),
            Eth{} / Ipv4{} / Tcp{.sport = 1, .ack = true});
}

TEST_CASE("IPv6 travels in IPv6", "[packet][lb][forward]") {
  LbWorld world;
  world.SetBackend(1, kBackend6);
  CheckFlow(world, Syn6(), Data6(),
            Eth{} / Ipv6{} / Tcp{.sport = 1, .ack = true});
}

TEST_CASE("DSCP and ECN are copied to the outer header",
          "[packet][lb][forward]") {
  for (const bool outer_ipv6 : {false, true}) {
    LbWorld world;
    if (outer_ipv6) world.SetBackend(1, kBackend6);
    for (const uint8_t tos : Bytes{0x00, 0x01, 0x03, 0xb8, 0xbb, 0xff}) {
      INFO("outer IPv6 " << outer_ipv6 << " tos " << int{tos});
      const Packet v4 = Eth{} / Ipv4{.tos = tos} / Tcp{.ack = true};
      CHECK_THAT(world.Send(v4, FL_LB_TX_MISS).packet,
                 IsPacket(world.Encapsulated(v4, kMiss)));
      const Packet v6 = Eth{} / Ipv6{.tos = tos} / Tcp{.ack = true};
      CHECK_THAT(world.Send(v6, FL_LB_TX_MISS).packet,
                 IsPacket(world.Encapsulated(v6, kMiss)));
    }
  }
}

TEST_CASE("IPv4 and TCP options travel unchanged", "[packet][lb][forward]") {
  LbWorld world;
  const Bytes nops(40, 1);
  const Packet packet = Eth{} /
                        Ipv4{.ttl = 3, .id = 77, .df = false, .options = nops} /
                        Tcp{.seq = 5,
                            .ack_number = 6,
                            .psh = true,
                            .ack = true,
                            .options = nops} /
                        Payload(33);
  world.Check(packet, {.verdict = FL_LB_TX_MISS,
                       .packet = world.Encapsulated(packet, kMiss),
                       .backend = 1,
                       .misses = 1});
}

// An Ethernet frame has 60 bytes at least, a SYN without options 54: what is
// behind it belongs to no packet. The outer lengths must not count it.
TEST_CASE("padding behind the IP packet is not part of the outer lengths",
          "[packet][lb][forward]") {
  for (const size_t size : std::vector<size_t>{1, 2, 6, 300}) {
    INFO(size << " bytes");
    LbWorld world;
    const Packet bare = Syn4();
    const Packet padded = bare / Padding{Bytes(size, 0xee)};
    world.Check(padded, {.verdict = FL_LB_TX_SYN_NEW,
                         .packet = world.Encapsulated(bare, kNewFlow) /
                                   Padding{Bytes(size, 0xee)},
                         .backend = 1,
                         .new_flows = 1,
                         .backend_new_flows = 1});
  }
}

TEST_CASE("a backend behind another interface is reached by redirect",
          "[packet][lb][forward]") {
  LbWorld world;
  const Packet packet = Data4();
  Expected expected = {.verdict = FL_LB_TX_MISS,
                       .packet = world.Encapsulated(packet, kMiss),
                       .backend = 1,
                       .misses = 1};
  world.SetBackend(1, {.address = Ip("192.0.2.11"), .egress = kOtherEgress[0]});
  expected.action = XDP_REDIRECT;
  world.Check(packet, expected);
  world.SetBackend(1, {.address = Ip("192.0.2.11"), .egress = kIngress});
  expected.action = XDP_TX;
  world.Check(packet, expected);
}

// It went a moment ago, or the kernel sends nothing by it.
TEST_CASE("an interface that nobody may leave by is no way to a backend",
          "[packet][lb][forward]") {
  LbWorld world;
  for (const uint8_t encap :
       Bytes{FL_ENCAP_GUE, FL_ENCAP_GUE_PLAIN, FL_ENCAP_IPIP, FL_ENCAP_L2}) {
    world.service().encap = encap;
    world.StoreService();
    world.SetBackend(1, {.address = Ip("192.0.2.11"), .egress = 3});
    world.Check(Data4(), {.verdict = FL_LB_DROP_NO_EGRESS});
    world.Check(Data6(), {.verdict = FL_LB_DROP_NO_EGRESS});
  }
}

TEST_CASE("without a next hop the packet is dropped, and the flow stays",
          "[packet][lb][forward]") {
  LbWorld world;
  world.Send(Syn4(), FL_LB_TX_SYN_NEW);
  world.SetState(1, kReady & ~FL_BACKEND_NEXT_HOP);
  world.Check(Syn4(), {.verdict = FL_LB_DROP_NO_NEXT_HOP});
  CHECK(world.BackendOf(Syn4()) == 1);
  world.SetState(1, kReady);
  world.Check(Syn4(), {.verdict = FL_LB_TX_SYN_AGAIN,
                       .packet = world.Encapsulated(Syn4(), kNewFlow),
                       .backend = 1,
                       .backend_syn_again = 1});
}

TEST_CASE("a backend without a next hop takes no new flow and is asked last",
          "[packet][lb][forward]") {
  LbWorld world;
  world.SetState(1, kReady & ~FL_BACKEND_NEXT_HOP);
  const HopList others = {.ids = {2, 3, 4, 1}, .flags = FL_WIRE_LEARN};
  world.Check(Data6(), {.verdict = FL_LB_TX_MISS,
                        .packet = world.Encapsulated(Data6(), others),
                        .backend = 2,
                        .misses = 1});
  world.Send(Syn4(), FL_LB_TX_SYN_NEW);
  CHECK(world.BackendOf(Syn4()) == 2);
}

TEST_CASE("packets say that the table is settled while the lease lasts",
          "[packet][lb][forward]") {
  LbWorld world;
  const auto until = [&](absl::Duration from_now) {
    timespec now = {};
    REQUIRE(clock_gettime(CLOCK_MONOTONIC_COARSE, &now) == 0);
    world.lb().leases()[kServiceId] = static_cast<uint64_t>(
        absl::ToInt64Nanoseconds(absl::DurationFromTimespec(now) + from_now));
  };
  HopList hops = kMiss;
  const auto check = [&] {
    world.Check(Data4(), {.verdict = FL_LB_TX_MISS,
                          .packet = world.Encapsulated(Data4(), hops),
                          .backend = 1,
                          .misses = 1});
  };
  until(-absl::Milliseconds(1));
  check();
  until(absl::Seconds(3));
  hops.flags |= FL_WIRE_SETTLED;
  check();
  world.Send(Syn4(), FL_LB_TX_SYN_NEW);
  world.Check(Data4(),
              {.verdict = FL_LB_TX_HIT,
               .packet = world.Encapsulated(Data4(), {.ids = kNewFlow.ids,
                                                      .flags = FL_WIRE_SETTLED,
                                                      .acceptors = 1}),
               .backend = 1});
}

TEST_CASE("a service without backends drops", "[packet][lb][forward]") {
  LbWorld world;
  world.SetRows({});
  world.Check(Syn4(), {.verdict = FL_LB_DROP_NO_BACKEND});
  world.Check(Data4(), {.verdict = FL_LB_DROP_NO_BACKEND});
  world.Check(Syn6(), {.verdict = FL_LB_DROP_NO_BACKEND});
}

TEST_CASE("rows past the table are a counted defect", "[packet][lb][forward]") {
  LbWorld world;
  world.service().rows_base = 1u << 20;
  world.StoreService();
  world.Check(Syn4(), {.verdict = FL_LB_DROP_INTERNAL});
  world.Check(Data6(), {.verdict = FL_LB_DROP_INTERNAL});
}

TEST_CASE("without headroom the packet is dropped", "[packet][lb][forward]") {
  LbWorld world;
  const Crowd crowd(world.lb().program_fd());
  const Packet miss = Data4();
  const Packet too_big = Eth{} / Ipv4{} / Tcp{.ack = true} / Payload(1400);
  for (const Packet& packet : {miss, too_big}) {
    const LbResult result =
        world.lb().Run(packet, {.through_fd = crowd.program_fd()});
    CHECK(result.verdict == FL_LB_DROP_NO_HEADROOM);
    CHECK(result.action == XDP_DROP);
  }
}

TEST_CASE("every hop after the first is listed once, in the row's order",
          "[packet][lb][forward]") {
  LbWorld world;
  for (uint16_t id = 5; id <= 9; id++)
    world.SetBackend(id,
                     {.address = base::IpAddress::FromIpv4(0xc000020a + id)});
  const Packet syn = Syn4(), data = Data4();
  world.SetRows({1, 2, 3, 4}, {5, 6, 7});
  const HopList seven = {.ids = {1, 2, 3, 4, 5, 6, 7}, .acceptors = 0b1111};
  CHECK_THAT(world.Send(syn, FL_LB_TX_SYN_NEW).packet,
             IsPacket(world.Encapsulated(syn, seven)));
  // The flow's backend is an owner now, then no member at all.
  world.SetRows({2, 3, 4, 5}, {6, 1});
  const HopList owner = {.ids = {1, 2, 3, 4, 5, 6}, .acceptors = 1};
  CHECK_THAT(world.Send(data, FL_LB_TX_HIT).packet,
             IsPacket(world.Encapsulated(data, owner)));
  world.SetRows({2, 3, 4, 5}, {6, 7, 8});
  const HopList gone = {.ids = {1, 2, 3, 4, 5, 6, 7, 8}, .acceptors = 1};
  CHECK_THAT(world.Send(data, FL_LB_TX_HIT).packet,
             IsPacket(world.Encapsulated(data, gone)));
  world.SetRows({2});
  const HopList two = {.ids = {1, 2}, .acceptors = 1};
  CHECK_THAT(world.Send(data, FL_LB_TX_HIT).packet,
             IsPacket(world.Encapsulated(data, two)));
}

}  // namespace
}  // namespace fairlead::test
