// ControllerSim: months of one LB host in seconds. A controller runs in
// simulated time among hosts that fail, an operator who types a lot, tables
// that refuse and a daemon that is killed between any two writes. After every
// event the rules that must always hold are checked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "tests/sim/simulated_fleet.h"
#include "tests/sim/simulated_random.h"
#include "tests/support/core_world.h"

namespace fairlead::testing {

class ControllerSim {
 public:
  explicit ControllerSim(uint64_t seed);
  ControllerSim(const ControllerSim&) = delete;
  ControllerSim& operator=(const ControllerSim&) = delete;

  // Runs on for so long. Answers what went wrong and when, or nothing.
  std::string RunFor(absl::Duration duration);

  // What has happened, so that a test can tell that it all did.
  struct Tally {
    uint64_t events = 0;
    uint64_t probes = 0;
    uint64_t accepted = 0;
    uint64_t refused = 0;
    uint64_t refusals_by_table = 0;
    uint64_t kills = 0;
    uint64_t drained = 0;
    uint64_t ids_freed = 0;
    uint64_t state_changes = 0;
    uint64_t overflows = 0;
  };
  const Tally& tally() const { return tally_; }

 private:
  struct PendingAnswer {
    core::ProbeRequest probe;
    core::ProbeResult result;
  };
  enum class Happening {
    kDeadline,
    kAnswer,
    kPoll,
    kScan,
    kTraffic,
    kDisturbance,
    kCommand,
    kRestart,
  };

  std::pair<base::MonoTime, Happening> Next() const;
  void Happen(Happening happening);
  void Schedule(Happening happening, absl::Duration mean);

  void StartProbes();
  void CheckProbe(const core::ProbeRequest& probe);
  void DeliverAnswer();
  void PollAgents();
  void ScanFlows();
  void Restart();

  void RunCommands();
  void RunCommand(const core::Command& command);
  void CheckNewId(const core::Command& command);
  core::Command RandomCommand();
  core::ServiceSettings RandomSettings(bool is_new);

  void WatchWrite(const FakeDatapath::Write& write);
  void CheckWrites();
  void CheckAlways();
  void CheckEvents();
  void CheckWhole();
  void Complain(const std::string& complaint);

  SimulatedRandom random_;
  CoreWorld world_;
  SimulatedFleet fleet_;
  absl::btree_map<Happening, base::MonoTime> schedule_;
  absl::btree_multimap<base::MonoTime, PendingAnswer> answers_;

  // States of each row that was written since the last CheckWrites(), the
  // first of them before its first write.
  absl::btree_map<uint32_t, std::vector<core::RowWords>> row_states_;

  Tally tally_;
  std::string complaint_;
};

}  // namespace fairlead::testing
