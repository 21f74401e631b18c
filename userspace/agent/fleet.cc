#include "agent/fleet.h"

#include <utility>

#include "absl/container/btree_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/peer_store.h"
#include "base/status_macros.h"

namespace fairlead::agent {

Fleet::Fleet(event::Loop& loop, FleetOptions options)
    : loop_(loop),
      identity_(std::move(options.identity)),
      state_folder_(std::move(options.state_folder)),
      maps_(options.maps),
      mutex_(loop) {}

absl::StatusOr<Tables> Fleet::Desired(const Documents& documents) const {
  const absl::btree_set<uint16_t> orphans = FindOrphans(tables_, documents);
  return DesiredTables({.documents = documents,
                        .identity = identity_,
                        .next_hops = next_hops_,
                        .orphans = orphans,
                        .silent = FindSilent()},
                       tables_);
}

absl::btree_set<uint16_t> Fleet::FindSilent() const {
  absl::btree_set<uint16_t> silent;
  for (const auto& [lb, time] : heard_)
    if (loop_.Now() - time > kLbSilence) silent.insert(lb);
  return silent;
}

event::Task<absl::Status> Fleet::Hear(uint16_t lb_id) {
  const auto heard = heard_.find(lb_id);
  if (heard != heard_.end()) heard->second = loop_.Now();
  if (FindSilent() == silent_) co_return absl::OkStatus();
  const event::MutexLock lock = co_await mutex_.Lock();
  absl::btree_set<uint16_t> silent = FindSilent();
  FL_CO_ASSIGN_OR_RETURN(const Tables desired, Desired(documents_));
  FL_CO_RETURN_IF_ERROR(BringTo(desired));
  silent_ = std::move(silent);
  co_return absl::OkStatus();
}

absl::Status Fleet::Write(const Step& step) {
  FL_RETURN_IF_ERROR(maps_.Apply(step));
  ApplyStep(step, tables_);
  return absl::OkStatus();
}

absl::Status Fleet::BringTo(const Tables& desired) {
  for (const Step& step : PlanSteps(tables_, desired))
    FL_RETURN_IF_ERROR(Write(step));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> Fleet::Adopt() {
  FL_ASSIGN_OR_RETURN(StoredDocuments stored, LoadDocuments(state_folder_));
  FL_ASSIGN_OR_RETURN(tables_, maps_.Read(), "read the pinned maps");
  for (const auto& [key, line] : tables_.peers) {
    if (!line.next_hop.has_value()) continue;
    next_hops_[line.address] = *line.next_hop;
    inherited_hops_.insert(line.address);
  }
  documents_ = std::move(stored.documents);
  for (const auto& [lb, document] : documents_) heard_[lb] = loop_.Now();
  std::vector<std::string> notes = std::move(stored.problems);
  const absl::btree_set<uint16_t> orphans = FindOrphans(tables_, documents_);
  if (!orphans.empty()) {
    notes.push_back(absl::StrCat(
        "the maps hold peers of LB hosts without a stored document, kept until "
        "those send it: ",
        absl::StrJoin(orphans, ", ")));
  }
  FL_ASSIGN_OR_RETURN(const Tables desired, Desired(documents_));
  FL_RETURN_IF_ERROR(BringTo(desired));
  return notes;
}

// The address may come back with another next hop.
void Fleet::ForgetUnusedHops() {
  const std::set<base::IpAddress> used = PeerAddresses();
  absl::erase_if(next_hops_,
                 [&used](const auto& hop) { return !used.count(hop.first); });
  absl::erase_if(inherited_hops_, [&used](const base::IpAddress& address) {
    return !used.count(address);
  });
}

event::Task<absl::Status> Fleet::Put(PeerDocument document) {
  const event::MutexLock lock = co_await mutex_.Lock();
  const uint16_t lb_id = document.lb_id;
  const auto known = documents_.find(lb_id);
  if (known != documents_.end() && known->second == document &&
      !incomplete_.contains(lb_id)) {
    co_return absl::OkStatus();
  }
  Documents documents = documents_;
  documents[lb_id] = document;
  // Refused before anything is written.
  FL_CO_RETURN_IF_ERROR(Desired(documents).status());
  FL_CO_RETURN_IF_ERROR(co_await SaveDocument(loop_, state_folder_, document),
                        "store the document");
  documents_ = std::move(documents);
  heard_[lb_id] = loop_.Now();
  incomplete_.insert(lb_id);
  // Next hops may have changed while the file was written.
  FL_CO_ASSIGN_OR_RETURN(const Tables desired, Desired(documents_));
  FL_CO_RETURN_IF_ERROR(BringTo(desired));
  incomplete_.erase(lb_id);
  ForgetUnusedHops();
  co_return absl::OkStatus();
}

absl::Status Fleet::SetNextHop(const base::IpAddress& address,
                               const std::optional<NextHopLine>& hop) {
  // Right after a restart the kernel may have to ask for the neighbour first;
  // what worked until now is better than nothing.
  if (!hop.has_value() && inherited_hops_.contains(address))
    return absl::OkStatus();
  inherited_hops_.erase(address);
  if (hop.has_value()) {
    next_hops_[address] = *hop;
  } else {
    next_hops_.erase(address);
  }
  std::vector<Step> steps;
  for (const auto& [key, line] : tables_.peers) {
    if (line.address != address || line.next_hop == hop) continue;
    PeerLine changed = line;
    changed.next_hop = hop;
    steps.push_back(PutPeer{key, changed});
  }
  for (const Step& step : steps) FL_RETURN_IF_ERROR(Write(step));
  return absl::OkStatus();
}

std::set<base::IpAddress> Fleet::PeerAddresses() const {
  std::set<base::IpAddress> addresses;
  for (const auto& [key, line] : tables_.peers)
    if (!line.self) addresses.insert(line.address);
  return addresses;
}

std::string Fleet::DigestOf(uint16_t lb_id) const {
  const auto known = documents_.find(lb_id);
  if (known == documents_.end() || incomplete_.contains(lb_id)) return "";
  return known->second.digest;
}

}  // namespace fairlead::agent
