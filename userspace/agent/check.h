// `fairlead-agent check`: gathers facts, has them judged, prints the findings.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/judge.h"
#include "base/ip_address.h"
#include "config/agent_config.h"

namespace fairlead::agent {

enum class Output { kTable, kJson };

struct CheckOptions {
  std::string config_path;
  // Besides those that the LB hosts have told.
  std::vector<base::Endpoint> vips;
  Output output = Output::kTable;
};

// True if nothing failed. An error if the facts cannot be had.
absl::StatusOr<bool> CheckHost(const config::AgentConfig& config,
                               const CheckOptions& options, std::ostream& out);

void PrintFindings(const std::vector<Finding>& findings, Output output,
                   std::ostream& out);

}  // namespace fairlead::agent
