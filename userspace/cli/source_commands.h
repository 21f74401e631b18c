// `fairlead service allow|deny|unlist|sources`: who may open connections to a
// service.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/command_line.h"
#include "cli/session.h"

namespace fairlead::cli {

class SourceCommands {
 public:
  // Declares the commands below the noun `service`; must live as long as `line`
  // runs.
  SourceCommands(CommandLine& line, CLI::App& service);
  SourceCommands(const SourceCommands&) = delete;
  SourceCommands& operator=(const SourceCommands&) = delete;

 private:
  void DeclareLists(CommandLine& line, CLI::App& service);
  void DeclareUnlist(CommandLine& line, CLI::App& service);

  // `verb` is the API's.
  absl::Status Change(Session& session, const std::string& verb) const;
  absl::Status Show(Session& session) const;

  // Set by parsing.
  std::string service_;
  std::vector<std::string> prefixes_;
  bool all_ = false;
  ChangeOptions change_;
};

}  // namespace fairlead::cli
