// MonoTime: a point on CLOCK_MONOTONIC. A strong type, so that wall time
// (absl::Time) cannot be passed where only monotonic time makes sense. It reads
// no clock: only event/ does.
#pragma once

#include <compare>
#include <cstdint>

#include "absl/time/time.h"

namespace fairlead::base {

class MonoTime {
 public:
  constexpr MonoTime() = default;

  static constexpr MonoTime FromNanoseconds(int64_t ns) { return MonoTime(ns); }
  // Later than every real time.
  static constexpr MonoTime InfiniteFuture() { return MonoTime(INT64_MAX); }

  constexpr int64_t nanoseconds() const { return ns_; }

  friend constexpr auto operator<=>(MonoTime, MonoTime) = default;
  friend absl::Duration operator-(MonoTime a, MonoTime b) {
    return absl::Nanoseconds(a.ns_ - b.ns_);
  }
  // Saturates: adding an infinite duration gives InfiniteFuture().
  friend MonoTime operator+(MonoTime a, absl::Duration d) {
    if (a == InfiniteFuture() || d == absl::InfiniteDuration())
      return InfiniteFuture();
    return MonoTime(a.ns_ + absl::ToInt64Nanoseconds(d));
  }
  friend MonoTime operator-(MonoTime a, absl::Duration d) { return a + (-d); }

 private:
  explicit constexpr MonoTime(int64_t ns) : ns_(ns) {}
  int64_t ns_ = 0;
};

}  // namespace fairlead::base
