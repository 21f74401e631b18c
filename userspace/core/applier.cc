#include "core/applier.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "fairlead/abi/maps.h"

namespace fairlead::core {
namespace {

constexpr uint64_t kOffers = FL_BACKEND_ELIGIBLE | FL_BACKEND_FAIL_OPEN;
// Set before the service's entry needs it, cleared after.
constexpr uint64_t kNeeds = FL_BACKEND_ON_LINK;

// What every line of a service needs, also those that nobody wants any more.
absl::btree_map<ServiceId, uint64_t> NeedsOf(const Target& target) {
  absl::btree_map<ServiceId, uint64_t> needs;
  for (const auto& [vip, wanted] : target.services)
    needs[wanted.entry.id] =
        wanted.entry.encap == Encap::kL2 ? uint64_t{FL_BACKEND_ON_LINK} : 0;
  return needs;
}

bool Lists(const RowWords& words, BackendId id) {
  for (const uint64_t word : {words.candidates, words.owners}) {
    for (const uint16_t listed : UnpackWord(word))
      if (listed == id) return true;
  }
  return false;
}

// `word` with the id in the first free one of its first places.
std::optional<uint64_t> WithOneMore(uint64_t word, size_t places,
                                    BackendId id) {
  auto ids = UnpackWord(word);
  const auto free = std::find(ids.begin(), ids.begin() + places, 0);
  if (free == ids.begin() + places) return std::nullopt;
  *free = id;
  return PackWord(ids);
}

bool SameRows(const ServiceEntry& a, const ServiceEntry& b) {
  return a.id == b.id && a.rows_base == b.rows_base && a.rows == b.rows;
}

bool IsMember(const std::vector<WeightedMember>& members, BackendId id) {
  return std::ranges::find(members, id, &WeightedMember::id) != members.end();
}

}  // namespace

bool SameMembers(const std::vector<WeightedMember>& a,
                 const std::vector<WeightedMember>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const WeightedMember& x, const WeightedMember& y) {
                      return x.id == y.id && x.address == y.address &&
                             x.weight == y.weight;
                    });
}

Applier::Applier(const TableSizes& sizes, Datapath& datapath)
    : sizes_(sizes), datapath_(datapath) {}

std::vector<BackendId> Applier::FindStrays(
    const absl::btree_set<BackendId>& known) const {
  std::vector<BackendId> strays;
  for (uint32_t i = 1; i < sizes_.backends; ++i) {
    const auto id = static_cast<BackendId>(i);
    if (datapath_.BackendState(id) != 0 && !known.contains(id))
      strays.push_back(id);
  }
  return strays;
}

absl::Status Applier::Adopt(const Target& target, MayOwn may_own) {
  for (uint32_t i = 1; i < sizes_.backends; ++i) {
    const auto id = static_cast<BackendId>(i);
    const uint64_t state = datapath_.BackendState(id) & ~FL_BACKEND_NEXT_HOP;
    // The zero weight makes PutBackends() write all of it.
    if (state != 0)
      backends_[id] = {
          .state = state, .weight = 0, .service = datapath_.BackendService(id)};
  }
  for (const base::Endpoint& vip : datapath_.Vips()) {
    // In use by nobody that is known: a tombstone has no rows to clear.
    services_[vip] = {.tombstone = true};
  }
  stale_rows_ = true;
  return Apply(target, may_own);
}

absl::Status Applier::Apply(const Target& target, MayOwn may_own) {
  CloseStates(target);
  FL_RETURN_IF_ERROR(RemoveServices(target));
  PutBackends(target);
  UpdateRows(target, may_own);
  FL_RETURN_IF_ERROR(PutServices(target));
  OpenStates(target);
  if (stale_rows_) ClearFreeRows(target);
  stale_rows_ = false;
  return absl::OkStatus();
}

void Applier::CloseStates(const Target& target) {
  const auto needs = NeedsOf(target);
  for (auto& [id, entry] : backends_) {
    const auto wanted = target.backends.find(id);
    uint64_t state = entry.state & ~kOffers;
    // What may open is left to OpenStates(). A deleted backend's agent is told
    // of changes no more: whoever asks it for a connection asks it last.
    if (wanted != target.backends.end())
      state |= (entry.state & wanted->second.state & kOffers) |
               (wanted->second.state & kNeeds);
    else
      state |= FL_BACKEND_DEAD;
    if (const auto found = needs.find(entry.service); found != needs.end())
      state |= found->second;
    SetState(id, state);
  }
}

// Rows written for a service whose entry was refused, and which is not wanted
// any more.
void Applier::DropUnusedTables(const Target& target) {
  for (auto it = tables_.begin(); it != tables_.end();) {
    const auto wanted = target.services.find(it->first);
    const auto entry = services_.find(it->first);
    const bool is_wanted =
        wanted != target.services.end() && !wanted->second.entry.tombstone;
    const bool is_used = entry != services_.end() && !entry->second.tombstone;
    if (is_wanted || is_used) {
      ++it;
      continue;
    }
    ClearRows(it->second.base, it->second.rows());
    it = tables_.erase(it);
  }
}

