// Which backend a new flow gets, and in which order the backends are asked for
// a flow that is not recorded.
#include <catch2/catch.hpp>

#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

Packet Syn(uint16_t sport) {
  return Eth{} / Ipv4{} / Tcp{.sport = sport, .syn = true};
}
Packet Ack(uint16_t sport) {
  return Eth{} / Ipv4{} / Tcp{.sport = sport, .ack = true};
}

// The backend that a SYN of a flow of its own gets.
uint16_t Chosen(LbWorld& world, uint16_t sport) {
  world.Send(Syn(sport), FL_LB_TX_SYN_NEW);
  return world.BackendOf(Syn(sport));
}

TEST_CASE("policy hash takes the row's first eligible candidate",
          "[packet][lb][select]") {
  LbWorld world;
  world.SetLoad(1, 1000000);
  CHECK(Chosen(world, 1) == 1);
  world.SetState(1, kDraining);
  CHECK(Chosen(world, 2) == 2);
  world.SetState(2, kDown);
  world.SetState(3, kDead);
  CHECK(Chosen(world, 3) == 4);
}

TEST_CASE("an owner gets no new flow", "[packet][lb][select]") {
  LbWorld world;
  world.SetRows({1}, {2, 3});
  world.SetState(1, kDown);
  world.Check(Syn(1), {.verdict = FL_LB_TX_SYN_NEW,
                       .packet = world.Encapsulated(
                           Syn(1), {.ids = {1, 2, 3}, .acceptors = 1}),
                       .backend = 1,
                       .new_flows = 1,
                       .fail_open = 1,
                       .backend_new_flows = 1});
}

TEST_CASE("a flow of policy hash finds the row of its tuple's hash",
          "[packet][lb][select]") {
  LbWorld world;
  const Packet v4 = Syn(1);
  const Packet v6 = Eth{} / Ipv6{} / Tcp{.syn = true};
  for (const Packet& packet : {v4, v6}) {
    world.lb().rows()[kRowsBase + world.RowOf(packet)] = {3, 0};
    CHECK_THAT(
        world.Send(packet, FL_LB_TX_SYN_NEW).packet,
        IsPacket(world.Encapsulated(packet, {.ids = {3}, .acceptors = 1})));
  }
}

TEST_CASE("policy source takes one row for all flows of a client",
          "[packet][lb][select]") {
  LbWorld world;
  world.service().policy = FL_POLICY_SOURCE;
  world.StoreService();
  const Packet v4 = Syn(1);
  const Packet v6 = Eth{} / Ipv6{} / Tcp{.syn = true};
  world.lb().rows()[kRowsBase + world.RowOf(v4)] = {2, 0};
  world.lb().rows()[kRowsBase + world.RowOf(v6)] = {3, 0};
  for (uint16_t sport = 1; sport <= 20; sport++) {
    const Packet syn4 = Syn(sport), ack4 = Ack(uint16_t(1000 + sport));
    const Packet syn6 = Eth{} / Ipv6{} / Tcp{.sport = sport, .syn = true};
    CHECK_THAT(
        world.Send(syn4, FL_LB_TX_SYN_NEW).packet,
        IsPacket(world.Encapsulated(syn4, {.ids = {2}, .acceptors = 1})));
    CHECK_THAT(world.Send(ack4, FL_LB_TX_MISS).packet,
               IsPacket(world.Encapsulated(
                   ack4, {.ids = {2}, .flags = FL_WIRE_LEARN})));
    CHECK_THAT(
        world.Send(syn6, FL_LB_TX_SYN_NEW).packet,
        IsPacket(world.Encapsulated(syn6, {.ids = {3}, .acceptors = 1})));
  }
  const Packet other =
      Eth{} / Ipv4{.src = Ip("203.0.113.8")} / Tcp{.syn = true};
  REQUIRE(world.RowOf(other) != world.RowOf(v4));
  world.Send(other, FL_LB_TX_SYN_NEW);
  CHECK(world.BackendOf(other) == 1);
}

struct LeastConnCase {
  std::string name;
  uint8_t choices;
  uint64_t load[4];  // of backends 1 to 4
  uint16_t weight[4];
  uint16_t chosen;
};

