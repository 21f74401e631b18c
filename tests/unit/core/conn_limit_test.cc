// How many flows a backend is given between two counts of its connections.
#include "core/conn_limit.h"

#include <catch2/catch.hpp>

namespace fairlead::core {
namespace {

using Presence = AgentReport::Presence;

base::MonoTime At(double seconds) {
  return base::MonoTime::FromNanoseconds(static_cast<int64_t>(seconds * 1e9));
}

AgentReport Counted(uint64_t live, double begun, uint64_t handshakes = 0) {
  return {.presence = Presence::kPresent,
          .live_sockets = live,
          .handshakes = handshakes,
          .begun = At(begun)};
}

const AgentReport kNoAgent = {.presence = Presence::kAbsent};

TEST_CASE("before anybody has counted there is room for all",
          "[core][max-conn]") {
  const ConnLimit limit(700);
  CHECK_FALSE(limit.has_counted());
  CHECK(limit.Bound(1000, 1) == 1700);
  CHECK(limit.Estimate(750) == 50);
}

TEST_CASE("an agent's count leaves the rest as room", "[core][max-conn]") {
  ConnLimit limit(0);
  limit.OnAgent(Counted(0, 0.9), {.begun = 0}, At(1));
  CHECK(limit.has_counted());
  CHECK(limit.Bound(1000, 1) == 1000);
  // A wave: 1,000 begin, of which the scan had seen 400.
  limit.OnAgent(Counted(400, 1.9), {.begun = 1000}, At(2));
  // What has begun since the sample before the scan may be in the count or not.
  CHECK(limit.Bound(1000, 1) == 600);
  limit.OnAgent(Counted(1000, 2.9), {.begun = 1000}, At(3));
  CHECK(limit.Bound(1000, 1) == 1000);
  CHECK(limit.Estimate(1000) == 1000);
  // Fifty have closed.
  limit.OnAgent(Counted(950, 3.9), {.begun = 1000}, At(4));
  CHECK(limit.Bound(1000, 1) == 1050);
  CHECK(limit.Estimate(1020) == 970);
  // The operator wants less: those that live stay.
  CHECK(limit.Bound(10, 1) == 1000);
}

TEST_CASE("a handshake is no connection", "[core][max-conn]") {
  ConnLimit limit(0);
  limit.OnAgent(Counted(4100, 0.9, 4096), {}, At(1));
  CHECK(limit.Estimate(0) == 4);
  CHECK(limit.Bound(1000, 1) == 996);
  limit.OnAgent(Counted(1, 1.9, 5), {}, At(2));
  CHECK(limit.Estimate(0) == 0);
}

TEST_CASE("without an agent the flow table counts", "[core][max-conn]") {
  ConnLimit limit(0);
  limit.OnFlows({.begun = 300, .confirmed = 200, .fresh = 100, .settled = 200},
                {.begun = 310}, kNoAgent, At(5));
  CHECK(limit.has_counted());
  // Those that are too young to be confirmed may become connections.
  CHECK(limit.Bound(1000, 1) == 300 + 800 - 100);
  CHECK(limit.Estimate(310) == 200 + 100 + 10);
  CHECK(limit.Bound(250, 1) == 300);
  // An agent that is silent now knew of others' connections.
  AgentReport lost = Counted(800, 5, 100);
  lost.presence = Presence::kLost;
  lost.recorded = 200;
  limit.OnFlows({.begun = 300, .confirmed = 200}, {}, lost, At(8));
  CHECK(limit.Bound(1000, 1) == 300 + 300);
  lost.recorded = 900;
  limit.OnFlows({.begun = 300, .confirmed = 200}, {}, lost, At(8));
  CHECK(limit.Bound(1000, 1) == 300 + 800);
}

TEST_CASE("an agent that answers is believed, whatever the flow table has",
          "[core][max-conn]") {
  ConnLimit limit(0);
  limit.OnAgent(Counted(10, 0.9), {}, At(1));
  limit.OnFlows({.begun = 0, .confirmed = 900, .settled = 900}, {},
                Counted(10, 0.9), At(2));
  CHECK(limit.Bound(1000, 1) == 990);
}

// Handshakes that are forged to their end take as much room as it takes for the
// others to come through.
TEST_CASE("forged handshakes do not fill a backend", "[core][max-conn]") {
  SECTION("as the agent tells them apart") {
    ConnLimit limit(0);
    limit.OnFlows({.settled = 100'000}, {.begun = 100'000}, Counted(500, 0.9),
                  At(1));
    limit.OnAgent(Counted(500, 1.5), {.begun = 100'000}, At(2));
    CHECK(limit.Bound(1000, 1) > 100'000 + 90'000);
    CHECK(limit.Bound(500, 1) == 100'000);
    // An old scan cannot judge young flows.
    limit.OnAgent(Counted(500, 1.5), {.begun = 100'000}, At(4));
    CHECK(limit.Bound(1000, 1) == 100'500);
  }
  SECTION("as 10 s tell them apart") {
    ConnLimit limit(0);
    limit.OnFlows({.begun = 100'000,
                   .confirmed = 500,
                   .fresh = 30'000,
                   .unconfirmed = 99'500},
                  {.begun = 100'000}, kNoAgent, At(12));
    CHECK(limit.Bound(1000, 1) > 100'000 + 60'000);
    CHECK(limit.Bound(500, 1) == 100'000);
  }
}

TEST_CASE("a bound is a number whatever is counted", "[core][max-conn]") {
  ConnLimit limit(0);
  limit.OnFlows({.begun = 1u << 30, .unconfirmed = 1u << 28},
                {.begun = 1u << 30}, kNoAgent, At(12));
  CHECK(limit.Bound(kMostConnections, 1) > uint64_t{kMostConnections});
  // Counters that began anew.
  CHECK(limit.Estimate(0) == 0);
}

}  // namespace
}  // namespace fairlead::core
