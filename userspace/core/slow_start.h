// SlowStart: a backend that has just begun to take new connections takes few of
// them at first, and more by the time: from 5 % of its share in a line up to
// all of it. What it leaves, others take, if any of them take new connections.
//
// The packet path draws one of FL_DRAWS numbers for a new flow, and holds it
// back from a backend if the draw is below what the backend's line says. Pure;
// time is an argument.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/mono_time.h"

namespace fairlead::core {

inline constexpr absl::Duration kShortestSlowStart = absl::Seconds(1);
inline constexpr absl::Duration kLongestSlowStart = absl::Hours(1);

// In all of these, `over` is the time from the beginning to its whole share; 0:
// it has all of it at once.
class SlowStart {
 public:
  // It takes new connections from now on.
  void Begin(base::MonoTime now) {
    since_ = now;
    held_back_ = false;
  }
  // As another process left it, with `held` in its line.
  void Resume(uint32_t held, absl::Duration over, base::MonoTime now);
  // It takes none any more.
  void End() { since_.reset(); }
  // How long it had less than its whole share, once each time that it has come
  // to it.
  std::optional<absl::Duration> TakeCompletion(absl::Duration over,
                                               base::MonoTime now);

  // Draws that are not its own; 0: none.
  uint32_t Held(absl::Duration over, base::MonoTime now) const;
  // From when on it has all of its share; nullopt: it does not start slowly.
  std::optional<base::MonoTime> WholeAt(absl::Duration over) const {
    return since_ ? std::optional(*since_ + over) : std::nullopt;
  }
  // When Held() is worth storing again; nullopt: it has all of its share.
  std::optional<base::MonoTime> NextStep(absl::Duration over,
                                         base::MonoTime now) const;

 private:
  std::optional<base::MonoTime> since_;
  bool held_back_ = false;  // at the last TakeCompletion()
};

// Of its share, what is not held back.
int SlowStartPercent(uint32_t held);

// "off", "30s"
std::string SlowStartText(absl::Duration over);
// "off" or a duration of any length.
absl::StatusOr<absl::Duration> ParseSlowStart(absl::string_view text);

}  // namespace fairlead::core
