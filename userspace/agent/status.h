// `fairlead-agent status`: what the running agent says of itself, or, if none
// answers, what the pinned maps hold.
#pragma once

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "agent/check.h"
#include "config/agent_config.h"

namespace fairlead::agent {

// OK if an agent answered. UNAVAILABLE if none did: what the pinned maps hold,
// if there are any, has been printed then.
// Tells the running agent that this host wants no new connections, or wants
// them again. UNAVAILABLE if no agent answers.
absl::Status SayDraining(const config::AgentConfig& config, bool draining);

absl::Status PrintStatus(const config::AgentConfig& config, Output output,
                         std::ostream& out);

// The answer to GET /v1/status as tables. DATA_LOSS if it is none.
absl::Status RenderStatus(absl::string_view json, std::ostream& out);

}  // namespace fairlead::agent
