#include "core/check_set.h"

#include <catch2/catch.hpp>

#include "fairlead/abi/maps.h"
#include "tests/support/core_world.h"

namespace fairlead::core {
namespace {

using enum ProbeOutcome;
using testing::CoreWorld;

// A service "web" with web1 and checks main and live.
class TwoChecks {
 public:
  TwoChecks() {
    testing::AddWeb(world, 1);
    world.Do(AddCheck{"web", "live", {.check = CheckKind::kWs}});
  }

  // Answers whatever becomes due for so long.
  void Answer(ProbeOutcome main, ProbeOutcome live,
              absl::Duration over = absl::Seconds(20)) {
    const base::MonoTime end = world.now() + over;
    while (world.now() < end) {
      for (const ProbeRequest& probe : world.DueProbes()) {
        const bool is_main = probe.check_name == "main";
        const ProbeOutcome outcome = is_main ? main : live;
        ProbeResult result = {.outcome = outcome,
                              .step = outcome == kWsHandshake
                                          ? ProbeStep::kUpgrade
                                          : ProbeStep::kConnect,
                              .http_status = 503};
        world.controller().OnProbeResult(probe, result, world.now());
      }
      world.Advance(absl::Milliseconds(100));
    }
  }
  BackendView View() const { return world.View("web1"); }
  bool IsEligible() const {
    return (world.LineOf("web1") & FL_BACKEND_ELIGIBLE) != 0;
  }