// (load + 1) / weight decides, with 1/64 in favour of the earlier candidate.
TEST_CASE("policy least-conn takes the less loaded of the first eligible ones",
          "[packet][lb][select]") {
  const LeastConnCase cases[] = {
      {"equal", 2, {9, 9, 9, 9}, {100, 100, 100, 100}, 1},
      {"empty", 4, {0, 0, 0, 0}, {1, 1, 1, 1}, 1},
      {"the second is empty", 2, {9, 0, 9, 9}, {100, 100, 100, 100}, 2},
      // 64 * (load + 1) < 63 * first
      {"just below the threshold", 2, {160, 156, 0, 0}, {1, 1, 1, 1}, 2},
      {"at the threshold", 2, {160, 157, 0, 0}, {1, 1, 1, 1}, 1},
      {"one less is not enough", 2, {10, 9, 0, 0}, {1, 1, 1, 1}, 1},
      {"choice 1 looks at none but the first",
       1,
       {900, 0, 0, 0},
       {1, 1, 1, 1},
       1},
      {"choice 2 does not look at the third",
       2,
       {900, 800, 0, 0},
       {1, 1, 1, 1},
       2},
      {"choice 3", 3, {900, 800, 100, 0}, {1, 1, 1, 1}, 3},
      {"choice 4", 4, {900, 800, 100, 5}, {1, 1, 1, 1}, 4},
      {"a later one must beat the best so far, not the first",
       4,
       {900, 100, 99, 0},
       {1, 1, 1, 200},
       4},
      {"a near tie with the best so far stays",
       3,
       {900, 100, 99, 0},
       {1, 1, 1, 1},
       2},
      {"three times the weight, twice the load",
       2,
       {100, 200, 0, 0},
       {100, 300, 1, 1},
       2},
      {"three times the weight, four times the load",
       2,
       {100, 400, 0, 0},
       {100, 300, 1, 1},
       1},
      {"a small weight is full soon", 2, {10, 500, 0, 0}, {1, 256, 1, 1}, 2},
  };
  LbWorld world;
  world.service().policy = FL_POLICY_LEAST_CONN;
  for (const LeastConnCase& c : cases) {
    INFO(c.name);
    world.ClearFlows();
    world.service().choices = c.choices;
    world.StoreService();
    for (uint16_t id = 1; id <= 4; id++) {
      world.lb().backends()[id].weight = c.weight[id - 1];
      // Pending flows weigh as much as established ones.
      world.SetLoad(id, c.load[id - 1] / 2,
                    c.load[id - 1] - c.load[id - 1] / 2);
    }
    CHECK(Chosen(world, 7) == c.chosen);
  }
}

TEST_CASE("the agent's word corrects what is recorded",
          "[packet][lb][select]") {
  LbWorld world;
  world.service().policy = FL_POLICY_LEAST_CONN;
  world.service().choices = 2;
  world.StoreService();
  world.SetLoad(1, 100);
  world.SetLoad(2, 150);
  CHECK(Chosen(world, 1) == 1);
  // Most of what the second has recorded has ended unseen.
  world.lb().load()[2].elsewhere = -140;
  CHECK(Chosen(world, 2) == 2);
  world.lb().load()[2].elsewhere = 140;
  CHECK(Chosen(world, 3) == 1);
  // More was freed since than the agent had counted: as good as empty.
  world.lb().load()[2].elsewhere = -160;
  CHECK(Chosen(world, 4) == 2);
}

TEST_CASE("choices count eligible candidates only", "[packet][lb][select]") {
  LbWorld world;
  world.service().policy = FL_POLICY_LEAST_CONN;
  world.service().choices = 2;
  world.StoreService();
  world.SetLoad(2, 100);
  world.SetLoad(3, 10);
  world.SetState(1, kDraining);
  CHECK(Chosen(world, 1) == 3);
  world.SetState(3, kDown);
  CHECK(Chosen(world, 2) == 4);
}

struct FailOpenCase {
  std::string name;
  uint64_t state[4];
  uint16_t chosen;
};

