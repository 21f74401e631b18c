// The flow table under packets: what each segment does to its flow's slot,
// which slots a new flow may take, and what a SYN does to a flow that is
// recorded. Time does not pass here: a test moves a slot's last_seen into the
// past.
#include <algorithm>
#include <catch2/catch.hpp>

#include "lib/flow_slot.h"
#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

const HopList kToFirst = {.ids = {1, 2, 3, 4}, .acceptors = 1};
const HopList kSynToFirst = {.ids = {1, 2, 3, 4}, .acceptors = 0b1111};

// A segment of the flow with that client port.
Packet Segment(uint16_t sport, Tcp tcp) {
  tcp.sport = sport;
  return Eth{} / Ipv4{} / tcp / Payload(20);
}
Packet Syn(uint16_t sport) { return Segment(sport, {.syn = true}); }
Packet Ack(uint16_t sport) { return Segment(sport, {.ack = true}); }
Packet Fin(uint16_t sport) {
  return Segment(sport, {.fin = true, .ack = true});
}
Packet Rst(uint16_t sport) { return Segment(sport, {.rst = true}); }

// Brings a new flow to `state`.
void MakeFlow(LbWorld& world, uint16_t sport, unsigned int state) {
  world.Send(Syn(sport), FL_LB_TX_SYN_NEW);
  if (state >= FL_SLOT_YOUNG) world.Send(Ack(sport), FL_LB_TX_HIT);
  if (state >= FL_SLOT_ESTABLISHED) {
    world.Age(Ack(sport), 1);
    world.Send(Ack(sport), FL_LB_TX_HIT);
  }
  if (state == FL_SLOT_CLOSING) world.Send(Fin(sport), FL_LB_TX_HIT);
  REQUIRE(world.StateOf(Ack(sport)) == state);
  world.CheckLoad();
}

TEST_CASE("a flow lives from embryonic to closing", "[packet][lb][flow]") {
  LbWorld world;
  world.Send(Syn(1), FL_LB_TX_SYN_NEW);
  CHECK(world.StateOf(Syn(1)) == FL_SLOT_EMBRYONIC);
  CHECK(world.BackendOf(Syn(1)) == 1);
  CHECK(world.lb().load()[1].pending == 1);

  world.Check(Syn(1), {.verdict = FL_LB_TX_SYN_AGAIN,
                       .packet = world.Encapsulated(Syn(1), kSynToFirst),
                       .backend = 1,
                       .backend_syn_again = 1});
  CHECK(world.StateOf(Syn(1)) == FL_SLOT_EMBRYONIC);

  world.Send(Ack(1), FL_LB_TX_HIT);
  CHECK(world.StateOf(Ack(1)) == FL_SLOT_YOUNG);
  world.Age(Ack(1), 1);
  world.Send(Ack(1), FL_LB_TX_HIT);
  CHECK(world.StateOf(Ack(1)) == FL_SLOT_ESTABLISHED);
  CHECK(world.lb().load()[1].pending == 0);
  CHECK(world.lb().load()[1].live == 1);

  world.Send(Fin(1), FL_LB_TX_HIT);
  CHECK(world.StateOf(Ack(1)) == FL_SLOT_CLOSING);
  CHECK(world.lb().load()[1].live == 1);
  world.CheckLoad();
}

TEST_CASE("a young flow needs a second tick to be established",
          "[packet][lb][flow]") {
  LbWorld world;
  uint16_t sport = 0;
  unsigned int state = 0;
  InOneTick([&] {
    sport++;
    world.Send(Syn(sport), FL_LB_TX_SYN_NEW);
    for (int i = 0; i < 5; i++) world.Send(Ack(sport), FL_LB_TX_HIT);
    state = world.StateOf(Ack(sport));
  });
  CHECK(state == FL_SLOT_YOUNG);
  world.CheckLoad();
}

