#include "core/slow_start.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <initializer_list>

#include "fairlead/abi/maps.h"

namespace fairlead::core {
namespace {

constexpr absl::Duration kMinute = absl::Minutes(1);

base::MonoTime At(absl::Duration since_boot) {
  return base::MonoTime::FromNanoseconds(1'000'000'000) + since_boot;
}

SlowStart BegunAt(base::MonoTime begin) {
  SlowStart start;
  start.Begin(begin);
  return start;
}

TEST_CASE("a share grows from 5 % in a line", "[core][slow-start]") {
  const SlowStart start = BegunAt(At(absl::ZeroDuration()));
  const auto percent_at = [&](absl::Duration passed) {
    return SlowStartPercent(start.Held(kMinute, At(passed)));
  };
  CHECK(percent_at(absl::ZeroDuration()) == 5);
  CHECK(percent_at(absl::Seconds(15)) == 28);
  CHECK(percent_at(absl::Seconds(30)) == 52);
  CHECK(percent_at(absl::Seconds(45)) == 76);
  CHECK(percent_at(absl::Milliseconds(59999)) == 100);
  CHECK(start.Held(kMinute, At(kMinute)) == 0);
  CHECK(start.Held(kMinute, At(absl::Hours(1))) == 0);
  // 5 % of the draws, rounded up.
  CHECK(start.Held(kMinute, At(absl::ZeroDuration())) == FL_DRAWS - 13);
  // A clock that is read twice may answer the older time last.
  CHECK(start.Held(kMinute, At(-absl::Seconds(1))) == FL_DRAWS - 13);
}

TEST_CASE("without a time, or when it has not begun, nothing is held back",
          "[core][slow-start]") {
  const base::MonoTime now = At(absl::ZeroDuration());
  SlowStart start;
  CHECK(start.Held(kMinute, now) == 0);
  CHECK(!start.NextStep(kMinute, now));
  start.Begin(now);
  CHECK(start.Held(absl::ZeroDuration(), now) == 0);
  CHECK(!start.NextStep(absl::ZeroDuration(), now));
  start.End();
  CHECK(start.Held(kMinute, now) == 0);
  CHECK(!start.NextStep(kMinute, now));
}

TEST_CASE("steps come to an end, and neither too often nor too seldom",
          "[core][slow-start]") {
  for (const absl::Duration over :
       {kShortestSlowStart, absl::Seconds(30), kMinute, kLongestSlowStart}) {
    const SlowStart start = BegunAt(At(absl::ZeroDuration()));
    base::MonoTime now = At(absl::ZeroDuration());
    uint32_t held = start.Held(over, now);
    int steps = 0;
    while (const auto next = start.NextStep(over, now)) {
      REQUIRE(*next > now);
      now = *next;
      const uint32_t less = start.Held(over, now);
      REQUIRE(less <= held);
      // One draw in 256 at a time, or what grows in a quarter of a second.
      REQUIRE(held - less <=
              2 + 256 * absl::FDivDuration(absl::Milliseconds(250), over));
      held = less;
      ++steps;
    }
    CHECK(held == 0);
    CHECK(now <= At(over));
    CHECK(now >= At(over * 0.99));
    CHECK(steps <= 257);
  }
}

TEST_CASE("another process goes on where the one before stopped",
          "[core][slow-start]") {
  const SlowStart before = BegunAt(At(absl::ZeroDuration()));
  for (int second = 0; second < 60; ++second) {
    const base::MonoTime now = At(absl::Seconds(second));
    const uint32_t held = before.Held(kMinute, now);
    SlowStart after;
    after.Resume(held, kMinute, now);
    CHECK(after.Held(kMinute, now) == held);
    for (const absl::Duration passed : {absl::Seconds(1), kMinute}) {
      // Within what one draw is worth.
      const auto was = static_cast<int>(before.Held(kMinute, now + passed));
      const auto is = static_cast<int>(after.Held(kMinute, now + passed));
      CHECK(std::abs(was - is) <= 1);
    }
  }
  SlowStart whole;
  whole.Resume(0, kMinute, At(kMinute));
  CHECK(whole.Held(kMinute, At(kMinute)) == 0);
  // From a line that nobody has written so.
  SlowStart strange;
  strange.Resume(255, kMinute, At(kMinute));
  CHECK(strange.Held(kMinute, At(kMinute)) == FL_DRAWS - 13);
}

TEST_CASE("slow starts are read as they are written", "[core][slow-start]") {
  CHECK(SlowStartText(absl::ZeroDuration()) == "off");
  CHECK(SlowStartText(absl::Seconds(90)) == "1m30s");
  CHECK(ParseSlowStart("off").value() == absl::ZeroDuration());
  CHECK(ParseSlowStart("1m30s").value() == absl::Seconds(90));
  CHECK(ParseSlowStart("30").status().message() ==
        "\"30\" is not a duration; write 500ms, 2s or 1h30m");
}

}  // namespace
}  // namespace fairlead::core
