// What follows from the three intents and the agent: the effective state, the
// reason that says why, and the bits of the backend's line. One function of its
// input; a check or a signal makes things worse than the operator's intent,
// never better.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/model.h"

namespace fairlead::core {

struct EffectiveInput {
  Admin admin = Admin::kReady;
  Health health = Health::kInit;
  Signal signal = Signal::kNone;
  int signal_status = 503;  // of the answer that set it
  std::optional<ProbeResult> last_failure;
  // The checks that they are of; empty where there is one only.
  std::string health_check;
  std::string signal_check;
  // Some check of it is answered, if only by a refusal.
  bool answers_some = false;
  bool agent_drains = false;
  bool agent_asked = false;  // the service has an agent port
  bool hop_lists = false;    // and its packets are for agents only
  bool on_link = false;      // and do not get there through a gateway
  bool capped = false;       // it has a max-conn
  bool paced = false;        // it has an accept-rate
  AgentReport::Presence agent = AgentReport::Presence::kUnknown;
  bool drained = false;
  // Its checks succeed, and it is held down for having flapped.
  std::optional<absl::Duration> flap_hold;
  bool fail_open = false;  // too few of the service's backends are available
};

struct Effective {
  EffectiveState state = EffectiveState::kInit;
  std::string reason = "-";
  std::string check;  // that the reason is of, if there are several
  bool eligible = false;
  bool damped = false;      // would be, if it were not held down
  bool fails_open = false;  // takes new flows although it is not eligible
  uint64_t bits = 0;        // FL_BACKEND_*
  uint32_t held = 0;        // while it starts slowly; in `bits`, too

  friend bool operator==(const Effective&, const Effective&) = default;
};

// "check.ws-handshake(503) [live]": with the check, where there are several.
std::string ReasonText(absl::string_view reason, absl::string_view check);

// An agent works there, though it may be silent: hop lists are honoured.
bool HasAgent(AgentReport::Presence presence);

Effective DeriveEffective(const EffectiveInput& input);

}  // namespace fairlead::core