TEST_CASE("a SYN moves no flow that goes on", "[packet][lb][flow]") {
  for (unsigned int state = FL_SLOT_EMBRYONIC; state <= FL_SLOT_ESTABLISHED;
       state++) {
    INFO("state " << state);
    LbWorld world;
    MakeFlow(world, 1, state);
    world.Age(Syn(1), 5);
    world.Send(Syn(1), FL_LB_TX_SYN_AGAIN);
    CHECK(world.StateOf(Syn(1)) == state);
    CHECK(world.BackendOf(Syn(1)) == 1);
    world.CheckLoad();
  }
}

TEST_CASE("a reset closes like a FIN", "[packet][lb][flow]") {
  LbWorld world;
  MakeFlow(world, 1, FL_SLOT_ESTABLISHED);
  world.Send(Rst(1), FL_LB_TX_HIT);
  CHECK(world.StateOf(Ack(1)) == FL_SLOT_CLOSING);
  // A forged one changes nothing: the flow's next segments go where it lives.
  world.Check(Ack(1), {.verdict = FL_LB_TX_HIT,
                       .packet = world.Encapsulated(Ack(1), kToFirst),
                       .backend = 1});
  world.CheckLoad();
}

TEST_CASE("a half-closed flow is routed and kept for as long as it talks",
          "[packet][lb][flow]") {
  LbWorld world;
  MakeFlow(world, 1, FL_SLOT_CLOSING);
  for (int hour = 0; hour < 5; hour++) {
    world.Age(Ack(1), 300);
    world.Send(Ack(1), FL_LB_TX_HIT);
    CHECK(world.StateOf(Ack(1)) == FL_SLOT_CLOSING);
    CHECK(fl_tick_age(NowTick(),
                      fl_slot_last_seen(world.SlotOf(Ack(1)).word1)) < 2);
  }
  world.CheckLoad();
}

// FIN or reset of a flow that never was established: the slot says so, and may
// go as soon as that of a handshake that was never completed.
TEST_CASE("a short flow's end is remembered", "[packet][lb][flow]") {
  for (const Packet& end : {Fin(1), Rst(1)}) {
    LbWorld world;
    MakeFlow(world, 1, FL_SLOT_YOUNG);
    world.Send(end, FL_LB_TX_HIT);
    CHECK(world.StateOf(Ack(1)) == FL_SLOT_YOUNG);
    CHECK(fl_slot_flags(world.SlotOf(Ack(1)).word1) == FL_SLOT_FIN);
    // Sent again in a later tick, it does not make the flow established.
    world.SlotOf(Ack(1)).word1 -= uint64_t{1} << 16;
    world.Send(end, FL_LB_TX_HIT);
    CHECK(world.StateOf(Ack(1)) == FL_SLOT_YOUNG);
    world.CheckLoad();
  }
}

// The last ACK of a short flow often comes a tick after its FIN. It must not
// make the flow established: nobody could take its slot for hours.
TEST_CASE("a short flow that has ended is never established",
          "[packet][lb][flow]") {
  LbWorld world;
  MakeFlow(world, 1, FL_SLOT_YOUNG);
  world.Send(Fin(1), FL_LB_TX_HIT);
  world.SlotOf(Ack(1)).word1 -= uint64_t{1} << 16;
  world.Send(Ack(1), FL_LB_TX_HIT);
  CHECK(world.StateOf(Ack(1)) == FL_SLOT_CLOSING);
  world.CheckLoad();
}

TEST_CASE("a slot remembers its birth and its last segment",
          "[packet][lb][flow]") {
  LbWorld world;
  MakeFlow(world, 1, FL_SLOT_ESTABLISHED);
  fl_slot& slot = world.SlotOf(Ack(1));
  const uint32_t born = NowTick() - 1000;
  slot.word1 = fl_slot_word1(born, NowTick() - 500, 0);
  world.Send(Ack(1), FL_LB_TX_HIT);
  CHECK(fl_slot_born(slot.word1) == (born & FL_TICK_MASK));
  CHECK(fl_tick_age(NowTick(), fl_slot_last_seen(slot.word1)) < 2);
}

struct TakeCase {
  std::string name;
  unsigned int state;
  uint32_t idle;
  uint16_t flags;
  bool taken;
};