TEST_CASE("with nobody eligible a SYN goes to the best of the bad",
          "[packet][lb][select]") {
  const FailOpenCase cases[] = {
      {"all down", {kDown, kDown, kDown, kDown}, 1},
      {"drained ones are spared", {kDraining, kDraining, kDown, kDown}, 3},
      {"dead ones are spared", {kDead, kDead, kDead, kDown}, 4},
      {"a drained one before a dead one", {kDead, kDraining, kDead, kDead}, 2},
      {"down before drained, dead before both",
       {kDead, kDraining, kDown, kDraining},
       3},
      {"all in drain", {kDraining, kDraining, kDraining, kDraining}, 1},
      {"all dead", {kDead, kDead, kDead, kDead}, 1},
  };
  LbWorld world;
  for (const FailOpenCase& c : cases) {
    INFO(c.name);
    world.ClearFlows();
    for (uint16_t id = 1; id <= 4; id++) world.SetState(id, c.state[id - 1]);
    std::vector<uint16_t> ids = {c.chosen};
    for (uint16_t id = 1; id <= 4; id++) {
      if (id != c.chosen) ids.push_back(id);
    }
    world.Check(Syn(1), {.verdict = FL_LB_TX_SYN_NEW,
                         .packet = world.Encapsulated(
                             Syn(1), {.ids = ids, .acceptors = 1}),
                         .backend = c.chosen,
                         .new_flows = 1,
                         .fail_open = 1,
                         .backend_new_flows = 1});
  }
}

struct MissCase {
  std::string name;
  uint64_t state[7];
  std::vector<uint16_t> ids;
};

TEST_CASE("a segment of an unrecorded flow visits every member, the dead last",
          "[packet][lb][select]") {
  const MissCase cases[] = {
      {"all ready",
       {kReady, kReady, kReady, kReady, kReady, kReady, kReady},
       {1, 2, 3, 4, 5, 6, 7}},
      {"the first eligible candidate is asked first",
       {kDraining, kDown, kReady, kReady, kReady, kReady, kReady},
       {3, 1, 2, 4, 5, 6, 7}},
      {"draining members stay in place",
       {kReady, kDraining, kReady, kDraining, kDraining, kReady, kReady},
       {1, 2, 3, 4, 5, 6, 7}},
      {"dead ones last",
       {kDead, kReady, kDead, kReady, kDead, kReady, kReady},
       {2, 4, 6, 7, 1, 3, 5}},
      {"an eligible owner is no candidate",
       {kDown, kDown, kDown, kDown, kReady, kReady, kReady},
       {1, 2, 3, 4, 5, 6, 7}},
      {"all dead",
       {kDead, kDead, kDead, kDead, kDead, kDead, kDead},
       {1, 2, 3, 4, 5, 6, 7}},
  };
  for (const MissCase& c : cases) {
    INFO(c.name);
    LbWorld world;
    world.SetRows({1, 2, 3, 4}, {5, 6, 7});
    for (uint16_t id = 1; id <= 7; id++)
      world.SetBackend(id, {.state = c.state[id - 1]});
    const Packet packet = Ack(1);
    world.Check(packet, {.verdict = FL_LB_TX_MISS,
                         .packet = world.Encapsulated(
                             packet, {.ids = c.ids, .flags = FL_WIRE_LEARN}),
                         .backend = c.ids[0],
                         .misses = 1});
  }
}

TEST_CASE("every kind of segment but a SYN can be a miss",
          "[packet][lb][select]") {
  LbWorld world;
  const Tcp segments[] = {
      {.ack = true},
      {.fin = true},
      {.rst = true},
      {.rst = true, .ack = true},
      {.fin = true, .ack = true},
      {.syn = true, .ack = true},
      {.psh = true, .ack = true},
  };
  for (const Tcp& tcp : segments) {
    const Packet packet = Eth{} / Ipv6{} / tcp / Payload(5);
    world.Check(packet,
                {.verdict = FL_LB_TX_MISS,
                 .packet = world.Encapsulated(
                     packet, {.ids = {1, 2, 3, 4}, .flags = FL_WIRE_LEARN}),
                 .backend = 1,
                 .misses = 1});
    CHECK(world.StateOf(packet) == FL_SLOT_FREE);
  }
}

}  // namespace
}  // namespace fairlead::test
