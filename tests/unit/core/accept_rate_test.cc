// accept-rate, alone and through a controller.
#include "core/accept_rate.h"

#include <catch2/catch.hpp>
#include <string>

#include "core/views.h"
#include "fairlead/abi/maps.h"
#include "tests/support/core_world.h"

namespace fairlead::core {
namespace {

using testing::AddHealthyWeb;
using testing::CoreWorld;
using testing::SmallSettings;
using enum ProbeOutcome;

constexpr base::MonoTime kNow = base::MonoTime::FromNanoseconds(1'000'000'000);
constexpr absl::Duration kOver = absl::Seconds(60);

// In nanoseconds.
uint64_t Nanoseconds(uint32_t interval) {
  return uint64_t{interval} << FL_ACCEPT_SHIFT;
}

TEST_CASE("each LB host gives its part of an accept-rate",
          "[core][accept-rate]") {
  const SlowStart none;
  CHECK(PaceOf(0, 0, none, kOver, 1) == AcceptPace());
  AcceptPace pace = PaceOf(200, 0, none, kOver, 1);
  CHECK(Nanoseconds(pace.after) == 5'000'000);
  CHECK(pace.during == pace.after);
  CHECK(pace.until == base::MonoTime());
  CHECK(Nanoseconds(PaceOf(200, 0, none, kOver, 4).after) == 20'000'000);
  CHECK(Nanoseconds(PaceOf(FL_MAX_ACCEPT_RATE, 0, none, kOver, 1).after) ==
        992);  // of whole units
  // There always is one.
  CHECK(PaceOf(1, 255, none, kOver, 1000).during == UINT32_MAX);
  CHECK(PaceOf(FL_MAX_ACCEPT_RATE, 0, none, kOver, 1).after > 0);
}

TEST_CASE("an accept-rate grows with the share, and is whole by itself",
          "[core][accept-rate]") {
  SlowStart slow_start;
  slow_start.Begin(kNow);
  const auto at = [&](absl::Duration since) {
    const base::MonoTime now = kNow + since;
    return PaceOf(200, slow_start.Held(kOver, now), slow_start, kOver, 1);
  };
  const AcceptPace first = at(absl::ZeroDuration());
  // 13 of 256, which is 5 %.
  CHECK(Nanoseconds(first.during) / 1'000'000 == 98);
  CHECK(Nanoseconds(first.after) == 5'000'000);
  CHECK(first.until == kNow + kOver);
  uint32_t before = first.during;
  for (int second = 1; second < 60; ++second) {
    const AcceptPace pace = at(absl::Seconds(second));
    CHECK(pace.during < before);
    CHECK(pace.until == first.until);
    before = pace.during;
    // In a line from 5 % to all of it.
    const double share =
        static_cast<double>(pace.after) / static_cast<double>(pace.during);
    CHECK(share == Approx(0.05 + 0.95 * second / 60.0).margin(0.006));
  }
  CHECK(at(kOver) == PaceOf(200, 0, SlowStart(), kOver, 1));
}

TEST_CASE("an accept-rate in words", "[core][accept-rate]") {
  CHECK(AcceptRateText(200, 100) == "200/s");
  CHECK(AcceptRateText(200, 5) == "10/s of 200/s");
  CHECK(AcceptRateText(3, 5) == "1/s of 3/s");
}

TEST_CASE("the line of a backend with an accept-rate says so",
          "[core][accept-rate]") {
  CoreWorld world;
  ServiceSettings settings = SmallSettings();
  settings.slow_start = kOver;
  AddHealthyWeb(world, 2, settings);
  const BackendId id = world.IdOf("web1");
  CHECK((world.LineOf("web1") & FL_BACKEND_PACED) == 0);
  world.Do(SetBackend{.service = "web", .name = "web1", .accept_rate = 200});
  CHECK((world.LineOf("web1") & FL_BACKEND_PACED) != 0);
  CHECK((world.LineOf("web2") & FL_BACKEND_PACED) == 0);
  AcceptPace pace = world.tables().AcceptPace(id);
  CHECK(Nanoseconds(pace.after) == 5'000'000);
  CHECK(Nanoseconds(pace.during) / 1'000'000 == 98);
  CHECK(pace.until == world.now() + kOver);
  const auto step_for = [&](absl::Duration duration) {
    const base::MonoTime end = world.now() + duration;
    while (world.now() < end) world.AnswerNext(kSuccess);
  };
  step_for(absl::Seconds(30));
  pace = world.tables().AcceptPace(id);
  CHECK(Nanoseconds(pace.during) / 1'000'000 == 9);
  step_for(absl::Seconds(31));
  pace = world.tables().AcceptPace(id);
  CHECK(pace.during == pace.after);
  // Another LB host joins.
  world.controller().OnTier(2, world.now());
  CHECK(Nanoseconds(world.tables().AcceptPace(id).after) == 10'000'000);
  // A recovery begins anew.
  world.AnswerAll(kRefused, 3);
  world.AnswerAll(kSuccess, 2);
  pace = world.tables().AcceptPace(id);
  CHECK(pace.during / pace.after >= 18);
  world.Do(SetBackend{.service = "web", .name = "web1", .accept_rate = 0});
  CHECK((world.LineOf("web1") & FL_BACKEND_PACED) == 0);
}

TEST_CASE("a backend at its accept-rate is full for the moment",
          "[core][accept-rate]") {
  CoreWorld world;
  AddHealthyWeb(world, 1, SmallSettings());
  const auto view_at_due = [&](absl::Duration due) {
    LoadReport load = world.tables().Load(world.IdOf("web1"));
    load.accept_due = world.now() + due;
    world.tables().SetLoad(world.IdOf("web1"), load);
    BackendView view = world.View("web1");
    AddPace(world.now(), view);
    return view;
  };
  CHECK_FALSE(view_at_due(absl::Seconds(1)).full);
  world.Do(SetBackend{.service = "web", .name = "web1", .accept_rate = 200});
  CHECK_FALSE(view_at_due(absl::Milliseconds(100)).full);
  CHECK(view_at_due(absl::Milliseconds(100)).state_text == "up");
  const BackendView full = view_at_due(absl::Milliseconds(101));
  CHECK(full.full);
  CHECK(full.state_text == "full (200/s)");
  CHECK(full.reason == "accept-rate (200/s)");
  CHECK(full.eligible);
  world.AnswerAll(kRefused, 3);
  CHECK_FALSE(view_at_due(absl::Seconds(1)).full);
}

}  // namespace
}  // namespace fairlead::core