// Both buckets are full of slots of one kind.
TEST_CASE("a new flow takes what is unused, never an established flow's slot",
          "[packet][lb][flow]") {
  const uint32_t* timeout = kTimeouts.by_state;
  const uint32_t young = timeout[FL_SLOT_YOUNG];
  const uint32_t established = timeout[FL_SLOT_ESTABLISHED];
  const uint32_t closing = timeout[FL_SLOT_CLOSING];
  const TakeCase cases[] = {
      {"embryonic, fresh", FL_SLOT_EMBRYONIC, 0, 0, true},
      {"embryonic, old", FL_SLOT_EMBRYONIC, 1000, 0, true},
      {"young, fresh", FL_SLOT_YOUNG, 0, 0, false},
      {"young, idle for less than 60 s", FL_SLOT_YOUNG, 55, 0, false},
      {"young, idle for more than 60 s", FL_SLOT_YOUNG, 58, 0, true},
      {"young, expired", FL_SLOT_YOUNG, young + 2, 0, true},
      {"young, ended, fresh", FL_SLOT_YOUNG, 2, FL_SLOT_FIN, false},
      {"young, ended, idle", FL_SLOT_YOUNG, 32, FL_SLOT_FIN, true},
      {"established, fresh", FL_SLOT_ESTABLISHED, 0, 0, false},
      {"established, quiet", FL_SLOT_ESTABLISHED, established - 1, 0, false},
      {"established, expired", FL_SLOT_ESTABLISHED, established + 2, 0, true},
      {"closing, fresh", FL_SLOT_CLOSING, 0, 0, false},
      {"closing, quiet", FL_SLOT_CLOSING, closing - 1, 0, false},
      {"closing, expired", FL_SLOT_CLOSING, closing + 2, 0, true},
      {"expiring, pending", FL_SLOT_EXPIRING_PENDING, 60000, 0, false},
      {"expiring, established", FL_SLOT_EXPIRING_ESTABLISHED, 60000, 0, false},
      {"expiring, closing", FL_SLOT_EXPIRING_CLOSING, 60000, 0, false},
  };
  LbWorld world({.flow_buckets = 2});
  for (const TakeCase& c : cases) {
    INFO(c.name);
    world.ClearFlows();
    for (fl_bucket& bucket : world.lb().flows()) {
      for (fl_slot& slot : bucket.slots) {
        world.Fill(slot, c.state, c.idle);
        slot.word1 |= c.flags;
      }
    }
    world.Send(Syn(1), c.taken ? FL_LB_TX_SYN_NEW : FL_LB_TX_SYN_UNRECORDED);
    CHECK((world.StateOf(Syn(1)) == FL_SLOT_EMBRYONIC) == c.taken);
    world.CheckLoad();
  }
}

struct OrderCase {
  std::string name;
  unsigned int better, worse;  // states
  uint32_t better_idle, worse_idle;
};

TEST_CASE("a new flow takes the slot that is least missed",
          "[packet][lb][flow]") {
  const uint32_t old = 60000;
  const OrderCase cases[] = {
      {"free before expired", FL_SLOT_FREE, FL_SLOT_ESTABLISHED, 0, old},
      {"expired before a fresh handshake", FL_SLOT_ESTABLISHED,
       FL_SLOT_EMBRYONIC, old, 0},
      {"closing and expired before a fresh handshake", FL_SLOT_CLOSING,
       FL_SLOT_EMBRYONIC, old, 0},
      {"a handshake before a young idle flow", FL_SLOT_EMBRYONIC, FL_SLOT_YOUNG,
       0, 60},
      {"a young idle flow before a closing one", FL_SLOT_YOUNG, FL_SLOT_CLOSING,
       60, 60},
  };
  LbWorld world({.flow_buckets = 2});
  for (const OrderCase& c : cases) {
    for (size_t at = 0; at < FL_POSITIONS; at++) {
      INFO(c.name << ", at " << at);
      world.ClearFlows();
      for (size_t i = 0; i < FL_POSITIONS; i++) {
        fl_slot& slot = world.lb().flows()[i / 4].slots[i % 4];
        if (i != at) world.Fill(slot, c.worse, c.worse_idle);
        if (i == at && c.better != FL_SLOT_FREE)
          world.Fill(slot, c.better, c.better_idle);
      }
      world.Send(Syn(1), FL_LB_TX_SYN_NEW);
      CHECK(&world.SlotOf(Syn(1)) == &world.lb().flows()[at / 4].slots[at % 4]);
      world.CheckLoad();
    }
  }
}

