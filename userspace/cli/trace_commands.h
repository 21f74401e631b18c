// `fairlead trace`: single packets on their way through the packet path.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "cli/command_line.h"
#include "cli/json.h"
#include "cli/pcapng.h"
#include "cli/session.h"
#include "http/message.h"

namespace fairlead::cli {

class TraceCommands {
 public:
  // Declares the command; must live as long as `line` runs.
  explicit TraceCommands(CommandLine& line);
  TraceCommands(const TraceCommands&) = delete;
  TraceCommands& operator=(const TraceCommands&) = delete;

 private:
  absl::Status Trace(Session& session) const;
  http::StringMap Query() const;
  void PrintMissed(Session& session, int64_t missed) const;

  // Set by parsing.
  std::optional<std::string> source_;
  std::optional<std::string> destination_;
  std::optional<std::string> service_;
  std::optional<std::string> verdict_;
  std::optional<uint64_t> count_;
  std::string file_;
};

}  // namespace fairlead::cli
