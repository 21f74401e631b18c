// A backend that goes up and down, and one that is taken for up before its
// first check: what the controller makes of them.
#include <catch2/catch.hpp>

#include "absl/container/btree_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/controller.h"
#include "fairlead/abi/maps.h"
#include "tests/support/core_world.h"

namespace fairlead::core {
namespace {

using testing::AddHealthyWeb;
using testing::AddWeb;
using testing::CoreWorld;
using testing::SmallSettings;
using enum ProbeOutcome;
using Strings = std::vector<std::string>;

// Answers what is due within `duration`: those in `failing` refuse.
void Run(CoreWorld& world, absl::Duration duration,
         const absl::btree_set<std::string>& failing) {
  const base::MonoTime end = world.now() + duration;
  while (true) {
    const auto deadline = world.controller().NextDeadline();
    if (!deadline || *deadline > end) break;
    world.Advance(std::max(*deadline - world.now(), absl::ZeroDuration()));
    for (const ProbeRequest& probe : world.DueProbes())
      world.controller().OnProbeResult(
          probe,
          world.ResultOf(failing.contains(probe.backend) ? kRefused : kSuccess),
          world.now());
  }
  world.Advance(end - world.now());
}

// The slowest that is flapping: down after six seconds, up after four.
void Flap(CoreWorld& world, const absl::btree_set<std::string>& who,
          int times = 5) {
  for (int i = 0; i < times; ++i) {
    Run(world, absl::Seconds(6), who);
    if (i + 1 < times) Run(world, absl::Seconds(4), {});
  }
}

bool IsOffered(const CoreWorld& world, const std::string& backend) {
  return (world.LineOf(backend) & FL_BACKEND_ELIGIBLE) != 0;
}

Strings FlapEvents(CoreWorld& world) {
  Strings texts;
  for (const Event& event : world.controller().TakeEvents())
    if (event.type == "backend.flapping")
      texts.push_back(absl::StrCat(event.backend, ": ", event.before, " -> ",
                                   event.after, " (", event.reason, ")"));
  return texts;
}

TEST_CASE("a backend that flaps is held down though its checks succeed",
          "[core][controller][flap]") {
  CoreWorld world;
  ServiceSettings settings = SmallSettings();
  AddHealthyWeb(world, 3, settings);
  Flap(world, {"web1"});
  CHECK(FlapEvents(world) ==
        Strings{"web1: not held -> held down (check.flapping(5 in 60 s, held "
                "30s))"});
  CHECK(world.View("web1").reason == "check.tcp-refused");
  Run(world, absl::Seconds(10), {});
  CHECK(world.View("web1").health == Health::kUp);
  CHECK(world.View("web1").state == EffectiveState::kDown);
  CHECK(world.View("web1").reason == "check.flapping(5 in 60 s, held 30s)");
  CHECK_FALSE(IsOffered(world, "web1"));
  CHECK(world.View().available == 2);
  SECTION("and is up again by itself") {
    world.controller().TakeEvents();
    Run(world, absl::Seconds(25), {});
    CHECK(IsOffered(world, "web1"));
    CHECK(world.View("web1").state_text == "up");
    CHECK(FlapEvents(world) ==
          Strings{"web1: held down -> not held (flap.calm)"});
  }
  SECTION("and when damping is switched off") {
    SetService set{.name = "web"};
    set.settings.flap_damping = false;
    world.Do(set);
    CHECK(IsOffered(world, "web1"));
    CHECK(FlapEvents(world) ==
          Strings{"web1: held down -> not held (flap.off)"});
  }
  SECTION("and when the service needs it, the first by name") {
    Run(world, absl::Seconds(2), {});
    SetService set{.name = "web"};
    set.settings.need = 3;
    world.Do(set);
    CHECK(IsOffered(world, "web1"));
    CHECK(world.View().available == 3);
    CHECK(FlapEvents(world) ==
          Strings{"web1: held down -> not held (flap.needed)"});
  }
  SECTION("and when others fail") {
    Run(world, absl::Seconds(9), {"web2", "web3"});
    CHECK(world.View().available == 1);
    CHECK(IsOffered(world, "web1"));
  }
  SECTION("not when it is deleted") {
    world.Do(SetAdmin{"web", "web1", Admin::kMaint, true});
    world.Do(DeleteBackend{"web", "web1", true});
    Run(world, absl::Minutes(2), {});
    CHECK(world.View().available == 2);
  }
}

TEST_CASE("no service is brought below its need by damping",
          "[core][controller][flap]") {
  CoreWorld world;
  ServiceSettings settings = SmallSettings();
  settings.need = 2;
  AddHealthyWeb(world, 3, settings);
  Flap(world, {"web1", "web2", "web3"});
  Run(world, absl::Seconds(4), {});
  // Two of three are needed, and held is who is last by name.
  CHECK(world.View().available == 2);
  CHECK_FALSE(IsOffered(world, "web3"));
  CHECK(world.View("web3").reason == "check.flapping(5 in 60 s, held 30s)");
  Run(world, absl::Seconds(30), {});
  CHECK(world.View().available == 3);
}

TEST_CASE("without damping a backend goes up and down as its checks say",
          "[core][controller][flap]") {
  CoreWorld world;
  ServiceSettings settings = SmallSettings();
  settings.flap_damping = false;
  AddHealthyWeb(world, 3, settings);
  Flap(world, {"web1"}, 8);
  Run(world, absl::Seconds(4), {});
  CHECK(IsOffered(world, "web1"));
  CHECK(FlapEvents(world).empty());
}

TEST_CASE("below panic one that is held down takes new flows too",
          "[core][controller][flap]") {
  CoreWorld world;
  ServiceSettings settings = SmallSettings();
  settings.panic_percent = 60;
  AddHealthyWeb(world, 3, settings);
  Flap(world, {"web1"});
  Run(world, absl::Seconds(6), {"web2"});
  CHECK(world.View("web1").health == Health::kUp);
  CHECK(world.View("web1").state_text == "down (fail open)");
  CHECK(IsOffered(world, "web1"));
}

TEST_CASE("with assume-up what is added takes new flows at once",
          "[core][controller][assume-up]") {
  CoreWorld world;
  ServiceSettings settings = SmallSettings();
  settings.assume_up = true;
  AddWeb(world, 2, settings);
  CHECK(IsOffered(world, "web1"));
  CHECK(world.View("web1").state == EffectiveState::kUp);
  SECTION("until its checks have failed") {
    Run(world, absl::Seconds(10), {"web1"});
    CHECK_FALSE(IsOffered(world, "web1"));
    CHECK(IsOffered(world, "web2"));
    // Nor is it assumed anew.
    REQUIRE(world.Restart().ok());
    CHECK_FALSE(IsOffered(world, "web1"));
    world.Do(SetAdmin{"web", "web1", Admin::kMaint, true});
    world.Do(SetAdmin{"web", "web1", Admin::kReady});
    CHECK_FALSE(IsOffered(world, "web1"));
  }
  SECTION("not where an agent has to answer first") {
    SetService set{.name = "web"};
    set.settings.agent_port = 6082;
    world.Do(set);
    world.Do(AddBackend{.service = "web",
                        .name = "web9",
                        .address = testing::Address("192.0.2.9")});
    CHECK_FALSE(IsOffered(world, "web9"));
    CHECK(world.View("web9").reason == "agent.pending");
  }
}

}  // namespace
}  // namespace fairlead::core