// Flows that are not recorded must still be found: their segments visit first
// the backend that the SYN went to, whatever the policy would have chosen.
TEST_CASE("an unrecorded flow goes to the first eligible candidate",
          "[packet][lb][flow]") {
  LbWorld world({.flow_buckets = 2});
  world.service().policy = FL_POLICY_LEAST_CONN;
  world.service().choices = 2;
  world.StoreService();
  world.SetState(1, kDraining);
  for (fl_bucket& bucket : world.lb().flows()) {
    for (fl_slot& slot : bucket.slots) world.Fill(slot, FL_SLOT_ESTABLISHED);
  }
  world.SetLoad(2, 1000);
  world.Check(Syn(1), {.verdict = FL_LB_TX_SYN_UNRECORDED,
                       .packet = world.Encapsulated(
                           Syn(1), {.ids = {2, 1, 3, 4}, .acceptors = 0b1101}),
                       .backend = 2,
                       .new_flows = 1,
                       .backend_new_flows = 1});
  world.Check(Ack(1),
              {.verdict = FL_LB_TX_MISS,
               .packet = world.Encapsulated(
                   Ack(1), {.ids = {2, 1, 3, 4}, .flags = FL_WIRE_LEARN}),
               .backend = 2,
               .misses = 1});
  CHECK(world.lb().load()[4].live == FL_POSITIONS);
}

TEST_CASE("a full table gives no established flow away, however many SYNs come",
          "[packet][lb][flow]") {
  LbWorld world({.flow_buckets = 2});
  // Seven of eight are taken; handshakes share the last one.
  for (size_t i = 1; i < FL_POSITIONS; i++)
    world.Fill(world.lb().flows()[i / 4].slots[i % 4], FL_SLOT_ESTABLISHED);
  for (uint16_t sport = 1; sport < 200; sport++)
    world.Send(Syn(sport), FL_LB_TX_SYN_NEW);
  CHECK(world.lb().load()[4].live == 7);
  world.CheckLoad();
}

TEST_CASE("a flow stays with its backend whatever becomes of that",
          "[packet][lb][flow]") {
  for (const uint64_t state :
       {kDraining, kDown, kDead, uint64_t{FL_BACKEND_NEXT_HOP}}) {
    LbWorld world;
    MakeFlow(world, 1, FL_SLOT_ESTABLISHED);
    world.SetState(1, state);
    world.Check(Ack(1), {.verdict = FL_LB_TX_HIT,
                         .packet = world.Encapsulated(Ack(1), kToFirst),
                         .backend = 1});
    world.SetRows({2, 3, 4}, {1});
    world.Check(Ack(1), {.verdict = FL_LB_TX_HIT,
                         .packet = world.Encapsulated(
                             Ack(1), {.ids = {1, 2, 3, 4}, .acceptors = 1}),
                         .backend = 1});
  }
}

