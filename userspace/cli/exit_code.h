// The exit codes of `fairlead`, and how a Status of the command line carries
// one: each code that is not "failed" has a StatusCode of its own here,
// whatever the Status of a lower layer meant by it.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace fairlead::cli {

enum class ExitCode : int {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kUnreachable = 3,
  kNotFound = 4,
  kPrecondition = 5,
  kTimedOut = 6,
  kBadConfig = 8,
  kPermission = 77,
};

inline absl::Status Failed(absl::string_view what) {
  return absl::UnknownError(what);
}
inline absl::Status UsageError(absl::string_view what) {
  return absl::InvalidArgumentError(what);
}
inline absl::Status Unreachable(absl::string_view what) {
  return absl::UnavailableError(what);
}
inline absl::Status TimedOut(absl::string_view what) {
  return absl::DeadlineExceededError(what);
}
inline absl::Status BadConfig(absl::string_view what) {
  return absl::DataLossError(what);
}

inline ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return ExitCode::kDone;
    case absl::StatusCode::kInvalidArgument:
      return ExitCode::kUsage;
    case absl::StatusCode::kUnavailable:
      return ExitCode::kUnreachable;
    case absl::StatusCode::kNotFound:
      return ExitCode::kNotFound;
    case absl::StatusCode::kFailedPrecondition:
      return ExitCode::kPrecondition;
    case absl::StatusCode::kDeadlineExceeded:
      return ExitCode::kTimedOut;
    case absl::StatusCode::kDataLoss:
      return ExitCode::kBadConfig;
    case absl::StatusCode::kPermissionDenied:
      return ExitCode::kPermission;
    default:
      return ExitCode::kFailed;
  }
}

}  // namespace fairlead::cli
