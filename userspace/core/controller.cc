#include "core/controller.h"

#include <algorithm>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "core/allocation.h"
#include "core/applier.h"
#include "core/conn_limits.h"
#include "core/last_offers.h"
#include "core/ownership.h"
#include "core/registry.h"
#include "core/runtimes.h"
#include "core/settings.h"
#include "core/syn_budget.h"
#include "core/target.h"
#include "core/views.h"
#include "fairlead/abi/maps.h"

namespace fairlead::core {
namespace {

// Between two tries to write what a table refused.
constexpr absl::Duration kRetryInterval = absl::Seconds(1);

// A deleted backend's id is free after so many scans, if the last one does not
// see it: a flow that was being recorded when its backend was deleted may be
// missed by the first.
constexpr int kScansInQuarantine = 2;

}  // namespace

class Controller::Impl {
 public:
  Impl(const TableSizes& sizes, Datapath& datapath,
       absl::AnyInvocable<double()> random)
      : sizes_(sizes),
        datapath_(datapath),
        applier_(sizes, datapath),
        runtimes_(std::move(random)),
        limits_(datapath) {}

  absl::Status Adopt(DesiredState desired, base::MonoTime now);
  absl::StatusOr<Change> Prepare(const Command& command, absl::Time wall) const;
  absl::Status Commit(const Change& change, base::MonoTime now);
  bool TakeDirty() { return std::exchange(dirty_, false); }

  std::vector<ProbeRequest> DueProbes(base::MonoTime now);
  std::optional<base::MonoTime> NextDeadline() const;
  void OnProbeResult(const ProbeRequest& probe, const ProbeResult& result,
                     base::MonoTime now) {
    Store(runtimes_.OnProbeResult(desired_, probe, result, now));
  }
  void OnAgentReport(const std::string& service, const std::string& backend,
                     const AgentReport& report, base::MonoTime now) {
    const BackendRuntime* runtime =
        runtimes_.OnAgentReport(desired_, service, backend, report, now);
    if (runtime == nullptr) return;
    Store(runtime);
    TakeOwnedRows(*runtime);
    RebaseLoad(*runtime);
    limits_.OnAgent(desired_.services.at(service).backends.at(backend),
                    runtime->agent.report(), now);
  }
  void OnFlowCounts(std::span<const FlowCounts> counts, base::MonoTime now) {
    limits_.OnFlows(desired_, runtimes_, counts, now);
  }
  void OnNewFlows(const std::string& service, const NewFlows& counted,
                  base::MonoTime now);
  uint64_t Recorded(const std::string& service,
                    const std::string& backend) const;
  void OnNextHop(const base::IpAddress& address,
                 const std::optional<NextHop>& next_hop,
                 absl::string_view reason) {
    next_hops_[address] = {next_hop, std::string(reason)};
  }
  void OnFlowScan(const std::vector<BackendId>& seen, absl::Time begun,
                  base::MonoTime now);

  std::vector<Event> TakeEvents();
  std::vector<std::string> Alarms() const;
  const DesiredState& desired() const { return desired_; }
  const absl::btree_set<BackendId>& Empty() const { return empty_; }
  absl::btree_map<BackendId, base::IpAddress> Peers() const;
  void OnTier(size_t lb_hosts, base::MonoTime now);
  size_t lb_hosts() const { return lb_hosts_; }
  void OnOtherTable(const Service& service, base::MonoTime now) {
    offers_.OnOtherTable(service.id, now);
  }
  void OnStuckElsewhere(const Service& service,
                        const absl::btree_set<base::IpAddress>& addresses,
                        base::MonoTime now);
  absl::btree_set<base::IpAddress> Stuck(const Service& service) const;
  std::string WhyUnsettled(const Service& service) const;
  ServiceView View(const Service& service) const;