// A SYN for a recorded tuple whose backend takes no new flows: either the
// client repeats itself and that backend has the handshake, or the tuple is
// used again. The backend tells, so it is asked first.
TEST_CASE("a SYN of a drained backend's flow is a claim",
          "[packet][lb][flow][claim]") {
  for (const unsigned int state : {FL_SLOT_EMBRYONIC, FL_SLOT_YOUNG,
                                   FL_SLOT_ESTABLISHED, FL_SLOT_CLOSING}) {
    INFO("state " << state);
    LbWorld world;
    MakeFlow(world, 1, state);
    world.SetState(1, kDraining);
    const LbResult result = world.Send(Syn(1), FL_LB_TX_SYN_CLAIM);
    CHECK_THAT(result.packet,
               IsPacket(world.Encapsulated(Syn(1), {.ids = {1, 2, 3, 4},
                                                    .flags = FL_WIRE_CLAIM0,
                                                    .acceptors = 1 << 1})));
    // A SYN can be forged: it moves no flow that is known to live.
    const bool lives = state == FL_SLOT_YOUNG || state == FL_SLOT_ESTABLISHED;
    CHECK(world.BackendOf(Syn(1)) == (lives ? 1 : 2));
    const unsigned int moved = FL_SLOT_EMBRYONIC;
    CHECK(world.StateOf(Syn(1)) == (lives ? state : moved));
    world.CheckLoad();
  }
}

// Its host is gone, or it was deleted: the SYN must not wait for it. Should the
// connection live after all, the hop list finds it.
TEST_CASE("a SYN of a silent backend's flow is a new choice",
          "[packet][lb][flow][claim]") {
  for (const unsigned int state : {FL_SLOT_EMBRYONIC, FL_SLOT_YOUNG,
                                   FL_SLOT_ESTABLISHED, FL_SLOT_CLOSING}) {
    for (const uint64_t silent :
         {kDraining | FL_BACKEND_DEAD, kDraining & ~FL_BACKEND_NEXT_HOP}) {
      INFO("state " << state << ", silent " << silent);
      LbWorld world;
      MakeFlow(world, 1, state);
      world.SetState(1, silent);
      CHECK_THAT(world.Send(Syn(1), FL_LB_TX_SYN_NEW).packet,
                 IsPacket(world.Encapsulated(
                     Syn(1), {.ids = {2, 1, 3, 4}, .acceptors = 0b1101})));
      CHECK(world.BackendOf(Syn(1)) == 2);
      CHECK(world.StateOf(Syn(1)) == FL_SLOT_EMBRYONIC);
      world.CheckLoad();
    }
  }
}

TEST_CASE("the claimed SYN's flow goes on with the backend that was chosen",
          "[packet][lb][flow][claim]") {
  LbWorld world;
  MakeFlow(world, 1, FL_SLOT_EMBRYONIC);
  world.SetState(1, kDraining);
  world.Send(Syn(1), FL_LB_TX_SYN_CLAIM);
  HopList second = {.ids = {2, 1, 3, 4}, .acceptors = 0b1101};
  CHECK_THAT(world.Send(Syn(1), FL_LB_TX_SYN_AGAIN).packet,
             IsPacket(world.Encapsulated(Syn(1), second)));
  second.acceptors = 1;
  CHECK_THAT(world.Send(Ack(1), FL_LB_TX_HIT).packet,
             IsPacket(world.Encapsulated(Ack(1), second)));
  world.CheckLoad();
}

struct AcceptorCase {
  std::string name;
  std::initializer_list<uint16_t> candidates, owners;
  HopList hops;
};

// The flow's backend takes new flows, but the row has other candidates now. It
// may decline, and then each of them may take the SYN.
TEST_CASE("behind a backend that is no candidate all candidates are acceptors",
          "[packet][lb][flow]") {
  const AcceptorCase cases[] = {
      {"owner, three candidates",
       {2, 3, 4},
       {1},
       {.ids = {1, 2, 3, 4}, .acceptors = 0b1111}},
      {"owner, four candidates",
       {2, 3, 4, 5},
       {1},
       {.ids = {1, 2, 3, 4, 5}, .acceptors = 0b11111}},
      {"no member", {2}, {}, {.ids = {1, 2}, .acceptors = 0b11}},
      {"other owners accept nothing",
       {2, 3},
       {4, 1},
       {.ids = {1, 2, 3, 4}, .acceptors = 0b0111}},
      {"last candidate",
       {2, 3, 4, 1},
       {5},
       {.ids = {1, 2, 3, 4, 5}, .acceptors = 0b1111}},
  };
  LbWorld world;
  world.SetBackend(5, {});
  world.Send(Syn(1), FL_LB_TX_SYN_NEW);
  for (const AcceptorCase& c : cases) {
    INFO(c.name);
    world.SetRows(c.candidates, c.owners);
    world.Check(Syn(1), {.verdict = FL_LB_TX_SYN_AGAIN,
                         .packet = world.Encapsulated(Syn(1), c.hops),
                         .backend = 1,
                         .backend_syn_again = 1});
  }
}

