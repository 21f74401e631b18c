#include "core/check_list.h"

#include <catch2/catch.hpp>

#include "tests/support/core_world.h"

namespace fairlead::core {
namespace {

using Catch::Matchers::Contains;
using testing::CoreWorld;

AddCheck Live() {
  return {.service = "web",
          .name = "live",
          .settings = {.check = CheckKind::kWs, .check_path = "/live"}};
}

const Service& Web(const CoreWorld& world) {
  return world.controller().desired().services.at("web");
}

TEST_CASE("checks are added, changed and deleted by name", "[core][check]") {
  CoreWorld world;
  testing::AddWeb(world, 1);
  world.Do(Live());
  CHECK(Web(world).more_checks.at("live").path == "/live");
  CHECK(Web(world).check == CheckConfig());
  CHECK(ChecksOf(Web(world)).size() == 2);
  CHECK(ChecksOf(Web(world))[0].name == "main");
  world.Do(SetCheck{"web", "live", {.check_fall = 5}});
  CHECK(Web(world).more_checks.at("live").fall == 5);
  CHECK(Web(world).more_checks.at("live").path == "/live");
  // The first is the one that `service set` speaks of.
  world.Do(SetCheck{"web", "main", {.check_rise = 4}});
  CHECK(Web(world).check.rise == 4);
  world.Do(DeleteCheck{"web", "main"});
  CHECK(Web(world).check.kind == CheckKind::kNone);
  CHECK(ChecksOf(Web(world)).size() == 1);
  world.Do(AddCheck{"web", "main", {.check = CheckKind::kHttp}});
  CHECK(Web(world).check.kind == CheckKind::kHttp);
  world.Do(DeleteCheck{"web", "live"});
  CHECK(Web(world).more_checks.empty());
}

TEST_CASE("a check has the time-out that a short interval allows",
          "[core][check]") {
  CoreWorld world;
  testing::AddWeb(world, 1);
  AddCheck add = Live();
  add.settings.check_interval = absl::Milliseconds(400);
  world.Do(add);
  CHECK(Web(world).more_checks.at("live").timeout == absl::Milliseconds(400));
}

TEST_CASE("what was changed of a check is told", "[core][check]") {
  CoreWorld world;
  testing::AddWeb(world, 1);
  world.Do(Live());
  const auto change = world.controller().Prepare(
      SetCheck{"web",
               "live",
               {.check_path = "/alive", .check_interval = absl::Seconds(5)}},
      world.wall());
  REQUIRE(change.ok());
  REQUIRE(change->events.size() == 1);
  CHECK(change->events[0].type == "check.set");
  CHECK(change->events[0].service == "web");
  CHECK(change->events[0].before == "live: path /live, interval 2s");
  CHECK(change->events[0].after == "live: path /alive, interval 5s");
  REQUIRE(change->plan.size() == 1);
  CHECK(change->plan[0] == "service web: check live: set; no table is written");
  // What is so already is no change.
  const auto same = world.controller().Prepare(
      SetCheck{"web", "live", {.check_path = "/live"}}, world.wall());
  CHECK(same->events.empty());
}

TEST_CASE("a check that cannot be is refused with a remedy", "[core][check]") {
  CoreWorld world;
  testing::AddWeb(world, 1);
  world.Do(Live());
  struct Case {
    Command command;
    absl::StatusCode code;
    const char* says;
  };
  const Case cases[] = {
      {Live(), absl::StatusCode::kAlreadyExists,
       "check \"live\" of service \"web\": there is one of that name; change "
       "it with check set"},
      {AddCheck{"web", "main", {}}, absl::StatusCode::kAlreadyExists,
       "check \"main\" of service \"web\": there is one of that name"},
      {AddCheck{"web", "No", {}}, absl::StatusCode::kInvalidArgument,
       "name \"No\": must be 1 to 63 of a-z"},
      {AddCheck{"web", "x", {.check = CheckKind::kNone}},
       absl::StatusCode::kInvalidArgument, "check none: checks nothing"},
      {AddCheck{"web", "x", {.check_path = "/x"}},
       absl::StatusCode::kInvalidArgument,
       "path, host and headers need check http"},
      {SetCheck{"web", "live", {.check = CheckKind::kNone}},
       absl::StatusCode::kInvalidArgument, "delete it"},
      {SetCheck{"web", "live", {.check_fall = 11}},
       absl::StatusCode::kInvalidArgument, "check fall 11: must be 1 to 10"},
      {SetCheck{"web", "life", {.check_fall = 2}}, absl::StatusCode::kNotFound,
       "no check \"life\" of service \"web\" (did you mean \"live\"?"},
      {DeleteCheck{"web", "x"}, absl::StatusCode::kNotFound, "no check \"x\""},
      {DeleteCheck{"wob", "x"}, absl::StatusCode::kNotFound,
       "no service \"wob\""},
  };
  for (const auto& [command, code, says] : cases) {
    const absl::Status refused = world.Try(command);
    CHECK(refused.code() == code);
    CHECK_THAT(std::string(refused.message()), Contains(says));
  }
}

TEST_CASE("a service has at most eight checks, and never loses the last",
          "[core][check]") {
  CoreWorld world;
  testing::AddWeb(world, 1);
  for (size_t i = 1; i < kMostChecks; ++i)
    world.Do(AddCheck{"web", "c" + std::to_string(i), {}});
  const absl::Status full = world.Try(Live());
  CHECK(full.code() == absl::StatusCode::kResourceExhausted);
  CHECK_THAT(std::string(full.message()), Contains("at most 8 checks, not 9"));
  world.Do(DeleteCheck{"web", "main"});
  for (size_t i = 2; i < kMostChecks; ++i)
    world.Do(DeleteCheck{"web", "c" + std::to_string(i)});
  const absl::Status last = world.Try(DeleteCheck{"web", "c1"});
  CHECK(last.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(last.message()),
             Contains("it is the last one") && Contains("--check none"));
}

}  // namespace
}  // namespace fairlead::core
