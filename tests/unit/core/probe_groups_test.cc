#include "core/probe_groups.h"

#include <catch2/catch.hpp>

#include "tests/support/core_world.h"

namespace fairlead::core {
namespace {

using enum ProbeOutcome;
using testing::CoreWorld;

void AddWebOf(CoreWorld& world, const std::string& name, int number,
              ServiceSettings settings = {}) {
  settings.rows = 256;
  settings.agent_port = 0;
  settings.check = CheckKind::kHttp;
  settings.check_port = 8080;
  world.Do(AddService{
      .name = name,
      .vip = testing::Vip("198.51.100.1" + std::to_string(number) + ":443"),
      .settings = settings});
  world.Do(AddBackend{.service = name,
                      .name = "web1",
                      .address = testing::Address("192.0.2.1")});
}

BackendView ViewOf(const CoreWorld& world, const std::string& service) {
  return world.controller().View(service)->backends.at(0);
}

// How many probes were started in that time, each answered at once.
int CountProbes(CoreWorld& world, ProbeOutcome outcome, absl::Duration over) {
  int probes = 0;
  for (const base::MonoTime end = world.now() + over; world.now() < end;
       world.Advance(absl::Milliseconds(50))) {
    for (const ProbeRequest& probe : world.DueProbes()) {
      ++probes;
      world.controller().OnProbeResult(probe, {.outcome = outcome},
                                       world.now());
    }
  }
  return probes;
}

TEST_CASE("a server behind three services is probed once for all of them",
          "[core][probe]") {
  CoreWorld world;
  AddWebOf(world, "a", 0);
  AddWebOf(world, "b", 1, {.check_fall = 1});
  AddWebOf(world, "c", 2);
  CHECK(CountProbes(world, kSuccess, absl::Seconds(60)) == 30);
  for (const char* name : {"a", "b", "c"}) {
    CHECK(ViewOf(world, name).state == EffectiveState::kUp);
    CHECK(ViewOf(world, name).checks[0].history.size() == ProbeHistory::kMost);
  }
  // Each judges by its own rise and fall.
  const std::vector<ProbeRequest> next = [&] {
    std::vector<ProbeRequest> due;
    while (due.empty()) {
      world.Advance(absl::Milliseconds(50));
      due = world.DueProbes();
    }
    return due;
  }();
  REQUIRE(next.size() == 1);
  world.controller().OnProbeResult(next[0], {.outcome = kRefused}, world.now());
  CHECK(ViewOf(world, "a").health == Health::kFalling);
  CHECK(ViewOf(world, "b").health == Health::kDown);
  CHECK(ViewOf(world, "c").health == Health::kFalling);
  CHECK_FALSE(world.tables().BackendState(ViewOf(world, "b").backend.id) ==
              world.tables().BackendState(ViewOf(world, "c").backend.id));
}

TEST_CASE("what differs in settings, address or road is probed for itself",
          "[core][probe]") {
  CoreWorld world;
  AddWebOf(world, "a", 0);
  AddWebOf(world, "b", 1, {.check_path = "/other"});
  AddWebOf(world, "c", 2, {.check_interval = absl::Seconds(3)});
  world.Do(AddBackend{.service = "a",
                      .name = "web2",
                      .address = testing::Address("192.0.2.2")});
  CHECK(world.DueProbes().size() == 4);
  world.Do(SetService{
      "b", {.check_via = CheckVia::kVip, .check_port = 0, .check_path = "/"}});
  world.Do(SetService{"c",
                      {.check_via = CheckVia::kVip,
                       .check_port = 0,
                       .check_interval = absl::Seconds(2)}});
  ProbeGroups groups;
  groups.Rebuild(world.controller().desired());
  for (const char* name : {"a", "b", "c"})
    CHECK(groups.Others(ViewOf(world, name).backend.id, "main").empty());
}

TEST_CASE("services that come and go leave nobody unprobed", "[core][probe]") {
  CoreWorld world;
  AddWebOf(world, "a", 0);
  AddWebOf(world, "b", 1);
  const std::vector<ProbeRequest> first = world.DueProbes();
  REQUIRE(first.size() == 1);
  // The one that it was started for goes while it is under way.
  world.Do(DeleteService{.name = first[0].service, .force = true});
  const std::string other = first[0].service == "a" ? "b" : "a";
  world.controller().OnProbeResult(first[0], {.outcome = kSuccess},
                                   world.now());
  CHECK(ViewOf(world, other).state == EffectiveState::kUp);
  const int alone = CountProbes(world, kSuccess, absl::Seconds(20));
  CHECK(alone >= 9);
  CHECK(alone <= 10);
  // A new one is probed at once, and the other with it.
  AddWebOf(world, "c", 2);
  CHECK(world.DueProbes().size() == 1);
  world.Do(DeleteService{.name = "c", .force = true});
  // That probe is never answered.
  const int probes = CountProbes(world, kSuccess, absl::Seconds(26));
  CHECK(probes >= 10);
  CHECK(probes <= 11);
  // One in maint rests, and the others are probed without it.
  AddWebOf(world, "d", 3);
  (void)CountProbes(world, kSuccess, absl::Seconds(4));
  world.Do(SetAdmin{
      .service = "d", .name = "web1", .admin = Admin::kMaint, .force = true});
  const size_t before = ViewOf(world, "d").checks[0].history.size();
  CHECK(CountProbes(world, kRefused, absl::Seconds(20)) >= 10);
  CHECK(ViewOf(world, "d").checks[0].history.size() == before);
  CHECK(ViewOf(world, other).state == EffectiveState::kDown);
  world.Do(SetAdmin{.service = "d", .name = "web1"});
  CHECK(CountProbes(world, kSuccess, absl::Seconds(20)) <= 11);
  CHECK(ViewOf(world, "d").state == EffectiveState::kUp);
}

TEST_CASE("after a restart those that are the same fall into step",
          "[core][probe]") {
  double random = 0;
  CoreWorld world(testing::kSmallSizes, [&random] {
    random += 0.37;
    return random - static_cast<int>(random);
  });
  for (int i = 0; i < 3; ++i)
    AddWebOf(world, std::string(1, static_cast<char>('a' + i)), i);
  (void)CountProbes(world, kSuccess, absl::Seconds(10));
  REQUIRE(world.Restart().ok());
  (void)CountProbes(world, kSuccess, absl::Seconds(4));
  const int probes = CountProbes(world, kSuccess, absl::Seconds(60));
  CHECK(probes >= 27);
  CHECK(probes <= 34);
}

}  // namespace
}  // namespace fairlead::core
