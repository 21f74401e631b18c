// A backend that has as many connections as it may gets no new one.
#include <catch2/catch.hpp>
#include <vector>

#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

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

constexpr uint8_t kEncaps[] = {FL_ENCAP_GUE, FL_ENCAP_GUE_PLAIN, FL_ENCAP_IPIP,
                               FL_ENCAP_L2};

void SetEncap(LbWorld& world, uint8_t encap) {
  world.service().encap = encap;
  world.StoreService();
}

// Everything that it causes, and that nothing is recorded.
void CheckRefused(LbWorld& world, const Packet& packet) {
  world.Check(packet, {.verdict = FL_LB_DROP_FULL, .full = 1});
}

void FillAll(LbWorld& world) {
  for (uint16_t id = 1; id <= 4; id++) world.SetRoom(id, 0);
}

TEST_CASE("a full backend's new flows go to the next candidate",
          "[packet][lb][max-conn]") {
  for (const uint8_t encap : kEncaps) {
    for (const bool is_ipv4 : {true, false}) {
      LbWorld world;
      SetEncap(world, encap);
      world.SetRoom(1, 0);
      world.SetRoom(2, 1);
      const Packet syn = Syn(1, is_ipv4);
      const bool has_list = encap == FL_ENCAP_GUE;
      world.Check(syn,
                  {.verdict = FL_LB_TX_SYN_NEW,
                   .packet = world.Encapsulated(
                       syn, {.ids = has_list ? std::vector<uint16_t>{2, 1, 3, 4}
                                             : std::vector<uint16_t>{2},
                             .acceptors = 0b1111}),
                   .backend = 2,
                   .new_flows = 1,
                   .backend_new_flows = 1});
      CHECK(world.BackendOf(syn) == 2);
      world.CheckLoad();
    }
  }
}

TEST_CASE("where all are full a new connection is refused by name",
          "[packet][lb][max-conn]") {
  for (const uint8_t encap : kEncaps) {
    for (const bool is_ipv4 : {true, false}) {
      LbWorld world;
      SetEncap(world, encap);
      FillAll(world);
      CheckRefused(world, Syn(1, is_ipv4));
      CHECK(world.StateOf(Syn(1, is_ipv4)) == FL_SLOT_FREE);
      // The client's next SYN finds the room that is there then.
      world.SetRoom(3, 1);
      world.Send(Syn(1, is_ipv4), FL_LB_TX_SYN_NEW);
      CHECK(world.BackendOf(Syn(1, is_ipv4)) == 3);
      world.CheckLoad();
    }
  }
}

TEST_CASE("established flows of a full backend go on, and so do SYNs of theirs",
          "[packet][lb][max-conn]") {
  for (const uint8_t encap : kEncaps) {
    LbWorld world;
    SetEncap(world, encap);
    world.Send(Syn(1), FL_LB_TX_SYN_NEW);
    world.Send(Syn(2), FL_LB_TX_SYN_NEW);
    world.Send(Ack(2), FL_LB_TX_HIT);
    FillAll(world);
    // A handshake that was let in comes to its end.
    world.Send(Syn(1), FL_LB_TX_SYN_AGAIN);
    world.Send(Ack(1), FL_LB_TX_HIT);
    world.Send(Syn(2), FL_LB_TX_SYN_AGAIN);
    world.Age(Ack(2), 5);
    world.Send(Ack(2), FL_LB_TX_HIT);
    CHECK(world.StateOf(Ack(2)) == FL_SLOT_ESTABLISHED);
    world.Send(Fin(2), FL_LB_TX_HIT);
    world.CheckLoad();
  }
}

TEST_CASE("a SYN takes no room, the segment behind it does once",
          "[packet][lb][max-conn]") {
  for (const bool is_ipv4 : {true, false}) {
    LbWorld world;
    world.SetRoom(1, 2);
    for (uint16_t sport = 1; sport <= 50; sport++)
      world.Send(Syn(sport, is_ipv4), FL_LB_TX_SYN_NEW);
    CHECK(world.lb().load()[1].begun == 0);
    CHECK(world.lb().load()[1].pending == 50);
    world.Send(Syn(1, is_ipv4), FL_LB_TX_SYN_AGAIN);
    CHECK(world.lb().load()[1].begun == 0);
    for (int i = 0; i < 3; i++) world.Send(Ack(1, is_ipv4), FL_LB_TX_HIT);
    CHECK(world.lb().load()[1].begun == 1);
    world.Send(Syn(60, is_ipv4), FL_LB_TX_SYN_NEW);
    CHECK(world.BackendOf(Syn(60, is_ipv4)) == 1);
    world.Send(Ack(2, is_ipv4), FL_LB_TX_HIT);
    CHECK(world.lb().load()[1].begun == 2);
    world.Send(Syn(61, is_ipv4), FL_LB_TX_SYN_NEW);
    CHECK(world.BackendOf(Syn(61, is_ipv4)) == 2);
    // What comes later is a state of the same connection.
    world.Age(Ack(2, is_ipv4), 5);
    world.Send(Ack(2, is_ipv4), FL_LB_TX_HIT);
    CHECK(world.lb().load()[1].begun == 2);
    world.CheckLoad();
  }
}

TEST_CASE("without the cap, or when it was set too long ago, nobody is full",
          "[packet][lb][max-conn]") {
  LbWorld world;
  FillAll(world);
  world.SetState(1, kReady);
  world.Send(Syn(1), FL_LB_TX_SYN_NEW);
  CHECK(world.BackendOf(Syn(1)) == 1);
  world.SetRoom(1, 0);
  CheckRefused(world, Syn(2));
  // As after the daemon's death.
  world.lb().load()[1].bound_until = 1;
  world.Send(Syn(2), FL_LB_TX_SYN_NEW);
  CHECK(world.BackendOf(Syn(2)) == 1);
}

