// Each transition is an event that says how long it had been otherwise.
#include <catch2/catch.hpp>

#include "absl/strings/str_cat.h"
#include "core/controller.h"
#include "tests/support/core_world.h"

namespace fairlead::core {
namespace {

using testing::AddHealthyWeb;
using testing::AddWeb;
using testing::CoreWorld;
using testing::SmallSettings;
using enum ProbeOutcome;
using Strings = std::vector<std::string>;

// Of the only backend and its service.
Strings Timed(CoreWorld& world) {
  Strings texts;
  for (const Event& event : world.controller().TakeEvents())
    texts.push_back(absl::StrCat(
        event.type, ": ", event.before, " -> ", event.after, " (", event.reason,
        ") after ",
        event.lasted
            ? absl::FormatDuration(absl::Trunc(*event.lasted, absl::Seconds(1)))
            : "-"));
  return texts;
}

void RunFor(CoreWorld& world, absl::Duration duration,
            ProbeOutcome outcome = kSuccess) {
  const base::MonoTime end = world.now() + duration;
  while (world.now() < end) world.AnswerNext(outcome);
}

TEST_CASE("a change of state says how long the state before lasted",
          "[core][controller][events]") {
  CoreWorld world;
  AddWeb(world, 1);
  world.DueProbes();  // never answered: given up after 6 s
  world.AnswerNext(kSuccess);
  CHECK(Timed(world) == Strings{"backend.state: init -> up (-) after 6s"});
  world.Advance(absl::Seconds(90));
  world.Do(SetAdmin{"web", "web1", Admin::kDrain, true});
  CHECK(Timed(world) ==
        Strings{"backend.state: up -> draining (admin.drain) after 1m30s"});
  world.Advance(absl::Seconds(5));
  world.Do(SetAdmin{"web", "web1", Admin::kReady});
  CHECK(Timed(world) == Strings{"backend.state: draining -> up (-) after 5s"});
  RunFor(world, absl::Seconds(20));
  world.AnswerAll(kRefused, 3);
  const Strings down = Timed(world);
  REQUIRE(down.size() == 1);
  CHECK_THAT(down[0],
             Catch::StartsWith(
                 "backend.state: up -> down (check.tcp-refused) after 2"));
}

TEST_CASE("what was so before this daemon lasted nobody knows how long",
          "[core][controller][events]") {
  CoreWorld world;
  AddHealthyWeb(world, 1);
  world.Advance(absl::Minutes(10));
  REQUIRE(world.Restart().ok());
  world.controller().TakeEvents();
  world.Do(SetAdmin{"web", "web1", Admin::kDrain, true});
  CHECK(Timed(world) ==
        Strings{"backend.state: up -> draining (admin.drain) after -"});
  world.Advance(absl::Seconds(4));
  world.Do(SetAdmin{"web", "web1", Admin::kReady});
  CHECK(Timed(world) == Strings{"backend.state: draining -> up (-) after 4s"});
}

TEST_CASE("the end of a slow start is an event, once",
          "[core][controller][events]") {
  CoreWorld world;
  ServiceSettings settings = SmallSettings();
  settings.slow_start = absl::Seconds(60);
  AddHealthyWeb(world, 1, settings);
  world.controller().TakeEvents();
  SECTION("when its time has passed") {
    RunFor(world, absl::Seconds(59));
    CHECK(Timed(world).empty());
    RunFor(world, absl::Seconds(60));
    CHECK(Timed(world) ==
          Strings{"backend.slow-start: slow start -> whole share (-) after "
                  "1m"});
  }
  SECTION("when the setting is taken away") {
    RunFor(world, absl::Seconds(20));
    SetService set{.name = "web"};
    set.settings.slow_start = absl::ZeroDuration();
    world.Do(set);
    const Strings events = Timed(world);
    REQUIRE(events.size() == 1);
    CHECK_THAT(events[0],
               Catch::StartsWith("backend.slow-start: slow start -> whole "
                                 "share (slow-start.off) after 2"));
  }
  SECTION("not when it is taken out before") {
    RunFor(world, absl::Seconds(20));
    world.Do(SetAdmin{"web", "web1", Admin::kDrain, true});
    RunFor(world, absl::Seconds(100));
    for (const std::string& event : Timed(world))
      CHECK_THAT(event, Catch::StartsWith("backend.state"));
  }
  SECTION("and that of one which a daemon left to the next") {
    RunFor(world, absl::Seconds(30));
    REQUIRE(world.Restart().ok());
    RunFor(world, absl::Seconds(40));
    CHECK(Timed(world) ==
          Strings{"backend.slow-start: slow start -> whole share (-) after "
                  "59s"});
  }
}

TEST_CASE("a service that fails open says how long it did",
          "[core][controller][events]") {
  CoreWorld world;
  ServiceSettings settings = SmallSettings();
  settings.panic_percent = 100;
  AddHealthyWeb(world, 1, settings);
  world.controller().TakeEvents();
  const auto told = [&] {
    for (const Event& event : world.controller().TakeEvents())
      if (event.type == "service.fail-open") return event.lasted;
    FAIL("no event");
    return std::optional<absl::Duration>();
  };
  world.AnswerAll(kRefused, 3);
  CHECK(!told());
  const base::MonoTime begun = world.now();
  RunFor(world, absl::Seconds(30));
  const auto lasted = told();
  REQUIRE(lasted);
  CHECK(*lasted > absl::Seconds(10));
  CHECK(*lasted <= world.now() - begun);
}

TEST_CASE("so does one above its SYN budget", "[core][controller][events]") {
  CoreWorld world;
  AddHealthyWeb(world, 1);
  world.controller().TakeEvents();
  const auto sample = [&](uint64_t all, uint64_t over) {
    world.controller().OnNewFlows("web", {.all = all, .over_budget = over},
                                  world.now());
    world.Advance(absl::Seconds(1));
  };
  sample(0, 0);
  sample(100, 10);
  sample(200, 20);
  sample(300, 30);
  sample(400, 30);
  const std::vector<Event> events = world.controller().TakeEvents();
  REQUIRE(events.size() == 2);
  CHECK(!events[0].lasted);
  CHECK(events[1].before == "above");
  CHECK(events[1].lasted == absl::Seconds(3));
}

}  // namespace
}  // namespace fairlead::core
