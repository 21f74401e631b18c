// Telling the service manager about this process: plain datagrams to the socket
// that it named in the environment, no library.
//
// Without such an environment every call is OK and does nothing, so a program
// behaves the same when it is started by hand.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fairlead::base {

inline constexpr absl::string_view kSdReady = "READY=1";
inline constexpr absl::string_view kSdStopping = "STOPPING=1";
inline constexpr absl::string_view kSdWatchdog = "WATCHDOG=1";

// To $NOTIFY_SOCKET. Several assignments are separated by newlines.
absl::Status SdNotify(absl::string_view state);

// To the socket of this name: a path, or "@name" for an abstract one.
absl::Status SdNotifyTo(absl::string_view socket_name, absl::string_view state);

// How often kSdWatchdog has to be sent: half of what the manager allows this
// process. Nothing if it does not watch this process.
std::optional<absl::Duration> SdWatchdogInterval();

}  // namespace fairlead::base
