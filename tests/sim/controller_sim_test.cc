// Goal: no order of faults, commands, kills and time brings the controller to a
// wrong table, a wrong word or a standstill. Method: seeded random runs of
// simulated weeks (controller_sim.h). FL_SIM_SEED=N runs that seed alone.
#include "tests/sim/controller_sim.h"

#include <catch2/catch.hpp>
#include <cstdlib>

namespace fairlead::testing {
namespace {

constexpr uint64_t kSeeds = 20;
constexpr absl::Duration kRun = absl::Hours(100);

std::vector<uint64_t> Seeds() {
  if (const char* seed = std::getenv("FL_SIM_SEED"))
    return {std::strtoull(seed, nullptr, 10)};
  std::vector<uint64_t> seeds;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) seeds.push_back(seed);
  return seeds;
}

TEST_CASE(
    "weeks of faults, commands and kills leave the tables right at every "
    "moment",
    "[core][sim]") {
  const uint64_t seed = GENERATE(from_range(Seeds()));
  ControllerSim sim(seed);
  const std::string complaint = sim.RunFor(kRun);
  INFO("FL_SIM_SEED=" << seed);
  REQUIRE(complaint == "");
  // The run was worth its time.
  const ControllerSim::Tally& tally = sim.tally();
  INFO(tally.events << " events, " << tally.probes << " probes, "
                    << tally.accepted << " accepted, " << tally.refused
                    << " refused, " << tally.refusals_by_table
                    << " by a table, " << tally.kills << " kills, "
                    << tally.drained << " drained, " << tally.ids_freed
                    << " ids freed, " << tally.state_changes
                    << " state changes, " << tally.overflows << " overflows");
  CHECK(tally.probes > 10000);
  CHECK(tally.accepted > 100);
  CHECK(tally.refused > 100);
  CHECK(tally.refusals_by_table > 0);
  CHECK(tally.kills > 20);
  CHECK(tally.drained > 0);
  CHECK(tally.ids_freed > 10);
  CHECK(tally.state_changes > 100);
}

TEST_CASE("the same seed is the same run", "[core][sim]") {
  ControllerSim a(7);
  ControllerSim b(7);
  REQUIRE(a.RunFor(absl::Hours(20)) == "");
  REQUIRE(b.RunFor(absl::Hours(20)) == "");
  CHECK(a.tally().events == b.tally().events);
  CHECK(a.tally().probes == b.tally().probes);
  CHECK(a.tally().state_changes == b.tally().state_changes);
}

}  // namespace
}  // namespace fairlead::testing
