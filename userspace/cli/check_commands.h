// `fairlead check ...`: a health check that is made now.
#pragma once

#include <string>

#include "absl/status/status.h"
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
  absl::Status Run(Session& session) const;

  // Set by parsing.
  std::string service_;
  std::string backend_;
  bool verbose_ = false;
};

}  // namespace fairlead::cli
