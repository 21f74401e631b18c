#include "core/slow_start.h"

#include <algorithm>
#include <utility>

#include "base/duration.h"
#include "base/status_macros.h"
#include "fairlead/abi/maps.h"

namespace fairlead::core {
namespace {

// Draws that are held back at first: all but 5 %.
constexpr double kHeldAtFirst = 0.95 * FL_DRAWS;
// What a client cannot notice needs no store: a thousand backends that start at
// once are not to keep the daemon busy.
constexpr absl::Duration kShortestStep = absl::Milliseconds(250);

}  // namespace

void SlowStart::Resume(uint32_t held, absl::Duration over, base::MonoTime now) {
  if (held == 0) return End();
  // In the middle of the time in which so many are.
  const double left = (static_cast<double>(held) + 0.5) / kHeldAtFirst;
  since_ = now - over * (1 - std::min(left, 1.0));
  held_back_ = true;
}

uint32_t SlowStart::Held(absl::Duration over, base::MonoTime now) const {
  if (!since_ || now - *since_ >= over) return 0;
  const double left = 1 - absl::FDivDuration(now - *since_, over);
  // Rounded down, and so its share up: there always is one.
  return static_cast<uint32_t>(std::min(left, 1.0) * kHeldAtFirst);
}

std::optional<absl::Duration> SlowStart::TakeCompletion(absl::Duration over,
                                                        base::MonoTime now) {
  const bool was_held_back = std::exchange(held_back_, Held(over, now) > 0);
  if (!since_ || !was_held_back || held_back_) return std::nullopt;
  return now - *since_;
}

std::optional<base::MonoTime> SlowStart::NextStep(absl::Duration over,
                                                  base::MonoTime now) const {
  if (Held(over, now) == 0) return std::nullopt;
  const absl::Duration step =
      std::max(kShortestStep, over / static_cast<int64_t>(FL_DRAWS));
  return std::max(std::min(now + step, *since_ + over),
                  now + absl::Nanoseconds(1));
}

int SlowStartPercent(uint32_t held) {
  return static_cast<int>((FL_DRAWS - held) * 100 / FL_DRAWS);
}

std::string SlowStartText(absl::Duration over) {
  return over == absl::ZeroDuration() ? "off" : absl::FormatDuration(over);
}

absl::StatusOr<absl::Duration> ParseSlowStart(absl::string_view text) {
  if (text == "off") return absl::ZeroDuration();
  return base::ParseDuration(text);
}

}  // namespace fairlead::core