 private:
  void QuarantineStrays();
  // Takes leaving backends that are drained out of the desired state.
  void LetGo(absl::Time wall, base::MonoTime now);
  // What has left since `next` was made is gone from it too.
  void ForgetGone(DesiredState& next) const;
  void TakeOver(DesiredState next, base::MonoTime now);
  Target MakeTarget() const;
  absl::Status Apply(base::MonoTime now);
  absl::Status Settle(absl::Status applied, base::MonoTime now);
  // Does nothing without a runtime.
  void Store(const BackendRuntime* runtime);
  bool MayOwnFlows(BackendId id, uint32_t row) const;
  void NoteStuck(base::MonoTime now);
  bool HasCountedSince(const Service& service, BackendId id) const {
    return offers_.HasCountedSince(service.id, id,
                                   runtimes_.At(id).agent.report());
  }
  // The rows of services in which the two differ change now.
  void NoteRowChanges(const DesiredState& before, const DesiredState& after,
                      base::MonoTime now);
  void TakeOwnedRows(const BackendRuntime& runtime);
  // What the agent counts more than this host is carried elsewhere, what it
  // counts less has ended unseen.
  void RebaseLoad(const BackendRuntime& runtime);
  ToldNextHop NextHopOf(const base::IpAddress& address) const;

  // Constant after construction.
  const TableSizes sizes_;
  Datapath& datapath_;

  size_t lb_hosts_ = 1;  // of the tier, alive
  DesiredState desired_;
  bool dirty_ = false;
  std::vector<Event> events_;  // besides those of the runtimes
  Applier applier_;
  // While a table refuses what is desired: why, and when to try again.
  absl::Status refused_;
  std::optional<base::MonoTime> retry_at_;

