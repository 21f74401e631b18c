// What the control API asks the daemon: the node, the kernel's counters, one
// flow's place in the tables.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "config/node_config.h"
#include "control/host.h"
#include "core/controller.h"
#include "daemon/agent_poller.h"
#include "daemon/flow_sweeper.h"
#include "daemon/health_runner.h"
#include "daemon/probe_roads.h"
#include "daemon/tier_watch.h"
#include "daemon/tracer.h"
#include "datapath/flow_hash.h"
#include "datapath/program.h"
#include "datapath/shared_tables.h"
#include "datapath/stats.h"
#include "event/loop.h"
#include "routes/route_watcher.h"

namespace fairlead::daemon {

// How long Detach() watches whether packets for services still arrive.
inline constexpr absl::Duration kDetachWatch = absl::Seconds(1);

class Host : public control::ControlHost {
 public:
  // What the daemon is made of; all borrowed.
  struct Parts {
    event::Loop& loop;
    const config::NodeConfig& config;
    const datapath::HashKey& hash_key;
    datapath::Program& program;
    datapath::SharedTables& tables;
    const core::Controller& controller;
    const FlowSweeper& sweeper;
    const routes::RouteWatcher& routes;
    ProbeRoads& roads;
    const TierWatch& tier;
    AgentPoller& agents;
    Tracer& tracer;
    HealthRunner& health;
  };

  explicit Host(const Parts& parts)
      : parts_(parts),
        stats_(parts.program.maps()),
        started_(parts.loop.Now()) {}

  control::NodeStatus Status() const override;
  std::vector<std::string> Alarms() const override;
  std::string WhyUnsettled(const core::Service& service) const override {
    return parts_.tier.WhyUnsettled(service);
  }
  std::vector<uint64_t> VerdictCounts() const override;
  std::vector<uint64_t> CheckVerdictCounts() const override {
    return parts_.roads.VerdictCounts();
  }
  control::ServiceCounters CountersOf(core::ServiceId service) const override;
  control::BackendCounters CountersOfBackend(
      core::BackendId backend) const override;
  control::BackendLine LineOf(core::BackendId backend) const override;
  control::FlowFacts LookUp(const core::Service& service,
                            const control::Flow& flow) const override;
  event::Task<control::SocketAnswers> AskSockets(
      control::SocketQuestion question) override {
    return parts_.agents.AskSockets(std::move(question));
  }
  event::Task<core::ProbeResult> RunCheck(core::ProbeRequest probe) override {
    return parts_.health.RunNow(std::move(probe));
  }
  absl::StatusOr<std::unique_ptr<control::Trace>> StartTrace(
      const control::TraceQuery& query) override {
    return parts_.tracer.Start(query);
  }
  event::Task<absl::Status> Detach(bool force) override;

 private:
  uint64_t ServicePackets() const;
  bool IsRecordable(uint64_t hash) const;

  Parts parts_;
  datapath::Stats stats_;
  base::MonoTime started_;
};

}  // namespace fairlead::daemon
