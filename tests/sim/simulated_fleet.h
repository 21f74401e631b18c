// SimulatedFleet: the backends' hosts and the flows, as far as the controller
// can notice them: servers that answer probes, refuse, hang or ask for a drain,
// agents that count sockets, vanish and are booted, and flows that the packet
// path records by the rules of the shared tables.
#pragma once

#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "core/model.h"
#include "tests/sim/simulated_random.h"
#include "tests/support/fake_datapath.h"

namespace fairlead::testing {

class SimulatedFleet {
 public:
  SimulatedFleet(SimulatedRandom& random, FakeDatapath& tables)
      : random_(random), tables_(tables) {}

  // Something happens to some host.
  void Disturb();
  // What a probe that is sent now will hear, and after how long.
  struct Answer {
    core::ProbeResult result;
    absl::Duration delay;
  };
  Answer Probe(const core::ProbeRequest& probe);
  // What the agent at `backend` says of the sockets there.
  core::AgentReport AskAgent(const core::Service& service,
                             const core::Backend& backend, base::MonoTime now);

  // New flows arrive and old ones end; answers what is wrong with where the
  // packet path sends the new ones, or nothing.
  std::string Traffic();
  // Answers which flow of a configured backend no packet would find any more,
  // or nothing.
  std::string FindLost(const core::DesiredState& desired) const;
  // Ids that the flow table has flows of.
  std::vector<core::BackendId> Recorded() const;
  uint64_t FlowsOf(core::BackendId id) const;
  // In the row of the shared table.
  bool HasFlowIn(core::BackendId id, uint32_t row) const;
  // Answers of its agent since the last one that told of a socket.
  int EmptyReportsOf(core::BackendId id) const;

 private:
  struct Host {
    core::ProbeOutcome server = core::ProbeOutcome::kSuccess;
    bool has_agent = true;
    bool agent_answers = true;
    bool agent_is_stale = false;
    int boots = 0;
  };

  // Flows by row of the service.
  using RowFlows = absl::btree_map<uint32_t, uint64_t>;
  // One scan of an agent.
  struct Scan {
    base::MonoTime begun;
    core::RowSet rows;
    int boots = 0;
  };

  Host& HostAt(const base::IpAddress& address);
  std::string Arrive(const core::ServiceEntry& entry);
  void PublishLoad(core::BackendId id);

  SimulatedRandom& random_;
  FakeDatapath& tables_;
  absl::btree_map<base::IpAddress, Host> hosts_;
  absl::btree_map<core::BackendId, RowFlows> flows_;
  absl::btree_map<core::BackendId, Scan> scans_;  // the last one
  absl::btree_map<core::BackendId, int> empty_reports_;
  uint64_t scan_ = 0;
};

}  // namespace fairlead::testing
