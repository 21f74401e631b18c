#include "agent/tables.h"

#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "fairlead/abi/maps.h"

namespace fairlead::agent {
namespace {

// An index that stays with its VIP: the lowest that neither the current nor the
// desired table uses, or, where the current one uses all, the lowest that the
// desired one does not use.
class IndexAllocator {
 public:
  explicit IndexAllocator(const Tables& current)
      : in_current_(FL_AGENT_MAX_VIPS), in_desired_(FL_AGENT_MAX_VIPS) {
    for (const auto& [vip, line] : current.vips)
      if (line.index < FL_AGENT_MAX_VIPS) in_current_[line.index] = true;
  }

  void Keep(uint32_t index) { in_desired_[index] = true; }

  // Requires: fewer than FL_AGENT_MAX_VIPS in use.
  uint32_t Take() {
    uint32_t reused = FL_AGENT_MAX_VIPS;
    for (uint32_t index = 0; index < FL_AGENT_MAX_VIPS; ++index) {
      if (in_desired_[index]) continue;
      if (!in_current_[index]) return Mark(index);
      if (reused == FL_AGENT_MAX_VIPS) reused = index;
    }
    return Mark(reused);
  }

 private:
  uint32_t Mark(uint32_t index) {
    in_desired_.at(index) = true;
    return index;
  }

  std::vector<bool> in_current_;
  std::vector<bool> in_desired_;
};

absl::Status CheckRoom(const char* table, size_t entries, size_t limit) {
  if (entries <= limit) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(table, ": ", entries,
                   " entries of all LB hosts together; the limit is ", limit));
}

VipLine LineOf(const PeerVip& vip) {
  return {.rows = vip.rows,
          .by_source = vip.policy == core::Policy::kSource,
          .plain = !vip.hop_lists};
}

// Without their indexes.
absl::btree_map<base::Endpoint, VipLine> DesiredVips(const Wanted& wanted,
                                                     const Tables& current) {
  absl::btree_map<base::Endpoint, VipLine> vips;
  absl::btree_map<base::Endpoint, std::string> tables;
  for (const bool silent : {false, true}) {
    for (const auto& [lb, document] : wanted.documents) {
      if (wanted.silent.contains(lb) != silent) continue;
      for (const PeerVip& vip : document.vips) {
        VipLine& line = vips.emplace(vip.vip, LineOf(vip)).first->second;
        line.plain = line.plain || !vip.hop_lists;
        if (!silent &&
            tables.emplace(vip.vip, vip.table).first->second != vip.table)
          line.disputed = true;
      }
    }
  }
  if (!wanted.orphans.empty())
    for (const auto& [vip, line] : current.vips) vips.emplace(vip, line);
  return vips;
}

void AssignIndexes(const Tables& current, Tables& desired) {
  IndexAllocator indexes(current);
  std::vector<VipLine*> without;
  for (auto& [vip, line] : desired.vips) {
    const auto known = current.vips.find(vip);
    if (known == current.vips.end() ||
        known->second.index >= FL_AGENT_MAX_VIPS) {
      without.push_back(&line);
      continue;
    }
    line.index = known->second.index;
    indexes.Keep(line.index);
  }
  for (VipLine* const line : without) line->index = indexes.Take();
}

PeerLine LineFor(const base::IpAddress& address, const Wanted& wanted) {
  PeerLine line;
  line.address = address;
  line.self = wanted.identity.own_addresses.contains(address);
  const auto hop = wanted.next_hops.find(address);
  if (hop != wanted.next_hops.end()) line.next_hop = hop->second;
  return line;
}

void FillPeers(const Wanted& wanted, const Tables& current, Tables& desired) {
  for (const auto& [lb, document] : wanted.documents)
    for (const Peer& peer : document.peers)
      desired.peers[{lb, peer.id}] = LineFor(peer.address, wanted);
  for (const auto& [key, line] : current.peers)
    if (wanted.orphans.contains(key.lb_id))
      desired.peers[key] = LineFor(line.address, wanted);
}

void FillSources(const Wanted& wanted, Tables& desired) {
  for (const auto& [key, line] : desired.peers)
    if (!line.self) desired.sources[line.address] = SourceKind::kBackend;
  for (const base::IpAddress& lb : wanted.identity.lbs)
    desired.sources[lb] = SourceKind::kLb;
}

// The puts and removes of one table, and whether both fit side by side.
template <typename Map>
struct Difference {
  std::vector<typename Map::value_type> puts;
  std::vector<typename Map::key_type> removes;
  bool removes_first = false;
};

template <typename Map>
Difference<Map> Compare(const Map& current, const Map& desired, size_t limit) {
  Difference<Map> difference;
  size_t added = 0;
  for (const auto& [key, value] : desired) {
    const auto old = current.find(key);
    if (old != current.end() && old->second == value) continue;
    if (old == current.end()) ++added;
    difference.puts.emplace_back(key, value);
  }
  for (const auto& [key, value] : current)
    if (!desired.contains(key)) difference.removes.push_back(key);
  difference.removes_first = current.size() + added > limit;
  return difference;
}

template <typename RemoveStep, typename Map>
void AppendRemoves(const Difference<Map>& difference,
                   std::vector<Step>& steps) {
  for (const auto& key : difference.removes) steps.push_back(RemoveStep{key});
}

}  // namespace