TEST_CASE("least-conn chooses among those that have room",
          "[packet][lb][max-conn]") {
  LbWorld world;
  world.service().policy = FL_POLICY_LEAST_CONN;
  world.service().choices = 2;
  world.StoreService();
  world.SetLoad(2, 50);
  world.SetLoad(3, 20);
  world.SetRoom(1, 0);
  world.Send(Syn(1), FL_LB_TX_SYN_NEW);
  CHECK(world.BackendOf(Syn(1)) == 3);
  world.SetRoom(3, 0);
  world.Send(Syn(2), FL_LB_TX_SYN_NEW);
  CHECK(world.BackendOf(Syn(2)) == 4);
}

TEST_CASE("fail open knows no cap", "[packet][lb][max-conn]") {
  LbWorld world;
  FillAll(world);
  for (uint16_t id = 1; id <= 4; id++)
    world.SetState(id, kDown | FL_BACKEND_CAPPED);
  const Packet syn = Syn(1);
  world.Check(syn, {.verdict = FL_LB_TX_SYN_NEW,
                    .packet = world.Encapsulated(
                        syn, {.ids = {1, 2, 3, 4}, .acceptors = 1}),
                    .backend = 1,
                    .new_flows = 1,
                    .fail_open = 1,
                    .backend_new_flows = 1});
  // One that is up and full is no reason to trust those that are down.
  world.SetState(3, kReady | FL_BACKEND_CAPPED);
  CheckRefused(world, Syn(2));
}

TEST_CASE("a miss is asked about where it was, full or not",
          "[packet][lb][max-conn]") {
  for (const uint8_t encap : kEncaps) {
    LbWorld world;
    SetEncap(world, encap);
    FillAll(world);
    const Packet ack = Ack(1);
    world.Check(ack, {.verdict = FL_LB_TX_MISS,
                      .packet = world.Encapsulated(
                          ack, {.ids = encap == FL_ENCAP_GUE
                                           ? std::vector<uint16_t>{1, 2, 3, 4}
                                           : std::vector<uint16_t>{1},
                                .flags = FL_WIRE_LEARN}),
                      .backend = 1,
                      .misses = 1});
  }
}

// Without a hop list, a flow that is not recorded is looked for with the first
// eligible candidate alone.
TEST_CASE("what is not recorded goes where it is found again, or nowhere",
          "[packet][lb][max-conn]") {
  for (const uint8_t encap : kEncaps) {
    const bool has_list = encap == FL_ENCAP_GUE;
    {
      LbWorld world;
      world.service().syn_limit = 1;
      SetEncap(world, encap);
      world.SetRoom(1, 0);
      InOneTick([&] {
        world.ClearFlows();
        world.SetRoom(1, 0);
        world.lb().Run(Syn(1));
      });
      if (has_list) {
        world.Send(Syn(2), FL_LB_TX_SYN_OVER_BUDGET);
      } else {
        CheckRefused(world, Syn(2));
        world.SetState(1, kDraining);
        world.Send(Syn(3), FL_LB_TX_SYN_OVER_BUDGET);
      }
    }
    LbWorld world;
    SetEncap(world, encap);
    for (fl_bucket& bucket : world.lb().flows())
      for (fl_slot& slot : bucket.slots) world.Fill(slot, FL_SLOT_ESTABLISHED);
    world.SetRoom(1, 0);
    if (has_list) {
      world.Send(Syn(2), FL_LB_TX_SYN_UNRECORDED);
    } else {
      CheckRefused(world, Syn(2));
    }
    FillAll(world);
    CheckRefused(world, Syn(3));
  }
}

TEST_CASE("a tuple that is used again wants room as a new one does",
          "[packet][lb][max-conn]") {
  for (const uint64_t agent : {uint64_t{FL_BACKEND_AGENT}, uint64_t{0}}) {
    LbWorld world;
    for (uint16_t id = 1; id <= 4; id++)
      world.SetState(id, (kReady & ~FL_BACKEND_AGENT) | agent);
    world.Send(Syn(1), FL_LB_TX_SYN_NEW);
    world.Send(Ack(1), FL_LB_TX_HIT);
    world.Send(Fin(1), FL_LB_TX_HIT);
    world.SetRoom(1, 0);
    if (agent) {
      // Whoever has the old one is asked; the new one goes on.
      world.Send(Syn(1), FL_LB_TX_SYN_CLAIM);
      CHECK(world.BackendOf(Syn(1)) == 2);
    } else {
      CheckRefused(world, Syn(1));
      world.SetRoom(1, 1);
      world.Send(Syn(1), FL_LB_TX_SYN_NEW);
      CHECK(world.BackendOf(Syn(1)) == 1);
    }
  }
  LbWorld world;
  world.Send(Syn(1), FL_LB_TX_SYN_NEW);
  world.Send(Fin(1), FL_LB_TX_HIT);
  FillAll(world);
  CheckRefused(world, Syn(1));
  CHECK(world.BackendOf(Syn(1)) == 1);
  world.CheckLoad();
}

TEST_CASE(
    "a handshake with a backend that drains goes on there if all others "
    "are full",
    "[packet][lb][max-conn]") {
  LbWorld world;
  world.Send(Syn(1), FL_LB_TX_SYN_NEW);
  FillAll(world);
  world.SetState(1, kDraining);
  world.Send(Syn(1), FL_LB_TX_SYN_AGAIN);
  world.SetRoom(3, 1);
  world.Send(Syn(1), FL_LB_TX_SYN_CLAIM);
  CHECK(world.BackendOf(Syn(1)) == 3);
}

}  // namespace
}  // namespace fairlead::test
