// Applier: writes a Target into the shared tables, as the difference to what is
// there, in an order in which every prefix of the writes is a correct data
// plane (make-before-break):
//
//   1 states that take new flows away, or      nobody is offered a bad choice
//     next hops that are gateways
//   2 services that are gone: tombstones, then their rows are cleared
//   3 lines of new backends, weights           before any row lists them
//   4 rows whose candidates changed            old and new share members
//   5 services that are new or changed         their rows are complete
//   6 states that allow new flows, or gateways
//
// Lines of deleted backends stay, without new flows, until Release(): flows
// recorded for them go on. Only PutService can fail; Apply() then stops where
// going on would be wrong, says so, and is to be called again.
//
// The table of candidates of a service is kept, and changed when its members or
// their weights change. Then every row is read, but only those are planned that
// differ from what is wanted or list owners: of the others a plan is empty.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "core/candidates.h"
#include "core/model.h"
#include "core/ports.h"
#include "core/row_set.h"

namespace fairlead::core {

struct TargetService {
  ServiceEntry entry;
  std::vector<WeightedMember> members;  // by id; none for a tombstone
};

// What the tables are to hold.
struct Target {
  absl::btree_map<base::Endpoint, TargetService> services;  // and tombstones
  absl::btree_map<BackendId, BackendEntry> backends;        // configured
};

// May a backend that is no candidate of a row any more have flows in it? The
// row is counted within the backend's service.
using MayOwn = absl::FunctionRef<bool(BackendId id, uint32_t row)>;

// Do both give the same candidates? Requires: by id.
bool SameMembers(const std::vector<WeightedMember>& a,
                 const std::vector<WeightedMember>& b);

class Applier {
 public:
  Applier(const TableSizes& sizes, Datapath& datapath);
  Applier(const Applier&) = delete;
  Applier& operator=(const Applier&) = delete;

  // Ids whose line is in use and which `known` does not contain.
  std::vector<BackendId> FindStrays(
      const absl::btree_set<BackendId>& known) const;

  // Takes over tables in which another process may have stopped anywhere, then
  // applies. Entries of no service are removed, rows of no service cleared.
  absl::Status Adopt(const Target& target, MayOwn may_own);
  absl::Status Apply(const Target& target, MayOwn may_own);

  // One backend's state, if its line has been written and differs.
  void SetState(BackendId id, uint64_t state);

  // The backend has sockets in these rows: lists it in those that do not yet.
  void AddOwner(const base::Endpoint& vip, BackendId id, const RowSet& rows);

  // Drops owners from the rows that may own no more, and gives rows that had no
  // place for a candidate another chance. Answers the services in which a
  // candidate that had to stay until now has become an owner: it was offered
  // flows until now.
  // `gone` own nothing, whatever else is said; afterwards no row lists them.
  std::vector<base::Endpoint> Contract(const absl::btree_set<BackendId>& gone,
                                       MayOwn may_own);
  // Frees the line of a deleted backend.
  // Requires: no row lists it (Contract() with it gone).
  void Release(BackendId id);

  // Rows in which a new candidate had to be refused, or another had to stay.
  uint64_t RowsOverflowed(const base::Endpoint& vip) const;
  // Who stands among the candidates of a row that does not want it, for want of
  // another place: it may be offered flows that no other host offers it.
  absl::btree_set<BackendId> Stuck(const base::Endpoint& vip) const;
  // (backend, row) pairs without a place, though the backend has sockets there.
  uint64_t OwnersUnlisted(const base::Endpoint& vip) const;

 private:
  struct RowTable {
    uint32_t rows() const {
      return static_cast<uint32_t>(candidates.words().size());
    }

    uint32_t base;
    CandidateTable candidates;
    std::vector<WeightedMember> members = {};
    bool has_owners = false;
    uint64_t overflowed = 0;
    absl::btree_set<BackendId> stuck = {};
    // What AddOwner() was told since the rows changed, and how many of those
    // rows had no place.
    absl::btree_map<BackendId, RowSet> owned = {};
    absl::btree_map<BackendId, uint64_t> unlisted = {};
  };

  void CloseStates(const Target& target);
  void DropUnusedTables(const Target& target);
  absl::Status RemoveServices(const Target& target);
  void PutBackends(const Target& target);
  void UpdateRows(const Target& target, MayOwn may_own);
  absl::Status PutServices(const Target& target);
  void OpenStates(const Target& target);

  // The service's table with rows where it wants them.
  RowTable& TableOf(const base::Endpoint& vip, const ServiceEntry& entry);
  // True if candidates of some row changed.
  bool RefreshRows(RowTable& table, MayOwn may_own);
  // Brings one row to `wanted`; false if it had no place for all.
  bool RefreshRow(uint32_t row, const CandidateWord& wanted,
                  absl::FunctionRef<bool(uint16_t id)> may_own);
  // False if the row has no place for it.
  bool ListOwner(RowTable& table, uint32_t row, BackendId id);
  void ClearRows(uint32_t base, uint32_t rows);
  void ClearFreeRows(const Target& target);

  // Constant after construction.
  const TableSizes sizes_;
  Datapath& datapath_;

  // What the tables hold.
  bool stale_rows_ = false;  // rows of no service may list something
  absl::btree_map<base::Endpoint, ServiceEntry> services_;
  absl::btree_map<base::Endpoint, RowTable> tables_;
  absl::btree_map<BackendId, BackendEntry> backends_;
};

}  // namespace fairlead::core
