#include "core/effective.h"

#include "absl/strings/str_cat.h"
#include "core/check_set.h"
#include "core/flap.h"
#include "core/health.h"
#include "fairlead/abi/maps.h"

namespace fairlead::core {
namespace {

using Presence = AgentReport::Presence;

bool AgentAllows(const EffectiveInput& input) {
  if (!input.agent_asked) return true;
  if (input.agent == Presence::kAbsent) return !input.hop_lists;
  return input.agent != Presence::kUnknown && input.agent != Presence::kStale;
}

std::string SignalOf(const EffectiveInput& input) {
  return absl::StrCat("signal.http-", input.signal_status);
}

std::string FailureOf(const EffectiveInput& input) {
  return input.last_failure ? FailureReason(*input.last_failure) : "-";
}

void DeriveState(const EffectiveInput& input, Effective& effective) {
  const EffectiveState closed =
      input.drained ? EffectiveState::kDrained : EffectiveState::kDraining;
  const auto is = [&](EffectiveState state, std::string reason) {
    effective.state = state;
    effective.reason = std::move(reason);
  };
  const auto fails = [&](EffectiveState state, std::string reason) {
    effective.check = input.health_check;
    is(state, std::move(reason));
  };
  const auto asks = [&](EffectiveState state) {
    effective.check = input.signal_check;
    is(state, SignalOf(input));
  };
  if (input.admin == Admin::kMaint)
    return is(EffectiveState::kMaint, "admin.maint");
  if (input.admin == Admin::kDrain) return is(closed, "admin.drain");
  if (input.health == Health::kDown || input.health == Health::kRising)
    return fails(EffectiveState::kDown, FailureOf(input));
  if (input.signal == Signal::kDrain) return asks(closed);
  if (input.agent_drains) return is(closed, "signal.agent");
  if (input.health == Health::kInit)
    return fails(EffectiveState::kInit, "check.pending");
  if (!AgentAllows(input))
    return is(EffectiveState::kInit, input.agent == Presence::kAbsent
                                         ? "agent.absent"
                                         : "agent.pending");
  if (input.flap_hold) {
    effective.damped = true;
    return is(EffectiveState::kDown, FlapReason(*input.flap_hold));
  }
  effective.eligible = true;
  if (input.health == Health::kFalling)
    return fails(EffectiveState::kUp, FailureOf(input));
  if (input.signal == Signal::kHold) return asks(EffectiveState::kUp);
  is(EffectiveState::kUp, "-");
}

// Silent to probes and to the agent's poll: who takes a connection and says
// nothing on it lives. Then it comes last in hop lists;
// the packets of recorded flows go on to it all the same.
bool IsSilent(const EffectiveInput& input) {
  if (input.admin == Admin::kMaint || input.health != Health::kDown ||
      input.answers_some || !input.last_failure)
    return false;
  if (!IsSilence(*input.last_failure)) return false;
  return !input.agent_asked ||
         (input.agent != Presence::kPresent && input.agent != Presence::kStale);
}

// It fails, or does not want to, and can: nobody but its operator takes it out
// when too few are left. One that is silent would take connections to nowhere,
// and of one in init it is not known that it ever served.
bool CanFailOpen(const EffectiveInput& input) {
  const bool is_down = input.health == Health::kDown ||
                       input.health == Health::kRising || input.flap_hold;
  const bool asks = input.signal == Signal::kDrain || input.agent_drains;
  return input.admin == Admin::kReady && input.health != Health::kInit &&
         (is_down || asks) && AgentAllows(input) && !IsSilent(input);
}

}  // namespace

std::string ReasonText(absl::string_view reason, absl::string_view check) {
  return check.empty() ? std::string(reason)
                       : absl::StrCat(reason, " [", check, "]");
}

bool HasAgent(Presence presence) {
  return presence == Presence::kPresent || presence == Presence::kLost;
}

Effective DeriveEffective(const EffectiveInput& input) {
  Effective effective;
  DeriveState(input, effective);
  effective.bits = FL_BACKEND_USED;
  effective.fails_open = input.fail_open && CanFailOpen(input);
  if (effective.eligible || effective.fails_open)
    effective.bits |= FL_BACKEND_ELIGIBLE;
  if (input.admin == Admin::kReady) effective.bits |= FL_BACKEND_FAIL_OPEN;
  if (input.hop_lists && HasAgent(input.agent))
    effective.bits |= FL_BACKEND_AGENT;
  if (input.on_link) effective.bits |= FL_BACKEND_ON_LINK;
  if (input.capped) effective.bits |= FL_BACKEND_CAPPED;
  if (input.paced) effective.bits |= FL_BACKEND_PACED;
  if (IsSilent(input)) effective.bits |= FL_BACKEND_DEAD;
  return effective;
}

}  // namespace fairlead::core
