#include "core/conn_limits.h"

#include "fairlead/abi/maps.h"

namespace fairlead::core {

void ConnLimits::Store(const DesiredState& desired, const Runtimes& runtimes,
                       base::MonoTime now) {
  for (const auto& [name, service] : desired.services) {
    for (const auto& [backend_name, backend] : service.backends) {
      StoreBound(backend, now);
      StorePace(service, backend, runtimes.At(backend.id));
    }
  }
}

void ConnLimits::StoreLine(const DesiredState& desired,
                           const BackendRuntime& runtime,
                           Applier& applier) const {
  const Service& service = desired.services.at(runtime.service);
  StorePace(service, service.backends.at(runtime.backend), runtime);
  applier.SetState(runtime.id, runtime.effective.bits);
}

void ConnLimits::StorePace(const Service& service, const Backend& backend,
                           const BackendRuntime& runtime) const {
  if (backend.accept_rate == 0) return;
  datapath_.SetAcceptPace(
      backend.id, PaceOf(backend.accept_rate, runtime.effective.held,
                         runtime.slow_start, service.slow_start, lb_hosts_));
}

void ConnLimits::OnAgent(const Backend& backend, const AgentReport& report,
                         base::MonoTime now) {
  if (report.presence != AgentReport::Presence::kPresent) return;
  Of(backend.id).OnAgent(report, datapath_.Load(backend.id), now);
  StoreBound(backend, now);
}

void ConnLimits::OnFlows(const DesiredState& desired, const Runtimes& runtimes,
                         std::span<const FlowCounts> counts,
                         base::MonoTime now) {
  for (const auto& [name, service] : desired.services) {
    for (const auto& [backend_name, backend] : service.backends) {
      if (backend.id >= counts.size()) continue;
      Of(backend.id)
          .OnFlows(counts[backend.id], datapath_.Load(backend.id),
                   runtimes.At(backend.id).agent.report(), now);
      StoreBound(backend, now);
    }
  }
}

std::optional<uint64_t> ConnLimits::Estimate(BackendId id,
                                             uint64_t begun) const {
  const auto found = limits_.find(id);
  if (found == limits_.end()) return std::nullopt;
  return found->second.Estimate(begun);
}

ConnLimit& ConnLimits::Of(BackendId id) {
  const auto found = limits_.find(id);
  if (found != limits_.end()) return found->second;
  return limits_.emplace(id, ConnLimit(datapath_.Load(id).begun)).first->second;
}

// A daemon that has just been started has counted nothing; the bound of the one
// before, if there is one, is the better one until it has.
void ConnLimits::StoreBound(const Backend& backend, base::MonoTime now) {
  if (backend.max_conn == 0) return;
  const ConnLimit& limit = Of(backend.id);
  const bool is_capped =
      (datapath_.BackendState(backend.id) & FL_BACKEND_CAPPED) != 0;
  if (is_capped && !limit.has_counted()) return;
  datapath_.SetBound(backend.id, limit.Bound(backend.max_conn, lb_hosts_),
                     now + kBoundLifetime);
}

}  // namespace fairlead::core
