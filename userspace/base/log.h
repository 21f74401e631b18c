// One line per event to stderr, for journald. Only daemon, agent, event and
// control log; every other layer returns a Status or an event.
#pragma once

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace fairlead::base {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Lines below `level` are dropped. The default is kInfo.
void SetLogLevel(LogLevel level);

// Writes "<N>message", with journald's priority prefix when stderr is a
// journal stream and "level: message" otherwise.
void LogLine(LogLevel level, absl::string_view message);

template <typename... Parts>
void LogInfo(const Parts&... parts) {
  LogLine(LogLevel::kInfo, absl::StrCat(parts...));
}
template <typename... Parts>
void LogWarning(const Parts&... parts) {
  LogLine(LogLevel::kWarning, absl::StrCat(parts...));
}
template <typename... Parts>
void LogError(const Parts&... parts) {
  LogLine(LogLevel::kError, absl::StrCat(parts...));
}

}  // namespace fairlead::base
