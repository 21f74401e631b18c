#include "core/effective.h"

#include <catch2/catch.hpp>
#include <set>

#include "absl/strings/match.h"
#include "fairlead/abi/maps.h"

namespace fairlead::core {
namespace {

using Presence = AgentReport::Presence;

EffectiveInput Good() {
  return {.admin = Admin::kReady,
          .health = Health::kUp,
          .signal = Signal::kNone,
          .last_failure = std::nullopt,
          .agent_asked = true,
          .agent = Presence::kPresent,
          .drained = false};
}

// Every combination of what it depends on.
std::vector<EffectiveInput> AllInputs() {
  std::vector<EffectiveInput> all;
  for (const Admin admin : {Admin::kReady, Admin::kDrain, Admin::kMaint})
    for (int health = 0; health <= static_cast<int>(Health::kDown); ++health)
      for (const Signal signal : {Signal::kNone, Signal::kHold, Signal::kDrain})
        for (int agent = 0; agent <= static_cast<int>(Presence::kLost); ++agent)
          for (int flags = 0; flags < 6; ++flags)
            all.push_back(
                {.admin = admin,
                 .health = static_cast<Health>(health),
                 .signal = signal,
                 .last_failure = ProbeResult{.outcome = ProbeOutcome::kTimeout},
                 .agent_asked = flags % 3 != 0,
                 .hop_lists = flags % 3 == 2,
                 .agent = static_cast<Presence>(agent),
                 .drained = flags >= 3});
  return all;
}

TEST_CASE("to fail open takes nobody in but those that fail or ask to drain",
          "[core][effective]") {
  for (EffectiveInput input : AllInputs()) {
    const Effective before = DeriveEffective(input);
    input.fail_open = true;
    const Effective after = DeriveEffective(input);
    CHECK(after.state == before.state);
    CHECK(after.reason == before.reason);
    CHECK(after.eligible == before.eligible);
    CHECK((after.bits & ~FL_BACKEND_ELIGIBLE) ==
          (before.bits & ~FL_BACKEND_ELIGIBLE));
    const bool is_offered = (after.bits & FL_BACKEND_ELIGIBLE) != 0;
    CHECK(is_offered == (after.eligible || after.fails_open));
    CHECK_FALSE((after.eligible && after.fails_open));
    if (!after.fails_open) continue;
    CHECK(input.admin == Admin::kReady);
    CHECK(input.health != Health::kInit);
    CHECK((after.bits & FL_BACKEND_DEAD) == 0);
  }
  EffectiveInput input = Good();
  input.fail_open = true;
  CHECK_FALSE(DeriveEffective(input).fails_open);
  input.signal = Signal::kDrain;
  CHECK(DeriveEffective(input).fails_open);
  input = Good();
  input.fail_open = true;
  input.health = Health::kDown;
  input.last_failure = ProbeResult{.outcome = ProbeOutcome::kRefused};
  CHECK(DeriveEffective(input).fails_open);
  // Whom the packet would not be understood by.
  input.hop_lists = true;
  input.agent = Presence::kAbsent;
  CHECK_FALSE(DeriveEffective(input).fails_open);
}

TEST_CASE(
    "eligible is exactly: ready, up or falling, no signal, an agent that "
    "is settled",
    "[core][effective]") {
  for (const EffectiveInput& input : AllInputs()) {
    const bool settled =
        !input.agent_asked ||
        (input.agent == Presence::kAbsent && !input.hop_lists) ||
        input.agent == Presence::kPresent || input.agent == Presence::kLost;
    const bool expected =
        input.admin == Admin::kReady &&
        (input.health == Health::kUp || input.health == Health::kFalling) &&
        input.signal != Signal::kDrain && settled;
    const Effective effective = DeriveEffective(input);
    CHECK(effective.eligible == expected);
    CHECK((effective.state == EffectiveState::kUp) == expected);
    CHECK(((effective.bits & FL_BACKEND_ELIGIBLE) != 0) == expected);
    CHECK(((effective.bits & FL_BACKEND_FAIL_OPEN) != 0) ==
          (input.admin == Admin::kReady));
    CHECK((effective.bits & FL_BACKEND_USED) != 0);
    CHECK((effective.bits & FL_BACKEND_NEXT_HOP) == 0);
    const bool agent = input.hop_lists && (input.agent == Presence::kPresent ||
                                           input.agent == Presence::kLost);
    CHECK(((effective.bits & FL_BACKEND_AGENT) != 0) == agent);
    CHECK((effective.reason == "-") ==
          (expected && input.health == Health::kUp &&
           input.signal == Signal::kNone));
  }
}

TEST_CASE("the operator's word is the state and the reason whatever else is so",
          "[core][effective]") {
  for (const EffectiveInput& input : AllInputs()) {
    const Effective effective = DeriveEffective(input);
    if (input.admin == Admin::kMaint) {
      CHECK(effective.state == EffectiveState::kMaint);
      CHECK(effective.reason == "admin.maint");
    } else if (input.admin == Admin::kDrain) {
      CHECK(effective.state == (input.drained ? EffectiveState::kDrained
                                              : EffectiveState::kDraining));
      CHECK(effective.reason == "admin.drain");
    } else {
      CHECK(!absl::StartsWith(effective.reason, "admin."));
    }
  }
}

TEST_CASE("what is wrong is named: check, signal, first check, agent",
          "[core][effective]") {
  EffectiveInput input = Good();
  CHECK(DeriveEffective(input).reason == "-");
  input.agent = Presence::kUnknown;
  CHECK(DeriveEffective(input).reason == "agent.pending");
  CHECK(DeriveEffective(input).state == EffectiveState::kInit);
  input.health = Health::kInit;
  CHECK(DeriveEffective(input).reason == "check.pending");
  input.signal = Signal::kDrain;
  CHECK(DeriveEffective(input).reason == "signal.http-503");
  CHECK(DeriveEffective(input).state == EffectiveState::kDraining);
  input.signal_status = 500;
  CHECK(DeriveEffective(input).reason == "signal.http-500");
  input.health = Health::kDown;
  input.last_failure = {.outcome = ProbeOutcome::kStatusMismatch,
                        .http_status = 500};
  CHECK(DeriveEffective(input).reason == "check.status-mismatch(500)");
  CHECK(DeriveEffective(input).state == EffectiveState::kDown);
}

TEST_CASE("a backend that asks for no more is up, and says so",
          "[core][effective]") {
  EffectiveInput input = Good();
  input.signal = Signal::kHold;
  input.signal_status = 429;
  CHECK(DeriveEffective(input).state == EffectiveState::kUp);
  CHECK(DeriveEffective(input).eligible);
  CHECK(DeriveEffective(input).reason == "signal.http-429");
}

TEST_CASE("who takes a connection and says nothing on it is not dead",
          "[core][effective]") {
  EffectiveInput input = Good();
  input.health = Health::kDown;
  input.agent = Presence::kLost;
  input.last_failure = {.outcome = ProbeOutcome::kTimeout,
                        .step = ProbeStep::kResponse};
  CHECK((DeriveEffective(input).bits & FL_BACKEND_DEAD) == 0);
  input.last_failure->step = ProbeStep::kConnect;
  CHECK((DeriveEffective(input).bits & FL_BACKEND_DEAD) != 0);
}

TEST_CASE("dead is who is silent to checks and to the agent's poll",
          "[core][effective]") {
  const auto is_dead = [](ProbeOutcome outcome, Presence agent,
                          bool agent_asked = true) {
    EffectiveInput input = Good();
    input.health = Health::kDown;
    input.last_failure = {.outcome = outcome};
    input.agent = agent;
    input.agent_asked = agent_asked;
    return (DeriveEffective(input).bits & FL_BACKEND_DEAD) != 0;
  };
  CHECK(is_dead(ProbeOutcome::kTimeout, Presence::kLost));
  CHECK(is_dead(ProbeOutcome::kUnreachable, Presence::kAbsent));
  // It answers, if not at the VIP.
  CHECK_FALSE(is_dead(ProbeOutcome::kVipTimeout, Presence::kAbsent));
  CHECK_FALSE(is_dead(ProbeOutcome::kVipRefused, Presence::kAbsent));
  CHECK(is_dead(ProbeOutcome::kTimeout, Presence::kUnknown, false));
  CHECK(!is_dead(ProbeOutcome::kTimeout, Presence::kPresent));
  CHECK(!is_dead(ProbeOutcome::kRefused, Presence::kLost));
}

}  // namespace
}  // namespace fairlead::core
