// `fairlead check ...`: the checks of a service, and one that is made now.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "cli/check_options.h"
#include "cli/command_line.h"
#include "cli/session.h"

namespace fairlead::cli {

class CheckCommands {
 public:
  // Declares the commands; must live as long as `line` runs.
  explicit CheckCommands(CommandLine& line);
  CheckCommands(const CheckCommands&) = delete;
  CheckCommands& operator=(const CheckCommands&) = delete;

 private:
  void DeclareRun(CommandLine& line, CLI::App& noun);
  void DeclareChanges(CommandLine& line, CLI::App& noun);
  void DeclareList(CommandLine& line, CLI::App& noun);
  // SERVICE and CHECK.
  void AddNames(CLI::App& verb);

  absl::Status Run(Session& session) const;
  absl::Status List(Session& session) const;
  absl::Status Add(Session& session) const;
  absl::Status Set(Session& session) const;
  absl::Status Delete(Session& session) const;
  // The fields that were given.
  Json Settings() const;

  // Set by parsing.
  std::string service_;
  std::string backend_;
  std::string check_;
  std::optional<std::string> only_;
  bool verbose_ = false;
  CheckOptions options_;
  ChangeOptions change_;
};

}  // namespace fairlead::cli
