// What is said for the tier, on each of its LB hosts.
#include "core/tier_share.h"

#include <catch2/catch.hpp>

#include "core/conn_limit.h"
#include "tests/support/core_world.h"

namespace fairlead::core {
namespace {

using testing::AddHealthyWeb;
using testing::CoreWorld;

const base::MonoTime kNow = base::MonoTime::FromNanoseconds(1'000'000'000);

TEST_CASE("a share is never nothing of something", "[core][tier]") {
  CHECK(ShareOf(0, 3) == 0);
  CHECK(ShareOf(1, 3) == 1);
  CHECK(ShareOf(9, 3) == 3);
  CHECK(ShareOf(10, 3) == 4);
  CHECK(ShareOf(uint64_t{0} - 1, 1) == uint64_t{0} - 1);
}

TEST_CASE("each LB host takes its share of the room that an agent leaves",
          "[core][tier][max-conn]") {
  ConnLimit limit(0);
  // As long as nobody has counted, and where only this host does.
  CHECK(limit.Bound(1000, 4) == 250);
  limit.OnFlows({.begun = 100, .confirmed = 100}, {.begun = 100},
                {.presence = AgentReport::Presence::kAbsent}, kNow);
  CHECK(limit.Bound(1000, 4) == 100 + 150);
  CHECK(limit.Bound(300, 4) == 100);
  // The agent's count is of all hosts: what is left is divided, so that a host
  // to which all clients come fills the backend in the end.
  limit.OnAgent({.presence = AgentReport::Presence::kPresent,
                 .live_sockets = 600,
                 .begun = kNow},
                {.begun = 200}, kNow);
  CHECK(limit.Bound(1000, 4) == 200 + 100);
  CHECK(limit.Bound(1000, 1) == 200 + 400);
}

TEST_CASE("who may open how many connections is divided among the LB hosts",
          "[core][tier]") {
  CoreWorld world;
  AddHealthyWeb(world, 2);
  SetService command = {.name = "web", .settings = {}};
  command.settings.source_rate = 100;
  command.settings.source_burst = 7;
  world.Do(command);
  const auto rate = [&] {
    const auto& entries = world.tables().services();
    REQUIRE(entries.size() == 1);
    return entries.begin()->second.source_rate;
  };
  CHECK(rate().rate == 100);
  world.controller().OnTier(3, world.now());
  CHECK(rate().rate == 34);
  CHECK(rate().burst == 3);
  world.controller().OnTier(2, world.now());
  CHECK(rate().rate == 50);
  CHECK(ShareOf(SourceRate{.most = 10}, 3).most == 4);
  CHECK(ShareOf(SourceRate{}, 3).most == 0);
  // What the operator has said stays.
  CHECK(world.controller().desired().services.at("web").source_rate.rate ==
        100);
}

}  // namespace
}  // namespace fairlead::core