TEST_CASE("without an agent nobody can claim", "[packet][lb][flow][claim]") {
  for (const unsigned int state : {FL_SLOT_EMBRYONIC, FL_SLOT_YOUNG,
                                   FL_SLOT_ESTABLISHED, FL_SLOT_CLOSING}) {
    INFO("state " << state);
    LbWorld world;
    MakeFlow(world, 1, state);
    world.SetState(1, kDraining & ~FL_BACKEND_AGENT);
    const bool lives = state == FL_SLOT_YOUNG || state == FL_SLOT_ESTABLISHED;
    const HopList hops = {
        .ids = lives ? std::vector<uint16_t>{1, 2, 3, 4}
                     : std::vector<uint16_t>{2, 1, 3, 4},
        .acceptors = lives ? uint8_t{0b1111} : uint8_t{0b1101}};
    const LbResult result =
        world.Send(Syn(1), lives ? FL_LB_TX_SYN_AGAIN : FL_LB_TX_SYN_NEW);
    CHECK_THAT(result.packet, IsPacket(world.Encapsulated(Syn(1), hops)));
    CHECK(world.BackendOf(Syn(1)) == (lives ? 1 : 2));
    world.CheckLoad();
  }
}

// Closing, or young with a FIN: what a short connection leaves.
void EndFlow(LbWorld& world, uint16_t sport, bool was_young) {
  MakeFlow(world, sport, was_young ? FL_SLOT_YOUNG : FL_SLOT_ESTABLISHED);
  world.Send(Fin(sport), FL_LB_TX_HIT);
  const unsigned int state = was_young ? FL_SLOT_YOUNG : FL_SLOT_CLOSING;
  REQUIRE(world.StateOf(Ack(sport)) == state);
}

TEST_CASE("a tuple that is used again is a new choice",
          "[packet][lb][flow][claim]") {
  for (const bool was_young : {false, true}) {
    INFO("was young " << was_young);
    LbWorld world;
    world.service().choices = 2;
    world.StoreService();
    EndFlow(world, 1, was_young);
    // Its backend again: no one to ask, and the flow begins anew.
    world.Check(Syn(1),
                {.verdict = FL_LB_TX_SYN_NEW,
                 .packet = world.Encapsulated(
                     Syn(1), {.ids = {1, 2, 3, 4}, .acceptors = 0b1111}),
                 .backend = 1,
                 .new_flows = 1,
                 .backend_new_flows = 1});
    CHECK(world.StateOf(Syn(1)) == FL_SLOT_EMBRYONIC);
    CHECK(fl_slot_flags(world.SlotOf(Syn(1)).word1) == 0);
    world.CheckLoad();

    // Another one: the old one is asked first, for a SYN can be forged.
    LbWorld other;
    EndFlow(other, 1, was_young);
    other.service().choices = 2;
    other.StoreService();
    other.SetLoad(1, 1000);
    world.ClearFlows();
    other.Check(Syn(1),
                {.verdict = FL_LB_TX_SYN_CLAIM,
                 .packet = other.Encapsulated(Syn(1), {.ids = {1, 2, 3, 4},
                                                       .flags = FL_WIRE_CLAIM0,
                                                       .acceptors = 0b0010}),
                 .backend = 2,
                 .new_flows = 1});
    CHECK(other.BackendOf(Syn(1)) == 2);
    CHECK(other.StateOf(Syn(1)) == FL_SLOT_EMBRYONIC);
    other.Send(Syn(1), FL_LB_TX_SYN_AGAIN);
  }
}

