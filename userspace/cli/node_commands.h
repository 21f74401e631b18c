// The commands about this LB host as a whole: status, verdicts, events, config
// check, node detach.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "cli/command_line.h"
#include "cli/session.h"

namespace fairlead::cli {

class NodeCommands {
 public:
  // Declares the commands; must live as long as `line` runs.
  explicit NodeCommands(CommandLine& line);
  NodeCommands(const NodeCommands&) = delete;
  NodeCommands& operator=(const NodeCommands&) = delete;

 private:
  void DeclareEvents(CommandLine& line);
  void DeclareConfig(CommandLine& line);
  void DeclareNode(CommandLine& line);

  absl::Status Status(Session& session) const;
  absl::Status Verdicts(Session& session) const;
  absl::Status Events(Session& session) const;
  absl::Status FollowEvents(Session& session, http::StringMap query) const;
  absl::Status CheckConfig(Session& session) const;
  absl::Status Detach(Session& session) const;

  // Set by parsing.
  bool follow_ = false;
  std::optional<uint64_t> since_;
  std::optional<uint64_t> limit_;
  std::string file_;
  bool agent_config_ = false;
  ChangeOptions change_;
};

}  // namespace fairlead::cli
