// FailOpen: whether so few backends of one service are available that those
// that fail, or ask to be left alone, are to take new connections too: what
// takes many out at once is more often what they share than each of them.
//
// It begins at once, and ends when enough have been available for a while: a
// service at the border does not swing. Pure; time is an argument.
#pragma once

#include <optional>

#include "absl/time/time.h"
#include "base/mono_time.h"

namespace fairlead::core {

// So long have enough to be available until it ends.
inline constexpr absl::Duration kFailOpenCalm = absl::Seconds(10);

class FailOpen {
 public:
  // Of the backends that their operator wants to take new connections, and of
  // which something is known.
  struct Count {
    int available = 0;
    int all = 0;
  };
  // It begins below `percent` of them; 0: never. True if it begins or ends.
  bool OnCount(const Count& count, int percent, base::MonoTime now);

  bool active() const { return active_; }
  // How long it had been otherwise before the last change; nullopt: it never
  // was.
  std::optional<absl::Duration> lasted() const { return lasted_; }
  // When OnCount() may answer something else without another count.
  std::optional<base::MonoTime> deadline() const { return ends_at_; }

 private:
  bool active_ = false;
  std::optional<base::MonoTime> changed_at_;
  std::optional<absl::Duration> lasted_;
  std::optional<base::MonoTime> ends_at_;
};

}  // namespace fairlead::core
