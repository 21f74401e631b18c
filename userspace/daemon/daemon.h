// Daemon: builds the real objects, starts their coroutines and stops them. What
// they decide is in core, what they do in the other layers.
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "config/node_config.h"
#include "control/access.h"
#include "control/api.h"
#include "control/event_log.h"
#include "control/store.h"
#include "core/controller.h"
#include "daemon/agent_poller.h"
#include "daemon/flow_sweeper.h"
#include "daemon/health_runner.h"
#include "daemon/host.h"
#include "daemon/probe_roads.h"
#include "daemon/tier_watch.h"
#include "daemon/tracer.h"
#include "datapath/packet_trace.h"
#include "datapath/program.h"
#include "datapath/shared_tables.h"
#include "event/loop.h"
#include "event/signals.h"
#include "event/sync.h"
#include "http/server.h"
#include "routes/route_watcher.h"

namespace fairlead::daemon {

class Daemon {
 public:
  // Errors name what is missing and how to mend it.
  static absl::StatusOr<std::unique_ptr<Daemon>> Create(
      config::NodeConfig config);
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Opens everything that can fail before anything is served: the desired
  // state, the key, the tables, the socket; then serves until SIGTERM or
  // SIGINT. Packets flow on afterwards. Errors of a start leave the host as it
  // was.
  absl::Status Run();

 private:
  Daemon(config::NodeConfig config, event::Signals signals,
         std::unique_ptr<event::Loop> loop);

  // Requires: what is desired fits the sizes of the node config.
  absl::Status Open();
  absl::Status ListenToPeers();
  // Without it, checks go another way.
  void OpenProbeRoads(const fl_config& config);
  // After an error: leaves a host without a packet path as it was.
  void TakeBack();
  event::Task<void> Main();
  event::Task<absl::Status> Serve();
  // Servers first, then the changes under way, then everything else.
  event::Task<void> Stop(event::Scope& servers, event::Scope& work);
  event::Task<absl::Status> Start();
  event::Task<absl::Status> TakeOver(core::DesiredState desired);
  event::Task<void> WaitForSignal();
  // Takes to the audit log and to the disk what followed from the world.
  event::Task<void> KeepRecords();
  event::Task<absl::Status> RecordOnce();
  event::Task<void> WatchNewFlows();
  event::Task<void> FeedWatchdog();
  // The desired state changed, by command or after a scan.
  void OnDesiredChanged();
  void OnNextHop(const base::IpAddress& address,
                 const std::optional<core::NextHop>& hop,
                 absl::string_view reason);

  // Constant after construction.
  const config::NodeConfig config_;
  event::Signals signals_;
  const std::unique_ptr<event::Loop> loop_;

  // Set by Open(), in this order.
  datapath::HashKey hash_key_ = {};
  std::unique_ptr<datapath::Program> program_;
  std::unique_ptr<datapath::SharedTables> tables_;
  std::unique_ptr<routes::RouteWatcher> routes_;
  std::unique_ptr<core::Controller> controller_;
  std::unique_ptr<control::Store> store_;
  std::unique_ptr<control::EventLog> event_log_;
  std::unique_ptr<event::Event> happened_;
  std::unique_ptr<FlowSweeper> sweeper_;
  std::unique_ptr<ProbeRoads> roads_;
  std::unique_ptr<HealthRunner> health_;
  std::unique_ptr<AgentPoller> agents_;
  std::unique_ptr<TierWatch> tier_;
  std::unique_ptr<datapath::PacketTrace> packet_trace_;
  std::unique_ptr<Tracer> tracer_;
  std::unique_ptr<http::Server> peer_server_;
  std::vector<base::UniqueFd> peer_listeners_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<control::Access> access_;
  std::unique_ptr<event::Scope> changes_;
  std::unique_ptr<control::Api> api_;
  std::unique_ptr<http::Server> server_;
  base::UniqueFd listener_;

  absl::Status result_;
};

}  // namespace fairlead::daemon
