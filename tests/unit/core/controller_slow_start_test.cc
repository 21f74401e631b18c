// What begins to take new connections, seen through the controller.
#include <catch2/catch.hpp>

#include "core/controller.h"
#include "fairlead/abi/maps.h"
#include "tests/support/core_world.h"

namespace fairlead::core {
namespace {

using testing::AddHealthyWeb;
using testing::CoreWorld;
using testing::SmallSettings;
using enum ProbeOutcome;

TEST_CASE("what begins to take new flows takes few of them at first",
          "[core][controller]") {
  CoreWorld world;
  ServiceSettings settings = SmallSettings();
  settings.slow_start = absl::Seconds(60);
  AddHealthyWeb(world, 2, settings);
  const auto held = [&](const std::string& backend) {
    return world.LineOf(backend) >> FL_BACKEND_HELD_SHIFT;
  };
  const auto step_for = [&](absl::Duration duration) {
    const base::MonoTime end = world.now() + duration;
    while (world.now() < end) world.AnswerNext(kSuccess);
  };
  CHECK(held("web1") == 243);
  CHECK(world.View("web1").state_text == "up (slow start 5 %)");
  CHECK(world.View("web1").slow_start_percent == 5);
  step_for(absl::Seconds(30));
  CHECK(world.View("web1").state_text == "up (slow start 52 %)");
  CHECK(world.View().available == 2);
  step_for(absl::Seconds(31));
  CHECK(held("web1") == 0);
  CHECK(world.View("web1").state_text == "up");
  CHECK(world.View("web1").slow_start_percent == 100);

  SECTION("after the operator's ready") {
    world.Do(SetAdmin{"web", "web2", Admin::kDrain});
    CHECK(held("web2") == 0);
    world.Do(SetAdmin{"web", "web2", Admin::kReady});
    CHECK(held("web2") == 243);
    CHECK(held("web1") == 0);
  }
  SECTION("after a recovery") {
    world.AnswerAll(kRefused, 3);
    CHECK(world.View("web2").state == EffectiveState::kDown);
    CHECK(held("web2") == 0);
    world.AnswerAll(kSuccess, 2);
    CHECK(world.View("web2").state == EffectiveState::kUp);
    CHECK(held("web2") > 230);
  }
  SECTION("not after a failure that did not take it out") {
    world.AnswerAll(kRefused, 2);
    world.AnswerAll(kSuccess);
    CHECK(held("web2") == 0);
  }
  SECTION("and no more is held back when the setting is taken away") {
    world.Do(SetAdmin{"web", "web2", Admin::kDrain});
    world.Do(SetAdmin{"web", "web2", Admin::kReady});
    SetService set{.name = "web"};
    set.settings.slow_start = absl::ZeroDuration();
    world.Do(set);
    CHECK(held("web2") == 0);
    CHECK(world.View("web2").state_text == "up");
  }
  SECTION("nor is anything begun anew when it is made longer") {
    SetService set{.name = "web"};
    set.settings.slow_start = absl::Minutes(30);
    world.Do(set);
    // A minute has passed of the thirty.
    CHECK(world.View("web2").slow_start_percent < 10);
    set.settings.slow_start = absl::Seconds(30);
    world.Do(set);
    CHECK(held("web2") == 0);
  }
}

TEST_CASE("a restart goes on with a slow start, and begins none",
          "[core][controller]") {
  CoreWorld world;
  ServiceSettings settings = SmallSettings();
  settings.slow_start = absl::Seconds(60);
  AddHealthyWeb(world, 2, settings);
  const base::MonoTime end = world.now() + absl::Seconds(61);
  while (world.now() < end) world.AnswerNext(kSuccess);
  world.Do(SetAdmin{"web", "web2", Admin::kDrain});
  world.Do(SetAdmin{"web", "web2", Admin::kReady});
  while (world.View("web2").slow_start_percent < 40) world.AnswerNext(kSuccess);
  const auto lines = world.tables().backends();
  REQUIRE(world.Restart().ok());
  CHECK(world.tables().backends() == lines);
  CHECK(world.View("web1").state_text == "up");
  CHECK(world.View("web2").slow_start_percent == 40);
  const base::MonoTime later = world.now() + absl::Seconds(37);
  while (world.now() < later) world.AnswerNext(kSuccess);
  CHECK(world.View("web2").slow_start_percent > 95);
  world.AnswerAll(kSuccess, 2);
  CHECK(world.View("web2").state_text == "up");
}

}  // namespace
}  // namespace fairlead::core
