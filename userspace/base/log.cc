#include "base/log.h"

#include <unistd.h>

#include <cstdlib>
#include <string>

namespace fairlead::base {
namespace {

// Constant after start-up: set while options are read, before any other use.
LogLevel g_level = LogLevel::kInfo;

absl::string_view Prefix(LogLevel level) {
  static const bool journal = std::getenv("JOURNAL_STREAM") != nullptr;
  switch (level) {
    case LogLevel::kDebug:
      return journal ? "<7>" : "debug: ";
    case LogLevel::kInfo:
      return journal ? "<6>" : "info: ";
    case LogLevel::kWarning:
      return journal ? "<4>" : "warning: ";
    case LogLevel::kError:
      return journal ? "<3>" : "error: ";
  }
  return "";
}

}  // namespace

void SetLogLevel(LogLevel level) { g_level = level; }

void LogLine(LogLevel level, absl::string_view message) {
  if (level < g_level) return;
  const std::string line = absl::StrCat(Prefix(level), message, "\n");
  // A log that cannot be written has nowhere to be reported.
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace fairlead::base
