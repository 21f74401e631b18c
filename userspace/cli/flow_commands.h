// `fairlead flows ...`: where one connection goes, and why.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "cli/command_line.h"
#include "cli/session.h"

namespace fairlead::cli {

class FlowCommands {
 public:
  // Declares the commands; must live as long as `line` runs.
  explicit FlowCommands(CommandLine& line);
  FlowCommands(const FlowCommands&) = delete;
  FlowCommands& operator=(const FlowCommands&) = delete;

 private:
  void AddTuple(CLI::App& app);
  absl::Status Lookup(Session& session) const;
  absl::Status Explain(Session& session) const;

  // Set by parsing.
  std::string source_;
  std::string destination_;
  std::optional<std::string> if_drain_;
};

}  // namespace fairlead::cli