absl::Status Applier::RemoveServices(const Target& target) {
  DropUnusedTables(target);
  std::vector<base::Endpoint> gone;
  for (const auto& [vip, entry] : services_)
    if (!target.services.contains(vip)) gone.push_back(vip);
  for (const auto& [vip, wanted] : target.services) {
    const auto found = services_.find(vip);
    const bool is_live = found != services_.end() && !found->second.tombstone;
    ServiceEntry tombstone = wanted.entry;
    if (!wanted.entry.tombstone) {
      // Deleted while its tombstone could not be written, and added anew: what
      // it had is free for others, and its entry may not say so any longer.
      if (!is_live || SameRows(found->second, wanted.entry)) continue;
      tombstone = {.id = found->second.id, .tombstone = true};
    }
    if (found != services_.end() && found->second == tombstone) continue;
    FL_RETURN_IF_ERROR(datapath_.PutService(vip, tombstone), "tombstone ",
                       vip.ToString());
    if (is_live) ClearRows(found->second.rows_base, found->second.rows);
    tables_.erase(vip);
    services_[vip] = tombstone;
  }
  for (const base::Endpoint& vip : gone) {
    datapath_.RemoveService(vip);
    const ServiceEntry entry = services_[vip];
    if (!entry.tombstone) ClearRows(entry.rows_base, entry.rows);
    tables_.erase(vip);
    services_.erase(vip);
  }
  return absl::OkStatus();
}

void Applier::PutBackends(const Target& target) {
  for (const auto& [id, wanted] : target.backends) {
    const auto found = backends_.find(id);
    if (found == backends_.end()) {
      // Not listed by any row yet, so it may be open from the start.
      datapath_.PutBackend(id, wanted);
      backends_[id] = wanted;
      continue;
    }
    BackendEntry entry = wanted;
    entry.state = found->second.state;
    if (entry == found->second) continue;
    const bool weight_only = entry.address == found->second.address &&
                             entry.service == found->second.service;
    if (weight_only)
      datapath_.SetBackendWeight(id, entry.weight);
    else
      datapath_.PutBackend(id, entry);
    found->second = entry;
  }
}

void Applier::UpdateRows(const Target& target, MayOwn may_own) {
  for (const auto& [vip, wanted] : target.services) {
    if (wanted.entry.tombstone) continue;
    const auto found = tables_.find(vip);
    if (found != tables_.end() &&
        found->second.base == wanted.entry.rows_base &&
        found->second.rows() == wanted.entry.rows &&
        SameMembers(found->second.members, wanted.members))
      continue;
    RowTable& table = TableOf(vip, wanted.entry);
    table.members = wanted.members;
    table.candidates.SetMembers(wanted.members);
    RefreshRows(table, may_own);
  }
}

Applier::RowTable& Applier::TableOf(const base::Endpoint& vip,
                                    const ServiceEntry& entry) {
  const auto found = tables_.find(vip);
  if (found != tables_.end() && found->second.rows() == entry.rows) {
    found->second.base = entry.rows_base;
    return found->second;
  }
  tables_.erase(vip);
  RowTable table{.base = entry.rows_base,
                 .candidates = CandidateTable(entry.rows, TableSeed(vip))};
  return tables_.emplace(vip, std::move(table)).first->second;
}

absl::Status Applier::PutServices(const Target& target) {
  absl::Status first_error;
  for (const auto& [vip, wanted] : target.services) {
    const auto found = services_.find(vip);
    const bool is_new = found == services_.end();
    if (!is_new && found->second == wanted.entry) continue;
    const absl::Status status = base::Annotate(
        datapath_.PutService(vip, wanted.entry), "service at ", vip.ToString());
    first_error.Update(status);
    if (status.ok()) services_[vip] = wanted.entry;
  }
  return first_error;
}

void Applier::OpenStates(const Target& target) {
  for (const auto& [id, wanted] : target.backends) SetState(id, wanted.state);
  const auto needs = NeedsOf(target);
  for (const auto& [id, entry] : backends_) {
    const auto found = needs.find(entry.service);
    if (!target.backends.contains(id) && found != needs.end())
      SetState(id, (entry.state & ~kNeeds) | found->second);
  }
}

void Applier::SetState(BackendId id, uint64_t state) {
  const auto found = backends_.find(id);
  if (found == backends_.end() || found->second.state == state) return;
  datapath_.SetBackendState(id, state);
  found->second.state = state;
}

bool Applier::RefreshRows(RowTable& table, MayOwn may_own) {
  table.has_owners = false;
  table.overflowed = 0;
  table.stuck.clear();
  table.owned.clear();
  table.unlisted.clear();
  bool changed = false;
  for (uint32_t i = 0; i < table.rows(); ++i) {
    const uint32_t row = table.base + i;
    const CandidateWord& wanted = table.candidates.words()[i];
    const RowWords before = datapath_.ReadRow(row);
    // Nothing to store: most rows, and most of the time that this took.
    if (before == RowWords{.candidates = PackWord(wanted)}) continue;
    const auto may_own_row = [&](uint16_t id) { return may_own(id, i); };
    const bool has_room = RefreshRow(row, wanted, may_own_row);
    const RowWords after = datapath_.ReadRow(row);
    if (!has_room) {
      ++table.overflowed;
      for (const BackendId id : UnpackWord(after.candidates))
        if (std::ranges::find(wanted, id) == wanted.end())
          table.stuck.insert(id);
    }
    if (after.owners != 0) table.has_owners = true;
    if (after.candidates != before.candidates) changed = true;
  }
  return changed;
}

