// max-conn, through a controller.
#include "core/conn_limits.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "fairlead/abi/maps.h"
#include "tests/support/core_world.h"

namespace fairlead::core {
namespace {

using testing::AddHealthyWeb;
using testing::CoreWorld;
using testing::SmallSettings;
using Presence = AgentReport::Presence;
using Strings = std::vector<std::string>;

TEST_CASE("a backend is full when as many have begun as there was room for",
          "[core][max-conn]") {
  CoreWorld world;
  ServiceSettings settings = SmallSettings();
  settings.agent_port = 6082;
  AddHealthyWeb(world, 2, settings);
  world.controller().TakeEvents();
  const auto begin = [&](const std::string& backend, uint64_t flows) {
    LoadReport load = world.tables().Load(world.IdOf(backend));
    load.begun += flows;
    world.tables().SetLoad(world.IdOf(backend), load);
  };
  const auto set = [&](const std::string& backend, uint32_t max_conn) {
    world.Do(
        SetBackend{.service = "web", .name = backend, .max_conn = max_conn});
  };
  begin("web1", 500);
  world.Report("web1", Presence::kPresent, 500);
  CHECK((world.LineOf("web1") & FL_BACKEND_CAPPED) == 0);
  set("web1", 800);
  CHECK((world.LineOf("web1") & FL_BACKEND_CAPPED) != 0);
  CHECK(world.tables().Load(world.IdOf("web1")).bound == 800);
  CHECK(world.tables().BoundUntil(world.IdOf("web1")) ==
        world.now() + kBoundLifetime);
  begin("web1", 299);
  CHECK_FALSE(world.View("web1").full);
  CHECK(world.View("web1").connections == 799);
  begin("web1", 1);
  CHECK(world.View("web1").full);
  CHECK(world.View("web1").state_text == "full (800/800)");
  CHECK(world.View("web1").reason == "max-conn");
  CHECK(world.controller().Alarms().empty());
  set("web2", 1);
  begin("web2", 1);
  CHECK(world.View().available == 2);
  CHECK(world.controller().Alarms() ==
        Strings{"service web: all 2 backends that take new connections are "
                "full: clients are refused; raise their max-conn with backend "
                "set, or add a backend"});
  // A hundred have left.
  world.Advance(absl::Seconds(1));
  world.Report("web1", Presence::kPresent, 700);
  CHECK(world.tables().Load(world.IdOf("web1")).bound == 900);
  CHECK(world.View("web1").state_text == "up");
  CHECK(world.controller().Alarms().empty());
  set("web1", 0);
  CHECK((world.LineOf("web1") & FL_BACKEND_CAPPED) == 0);
  CHECK(testing::ComplainOfDifference(world.tables(), world.controller()) ==
        "");
}

TEST_CASE("a daemon that has just started keeps the bound that it finds",
          "[core][max-conn]") {
  CoreWorld world;
  AddHealthyWeb(world, 1);
  world.Do(SetBackend{.service = "web", .name = "web1", .max_conn = 10});
  const BackendId id = world.IdOf("web1");
  CHECK(world.tables().Load(id).bound == 10);
  world.tables().SetLoad(id, {.live = 10, .begun = 10, .bound = 10});
  REQUIRE(world.Restart().ok());
  CHECK(world.tables().Load(id).bound == 10);
  CHECK(world.View("web1").full);
  std::vector<FlowCounts> counts(id + 1u);
  counts[id] = {.begun = 10, .confirmed = 4, .settled = 4};
  world.controller().OnFlowCounts(counts, world.now());
  CHECK(world.tables().Load(id).bound == 16);
  CHECK_FALSE(world.View("web1").full);
}

}  // namespace
}  // namespace fairlead::core
