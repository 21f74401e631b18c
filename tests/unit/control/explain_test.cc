#include "control/explain.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "fairlead/abi/flow_slot.h"
#include "fairlead/abi/maps.h"
#include "fairlead/abi/wire.h"

namespace fairlead::control {
namespace {

using Catch::Matchers::Contains;
using core::BackendId;
using Hops = std::vector<BackendId>;

constexpr uint64_t kUp = FL_BACKEND_USED | FL_BACKEND_ELIGIBLE |
                         FL_BACKEND_FAIL_OPEN | FL_BACKEND_NEXT_HOP |
                         FL_BACKEND_AGENT;
constexpr uint64_t kNotEligible = kUp & ~FL_BACKEND_ELIGIBLE;
constexpr uint64_t kDrained = kNotEligible & ~FL_BACKEND_FAIL_OPEN;

// Candidates 1, 2, 3, 4 and owner 5, all up and equal.
RouteFacts FiveBackends() {
  RouteFacts facts;
  facts.row.candidates = core::PackWord({1, 2, 3, 4});
  facts.row.owners = core::PackWord({5, 0, 0, 0});
  for (BackendId id = 1; id <= 5; ++id) {
    facts.backends.push_back({.id = id,
                              .name = std::string("web") + char('0' + id),
                              .state = kUp,
                              .load = 100,
                              .weight = 100});
  }
  return facts;
}

MemberFacts& Member(RouteFacts& facts, BackendId id) {
  return facts.backends[static_cast<size_t>(id - 1)];
}

TEST_CASE("a new flow goes to the first eligible candidate",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  RouteAnswer answer = ExplainSyn(facts);
  CHECK(answer.verdict == FL_LB_TX_SYN_NEW);
  CHECK(answer.target == 1);
  CHECK(answer.hops == Hops{1, 2, 3, 4, 5});
  CHECK(answer.acceptors == 0b1111);
  CHECK(answer.flags == 0);
  CHECK(answer.why == "new flow: web1 is the first eligible candidate");

  Member(facts, 1).state = kNotEligible;
  answer = ExplainSyn(facts);
  CHECK(answer.target == 2);
  CHECK(answer.hops == Hops{2, 1, 3, 4, 5});
}

TEST_CASE("a source that has as many connections as it may opens no more",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.over_conns = "it has 20";
  RouteAnswer answer = ExplainSyn(facts);
  CHECK(answer.verdict == FL_LB_DROP_SOURCE_CONNS);
  CHECK(answer.hops.empty());
  CHECK(answer.why == "it has 20");
  CHECK(ExplainSegment(facts).verdict == FL_LB_TX_MISS);
  facts.slot = {.state = FL_SLOT_CLOSING, .backend = 2, .ended = true};
  CHECK(ExplainSyn(facts).verdict == FL_LB_DROP_SOURCE_CONNS);
  // What it has may send SYNs.
  facts.slot = {.state = FL_SLOT_EMBRYONIC, .backend = 2};
  CHECK(ExplainSyn(facts).verdict == FL_LB_TX_SYN_AGAIN);
  facts.slot = {.state = FL_SLOT_ESTABLISHED, .backend = 2};
  CHECK(ExplainSyn(facts).verdict == FL_LB_TX_SYN_AGAIN);
  CHECK(ExplainSegment(facts).verdict == FL_LB_TX_HIT);
  // The lists come first.
  facts.slot = std::nullopt;
  facts.denied = "denied";
  CHECK(ExplainSyn(facts).verdict == FL_LB_DROP_DENIED);
}

TEST_CASE("a source that is denied opens no connection", "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.denied = "192.0.2.0/24 is denied";
  RouteAnswer answer = ExplainSyn(facts);
  CHECK(answer.verdict == FL_LB_DROP_DENIED);
  CHECK(answer.target == FL_NO_BACKEND);
  CHECK(answer.hops.empty());
  CHECK(answer.why == "192.0.2.0/24 is denied");
  CHECK(ExplainSegment(facts).verdict == FL_LB_TX_MISS);
  facts.slot = {.state = FL_SLOT_EMBRYONIC, .backend = 2};
  CHECK(ExplainSyn(facts).verdict == FL_LB_DROP_DENIED);
  facts.slot = {.state = FL_SLOT_CLOSING, .backend = 2, .ended = true};
  CHECK(ExplainSyn(facts).verdict == FL_LB_DROP_DENIED);
  facts.slot = {.state = FL_SLOT_ESTABLISHED, .backend = 2};
  CHECK(ExplainSyn(facts).verdict == FL_LB_TX_SYN_AGAIN);
  CHECK(ExplainSegment(facts).verdict == FL_LB_TX_HIT);
}

TEST_CASE("a new flow is told the limit of its source", "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.limit = "5 a second";
  CHECK(ExplainSyn(facts).why ==
        "new flow: web1 is the first eligible candidate; unless its source is "
        "above 5 a second");
  facts.slot = {.state = FL_SLOT_EMBRYONIC, .backend = 2};
  CHECK_THAT(ExplainSyn(facts).why, !Contains("a second"));
}

TEST_CASE("a backend that starts slowly leaves flows by their draw",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  Member(facts, 1).state = kUp | uint64_t{100} << FL_BACKEND_HELD_SHIFT;
  facts.draw = 100;
  CHECK(ExplainSyn(facts).target == 1);
  facts.draw = 99;
  RouteAnswer answer = ExplainSyn(facts);
  CHECK(answer.verdict == FL_LB_TX_SYN_NEW);
  CHECK(answer.hops == Hops{2, 1, 3, 4, 5});
  CHECK(answer.acceptors == 0b1111);
  CHECK(answer.why ==
        "new flow: web2 is the first eligible candidate, past web1, in slow "
        "start");
  CHECK(ExplainSegment(facts).target == 1);
  Member(facts, 2).full = true;
  CHECK(ExplainSyn(facts).why ==
        "new flow: web3 is the first eligible candidate, past web1, in slow "
        "start, past web2, full");
  for (BackendId id = 1; id <= 4; ++id)
    Member(facts, id).state = Member(facts, 1).state;
  answer = ExplainSyn(facts);
  CHECK(answer.target == 1);
  CHECK(answer.why ==
        "new flow: web1 starts slowly, and so do all eligible candidates that "
        "have room");
  // What is not recorded is to be found again.
  facts = FiveBackends();
  Member(facts, 1).state = kUp | uint64_t{100} << FL_BACKEND_HELD_SHIFT;
  facts.recordable = false;
  CHECK(ExplainSyn(facts).target == 1);
  // Of a flow that goes on, and of one that has ended.
  facts.recordable = true;
  facts.slot = {.state = FL_SLOT_ESTABLISHED, .backend = 1};
  CHECK(ExplainSyn(facts).target == 1);
  facts.slot = {.state = FL_SLOT_CLOSING, .backend = 1, .ended = true};
  answer = ExplainSyn(facts);
  CHECK(answer.verdict == FL_LB_TX_SYN_CLAIM);
  CHECK(answer.target == 2);
}

TEST_CASE("a full backend's turn is the next one's", "[control][explain]") {
  RouteFacts facts = FiveBackends();
  Member(facts, 1).full = true;
  RouteAnswer answer = ExplainSyn(facts);
  CHECK(answer.target == 2);
  CHECK(answer.why ==
        "new flow: web2 is the first eligible candidate, past web1, full");
  Member(facts, 1).at_rate = true;
  CHECK(ExplainSyn(facts).why ==
        "new flow: web2 is the first eligible candidate, past web1 "
        "(accept-rate), full");
  Member(facts, 1).at_rate = false;
  // A miss is asked for where it may be.
  CHECK(ExplainSegment(facts).target == 1);
  for (BackendId id = 1; id <= 4; ++id) Member(facts, id).full = true;
  answer = ExplainSyn(facts);
  CHECK(answer.verdict == FL_LB_DROP_FULL);
  CHECK(answer.target == FL_NO_BACKEND);
  CHECK(answer.hops.empty());
  CHECK(answer.why ==
        "new flow, refused: full is web1, web2, web3, web4, and nobody else "
        "may have it");
  facts.shed = core::Shed::kReset;
  CHECK(ExplainSyn(facts).verdict == FL_LB_TX_SYN_REFUSED);
  facts.shed = core::Shed::kDrop;
  // What it has goes on; what has ended is new.
  facts.slot = {.state = FL_SLOT_EMBRYONIC, .backend = 2};
  CHECK(ExplainSyn(facts).verdict == FL_LB_TX_SYN_AGAIN);
  Member(facts, 2).state = kDrained;
  CHECK_THAT(ExplainSyn(facts).why,
             Contains("and every eligible candidate is full"));
  facts.slot->ended = true;
  CHECK(ExplainSyn(facts).verdict == FL_LB_DROP_FULL);
  Member(facts, 3).full = false;
  CHECK(ExplainSyn(facts).target == 3);
}

TEST_CASE("without an agent a tuple used again stays, if there is room",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  for (MemberFacts& member : facts.backends)
    member.state &= ~uint64_t{FL_BACKEND_AGENT};
  facts.slot = {.state = FL_SLOT_CLOSING, .backend = 2, .ended = true};
  CHECK(ExplainSyn(facts).target == 2);
  Member(facts, 2).full = true;
  CHECK(ExplainSyn(facts).verdict == FL_LB_DROP_FULL);
}

TEST_CASE("what cannot be recorded wants room where it is found again",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.recordable = false;
  Member(facts, 1).full = true;
  CHECK(ExplainSyn(facts).target == 2);
  facts.encap = core::Encap::kIpip;
  facts.hop_lists = false;
  CHECK(ExplainSyn(facts).verdict == FL_LB_DROP_FULL);
}

TEST_CASE("a SYN budget that is exceeded is named", "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.over_budget = true;
  CHECK_THAT(ExplainSyn(facts).why, Contains("above its SYN budget just now"));
  facts.slot = {.state = FL_SLOT_EMBRYONIC, .backend = 2};
  CHECK_THAT(ExplainSyn(facts).why, !Contains("budget"));
}

TEST_CASE("without hop lists a packet visits one backend",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.hop_lists = false;
  CHECK(ExplainSyn(facts).hops == Hops{1});
  const RouteAnswer answer = ExplainSegment(facts);
  CHECK(answer.hops == Hops{1});
  CHECK_THAT(answer.why, Contains("only one can be asked: web1"));
}

TEST_CASE("an owner that is no candidate never gets a new flow",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  for (BackendId id = 1; id <= 4; ++id) Member(facts, id).state = kNotEligible;
  CHECK(ExplainSyn(facts).target == 1);
}

TEST_CASE("of several choices the much less loaded one wins",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.choices = 2;
  Member(facts, 2).load = 50;
  Member(facts, 3).load = 0;
  const RouteAnswer answer = ExplainSyn(facts);
  CHECK(answer.target == 2);
  CHECK_THAT(answer.why,
             Contains("least load") && Contains("web1 100/100, web2 50/100"));
  facts.choices = 3;
  CHECK(ExplainSyn(facts).target == 3);
}

TEST_CASE("a later candidate must be better by more than a margin",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.choices = 2;
  Member(facts, 1).load = 1600;
  // 64 * (load + 1) < 63 * 1600 from 1573 down.
  Member(facts, 2).load = 1574;
  CHECK(ExplainSyn(facts).target == 1);
  CHECK_THAT(ExplainSyn(facts).why, Contains("1/64"));
  Member(facts, 2).load = 1573;
  CHECK(ExplainSyn(facts).target == 2);
}

TEST_CASE("the load is compared for its weight", "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.choices = 2;
  Member(facts, 2).load = 150;
  CHECK(ExplainSyn(facts).target == 1);
  Member(facts, 2).weight = 200;
  CHECK(ExplainSyn(facts).target == 2);
}

TEST_CASE("only eligible candidates count as choices", "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.choices = 2;
  Member(facts, 1).state = kNotEligible;
  Member(facts, 3).load = 10;
  Member(facts, 4).load = 0;
  CHECK(ExplainSyn(facts).target == 3);
}

TEST_CASE("with nobody eligible the first that is not drained is used",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  Member(facts, 1).state = kNotEligible | FL_BACKEND_DEAD;
  Member(facts, 2).state = kDrained;
  Member(facts, 3).state = kNotEligible;
  Member(facts, 4).state = kNotEligible;
  RouteAnswer answer = ExplainSyn(facts);
  CHECK(answer.verdict == FL_LB_TX_SYN_NEW);
  CHECK(answer.target == 3);
  CHECK_THAT(answer.why, Contains("fail open to web3"));

  // Then the first that is not dead, though drained.
  Member(facts, 3).state = kDrained | FL_BACKEND_DEAD;
  Member(facts, 4).state = kDrained;
  answer = ExplainSyn(facts);
  CHECK(answer.target == 2);
  CHECK_THAT(answer.why, Contains("first not silent"));

  // Then the first.
  for (BackendId id = 1; id <= 4; ++id)
    Member(facts, id).state |= FL_BACKEND_DEAD;
  answer = ExplainSyn(facts);
  CHECK(answer.target == 1);
  CHECK_THAT(answer.why, Contains("all candidates are silent"));
}

TEST_CASE("a row without members drops", "[control][explain]") {
  for (const RouteAnswer& answer : {ExplainSyn({}), ExplainSegment({})}) {
    CHECK(answer.verdict == FL_LB_DROP_NO_BACKEND);
    CHECK(answer.target == 0);
    CHECK(answer.hops.empty());
    CHECK_THAT(answer.why, Contains("no members"));
  }
}

TEST_CASE("a flow that cannot be recorded goes where its segments look first",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.choices = 2;
  facts.recordable = false;
  Member(facts, 2).load = 0;
  const RouteAnswer answer = ExplainSyn(facts);
  CHECK(answer.verdict == FL_LB_TX_SYN_UNRECORDED);
  CHECK(answer.target == 1);
  CHECK(ExplainSegment(facts).hops.front() == 1);
}

TEST_CASE("a SYN of a recorded flow stays where new flows are taken",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.slot = {.state = FL_SLOT_EMBRYONIC, .backend = 3};
  const RouteAnswer answer = ExplainSyn(facts);
  CHECK(answer.verdict == FL_LB_TX_SYN_AGAIN);
  CHECK(answer.target == 3);
  CHECK(answer.hops == Hops{3, 1, 2, 4, 5});
  CHECK(answer.acceptors == 0b1111);
}

TEST_CASE("behind an owner all candidates may take a SYN",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.slot = {.state = FL_SLOT_EMBRYONIC, .backend = 5};
  const RouteAnswer answer = ExplainSyn(facts);
  CHECK(answer.verdict == FL_LB_TX_SYN_AGAIN);
  CHECK(answer.hops == Hops{5, 1, 2, 3, 4});
  CHECK(answer.acceptors == 0b11111);
}

TEST_CASE("a SYN of a flow whose backend is drained is claimed or moves on",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.slot = {.state = FL_SLOT_ESTABLISHED, .backend = 3};
  Member(facts, 3).state = kDrained;
  const RouteAnswer answer = ExplainSyn(facts);
  CHECK(answer.verdict == FL_LB_TX_SYN_CLAIM);
  CHECK(answer.target == 1);
  CHECK(answer.hops == Hops{3, 1, 2, 4, 5});
  CHECK(answer.acceptors == 2);
  CHECK(answer.flags == FL_WIRE_CLAIM0);
}

TEST_CASE("a SYN of a flow whose backend is silent is a new choice",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.slot = {.state = FL_SLOT_ESTABLISHED, .backend = 3};
  for (const uint64_t silent :
       {kDrained | FL_BACKEND_DEAD, kDrained & ~FL_BACKEND_NEXT_HOP}) {
    Member(facts, 3).state = silent;
    const RouteAnswer answer = ExplainSyn(facts);
    CHECK(answer.verdict == FL_LB_TX_SYN_NEW);
    CHECK(answer.target == 1);
    CHECK(answer.hops == Hops{1, 2, 3, 4, 5});
    CHECK_THAT(answer.why, Contains("web3, which takes no new flows, and is "
                                    "silent: "));
  }
}

TEST_CASE("without an agent an established flow keeps its SYN",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  Member(facts, 3).state = kDrained & ~FL_BACKEND_AGENT;
  for (const unsigned int state :
       {FL_SLOT_YOUNG, FL_SLOT_ESTABLISHED, FL_SLOT_EXPIRING_ESTABLISHED}) {
    facts.slot = {.state = state, .backend = 3};
    const RouteAnswer answer = ExplainSyn(facts);
    CHECK(answer.verdict == FL_LB_TX_SYN_AGAIN);
    CHECK(answer.target == 3);
  }
  for (const unsigned int state :
       {FL_SLOT_EMBRYONIC, FL_SLOT_CLOSING, FL_SLOT_EXPIRING_CLOSING}) {
    facts.slot = {
        .state = state, .backend = 3, .ended = state != FL_SLOT_EMBRYONIC};
    const RouteAnswer answer = ExplainSyn(facts);
    CHECK(answer.verdict == FL_LB_TX_SYN_NEW);
    CHECK(answer.target == 1);
    CHECK(answer.hops == Hops{1, 2, 3, 4, 5});
    CHECK(answer.acceptors == 0b1011);
  }
}

TEST_CASE("a SYN of a flow that has ended is a new choice",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.slot = {.state = FL_SLOT_CLOSING, .backend = 3, .ended = true};
  RouteAnswer answer = ExplainSyn(facts);
  CHECK(answer.verdict == FL_LB_TX_SYN_CLAIM);
  CHECK(answer.hops == Hops{3, 1, 2, 4, 5});
  CHECK_THAT(answer.why, Contains("web3 and has ended: it keeps the SYN only"));

  facts.slot->backend = 1;
  answer = ExplainSyn(facts);
  CHECK(answer.verdict == FL_LB_TX_SYN_NEW);
  CHECK(answer.hops == Hops{1, 2, 3, 4, 5});
  CHECK(answer.acceptors == 0b1111);

  // Nobody there can be asked.
  facts.slot->backend = 3;
  Member(facts, 3).state &= ~FL_BACKEND_AGENT;
  answer = ExplainSyn(facts);
  CHECK(answer.verdict == FL_LB_TX_SYN_NEW);
  CHECK(answer.target == 3);
}

TEST_CASE("a SYN stays with its drained backend if nobody is eligible",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.slot = {.state = FL_SLOT_EMBRYONIC, .backend = 3};
  for (BackendId id = 1; id <= 4; ++id) Member(facts, id).state = kNotEligible;
  const RouteAnswer answer = ExplainSyn(facts);
  CHECK(answer.verdict == FL_LB_TX_SYN_AGAIN);
  CHECK(answer.target == 3);
}

TEST_CASE("a segment of a recorded flow goes to its backend whatever its state",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.slot = {.state = FL_SLOT_CLOSING, .backend = 5};
  Member(facts, 5).state = kDrained | FL_BACKEND_DEAD;
  const RouteAnswer answer = ExplainSegment(facts);
  CHECK(answer.verdict == FL_LB_TX_HIT);
  CHECK(answer.target == 5);
  CHECK(answer.hops == Hops{5, 1, 2, 3, 4});
}

TEST_CASE("a segment of no recorded flow asks every member, the dead last",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  Member(facts, 1).state = kDrained;
  Member(facts, 2).state = kNotEligible | FL_BACKEND_DEAD;
  const RouteAnswer answer = ExplainSegment(facts);
  CHECK(answer.verdict == FL_LB_TX_MISS);
  CHECK(answer.hops == Hops{3, 1, 4, 5, 2});
  CHECK(answer.target == 3);
  CHECK(answer.acceptors == 0);
  CHECK(answer.flags == FL_WIRE_LEARN);

  for (MemberFacts& member : facts.backends) member.state = kDrained;
  CHECK(ExplainSegment(facts).hops == Hops{1, 2, 3, 4, 5});
}

TEST_CASE("a backend without a next hop takes no new flow and is asked last",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  Member(facts, 1).state &= ~FL_BACKEND_NEXT_HOP;
  CHECK(ExplainSyn(facts).target == 2);
  CHECK(ExplainSegment(facts).hops == Hops{2, 3, 4, 5, 1});
}

TEST_CASE("a recorded flow without next hop drops the packet",
          "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.slot = SlotFacts{.state = FL_SLOT_ESTABLISHED, .backend = 1};
  Member(facts, 1).state &= ~FL_BACKEND_NEXT_HOP;
  const RouteAnswer answer = ExplainSyn(facts);
  CHECK(answer.verdict == FL_LB_DROP_NO_NEXT_HOP);
  CHECK(answer.target == 1);
  CHECK_THAT(answer.why, Contains("no next hop is known for web1"));
}

TEST_CASE("a backend that is gone is a line out of use", "[control][explain]") {
  RouteFacts facts = FiveBackends();
  facts.slot = {.state = FL_SLOT_ESTABLISHED, .backend = 9};
  const RouteAnswer answer = ExplainSegment(facts);
  CHECK(answer.verdict == FL_LB_DROP_NO_NEXT_HOP);
  CHECK(answer.hops == Hops{9, 1, 2, 3, 4, 5});
  CHECK_THAT(answer.why, Contains("#9"));
}

TEST_CASE("as if draining, a backend takes no new flow and keeps the old ones",
          "[control][explain]") {
  const RouteFacts facts = AsIfDraining(FiveBackends(), 1);
  CHECK(ExplainSyn(facts).target == 2);
  CHECK(ExplainSegment(facts).hops == Hops{2, 1, 3, 4, 5});

  RouteFacts recorded = facts;
  recorded.slot = {.state = FL_SLOT_ESTABLISHED, .backend = 1};
  CHECK(ExplainSegment(recorded).target == 1);

  // Not even when all are down.
  RouteFacts down = FiveBackends();
  for (MemberFacts& member : down.backends) member.state = kNotEligible;
  CHECK(ExplainSyn(down).target == 1);
  CHECK(ExplainSyn(AsIfDraining(down, 1)).target == 2);
}

}  // namespace
}  // namespace fairlead::control