  CoreWorld world;
};

TEST_CASE("a backend is in init until each check has had a success",
          "[core][check]") {
  TwoChecks checks;
  for (const ProbeRequest& probe : checks.world.DueProbes())
    if (probe.check_name == "main")
      checks.world.controller().OnProbeResult(probe, {.outcome = kSuccess},
                                              checks.world.now());
  CHECK(checks.View().state == EffectiveState::kInit);
  CHECK(checks.View().reason == "check.pending");
  CHECK(checks.View().reason_check == "live");
  CHECK_FALSE(checks.IsEligible());
  checks.world.Advance(absl::Seconds(6));  // that probe is given up
  checks.Answer(kSuccess, kSuccess, absl::Seconds(3));
  CHECK(checks.View().state == EffectiveState::kUp);
  CHECK(checks.IsEligible());
}

TEST_CASE("a backend is as healthy as its worst check, which gives the reason",
          "[core][check]") {
  TwoChecks checks;
  checks.Answer(kSuccess, kSuccess);
  REQUIRE(checks.View().state == EffectiveState::kUp);
  checks.world.controller().TakeEvents();
  checks.Answer(kSuccess, kWsHandshake);
  const BackendView down = checks.View();
  CHECK(down.state == EffectiveState::kDown);
  CHECK(down.reason == "check.ws-handshake(503)");
  CHECK(down.reason_check == "live");
  CHECK_FALSE(checks.IsEligible());
  REQUIRE(down.checks.size() == 2);
  CHECK(down.checks[0].name == "main");
  CHECK(down.checks[0].health == Health::kUp);
  CHECK_FALSE(down.checks[0].last_failure);
  CHECK(down.checks[1].health == Health::kDown);
  CHECK(down.checks[1].last_failure->outcome == kWsHandshake);
  // What decides is what `check` shows.
  CHECK(down.last_check == "live");
  CHECK(down.last_result->outcome == kWsHandshake);
  const std::vector<Event> events = checks.world.controller().TakeEvents();
  REQUIRE(events.size() == 1);
  CHECK(events[0].reason == "check.ws-handshake(503) [live]");
  checks.Answer(kRefused, kSuccess);
  CHECK(checks.View().reason == "check.tcp-refused");
  CHECK(checks.View().reason_check == "main");
  checks.Answer(kSuccess, kSuccess);
  CHECK(checks.View().state == EffectiveState::kUp);
  CHECK(checks.View().reason == "-");
  CHECK(checks.View().reason_check.empty());
}

TEST_CASE("each check has its own rise and fall and its own last results",
          "[core][check]") {
  TwoChecks checks;
  checks.world.Do(SetCheck{"web", "live", {.check_rise = 3, .check_fall = 1}});
  checks.Answer(kSuccess, kSuccess, absl::Seconds(60));
  REQUIRE(checks.View().state == EffectiveState::kUp);
  CHECK(checks.View().checks[0].history.size() == ProbeHistory::kMost);
  CHECK(checks.View().checks[1].history.size() == ProbeHistory::kMost);
  // One failure of live, none of three of main.
  checks.Answer(kSuccess, kTimeout, absl::Seconds(2.5));
  CHECK(checks.View().checks[1].health == Health::kDown);
  CHECK(checks.View().state == EffectiveState::kDown);
  checks.Answer(kTimeout, kSuccess, absl::Seconds(2.5));
  CHECK(checks.View().checks[0].health == Health::kFalling);
  CHECK(checks.View().checks[0].history[0].outcome == kTimeout);
  CHECK(checks.View().checks[0].history[5].outcome == kSuccess);
}

TEST_CASE("the signal of any check counts, the stronger one first",
          "[core][check]") {
  TwoChecks checks;
  checks.Answer(kSuccess, kSuccess);
  checks.Answer(kHoldStatus, kSuccess);
  CHECK(checks.View().signal == Signal::kHold);
  CHECK(checks.View().state == EffectiveState::kUp);
  CHECK(checks.View().reason_check == "main");
  checks.Answer(kHoldStatus, kDrainStatus);
  CHECK(checks.View().signal == Signal::kDrain);
  CHECK(checks.View().state == EffectiveState::kDraining);
  CHECK(checks.View().reason == "signal.http-503");
  CHECK(checks.View().reason_check == "live");
  // A failure of the other takes it out, and is the reason then.
  checks.Answer(kRefused, kDrainStatus);
  CHECK(checks.View().state == EffectiveState::kDown);
  CHECK(checks.View().reason_check == "main");
}

TEST_CASE("who is silent to one check only is not dead", "[core][check]") {
  TwoChecks checks;
  checks.Answer(kSuccess, kSuccess);
  checks.Answer(kTimeout, kSuccess);
  CHECK(checks.View().state == EffectiveState::kDown);
  CHECK((checks.world.LineOf("web1") & FL_BACKEND_DEAD) == 0);
  checks.Answer(kTimeout, kRefused);
  CHECK((checks.world.LineOf("web1") & FL_BACKEND_DEAD) == 0);
  checks.Answer(kTimeout, kTimeout);
  CHECK((checks.world.LineOf("web1") & FL_BACKEND_DEAD) != 0);
}

TEST_CASE("a check that is added takes who is up for up until it has failed",
          "[core][check]") {
  CoreWorld world;
  testing::AddHealthyWeb(world, 1);
  world.Do(AddCheck{"web", "live", {.check = CheckKind::kWs}});
  CHECK(world.View("web1").state == EffectiveState::kUp);
  CHECK((world.LineOf("web1") & FL_BACKEND_ELIGIBLE) != 0);
  int live = 0;
  while (world.View("web1").state == EffectiveState::kUp) {
    REQUIRE(live < 4);
    for (const ProbeRequest& probe : world.DueProbes()) {
      const bool is_live = probe.check_name == "live";
      live += is_live ? 1 : 0;
      world.controller().OnProbeResult(
          probe, {.outcome = is_live ? kRefused : kSuccess}, world.now());
    }
    world.Advance(absl::Milliseconds(100));
  }
  CHECK(live == 3);  // fall
  world.Do(DeleteCheck{"web", "live"});
  CHECK(world.View("web1").state == EffectiveState::kUp);
}

TEST_CASE("all checks of a backend in maint rest and begin anew",
          "[core][check]") {
  TwoChecks checks;
  checks.Answer(kSuccess, kSuccess);
  checks.world.Do(SetAdmin{
      .service = "web", .name = "web1", .admin = Admin::kMaint, .force = true});
  checks.world.Do(AddCheck{"web", "third", {.check_port = 81}});
  checks.world.Advance(absl::Seconds(60));
  CHECK(checks.world.DueProbes().empty());
  checks.world.Do(SetAdmin{.service = "web", .name = "web1"});
  CHECK(checks.View().health == Health::kInit);
  CHECK(checks.world.DueProbes().size() == 3);
}

TEST_CASE("a restart takes who was up for up by all its checks",
          "[core][check]") {
  TwoChecks checks;
  checks.Answer(kSuccess, kSuccess);
  REQUIRE(checks.world.Restart().ok());
  CHECK(checks.View().state == EffectiveState::kUp);
  CHECK(checks.View().checks.size() == 2);
  checks.Answer(kSuccess, kWsHandshake);
  CHECK(checks.View().reason_check == "live");
}

}  // namespace
}  // namespace fairlead::core
