// Too few backends are available: what the controller makes of it.
#include <catch2/catch.hpp>

#include "absl/container/btree_set.h"
#include "absl/strings/str_cat.h"
#include "core/controller.h"
#include "fairlead/abi/maps.h"
#include "tests/support/core_world.h"

namespace fairlead::core {
namespace {

using testing::AddHealthyWeb;
using testing::CoreWorld;
using testing::SmallSettings;
using enum ProbeOutcome;
using Strings = std::vector<std::string>;
using Names = absl::btree_set<std::string>;

ServiceSettings WithPanic(int percent) {
  ServiceSettings settings = SmallSettings();
  settings.rows = 512;
  settings.panic_percent = percent;
  return settings;
}

bool IsOffered(const CoreWorld& world, const std::string& backend) {
  return (world.LineOf(backend) & FL_BACKEND_ELIGIBLE) != 0;
}

// Probes for so long; those of `failing` have `outcome`.
void Run(CoreWorld& world, absl::Duration duration, const Names& failing,
         ProbeOutcome outcome = kRefused) {
  const base::MonoTime end = world.now() + duration;
  while (const auto next = world.controller().NextDeadline()) {
    if (*next > end) break;
    if (*next > world.now()) world.Advance(*next - world.now());
    for (const ProbeRequest& probe : world.DueProbes()) {
      const bool fails = failing.contains(probe.backend);
      world.controller().OnProbeResult(
          probe, world.ResultOf(fails ? outcome : kSuccess), world.now());
    }
  }
  world.Advance(end - world.now());
  CHECK(testing::ComplainOfDifference(world.tables(), world.controller()) ==
        "");
}

Strings FailOpenEvents(CoreWorld& world) {
  Strings texts;
  for (const Event& event : world.controller().TakeEvents())
    if (event.type == "service.fail-open")
      texts.push_back(absl::StrCat(event.service, ": ", event.before, " -> ",
                                   event.after, " (", event.reason, ")"));
  return texts;
}

TEST_CASE("below panic those that are down take new flows too",
          "[core][controller][fail-open]") {
  CoreWorld world;
  AddHealthyWeb(world, 4, WithPanic(50));
  Run(world, absl::Seconds(10), {"web1", "web2"});
  CHECK(world.View().available == 2);
  CHECK_FALSE(world.View().fail_open);
  CHECK_FALSE(IsOffered(world, "web1"));
  CHECK(FailOpenEvents(world).empty());

  Run(world, absl::Seconds(10), {"web1", "web2", "web3"});
  for (const char* name : {"web1", "web2", "web3", "web4"})
    CHECK(IsOffered(world, name));
  CHECK(world.View().fail_open);
  CHECK(world.View().available == 1);
  CHECK(world.View("web1").state == EffectiveState::kDown);
  CHECK(world.View("web1").state_text == "down (fail open)");
  CHECK(world.View("web1").reason == "check.tcp-refused");
  CHECK_FALSE(world.View("web1").eligible);
  CHECK(world.View("web1").fails_open);
  CHECK(world.View("web4").state_text == "up");
  CHECK(FailOpenEvents(world) == Strings{"web: no -> yes (1 of 4 available)"});
  CHECK(world.controller().Alarms() ==
        Strings{"service web: fail open: 1 available, below its panic of 50%: "
                "3 that fail or ask to drain take new flows too"});

  // Enough are back, and stay for a while.
  Run(world, absl::Seconds(8), {"web1", "web2"});
  CHECK(world.View().available == 2);
  CHECK(IsOffered(world, "web1"));
  Run(world, absl::Seconds(10), {"web1", "web2"});
  CHECK_FALSE(IsOffered(world, "web1"));
  CHECK_FALSE(world.View().fail_open);
  CHECK(world.View("web1").state_text == "down");
  CHECK(FailOpenEvents(world) == Strings{"web: yes -> no (2 of 4 available)"});
  CHECK(world.controller().Alarms().empty());
}

TEST_CASE("below panic a signal is not heard, and an operator is",
          "[core][controller][fail-open]") {
  CoreWorld world;
  AddHealthyWeb(world, 4, WithPanic(50));
  world.Do(SetAdmin{"web", "web3", Admin::kDrain});
  world.Do(SetAdmin{"web", "web4", Admin::kMaint});
  // What they share answers 503.
  Run(world, absl::Seconds(4), {"web1", "web2"}, kDrainStatus);
  CHECK(IsOffered(world, "web1"));
  CHECK(IsOffered(world, "web2"));
  CHECK(world.View("web1").state_text == "draining (fail open)");
  CHECK(world.View("web1").reason == "signal.http-503");
  CHECK(world.LineOf("web3") == FL_BACKEND_USED);
  CHECK(world.LineOf("web4") == FL_BACKEND_USED);
  CHECK(FailOpenEvents(world) == Strings{"web: no -> yes (0 of 2 available)"});
  // Neither is anybody whom the operator takes out now.
  world.Do(SetAdmin{
      .service = "web", .name = "web1", .admin = Admin::kDrain, .force = true});
  CHECK_FALSE(IsOffered(world, "web1"));
  CHECK(world.View("web1").state_text == "draining, no flows seen here");
}

// Who is offered flows has none by no count of the moment.
TEST_CASE("nobody that is offered flows is called drained",
          "[core][controller][fail-open]") {
  CoreWorld world;
  ServiceSettings settings = WithPanic(50);
  settings.agent_port = 6082;
  AddHealthyWeb(world, 2, settings);
  Run(world, absl::Seconds(4), {"web1", "web2"}, kDrainStatus);
  for (int i = 0; i < 5; ++i) {
    world.Report("web1", AgentReport::Presence::kPresent);
    world.Advance(absl::Seconds(4));
  }
  CHECK(world.View("web1").state == EffectiveState::kDraining);
  CHECK(world.View("web1").fails_open);
}

// Two changes in a row, and no probe in between.
TEST_CASE("who was deleted after it began to fail open is no more spoken of",
          "[core][controller][fail-open]") {
  CoreWorld world;
  AddHealthyWeb(world, 3, WithPanic(0));
  Run(world, absl::Seconds(10), {"web1", "web2"});
  std::vector<ProbeRequest> probes;
  while (probes.empty() || probes.back().backend != "web3") {
    world.Advance(*world.controller().NextDeadline() - world.now());
    probes = world.DueProbes();
  }
  ServiceSettings settings;
  settings.panic_percent = 50;
  world.Do(SetService{"web", settings});
  CHECK(IsOffered(world, "web1"));
  world.Do(DeleteBackend{.service = "web", .name = "web1", .force = true});
  world.controller().OnProbeResult(probes.back(), world.ResultOf(kSuccess),
                                   world.now());
  CHECK(IsOffered(world, "web2"));
  CHECK(world.View().backends.size() == 2);
}

TEST_CASE("those that are silent, or unknown, are no help",
          "[core][controller][fail-open]") {
  CoreWorld world;
  AddHealthyWeb(world, 4, WithPanic(50));
  world.Do(AddBackend{.service = "web",
                      .name = "web5",
                      .address = testing::Address("192.0.2.5")});
  CHECK(FailOpenEvents(world).empty());
  Run(world, absl::Seconds(10), {"web1", "web2", "web3", "web5"}, kTimeout);
  CHECK(FailOpenEvents(world) == Strings{"web: no -> yes (2 of 5 available)"});
  CHECK_FALSE(IsOffered(world, "web1"));
  CHECK_FALSE(IsOffered(world, "web5"));
  Run(world, absl::Seconds(10), {"web1", "web2", "web3", "web5"}, kRefused);
  CHECK(IsOffered(world, "web1"));
  CHECK(IsOffered(world, "web5"));
}

TEST_CASE("without panic those that are down stay out while one is up",
          "[core][controller][fail-open]") {
  CoreWorld world;
  AddHealthyWeb(world, 4);
  Run(world, absl::Seconds(10), {"web1", "web2", "web3"});
  CHECK_FALSE(IsOffered(world, "web1"));
  SetService set{.name = "web"};
  set.settings.panic_percent = 50;
  world.Do(set);
  CHECK(IsOffered(world, "web1"));
  set.settings.panic_percent = 0;
  world.Do(set);
  CHECK_FALSE(IsOffered(world, "web1"));
}

TEST_CASE("nothing starts slowly while others fail open",
          "[core][controller][fail-open]") {
  CoreWorld world;
  ServiceSettings settings = WithPanic(60);
  settings.slow_start = absl::Minutes(1);
  AddHealthyWeb(world, 4, settings);
  Run(world, absl::Minutes(2), {});
  Run(world, absl::Seconds(10), {"web1", "web2", "web3"});
  REQUIRE(world.View("web1").fails_open);
  // Nor who is readied now.
  world.Do(SetAdmin{"web", "web4", Admin::kDrain, true});
  world.Do(SetAdmin{"web", "web4", Admin::kReady});
  CHECK(world.View("web4").eligible);
  CHECK(world.View("web4").slow_start_percent == 100);
  // It took its share all the while.
  Run(world, absl::Seconds(6), {"web2", "web3"});
  CHECK(world.View("web1").eligible);
  CHECK(world.View("web1").slow_start_percent == 100);
  Run(world, absl::Seconds(30), {});
  CHECK_FALSE(world.View().fail_open);
  CHECK(world.View("web1").slow_start_percent == 100);
}

TEST_CASE("a restart while failing open is no outage",
          "[core][controller][fail-open]") {
  CoreWorld world;
  AddHealthyWeb(world, 2, WithPanic(100));
  Run(world, absl::Seconds(10), {"web1"});
  REQUIRE(world.View("web1").fails_open);
  REQUIRE(world.Restart().ok());
  CHECK(IsOffered(world, "web1"));
  Run(world, absl::Seconds(20), {"web1"});
  CHECK(IsOffered(world, "web1"));
  CHECK(world.View("web1").fails_open);
}

}  // namespace
}  // namespace fairlead::core
