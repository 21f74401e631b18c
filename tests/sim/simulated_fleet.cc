#include "tests/sim/simulated_fleet.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "fairlead/abi/maps.h"

namespace fairlead::testing {

using core::BackendId;
using core::ProbeOutcome;
using Presence = core::AgentReport::Presence;

SimulatedFleet::Host& SimulatedFleet::HostAt(const base::IpAddress& address) {
  const auto [it, is_new] = hosts_.try_emplace(address);
  if (is_new) it->second.has_agent = random_.Chance(0.8);
  return it->second;
}

void SimulatedFleet::Disturb() {
  if (hosts_.empty()) return;
  auto it = hosts_.begin();
  std::advance(it, random_.Below(static_cast<int>(hosts_.size())));
  Host& host = it->second;
  switch (random_.Below(6)) {
    case 0:
      host.server = static_cast<ProbeOutcome>(
          random_.Below(static_cast<int>(ProbeOutcome::kLate)));
      break;
    case 1:
      host.server = ProbeOutcome::kDrainStatus;
      break;
    case 2:
      host.agent_answers = !host.agent_answers;
      break;
    case 3:
      host.agent_is_stale = !host.agent_is_stale;
      break;
    case 4:
      ++host.boots;
      host.agent_is_stale = true;
      break;
    default:
      host = {.has_agent = host.has_agent, .boots = host.boots};
      break;
  }
}

SimulatedFleet::Answer SimulatedFleet::Probe(const core::ProbeRequest& probe) {
  const absl::Duration timeout = probe.check.timeout;
  if (random_.Chance(0.02))
    return {{.outcome = ProbeOutcome::kTimeout}, timeout};
  if (random_.Chance(0.01)) return {{.outcome = ProbeOutcome::kLate}, timeout};
  const ProbeOutcome outcome = HostAt(probe.address).server;
  if (outcome == ProbeOutcome::kTimeout) return {{.outcome = outcome}, timeout};
  return {{.outcome = outcome, .http_status = 500}, timeout * random_.Unit()};
}

core::AgentReport SimulatedFleet::AskAgent(const core::Service& service,
                                           const core::Backend& backend,
                                           base::MonoTime now) {
  const Host& host = HostAt(backend.address);
  if (!host.has_agent) return {.presence = Presence::kAbsent};
  if (!host.agent_answers || random_.Chance(0.02))
    return {.presence =
                random_.Chance(0.5) ? Presence::kLost : Presence::kAbsent};
  const uint64_t sockets = host.agent_is_stale ? 0 : FlowsOf(backend.id);
  int& empty_reports = empty_reports_[backend.id];
  if (sockets > 0) empty_reports = 0;
  if (sockets == 0 && !host.agent_is_stale) ++empty_reports;
  core::AgentReport report = {
      .presence = host.agent_is_stale ? Presence::kStale : Presence::kPresent,
      .live_sockets = sockets,
      .scan = ++scan_,
      .boot_id = absl::StrCat(host.boots),
      .begun = now};
  if (host.agent_is_stale) {
    scans_.erase(backend.id);
    return report;
  }
  Scan scan = {
      .begun = now, .rows = core::RowSet(service.rows), .boots = host.boots};
  for (const auto& [row, flows] : flows_[backend.id]) scan.rows.Add(row);
  report.owned = scan.rows;
  const auto before = scans_.find(backend.id);
  if (before != scans_.end() && before->second.boots == host.boots &&
      before->second.rows.rows() == service.rows) {
    report.owned_begun = before->second.begun;
    for (uint32_t row = 0; row < service.rows; ++row)
      if (before->second.rows.Contains(row)) report.owned->Add(row);
  }
  scans_[backend.id] = std::move(scan);
  return report;
}

std::string SimulatedFleet::Traffic() {
  std::vector<core::ServiceEntry> services;
  for (const auto& [vip, entry] : tables_.services())
    if (!entry.tombstone) services.push_back(entry);
  for (const core::ServiceEntry& entry : services) {
    for (int i = random_.Below(4); i > 0; --i) {
      std::string complaint = Arrive(entry);
      if (!complaint.empty()) return complaint;
    }
  }
  for (auto& [id, rows] : flows_) {
    if (rows.empty()) continue;
    if (random_.Chance(0.01)) {
      rows.clear();
    } else if (random_.Chance(0.2)) {
      auto row = rows.begin();
      std::advance(row, random_.Below(static_cast<int>(rows.size())));
      if (--row->second == 0) rows.erase(row);
    }
    PublishLoad(id);
  }
  return "";
}

// The rule that the whole design stands on: whoever holds a connection is a
// member of its row, whatever has happened since it began.
std::string SimulatedFleet::FindLost(const core::DesiredState& desired) const {
  for (const auto& [name, service] : desired.services) {
    for (const auto& [backend_name, backend] : service.backends) {
      const auto flows = flows_.find(backend.id);
      if (flows == flows_.end()) continue;
      for (const auto& [row, count] : flows->second) {
        const auto members = MembersOf(tables_.rows()[service.rows_base + row]);
        if (std::find(members.begin(), members.end(), backend.id) !=
            members.end())
          continue;
        return absl::StrCat("row ", row, " of ", name, " does not list ",
                            backend_name, ", which has ", count,
                            " flows of it");
      }
    }
  }
  return "";
}

// The choice of the packet path: the first eligible candidate, else the first
// that may be used then, else the first that is not dead, else the first.
std::string SimulatedFleet::Arrive(const core::ServiceEntry& entry) {
  const auto row =
      static_cast<uint32_t>(random_.Below(static_cast<int>(entry.rows)));
  const auto ids =
      core::UnpackWord(tables_.rows()[entry.rows_base + row].candidates);
  const auto first_with = [&](uint64_t wanted, uint64_t unwanted) -> BackendId {
    for (const BackendId id : ids) {
      if (id == 0) return 0;
      const uint64_t state = tables_.BackendState(id);
      if ((state & wanted) == wanted && (state & unwanted) == 0) return id;
    }
    return 0;
  };
  BackendId chosen = first_with(FL_BACKEND_ELIGIBLE, 0);
  if (chosen == 0) chosen = first_with(FL_BACKEND_FAIL_OPEN, FL_BACKEND_DEAD);
  if (chosen == 0) chosen = first_with(0, FL_BACKEND_DEAD);
  if (chosen == 0) chosen = ids[0];
  if (chosen == 0) return "";
  const auto line = tables_.backends().find(chosen);
  if (line == tables_.backends().end())
    return absl::StrCat("a flow went to ", chosen, ", which has no line");
  if (line->second.service != entry.id)
    return absl::StrCat("a flow of service ", entry.id, " went to backend ",
                        chosen, " of service ", line->second.service);
  ++flows_[chosen][row];
  PublishLoad(chosen);
  return "";
}

void SimulatedFleet::PublishLoad(BackendId id) {
  const uint64_t flows = FlowsOf(id);
  tables_.SetLoad(id, {.live = flows - flows / 4, .pending = flows / 4});
}

std::vector<BackendId> SimulatedFleet::Recorded() const {
  std::vector<BackendId> ids;
  for (const auto& [id, rows] : flows_)
    if (!rows.empty()) ids.push_back(id);
  return ids;
}

bool SimulatedFleet::HasFlowIn(BackendId id, uint32_t row) const {
  const auto flows = flows_.find(id);
  const auto line = tables_.backends().find(id);
  if (flows == flows_.end() || line == tables_.backends().end()) return false;
  for (const auto& [vip, entry] : tables_.services()) {
    if (entry.id == line->second.service && row >= entry.rows_base)
      return flows->second.contains(row - entry.rows_base);
  }
  return false;
}

int SimulatedFleet::EmptyReportsOf(BackendId id) const {
  const auto found = empty_reports_.find(id);
  return found == empty_reports_.end() ? 0 : found->second;
}

uint64_t SimulatedFleet::FlowsOf(BackendId id) const {
  const auto found = flows_.find(id);
  if (found == flows_.end()) return 0;
  uint64_t sum = 0;
  for (const auto& [row, flows] : found->second) sum += flows;
  return sum;
}

}  // namespace fairlead::testing