absl::btree_set<uint16_t> FindOrphans(const Tables& tables,
                                      const Documents& documents) {
  absl::btree_set<uint16_t> orphans;
  for (const auto& [key, line] : tables.peers)
    if (!documents.contains(key.lb_id)) orphans.insert(key.lb_id);
  return orphans;
}

absl::StatusOr<Tables> DesiredTables(const Wanted& wanted,
                                     const Tables& current) {
  Tables desired;
  desired.vips = DesiredVips(wanted, current);
  FL_RETURN_IF_ERROR(CheckRoom("vips", desired.vips.size(), FL_AGENT_MAX_VIPS));
  AssignIndexes(current, desired);
  FillPeers(wanted, current, desired);
  FL_RETURN_IF_ERROR(
      CheckRoom("peers", desired.peers.size(), FL_AGENT_MAX_PEERS));
  FillSources(wanted, desired);
  FL_RETURN_IF_ERROR(CheckRoom("addresses of LB hosts and backends",
                               desired.sources.size(), FL_AGENT_MAX_SOURCES));
  return desired;
}

std::vector<Step> PlanSteps(const Tables& current, const Tables& desired) {
  const auto vips = Compare(current.vips, desired.vips, FL_AGENT_MAX_VIPS);
  const auto peers = Compare(current.peers, desired.peers, FL_AGENT_MAX_PEERS);
  const auto sources =
      Compare(current.sources, desired.sources, FL_AGENT_MAX_SOURCES);
  std::vector<Step> steps;
  if (vips.removes_first) AppendRemoves<RemoveVip>(vips, steps);
  if (peers.removes_first) AppendRemoves<RemovePeer>(peers, steps);
  if (sources.removes_first) AppendRemoves<RemoveSource>(sources, steps);
  // A packet needs its source, then its hop, then its service.
  for (const auto& [address, kind] : sources.puts)
    steps.push_back(PutSource{address, kind});
  for (const auto& [key, line] : peers.puts)
    steps.push_back(PutPeer{key, line});
  for (const auto& [vip, line] : vips.puts) steps.push_back(PutVip{vip, line});
  if (!vips.removes_first) AppendRemoves<RemoveVip>(vips, steps);
  if (!peers.removes_first) AppendRemoves<RemovePeer>(peers, steps);
  if (!sources.removes_first) AppendRemoves<RemoveSource>(sources, steps);
  return steps;
}

namespace {

struct Applier {
  Tables& tables;
  void operator()(const PutSource& s) { tables.sources[s.address] = s.kind; }
  void operator()(const PutPeer& s) { tables.peers[s.key] = s.line; }
  void operator()(const PutVip& s) { tables.vips[s.vip] = s.line; }
  void operator()(const RemoveVip& s) { tables.vips.erase(s.vip); }
  void operator()(const RemovePeer& s) { tables.peers.erase(s.key); }
  void operator()(const RemoveSource& s) { tables.sources.erase(s.address); }
};

}  // namespace

void ApplyStep(const Step& step, Tables& tables) {
  std::visit(Applier{tables}, step);
}

}  // namespace fairlead::agent
