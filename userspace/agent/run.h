// `fairlead-agent run`: builds the agent's parts and runs them on one loop
// until SIGTERM or SIGINT. The program stays attached.
#pragma once

#include "absl/status/status.h"
#include "config/agent_config.h"

namespace fairlead::agent {

// OK after a signal. PERMISSION_DENIED names the missing capabilities.
absl::Status RunAgent(const config::AgentConfig& config);

}  // namespace fairlead::agent
