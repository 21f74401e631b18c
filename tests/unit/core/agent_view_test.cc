#include "core/agent_view.h"

#include <catch2/catch.hpp>

namespace fairlead::core {
namespace {

using enum AgentReport::Presence;

AgentReport Report(AgentReport::Presence presence, uint64_t live_sockets = 0,
                   const std::string& boot_id = "b1") {
  return {.presence = presence,
          .live_sockets = live_sockets,
          .scan = 1,
          .boot_id = boot_id,
          .begun = {}};
}

TEST_CASE("an agent that was there and is silent is lost, never absent",
          "[core][agent]") {
  AgentView view;
  view.OnReport(Report(kAbsent));
  CHECK(view.presence() == kAbsent);
  view.OnReport(Report(kPresent, 7));
  view.OnReport(Report(kAbsent));
  CHECK(view.presence() == kLost);
  CHECK(view.report().live_sockets == 7);
  view.OnReport(Report(kUnknown));
  CHECK(view.presence() == kLost);
}

TEST_CASE(
    "an agent with an older map of ours works on while the newer one is "
    "on its way",
    "[core][agent]") {
  AgentView view;
  view.OnReport(Report(kStale));
  CHECK(view.presence() == kStale);
  view.OnReport(Report(kPresent));
  view.OnReport(Report(kStale));
  CHECK(view.presence() == kPresent);
  CHECK(view.report().presence == kStale);
  SECTION("but not after a boot") {
    view.OnReport(Report(kStale, 0, "b2"));
    CHECK(view.presence() == kStale);
  }
  SECTION("also after a silence") {
    view.OnReport(Report(kLost));
    CHECK(view.presence() == kLost);
    view.OnReport(Report(kStale));
    CHECK(view.presence() == kPresent);
  }
}

TEST_CASE("an adopted agent keeps its map over the restart of the daemon",
          "[core][agent]") {
  AgentView view;
  view.AssumeLost();
  view.OnReport(Report(kStale, 0, "b1"));
  CHECK(view.presence() == kPresent);
  view.OnReport(Report(kStale, 0, "b2"));
  CHECK(view.presence() == kStale);
}

}  // namespace
}  // namespace fairlead::core
