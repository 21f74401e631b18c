#include "base/duration.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/text.h"

namespace fairlead::base {

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) ||
      duration < absl::ZeroDuration() || duration == absl::InfiniteDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        Quoted(text), " is not a duration; write 500ms, 2s or 1h30m"));
  }
  return duration;
}

}  // namespace fairlead::base
