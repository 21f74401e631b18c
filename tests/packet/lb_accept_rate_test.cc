// A backend is given so many new connections a second, and no more.
#include <catch2/catch.hpp>
#include <chrono>
#include <vector>

#include "absl/time/time.h"
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
Packet Ack(uint16_t sport) { return From(true, {.sport = sport, .ack = true}); }
Packet Fin(uint16_t sport) {
  return From(true, {.sport = sport, .fin = true, .ack = true});
}

constexpr uint8_t kEncaps[] = {FL_ENCAP_GUE, FL_ENCAP_GUE_PLAIN, FL_ENCAP_IPIP,
                               FL_ENCAP_L2};

void SetEncap(LbWorld& world, uint8_t encap) {
  world.service().encap = encap;
  world.StoreService();
}

void CheckRefused(LbWorld& world, const Packet& packet) {
  world.Check(packet, {.verdict = FL_LB_DROP_FULL, .full = 1});
}

void PaceAll(LbWorld& world, bool may) {
  for (uint16_t id = 1; id <= 4; id++) world.SetPace(id, may);
}

TEST_CASE("what is above a backend's rate goes to the next candidate",
          "[packet][lb][accept-rate]") {
  for (const uint8_t encap : kEncaps) {
    for (const bool is_ipv4 : {true, false}) {
      LbWorld world;
      SetEncap(world, encap);
      world.SetPace(1, true);
      world.Send(Syn(1, is_ipv4), FL_LB_TX_SYN_NEW);
      CHECK(world.BackendOf(Syn(1, is_ipv4)) == 1);
      const Packet syn = Syn(2, is_ipv4);
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

TEST_CASE("above the rate of all a new connection is refused by name",
          "[packet][lb][accept-rate]") {
  for (const uint8_t encap : kEncaps) {
    for (const bool is_ipv4 : {true, false}) {
      LbWorld world;
      SetEncap(world, encap);
      PaceAll(world, false);
      CheckRefused(world, Syn(1, is_ipv4));
      CHECK(world.StateOf(Syn(1, is_ipv4)) == FL_SLOT_FREE);
      // The client's next SYN finds what there is then.
      world.SetPace(3, true);
      world.Send(Syn(1, is_ipv4), FL_LB_TX_SYN_NEW);
      CHECK(world.BackendOf(Syn(1, is_ipv4)) == 3);
    }
  }
}

TEST_CASE("SYNs sent again and segments take nothing of the rate",
          "[packet][lb][accept-rate]") {
  for (const uint8_t encap : kEncaps) {
    LbWorld world;
    SetEncap(world, encap);
    world.Send(Syn(1), FL_LB_TX_SYN_NEW);
    world.Send(Syn(2), FL_LB_TX_SYN_NEW);
    world.Send(Ack(2), FL_LB_TX_HIT);
    PaceAll(world, true);
    for (int i = 0; i < 3; i++) {
      world.Send(Syn(1), FL_LB_TX_SYN_AGAIN);
      world.Send(Syn(2), FL_LB_TX_SYN_AGAIN);
      world.Send(Ack(2), FL_LB_TX_HIT);
      world.Send(Ack(3), FL_LB_TX_MISS);
    }
    world.Send(Fin(2), FL_LB_TX_HIT);
    for (uint16_t id = 1; id <= 4; id++)
      CHECK(world.lb().load()[id].accept_due == 0);
    // Nor are they held up where there is nothing left.
    PaceAll(world, false);
    world.Send(Syn(1), FL_LB_TX_SYN_AGAIN);
    world.Send(Ack(1), FL_LB_TX_HIT);
    world.Send(Ack(3), FL_LB_TX_MISS);
  }
}

TEST_CASE("least-conn chooses among those below their rates",
          "[packet][lb][accept-rate]") {
  LbWorld world;
  world.service().policy = FL_POLICY_LEAST_CONN;
  world.service().choices = 2;
  world.StoreService();
  world.SetLoad(2, 50);
  world.SetLoad(3, 20);
  world.SetPace(1, false);
  world.Send(Syn(1), FL_LB_TX_SYN_NEW);
  CHECK(world.BackendOf(Syn(1)) == 3);
  world.SetPace(3, false);
  world.Send(Syn(2), FL_LB_TX_SYN_NEW);
  CHECK(world.BackendOf(Syn(2)) == 4);
}

TEST_CASE("who is not paced, and whoever fails open, has no rate",
          "[packet][lb][accept-rate]") {
  LbWorld world;
  PaceAll(world, false);
  world.SetState(1, kReady);
  world.Send(Syn(1), FL_LB_TX_SYN_NEW);
  CHECK(world.BackendOf(Syn(1)) == 1);
  for (uint16_t id = 1; id <= 4; id++)
    world.SetState(id, kDown | FL_BACKEND_PACED);
  world.Send(Syn(2), FL_LB_TX_SYN_NEW);
  CHECK(world.BackendOf(Syn(2)) == 1);
  CHECK(world.lb().load()[1].accept_due == ~uint64_t{0});
}

TEST_CASE("what is not recorded takes of the rate of who gets it",
          "[packet][lb][accept-rate]") {
  for (const uint8_t encap : kEncaps) {
    const bool has_list = encap == FL_ENCAP_GUE;
    LbWorld world;
    SetEncap(world, encap);
    for (fl_bucket& bucket : world.lb().flows())
      for (fl_slot& slot : bucket.slots) world.Fill(slot, FL_SLOT_ESTABLISHED);
    PaceAll(world, true);
    const LbResult first = world.lb().Run(Syn(1));
    CHECK(first.verdict == FL_LB_TX_SYN_UNRECORDED);
    CHECK(world.lb().backend_stats(1).packets == 1);
    // It is looked for with the first one alone, unless there is a list.
    if (has_list) {
      world.Send(Syn(2), FL_LB_TX_SYN_UNRECORDED);
      CHECK(world.lb().backend_stats(2).packets == 1);
    } else {
      CheckRefused(world, Syn(2));
    }
  }
  LbWorld world;
  world.service().syn_limit = 1;
  world.StoreService();
  InOneTick([&] {
    world.ClearFlows();
    PaceAll(world, true);
    world.lb().Run(Syn(1));
    world.lb().Run(Syn(2));
  });
  CHECK(world.lb().load()[2].accept_due != 0);
  CHECK(world.lb().load()[3].accept_due == 0);
}

TEST_CASE("a tuple that is used again takes of the rate as a new one does",
          "[packet][lb][accept-rate]") {
  for (const uint64_t agent : {uint64_t{FL_BACKEND_AGENT}, uint64_t{0}}) {
    LbWorld world;
    for (uint16_t id = 1; id <= 4; id++)
      world.SetState(id, (kReady & ~FL_BACKEND_AGENT) | agent);
    world.Send(Syn(1), FL_LB_TX_SYN_NEW);
    world.Send(Ack(1), FL_LB_TX_HIT);
    world.Send(Fin(1), FL_LB_TX_HIT);
    world.SetPace(1, true);
    world.Send(Syn(1), FL_LB_TX_SYN_NEW);
    CHECK(world.lb().load()[1].accept_due != 0);
    world.Send(Ack(1), FL_LB_TX_HIT);
    world.Send(Fin(1), FL_LB_TX_HIT);
    if (agent) {
      world.Send(Syn(1), FL_LB_TX_SYN_CLAIM);
      CHECK(world.BackendOf(Syn(1)) == 2);
    } else {
      CheckRefused(world, Syn(1));
    }
  }
}

TEST_CASE("a handshake that moves to another backend takes of its rate once",
          "[packet][lb][accept-rate]") {
  LbWorld world;
  world.Send(Syn(1), FL_LB_TX_SYN_NEW);
  world.SetState(1, kDraining);
  world.SetPace(2, true);
  world.Send(Syn(1), FL_LB_TX_SYN_CLAIM);
  CHECK(world.BackendOf(Syn(1)) == 2);
  CHECK(world.lb().load()[2].accept_due != 0);
  world.Send(Syn(1), FL_LB_TX_SYN_AGAIN);
  // A connection that may live is no new one.
  world.Send(Ack(1), FL_LB_TX_HIT);
  world.SetState(2, kDraining);
  world.SetPace(3, true);
  world.Send(Syn(1), FL_LB_TX_SYN_CLAIM);
  CHECK(world.lb().load()[3].accept_due == 0);
}

// With the kernel's own clock: 1,000 a second for a third of one.
TEST_CASE("a wave is given to a backend at its rate",
          "[packet][lb][accept-rate]") {
  LbWorld world;
  world.SetRows({1});
  world.SetPace(1, true);
  world.lb().backends()[1].accept =
      fl_accept_word(0, 1'000'000 >> FL_ACCEPT_SHIFT);
  const auto begun = std::chrono::steady_clock::now();
  absl::Duration passed;
  uint16_t sport = 0;
  do {
    world.lb().Run(Syn(++sport));
    passed = absl::FromChrono(std::chrono::steady_clock::now() - begun);
  } while (passed < absl::Milliseconds(300));
  const uint64_t given = world.lb().backend_stats(1).new_flows;
  const auto due =
      static_cast<uint64_t>(absl::ToDoubleSeconds(passed) * 1000 + 101);
  INFO(given << " of " << sport << " in " << absl::FormatDuration(passed));
  CHECK(given <= due + 1);
  if (sport > 2 * due) CHECK(given + 20 >= due);
}

}  // namespace
}  // namespace fairlead::test
