// ConnLimits: the max-conn and the accept-rate of all backends, stored as
// bounds that the packet path goes by.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "absl/container/btree_map.h"
#include "core/applier.h"
#include "core/conn_limit.h"
#include "core/model.h"
#include "core/ports.h"
#include "core/runtimes.h"

namespace fairlead::core {

class ConnLimits {
 public:
  // Borrows it.
  explicit ConnLimits(Datapath& datapath) : datapath_(datapath) {}
  ConnLimits(const ConnLimits&) = delete;
  ConnLimits& operator=(const ConnLimits&) = delete;

  // Before lines say that they are capped or paced.
  void Store(const DesiredState& desired, const Runtimes& runtimes,
             base::MonoTime now);
  // The backend's accept-rate, and then its line as it is now.
  void StoreLine(const DesiredState& desired, const BackendRuntime& runtime,
                 Applier& applier) const;
  // A report of the backend's agent.
  void OnAgent(const Backend& backend, const AgentReport& report,
               base::MonoTime now);
  // A walk over the flow table: the counts of each id.
  void OnFlows(const DesiredState& desired, const Runtimes& runtimes,
               std::span<const FlowCounts> counts, base::MonoTime now);
  void Forget(BackendId id) { limits_.erase(id); }
  // Each takes its share of the room.
  void SetLbHosts(size_t lb_hosts) { lb_hosts_ = lb_hosts; }

  // Connections, those confirmed and what has begun since; nullopt: nobody has
  // asked for a limit or counted.
  std::optional<uint64_t> Estimate(BackendId id, uint64_t begun) const;

 private:
  ConnLimit& Of(BackendId id);
  void StoreBound(const Backend& backend, base::MonoTime now);
  void StorePace(const Service& service, const Backend& backend,
                 const BackendRuntime& runtime) const;

  Datapath& datapath_;
  size_t lb_hosts_ = 1;
  absl::btree_map<BackendId, ConnLimit> limits_;  // also of those without one
};

}  // namespace fairlead::core