TEST_CASE("without an agent to ask, a tuple that is used again stays",
          "[packet][lb][flow][claim]") {
  LbWorld world;
  EndFlow(world, 1, false);
  world.service().choices = 2;
  world.StoreService();
  world.SetState(1, kReady & ~FL_BACKEND_AGENT);
  const uint64_t load = world.lb().load()[1].live;
  world.SetLoad(1, load + 1000);
  world.Send(Syn(1), FL_LB_TX_SYN_NEW);
  CHECK(world.BackendOf(Syn(1)) == 1);
  CHECK(world.StateOf(Syn(1)) == FL_SLOT_EMBRYONIC);
  CHECK(world.lb().load()[1].live == 1000);
  CHECK(world.lb().load()[1].pending == 1);
}

TEST_CASE("a SYN again stays where it was when nobody takes new flows",
          "[packet][lb][flow][claim]") {
  LbWorld world;
  MakeFlow(world, 1, FL_SLOT_EMBRYONIC);
  for (uint16_t id = 1; id <= 4; id++) world.SetState(id, kDraining);
  world.Check(Syn(1), {.verdict = FL_LB_TX_SYN_AGAIN,
                       .packet = world.Encapsulated(Syn(1), kToFirst),
                       .backend = 1,
                       .backend_syn_again = 1});
}

TEST_CASE("a drained backend gets not one new flow", "[packet][lb][flow]") {
  LbWorld world({.flow_buckets = 1024});
  for (uint16_t sport = 1; sport <= 300; sport++)
    world.Send(Syn(sport), FL_LB_TX_SYN_NEW);
  const uint64_t pending = world.lb().load()[1].pending;
  REQUIRE(pending == 300);
  world.SetState(1, kDraining);
  for (uint16_t sport = 1001; sport <= 1300; sport++) {
    world.Send(Syn(sport), FL_LB_TX_SYN_NEW);
    CHECK(world.BackendOf(Syn(sport)) == 2);
  }
  CHECK(world.lb().load()[1].pending == pending);
  world.CheckLoad();
}

// R3, both ways: the daemon's two steps with and without a segment in between.
TEST_CASE("a segment brings an expiring flow back", "[packet][lb][flow]") {
  for (const unsigned int state : {FL_SLOT_EMBRYONIC, FL_SLOT_YOUNG,
                                   FL_SLOT_ESTABLISHED, FL_SLOT_CLOSING}) {
    INFO("state " << state);
    LbWorld world;
    MakeFlow(world, 1, state);
    world.Age(Ack(1), 60000);
    fl_slot& slot = world.SlotOf(Ack(1));
    __u64 word1 = 0;
    REQUIRE(fl_slot_expire_begin(&slot, NowTick(), &kTimeouts, &word1));
    CHECK(fl_slot_state(slot.word0) >= FL_SLOT_EXPIRING_PENDING);
    world.CheckLoad();
    world.Send(Ack(1), FL_LB_TX_HIT);
    const fl_slot_change change = fl_slot_expire_end(&slot, word1);
    CHECK(change.before == change.after);
    CHECK(world.StateOf(Ack(1)) ==
          std::max<unsigned int>(state, FL_SLOT_ESTABLISHED));
    world.CheckLoad();
  }
}

TEST_CASE("an expired flow without a segment is freed", "[packet][lb][flow]") {
  LbWorld world;
  MakeFlow(world, 1, FL_SLOT_ESTABLISHED);
  world.Age(Ack(1), 60000);
  fl_slot& slot = world.SlotOf(Ack(1));
  __u64 word1 = 0;
  REQUIRE(fl_slot_expire_begin(&slot, NowTick(), &kTimeouts, &word1));
  const fl_slot_change change = fl_slot_expire_end(&slot, word1);
  CHECK(slot.word0 == 0);
  CHECK(change.after == 0);
  CHECK(fl_slot_state(change.before) == FL_SLOT_EXPIRING_ESTABLISHED);
  world.lb().load()[1].live--;
  world.CheckLoad();
  world.Send(Ack(1), FL_LB_TX_MISS);
}

}  // namespace
}  // namespace fairlead::test