bool Applier::RefreshRow(uint32_t row, const CandidateWord& wanted,
                         absl::FunctionRef<bool(uint16_t id)> may_own) {
  // A row has seven places, so that many plans find all the room that there is.
  for (size_t i = 0; i < kRowCandidates + kRowOwners; ++i) {
    const RowPlan plan = PlanRow(datapath_.ReadRow(row), wanted, may_own);
    for (const RowStore& step : plan.steps()) {
      if (step.word == RowWord::kCandidates)
        datapath_.StoreCandidates(row, step.value);
      else
        datapath_.StoreOwners(row, step.value);
    }
    if (!plan.overflow) return true;
    // Stores may have made room.
    if (plan.count == 0) return false;
  }
  return false;
}

void Applier::ClearRows(uint32_t base, uint32_t rows) {
  for (uint32_t row = base; row < base + rows; ++row) {
    const RowWords words = datapath_.ReadRow(row);
    if (words.candidates != 0) datapath_.StoreCandidates(row, 0);
    if (words.owners != 0) datapath_.StoreOwners(row, 0);
  }
}

void Applier::ClearFreeRows(const Target& target) {
  absl::btree_map<uint32_t, uint32_t> regions;  // base -> rows
  for (const auto& [vip, wanted] : target.services)
    if (!wanted.entry.tombstone)
      regions[wanted.entry.rows_base] = wanted.entry.rows;
  uint32_t free = 0;
  for (const auto& [base, rows] : regions) {
    ClearRows(free, base - free);
    free = base + rows;
  }
  ClearRows(free, sizes_.rows - free);
}

std::vector<base::Endpoint> Applier::Contract(
    const absl::btree_set<BackendId>& gone, MayOwn may_own) {
  std::vector<base::Endpoint> changed;
  for (auto& entry : tables_) {
    RowTable& table = entry.second;
    if (!table.has_owners && table.overflowed == 0) continue;
    // Who has left the service takes no new flows, though it may have had to
    // stay among the candidates for want of a place.
    const auto may_own_or_is_offered = [&](BackendId id, uint32_t row) {
      if (gone.contains(id)) return false;
      if (may_own(id, row)) return true;
      const auto offered =
          UnpackWord(datapath_.ReadRow(table.base + row).candidates);
      return std::find(offered.begin(), offered.end(), id) != offered.end() &&
             IsMember(table.members, id);
    };
    if (RefreshRows(table, may_own_or_is_offered))
      changed.push_back(entry.first);
  }
  return changed;
}

void Applier::AddOwner(const base::Endpoint& vip, BackendId id,
                       const RowSet& rows) {
  const auto found = tables_.find(vip);
  if (found == tables_.end()) return;
  RowTable& table = found->second;
  if (rows.rows() != table.rows()) return;
  RowSet& known = table.owned[id];
  if (known == rows) return;
  known = rows;
  uint64_t unlisted = 0;
  for (uint32_t i = 0; i < rows.rows(); ++i) {
    if (!rows.Contains(i)) continue;
    if (!ListOwner(table, table.base + i, id)) ++unlisted;
  }
  table.unlisted[id] = unlisted;
}

bool Applier::ListOwner(RowTable& table, uint32_t row, BackendId id) {
  const RowWords words = datapath_.ReadRow(row);
  if (Lists(words, id)) return true;
  if (const auto owners = WithOneMore(words.owners, kRowOwners, id)) {
    datapath_.StoreOwners(row, *owners);
    table.has_owners = true;
    return true;
  }
  // Behind the candidates, where it is offered flows only if they may not be.
  if (const auto all = WithOneMore(words.candidates, kRowCandidates, id)) {
    datapath_.StoreCandidates(row, *all);
    table.stuck.insert(id);
    return true;
  }
  return false;
}

void Applier::Release(BackendId id) {
  if (backends_.erase(id) > 0) datapath_.RemoveBackend(id);
}

uint64_t Applier::OwnersUnlisted(const base::Endpoint& vip) const {
  const auto found = tables_.find(vip);
  if (found == tables_.end()) return 0;
  uint64_t sum = 0;
  for (const auto& [id, unlisted] : found->second.unlisted) sum += unlisted;
  return sum;
}

absl::btree_set<BackendId> Applier::Stuck(const base::Endpoint& vip) const {
  const auto found = tables_.find(vip);
  if (found == tables_.end()) return {};
  return found->second.stuck;
}

uint64_t Applier::RowsOverflowed(const base::Endpoint& vip) const {
  const auto found = tables_.find(vip);
  return found == tables_.end() ? 0 : found->second.overflowed;
}

}  // namespace fairlead::core
