// A backend that starts slowly gets few new flows, and loses none.
#include <catch2/catch.hpp>
#include <vector>

#include "tests/packet/lb_world.h"
#include "tests/support/reference_siphash.h"

namespace fairlead::test {
namespace {

constexpr uint8_t kEncaps[] = {FL_ENCAP_GUE, FL_ENCAP_GUE_PLAIN, FL_ENCAP_IPIP,
                               FL_ENCAP_L2};

Packet From(bool is_ipv4, const Tcp& tcp) {
  if (is_ipv4) return Eth{} / Ipv4{} / tcp;
  return Eth{} / Ipv6{} / tcp;
}
Packet Syn(uint16_t sport, bool is_ipv4 = true) {
  return From(is_ipv4, {.sport = sport, .syn = true});
}
Packet Ack(uint16_t sport, bool is_ipv4 = true) {
  return From(is_ipv4, {.sport = sport, .ack = true});
}
Packet Fin(uint16_t sport, bool is_ipv4 = true) {
  return From(is_ipv4, {.sport = sport, .fin = true, .ack = true});
}

uint64_t Slow(uint64_t held) { return kReady | held << FL_BACKEND_HELD_SHIFT; }

// Its number among the 256 of FL_DRAWS.
uint64_t DrawOf(const Packet& packet) {
  return ReferenceFlowHash(kHashKey, FlowOf(packet)) & 0xff;
}

void SetEncap(LbWorld& world, uint8_t encap) {
  world.service().encap = encap;
  world.StoreService();
}

// Who gets the new flow of source port `sport`.
uint16_t BackendOfNew(LbWorld& world, uint16_t sport, bool is_ipv4 = true) {
  world.Send(Syn(sport, is_ipv4), FL_LB_TX_SYN_NEW);
  return world.BackendOf(Syn(sport, is_ipv4));
}

TEST_CASE("a backend that starts slowly takes its share by the flow's draw",
          "[packet][lb][slow-start]") {
  for (const uint8_t encap : kEncaps) {
    for (const bool is_ipv4 : {true, false}) {
      LbWorld world;
      SetEncap(world, encap);
      world.SetState(1, Slow(128));
      int taken = 0;
      for (uint16_t sport = 1; sport <= 200; sport++) {
        const bool is_held = DrawOf(Syn(sport, is_ipv4)) < 128;
        REQUIRE(BackendOfNew(world, sport, is_ipv4) == (is_held ? 2 : 1));
        taken += is_held ? 0 : 1;
      }
      CHECK(taken > 70);
      CHECK(taken < 130);
      world.CheckLoad();
    }
  }
}

TEST_CASE("each draw has its own border", "[packet][lb][slow-start]") {
  LbWorld world;
  for (uint16_t sport = 1; sport <= 50; sport++) {
    const uint64_t draw = DrawOf(Syn(sport));
    world.SetState(1, Slow(draw));
    CHECK(BackendOfNew(world, sport) == 1);
    if (draw == 255) continue;
    world.ClearFlows();
    world.SetState(1, Slow(draw + 1));
    CHECK(BackendOfNew(world, sport) == 2);
  }
}

TEST_CASE("the whole packet of a flow that was left to the next one",
          "[packet][lb][slow-start]") {
  for (const bool is_ipv4 : {true, false}) {
    LbWorld world;
    const Packet syn = Syn(1, is_ipv4);
    world.SetState(1, Slow(DrawOf(syn) + 1));
    // Whoever starts slowly may have the connection all the same.
    world.Check(syn, {.verdict = FL_LB_TX_SYN_NEW,
                      .packet = world.Encapsulated(
                          syn, {.ids = {2, 1, 3, 4}, .acceptors = 0b1111}),
                      .backend = 2,
                      .new_flows = 1,
                      .backend_new_flows = 1});
  }
}

TEST_CASE("a flow stays where it is while shares grow",
          "[packet][lb][slow-start]") {
  for (const uint8_t encap : kEncaps) {
    LbWorld world;
    SetEncap(world, encap);
    world.SetState(1, Slow(DrawOf(Syn(1)) + 1));
    REQUIRE(BackendOfNew(world, 1) == 2);
    world.SetState(1, kReady);
    world.Send(Syn(1), FL_LB_TX_SYN_AGAIN);
    world.Send(Ack(1), FL_LB_TX_HIT);
    CHECK(world.BackendOf(Syn(1)) == 2);
    // And one with it stays, whatever the share is by then.
    REQUIRE(BackendOfNew(world, 2) == 1);
    world.SetState(1, Slow(255));
    world.Send(Syn(2), FL_LB_TX_SYN_AGAIN);
    world.Send(Ack(2), FL_LB_TX_HIT);
    CHECK(world.BackendOf(Syn(2)) == 1);
    world.CheckLoad();
  }
}

TEST_CASE("where all start slowly the first one takes what all leave",
          "[packet][lb][slow-start]") {
  LbWorld world;
  const uint64_t held = DrawOf(Syn(1)) + 1;
  for (uint16_t id = 1; id <= 4; id++) world.SetState(id, Slow(held));
  CHECK(BackendOfNew(world, 1) == 1);
  world.ClearFlows();
  // Those that have room, and take new flows.
  world.SetRoom(1, 0);
  world.SetState(1, Slow(held) | FL_BACKEND_CAPPED);
  world.SetState(2, kDraining | held << FL_BACKEND_HELD_SHIFT);
  CHECK(BackendOfNew(world, 1) == 3);
  world.ClearFlows();
  // One that leaves a flow to others is none that refuses it.
  world.SetState(3, kDraining);
  world.SetRoom(1, 0);
  world.SetState(1, Slow(held) | FL_BACKEND_CAPPED);
  CHECK(BackendOfNew(world, 1) == 4);
  world.CheckLoad();
}

TEST_CASE("least-conn chooses among those that do not leave it to others",
          "[packet][lb][slow-start]") {
  LbWorld world;
  world.service().policy = FL_POLICY_LEAST_CONN;
  world.service().choices = 2;
  world.StoreService();
  world.SetLoad(2, 50);
  world.SetLoad(3, 20);
  world.SetState(1, Slow(DrawOf(Syn(1)) + 1));
  CHECK(BackendOfNew(world, 1) == 3);
  world.ClearFlows();
  world.SetLoad(2, 50);
  world.SetLoad(3, 20);
  world.SetState(1, Slow(DrawOf(Syn(1))));
  CHECK(BackendOfNew(world, 1) == 1);
}

TEST_CASE("by source, all flows of a client have one draw",
          "[packet][lb][slow-start]") {
  LbWorld world;
  world.service().policy = FL_POLICY_SOURCE;
  world.StoreService();
  const uint64_t draw =
      ReferenceSourceHash(kHashKey, FlowOf(Syn(1)).client.address) & 0xff;
  world.SetState(1, Slow(draw + 1));
  for (uint16_t sport = 1; sport <= 30; sport++)
    REQUIRE(BackendOfNew(world, sport) == 2);
  world.SetState(1, Slow(draw));
  for (uint16_t sport = 101; sport <= 130; sport++)
    REQUIRE(BackendOfNew(world, sport) == 1);
}

// A share that grows between two segments of a flow would lose it.
TEST_CASE("what is not recorded goes to the first, whatever it leaves",
          "[packet][lb][slow-start]") {
  for (const uint8_t encap : kEncaps) {
    LbWorld world;
    world.service().syn_limit = 1;
    SetEncap(world, encap);
    world.SetState(1, Slow(255));
    InOneTick([&] {
      world.ClearFlows();
      world.lb().Run(Syn(1));
    });
    const bool has_list = encap == FL_ENCAP_GUE;
    const std::vector<uint16_t> ids =
        has_list ? std::vector<uint16_t>{1, 2, 3, 4} : std::vector<uint16_t>{1};
    const Packet syn = Syn(2);
    world.Check(syn, {.verdict = FL_LB_TX_SYN_OVER_BUDGET,
                      .packet = world.Encapsulated(
                          syn, {.ids = ids, .acceptors = 0b1111}),
                      .backend = 1,
                      .new_flows = 1,
                      .over_budget = 1,
                      .backend_new_flows = 1});
    const Packet ack = Ack(2);
    world.Check(ack, {.verdict = FL_LB_TX_MISS,
                      .packet = world.Encapsulated(
                          ack, {.ids = ids, .flags = FL_WIRE_LEARN}),
                      .backend = 1,
                      .misses = 1});
  }
}

TEST_CASE("a tuple that is used again is drawn for as a new one is",
          "[packet][lb][slow-start]") {
  LbWorld world;
  REQUIRE(BackendOfNew(world, 1) == 1);
  world.Send(Ack(1), FL_LB_TX_HIT);
  world.Send(Fin(1), FL_LB_TX_HIT);
  world.SetState(1, Slow(DrawOf(Syn(1)) + 1));
  world.Send(Syn(1), FL_LB_TX_SYN_CLAIM);
  CHECK(world.BackendOf(Syn(1)) == 2);
  // Without an agent nobody can tell whether it has ended there.
  world.ClearFlows();
  world.SetState(1, kReady & ~FL_BACKEND_AGENT);
  REQUIRE(BackendOfNew(world, 1) == 1);
  world.Send(Fin(1), FL_LB_TX_HIT);
  world.SetState(1, Slow(255) & ~FL_BACKEND_AGENT);
  world.Send(Syn(1), FL_LB_TX_SYN_NEW);
  CHECK(world.BackendOf(Syn(1)) == 1);
}

}  // namespace
}  // namespace fairlead::test
