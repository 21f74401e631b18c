// FlapDamping: whether a backend has gone down so often of late that its
// successes are not to be trusted: each time it comes back it takes new
// connections that it loses soon after. It is then held down, though its checks
// succeed, until it has not failed for as long as the hold says: 30 s, twice as
// long each time that it flaps again, and one doubling less after each calm ten
// minutes. It ends by itself; whoever needs the backend may end it before.
//
// Pure; time is an argument.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/mono_time.h"
#include "core/model.h"

namespace fairlead::core {

// So many times down within so long is flapping.
inline constexpr size_t kFlaps = 5;
inline constexpr absl::Duration kFlapWindow = absl::Seconds(60);
inline constexpr absl::Duration kShortestFlapHold = absl::Seconds(30);
inline constexpr absl::Duration kLongestFlapHold = absl::Minutes(10);
// Without having gone down, after a hold.
inline constexpr absl::Duration kFlapCalm = absl::Minutes(10);

class FlapDamping {
 public:
  // What the checks say now; calls that bring nothing new are no matter.
  void OnHealth(Health health, base::MonoTime now);
  // It is needed all the same. What it did is not forgotten.
  void Pardon() {
    until_.reset();
    why_ended_ = "flap.needed";
  }
  // As if nothing had been.
  void Stop();

  // How long it has to be without a failure; nullopt: it is not held.
  std::optional<absl::Duration> Hold(base::MonoTime now) const;
  // When Hold() may answer something else without a call in between.
  std::optional<base::MonoTime> Deadline(base::MonoTime now) const;

  // That it is held, or no longer, once.
  struct Change {
    bool begins = false;
    std::string reason;
    std::optional<absl::Duration> lasted;  // of what has ended
  };
  std::optional<Change> TakeChange(base::MonoTime now);

 private:
  void Begin(base::MonoTime now);

  bool serves_ = false;
  std::array<std::optional<base::MonoTime>, kFlaps> falls_;  // a ring
  size_t next_ = 0;                                          // the oldest fall
  int doublings_ = 0;
  absl::Duration hold_;
  std::optional<base::MonoTime> until_;
  std::optional<base::MonoTime> last_end_;  // of the last hold, as planned
  absl::string_view why_ended_;
  std::optional<base::MonoTime> told_since_;
};

// "check.flapping(5 in 60 s, held 30s)"
std::string FlapReason(absl::Duration hold);

}  // namespace fairlead::core