  Runtimes runtimes_;                      // of all configured backends
  absl::btree_map<BackendId, int> scans_;  // since an id is in quarantine
  // In quarantine, and their agents have proven that no connection is left.
  absl::btree_set<BackendId> empty_;
  LastOffers offers_;
  absl::btree_map<base::IpAddress, ToldNextHop> next_hops_;
  absl::btree_map<ServiceId, SynWatch> syn_watches_;
  ConnLimits limits_;
};

absl::Status Controller::Impl::Adopt(DesiredState desired, base::MonoTime now) {
  FL_RETURN_IF_ERROR(CheckDesired(desired), "desired state");
  FL_RETURN_IF_ERROR(CheckFits(desired, sizes_), "desired state");
  desired_ = std::move(desired);
  NoteRowChanges(DesiredState(), desired_, now);
  QuarantineStrays();
  runtimes_.Adopt(
      desired_, [&](BackendId id) { return datapath_.BackendState(id); }, now);
  limits_.Store(desired_, runtimes_, now);
  return Settle(applier_.Adopt(MakeTarget(),
                               [&](BackendId id, uint32_t row) {
                                 return MayOwnFlows(id, row);
                               }),
                now);
}

// Lines of backends that nobody knows: the desired state was lost or is an old
// one. Their flows get the time that flows of deleted backends get.
void Controller::Impl::QuarantineStrays() {
  absl::btree_set<BackendId> known;
  for (const auto& [id, since] : desired_.quarantine) known.insert(id);
  for (const auto& [name, service] : desired_.services)
    for (const auto& [backend_name, backend] : service.backends)
      known.insert(backend.id);
  for (const BackendId id : applier_.FindStrays(known)) {
    desired_.quarantine[id] = absl::UnixEpoch();
    dirty_ = true;
  }
}

absl::StatusOr<Change> Controller::Impl::Prepare(const Command& command,
                                                 absl::Time wall) const {
  return PlanChange(
      desired_, sizes_, command, wall, [&](const Backend& backend) {
        const BackendRuntime& runtime = runtimes_.At(backend.id);
        const LoadReport load = datapath_.Load(backend.id);
        const uint64_t connections =
            CountConnections(runtime.agent.report(), load).count;
        return BackendFacts{
            .connections = connections,
            .flows_at_stake =
                runtime.drain.drained()
                    ? 0
                    : std::max(connections, load.live + load.pending),
            .available =
                runtime.effective.eligible && datapath_.HasNextHop(backend.id),
            .has_agent = HasAgent(runtime.agent.presence()),
            .agent_answers =
                runtime.agent.presence() == AgentReport::Presence::kPresent,
            .drained = runtime.drain.drained()};
      });
}

absl::Status Controller::Impl::Commit(const Change& change,
                                      base::MonoTime now) {
  if (SameIntent(change.next, desired_)) return absl::OkStatus();
  if (change.next.generation != desired_.generation + 1)
    return absl::AbortedError(absl::StrCat(
        "the change was made for generation ", change.next.generation,
        ", the state is at ", desired_.generation, " already; try again"));
  TakeOver(change.next, now);
  return Apply(now);
}

void Controller::Impl::TakeOver(DesiredState next, base::MonoTime now) {
  ForgetGone(next);
  // Ids that were freed after the change was prepared stay free.
  for (auto it = next.quarantine.begin(); it != next.quarantine.end();) {
    const bool freed = !desired_.quarantine.contains(it->first) &&
                       runtimes_.Find(it->first) == nullptr;
    dirty_ = dirty_ || freed;
    it = freed ? next.quarantine.erase(it) : std::next(it);
  }
  for (const auto& [id, since] : next.quarantine) {
    const BackendRuntime* runtime = runtimes_.Find(id);
    if (runtime != nullptr && runtime->drain.drained() &&
        HasAgent(runtime->agent.presence()))
      empty_.insert(id);
  }
  runtimes_.TakeOver(desired_, next, now);
  NoteRowChanges(desired_, next, now);
  desired_ = std::move(next);
  offers_.Retain(desired_);
  for (auto it = scans_.begin(); it != scans_.end();)
    it = desired_.quarantine.contains(it->first) ? std::next(it)
                                                 : scans_.erase(it);
  absl::btree_set<base::IpAddress> addresses;
  for (const auto& [name, service] : desired_.services)
    for (const auto& [backend_name, backend] : service.backends)
      addresses.insert(backend.address);
  for (auto it = next_hops_.begin(); it != next_hops_.end();)
    it = addresses.contains(it->first) ? std::next(it) : next_hops_.erase(it);
}

Target Controller::Impl::MakeTarget() const {
  Target target;
  for (const auto& [vip, tombstone] : desired_.tombstones)
    target.services[vip] = TombstoneTarget(tombstone);
  for (const auto& [name, service] : desired_.services) {
    target.services[service.vip] = ServiceTarget(service, sizes_, lb_hosts_);
    for (const auto& [backend_name, backend] : service.backends)
      target.backends[backend.id] = {
          .state = runtimes_.At(backend.id).effective.bits,
          .address = backend.address,
          .weight = backend.weight,
          .service = service.id};
  }
  return target;
}

absl::Status Controller::Impl::Apply(base::MonoTime now) {
  // What was refused until now may change rows at last.
  if (!refused_.ok()) NoteRowChanges(DesiredState(), desired_, now);
  limits_.Store(desired_, runtimes_, now);
  return Settle(applier_.Apply(MakeTarget(),
                               [&](BackendId id, uint32_t row) {
                                 return MayOwnFlows(id, row);
                               }),
                now);
}

absl::Status Controller::Impl::Settle(absl::Status applied,
                                      base::MonoTime now) {
  NoteStuck(now);
  refused_ = std::move(applied);
  retry_at_ =
      refused_.ok() ? std::nullopt : std::optional(now + kRetryInterval);
  return refused_;
}

void Controller::Impl::Store(const BackendRuntime* runtime) {
  if (runtime != nullptr) limits_.StoreLine(desired_, *runtime, applier_);
  for (const BackendId id : runtimes_.TakeReopened())
    limits_.StoreLine(desired_, runtimes_.At(id), applier_);
}

void Controller::Impl::NoteRowChanges(const DesiredState& before,
                                      const DesiredState& after,
                                      base::MonoTime now) {
  for (const auto& [name, service] : after.services) {
    const auto old = before.services.find(name);
    if (old == before.services.end() ||
        !SameMembers(ServiceTarget(old->second, sizes_, lb_hosts_).members,
                     ServiceTarget(service, sizes_, lb_hosts_).members)) {
      offers_.OnRowsChanged(service.id, now);
    }
  }
}

void Controller::Impl::NoteStuck(base::MonoTime now) {
  for (const auto& [name, service] : desired_.services)
    for (const BackendId id : applier_.Stuck(service.vip))
      offers_.OnStuck(id, now);
}

void Controller::Impl::OnTier(size_t lb_hosts, base::MonoTime now) {
  if (lb_hosts == lb_hosts_) return;
  lb_hosts_ = lb_hosts;
  limits_.SetLbHosts(lb_hosts);
  // An error is kept for Alarms(), and tried again.
  (void)Apply(now);
}

void Controller::Impl::OnStuckElsewhere(
    const Service& service, const absl::btree_set<base::IpAddress>& addresses,
    base::MonoTime now) {
  for (const auto& [name, backend] : service.backends)
    if (addresses.contains(backend.address)) offers_.OnStuck(backend.id, now);
}

absl::btree_set<base::IpAddress> Controller::Impl::Stuck(
    const Service& service) const {
  absl::btree_set<base::IpAddress> addresses;
  for (const BackendId id : applier_.Stuck(service.vip))
    addresses.insert(datapath_.BackendAddress(id));
  return addresses;
}

void Controller::Impl::TakeOwnedRows(const BackendRuntime& runtime) {
  const AgentReport& report = runtime.agent.report();
  if (report.presence != AgentReport::Presence::kPresent || !report.owned)
    return;
  applier_.AddOwner(desired_.services.find(runtime.service)->second.vip,
                    runtime.id, *report.owned);
}

void Controller::Impl::RebaseLoad(const BackendRuntime& runtime) {
  const AgentReport& report = runtime.agent.report();
  if (report.presence != AgentReport::Presence::kPresent) return;
  datapath_.SetElsewhere(runtime.id, static_cast<int64_t>(report.live_sockets) -
                                         static_cast<int64_t>(report.recorded));
}

void Controller::Impl::OnNewFlows(const std::string& service,
                                  const NewFlows& counted, base::MonoTime now) {
  const auto of = desired_.services.find(service);
  if (of == desired_.services.end()) return;
  SynWatch& watch = syn_watches_[of->second.id];
  if (!watch.OnSample(counted, now)) return;
  events_.push_back(SynBudgetEvent(
      of->second, watch,
      BudgetPerSecond(of->second.syn_budget, sizes_.flow_buckets)));
}

uint64_t Controller::Impl::Recorded(const std::string& service,
                                    const std::string& backend) const {
  const auto of = desired_.services.find(service);
  if (of == desired_.services.end()) return 0;
  const auto found = of->second.backends.find(backend);
  if (found == of->second.backends.end()) return 0;
  return datapath_.Load(found->second.id).recorded();
}

bool Controller::Impl::MayOwnFlows(BackendId id, uint32_t row) const {
  const BackendRuntime* runtime = runtimes_.Find(id);
  if (runtime == nullptr && !desired_.quarantine.contains(id)) return false;
  if (empty_.contains(id)) return false;
  if (runtime != nullptr) {
    const Service& service = desired_.services.find(runtime->service)->second;
    const AgentReport& report = runtime->agent.report();
    // Where there is an agent, its word is the only one that counts.
    if (service.agent_port != 0 &&
        report.presence != AgentReport::Presence::kAbsent) {
      return !offers_.ProvesNoOwner(service.id, report, row);
    }
  }
  // Either may know of flows that the other does not: this host's table may
  // have been wiped, and a scan of the agent is always a little old.
  if (runtime != nullptr && runtime->agent.report().live_sockets > 0)
    return true;
  const LoadReport load = datapath_.Load(id);
  return load.live + load.pending > 0;
}

std::vector<ProbeRequest> Controller::Impl::DueProbes(base::MonoTime now) {
  // An error is kept for Alarms().
  if (retry_at_ && now >= *retry_at_) (void)Apply(now);
  for (const BackendRuntime* due : runtimes_.DueSteps(desired_, now))
    Store(due);
  return runtimes_.DueProbes(desired_, now);
}

std::optional<base::MonoTime> Controller::Impl::NextDeadline() const {
  const std::optional<base::MonoTime> probe = runtimes_.NextDeadline();
  if (!probe || !retry_at_) return probe ? probe : retry_at_;
  return std::min(*probe, *retry_at_);
}

void Controller::Impl::LetGo(absl::Time wall, base::MonoTime now) {
  DesiredState next = desired_;
  for (auto& [name, service] : next.services) {
    for (auto it = service.backends.begin(); it != service.backends.end();) {
      const Backend& backend = it->second;
      if (!backend.leaving || !runtimes_.At(backend.id).drain.drained() ||
          !HasCountedSince(service, backend.id)) {
        ++it;
        continue;
      }
      next.quarantine[backend.id] = wall;
      events_.push_back({.type = "backend.gone",
                         .service = name,
                         .backend = backend.name,
                         .before = "leaving",
                         .after = "deleted",
                         .reason = "its last connection has ended"});
      it = service.backends.erase(it);
    }
  }
  if (SameIntent(next, desired_)) return;
  TakeOver(std::move(next), now);
  dirty_ = true;
  // An error is kept for Alarms(), and tried again.
  (void)Apply(now);
}

void Controller::Impl::ForgetGone(DesiredState& next) const {
  for (auto& [name, service] : next.services) {
    const auto current = desired_.services.find(name);
    if (current == desired_.services.end()) continue;
    for (auto it = service.backends.begin(); it != service.backends.end();) {
      const auto gone = desired_.quarantine.find(it->second.id);
      if (gone == desired_.quarantine.end()) {
        ++it;
        continue;
      }
      next.quarantine[gone->first] = gone->second;
      it = service.backends.erase(it);
    }
  }
}

std::vector<Event> Controller::Impl::TakeEvents() {
  std::vector<Event> events = runtimes_.TakeEvents();
  for (Event& event : events_) events.push_back(std::move(event));
  events_.clear();
  return events;
}

void Controller::Impl::OnFlowScan(const std::vector<BackendId>& seen,
                                  absl::Time begun, base::MonoTime now) {
  NoteStuck(now);
  // First, so that who is wanted again is not dropped for a moment.
  LetGo(begun, now);
  const absl::btree_set<BackendId> seen_ids(seen.begin(), seen.end());
  absl::btree_set<BackendId> free;
  for (const auto& [id, since] : desired_.quarantine) {
    // As long as a table refuses what is desired, flows may still be offered.
    if (!refused_.ok() || begun <= since) continue;
    if (++scans_[id] >= kScansInQuarantine && !seen_ids.contains(id))
      free.insert(id);
  }
  const std::vector<base::Endpoint> changed = applier_.Contract(
      free, [&](BackendId id, uint32_t row) { return MayOwnFlows(id, row); });
  for (const auto& [name, service] : desired_.services) {
    if (std::find(changed.begin(), changed.end(), service.vip) !=
        changed.end()) {
      offers_.OnRowsChanged(service.id, now);
    }
  }
  for (const BackendId id : free) {
    applier_.Release(id);
    desired_.quarantine.erase(id);
    scans_.erase(id);
    empty_.erase(id);
    limits_.Forget(id);
    dirty_ = true;
  }
}

absl::btree_map<BackendId, base::IpAddress> Controller::Impl::Peers() const {
  absl::btree_map<BackendId, base::IpAddress> peers;
  for (const auto& [id, since] : desired_.quarantine)
    if (datapath_.BackendState(id) != 0)
      peers[id] = datapath_.BackendAddress(id);
  for (const auto& [name, service] : desired_.services)
    for (const auto& [backend_name, backend] : service.backends)
      peers[backend.id] = backend.address;
  return peers;
}

std::string Controller::Impl::WhyUnsettled(const Service& service) const {
  if (service.guarantee != Guarantee::kSockets)
    return absl::StrCat("guarantee ", ToString(service.guarantee));
  if (!refused_.ok()) return "the packet path lags behind";
  if (const uint64_t rows = applier_.OwnersUnlisted(service.vip); rows > 0)
    return absl::StrCat(rows, " rows have no place for an owner");
  if (const uint64_t rows = applier_.RowsOverflowed(service.vip); rows > 0)
    return absl::StrCat(rows, " rows have no place for a candidate");
  for (const auto& [name, backend] : service.backends) {
    const BackendRuntime& runtime = runtimes_.At(backend.id);
    const AgentReport& report = runtime.agent.report();
    // Packets for it go there last, and are not answered by anybody.
    if ((runtime.effective.bits & FL_BACKEND_DEAD) != 0) continue;
    if (report.presence != AgentReport::Presence::kPresent)
      return absl::StrCat("the agent of ", name, " is ",
                          ToString(report.presence));
    if (!report.owned.has_value() || !report.owned_begun.has_value())
      return absl::StrCat("the agent of ", name, " has not counted twice yet");
    if (!HasCountedSince(service, backend.id))
      return absl::StrCat("the agent of ", name,
                          " has not counted twice since all tables agree");
  }
  return "";
}

ToldNextHop Controller::Impl::NextHopOf(const base::IpAddress& address) const {
  const auto found = next_hops_.find(address);
  return found == next_hops_.end() ? ToldNextHop() : found->second;
}

ServiceView Controller::Impl::View(const Service& service) const {
  std::vector<BackendView> backends;
  for (const auto& [name, backend] : service.backends) {
    const LoadReport load = datapath_.Load(backend.id);
    backends.push_back(MakeBackendView(
        service, backend, runtimes_.At(backend.id), load,
        NextHopOf(backend.address), datapath_.HasNextHop(backend.id)));
    if (const auto connections = limits_.Estimate(backend.id, load.begun))
      AddLimit(*connections, backends.back());
  }
  ServiceView view = MakeServiceView(service, std::move(backends),
                                     applier_.RowsOverflowed(service.vip));
  view.syn_budget_per_second =
      BudgetPerSecond(service.syn_budget, sizes_.flow_buckets);
  const auto watch = syn_watches_.find(service.id);
  view.above_syn_budget =
      watch != syn_watches_.end() && watch->second.excess().has_value();
  return view;
}

std::vector<std::string> Controller::Impl::Alarms() const {
  std::vector<std::string> alarms;
  if (!refused_.ok())
    alarms.push_back(
        absl::StrCat("the packet path lags behind the desired "
                     "state, tried again every second: ",
                     refused_.message()));
  for (const auto& [name, service] : desired_.services) {
    if (const uint64_t rows = applier_.OwnersUnlisted(service.vip); rows > 0)
      alarms.push_back(absl::StrCat(
          "service ", name, ": ", rows,
          " rows have no place for a backend that has connections of theirs: "
          "those are lost if they come by another LB host"));
    std::vector<std::string> no_next_hop;
    for (const auto& [backend_name, backend] : service.backends) {
      const auto hop = next_hops_.find(backend.address);
      if (hop == next_hops_.end() || hop->second.next_hop) continue;
      const std::string& reason = hop->second.reason;
      no_next_hop.push_back(absl::StrCat(backend_name, " (",
                                         backend.address.ToString(), ")",
                                         reason.empty() ? "" : ": ", reason));
    }
    const auto watch = syn_watches_.find(service.id);
    if (watch != syn_watches_.end() && watch->second.excess().has_value())
      alarms.push_back(SynBudgetAlarm(
          service, *watch->second.excess(),
          BudgetPerSecond(service.syn_budget, sizes_.flow_buckets)));
    for (std::string& alarm : ServiceAlarms(View(service), no_next_hop))
      alarms.push_back(std::move(alarm));
  }
  return alarms;
}

Controller::Controller(TableSizes sizes, Datapath& datapath,
                       absl::AnyInvocable<double()> random)
    : impl_(std::make_unique<Impl>(sizes, datapath, std::move(random))) {}
Controller::~Controller() = default;

absl::Status Controller::Adopt(DesiredState desired, base::MonoTime now) {
  return impl_->Adopt(std::move(desired), now);
}

absl::StatusOr<Change> Controller::Prepare(const Command& command,
                                           absl::Time wall) const {
  return impl_->Prepare(command, wall);
}

absl::Status Controller::Commit(const Change& change, base::MonoTime now) {
  return impl_->Commit(change, now);
}

bool Controller::TakeDirty() { return impl_->TakeDirty(); }

std::vector<ProbeRequest> Controller::DueProbes(base::MonoTime now) {
  return impl_->DueProbes(now);
}

std::optional<base::MonoTime> Controller::NextDeadline() const {
  return impl_->NextDeadline();
}

void Controller::OnProbeResult(const ProbeRequest& probe,
                               const ProbeResult& result, base::MonoTime now) {
  impl_->OnProbeResult(probe, result, now);
}

void Controller::OnAgentReport(const std::string& service,
                               const std::string& backend,
                               const AgentReport& report, base::MonoTime now) {
  impl_->OnAgentReport(service, backend, report, now);
}

void Controller::OnNewFlows(const std::string& service, const NewFlows& counted,
                            base::MonoTime now) {
  impl_->OnNewFlows(service, counted, now);
}

void Controller::OnFlowCounts(std::span<const FlowCounts> counts,
                              base::MonoTime now) {
  impl_->OnFlowCounts(counts, now);
}

void Controller::OnNextHop(const base::IpAddress& address,
                           const std::optional<NextHop>& next_hop,
                           absl::string_view reason) {
  impl_->OnNextHop(address, next_hop, reason);
}

uint64_t Controller::Recorded(const std::string& service,
                              const std::string& backend) const {
  return impl_->Recorded(service, backend);
}

void Controller::OnFlowScan(const std::vector<BackendId>& seen,
                            absl::Time begun, base::MonoTime now) {
  impl_->OnFlowScan(seen, begun, now);
}

std::vector<Event> Controller::TakeEvents() { return impl_->TakeEvents(); }

std::vector<std::string> Controller::Alarms() const { return impl_->Alarms(); }

const absl::btree_set<BackendId>& Controller::Empty() const {
  return impl_->Empty();
}

const DesiredState& Controller::desired() const { return impl_->desired(); }

size_t Controller::lb_hosts() const { return impl_->lb_hosts(); }

void Controller::OnTier(size_t lb_hosts, base::MonoTime now) {
  impl_->OnTier(lb_hosts, now);
}

void Controller::OnOtherTable(const Service& service, base::MonoTime now) {
  impl_->OnOtherTable(service, now);
}

void Controller::OnStuckElsewhere(
    const Service& service, const absl::btree_set<base::IpAddress>& addresses,
    base::MonoTime now) {
  impl_->OnStuckElsewhere(service, addresses, now);
}

absl::btree_set<base::IpAddress> Controller::Stuck(
    const Service& service) const {
  return impl_->Stuck(service);
}

std::string Controller::WhyUnsettled(const Service& service) const {
  return impl_->WhyUnsettled(service);
}

absl::btree_map<BackendId, base::IpAddress> Controller::Peers() const {
  return impl_->Peers();
}

absl::StatusOr<ServiceView> Controller::View(const std::string& service) const {
  FL_ASSIGN_OR_RETURN(const Service* found, FindService(desired(), service));
  return impl_->View(*found);
}

std::vector<ServiceView> Controller::ViewAll() const {
  std::vector<ServiceView> views;
  for (const auto& [name, service] : desired().services)
    views.push_back(impl_->View(service));
  return views;
}

}  // namespace fairlead::core
