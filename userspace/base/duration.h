// Durations as people write them, in config files and on the command line:
// "500ms", "2s", "1h30m". absl::FormatDuration prints the same form.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fairlead::base {

// INVALID_ARGUMENT if there is no unit, or it is negative or infinite.
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);

}  // namespace fairlead::base
