// FakeDatapath: the shared tables as plain memory, with the faults that the
// real ones have: a full services map, and a writer that is killed between two
// writes. Aborts on what the real adapter must never be asked to do.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "core/ports.h"

namespace fairlead::testing {

class FakeDatapath : public core::Datapath {
 public:
  struct Write {
    enum class Kind {
      kPutService,
      kRemoveService,
      kPutBackend,
      kState,
      kWeight,
      kRemoveBackend,
      kCandidates,
      kOwners,
    };
    Kind kind;
    base::Endpoint vip = {};
    core::BackendId id = 0;
    uint32_t row = 0;
    core::RowWords before = {};  // of the row
  };

  explicit FakeDatapath(const core::TableSizes& sizes);

  absl::Status PutService(const base::Endpoint& vip,
                          const core::ServiceEntry& entry) override;
  void RemoveService(const base::Endpoint& vip) override;
  std::vector<base::Endpoint> Vips() const override;
  void PutBackend(core::BackendId id, const core::BackendEntry& entry) override;
  void SetBackendState(core::BackendId id, uint64_t state) override;
  void SetBackendWeight(core::BackendId id, int weight) override;
  void RemoveBackend(core::BackendId id) override;
  uint64_t BackendState(core::BackendId id) const override;
  base::IpAddress BackendAddress(core::BackendId id) const override;
  core::ServiceId BackendService(core::BackendId id) const override;
  bool HasNextHop(core::BackendId id) const override {
    return !unreachable_.contains(id);
  }
  core::RowWords ReadRow(uint32_t row) const override;
  void StoreCandidates(uint32_t row, uint64_t word) override;
  void StoreOwners(uint32_t row, uint64_t word) override;
  core::LoadReport Load(core::BackendId id) const override;
  void SetBound(core::BackendId id, uint64_t begun,
                base::MonoTime until) override {
    if (killed()) return;
    loads_[id].bound = begun;
    bounds_until_[id] = until;
  }
  base::MonoTime BoundUntil(core::BackendId id) const {
    const auto found = bounds_until_.find(id);
    return found == bounds_until_.end() ? base::MonoTime() : found->second;
  }
  void SetAcceptPace(core::BackendId id,
                     const core::AcceptPace& pace) override {
    if (!killed()) paces_[id] = pace;
  }
  core::AcceptPace AcceptPace(core::BackendId id) const {
    const auto found = paces_.find(id);
    return found == paces_.end() ? core::AcceptPace() : found->second;
  }
  void SetElsewhere(core::BackendId id, int64_t connections) override {
    loads_[id].elsewhere = connections;
  }

  void SetLoad(core::BackendId id, const core::LoadReport& load) {
    loads_[id] = load;
  }
  // All backends have a next hop until told otherwise.
  void SetReachable(core::BackendId id, bool reachable) {
    if (reachable)
      unreachable_.erase(id);
    else
      unreachable_.insert(id);
  }
  // Called after each write that had an effect.
  void OnWrite(std::function<void(const Write&)> observer) {
    observer_ = std::move(observer);
  }
  // So many calls of PutService fail.
  void FailPuts(int count) { failing_puts_ = count; }
  // The writer dies after so many writes: what it does then has no effect.
  void KillAfter(uint64_t writes) { writes_left_ = writes; }
  bool killed() const { return writes_left_ == 0; }
  void Revive() { writes_left_.reset(); }

  const absl::btree_map<base::Endpoint, core::ServiceEntry>& services() const {
    return services_;
  }
  const absl::btree_map<core::BackendId, core::BackendEntry>& backends() const {
    return backends_;
  }
  const std::vector<core::RowWords>& rows() const { return rows_; }
  const core::TableSizes& sizes() const { return sizes_; }
  uint64_t writes() const { return writes_; }

 private:
  // False if the writer is dead.
  bool MayWrite();
  void Done(const Write& write);

  const core::TableSizes sizes_;
  absl::btree_map<base::Endpoint, core::ServiceEntry> services_;
  absl::btree_map<core::BackendId, core::BackendEntry> backends_;
  std::vector<core::RowWords> rows_;
  absl::btree_map<core::BackendId, core::LoadReport> loads_;
  absl::btree_map<core::BackendId, base::MonoTime> bounds_until_;
  absl::btree_map<core::BackendId, core::AcceptPace> paces_;
  absl::btree_set<core::BackendId> unreachable_;
  std::function<void(const Write&)> observer_;
  int failing_puts_ = 0;
  std::optional<uint64_t> writes_left_;
  uint64_t writes_ = 0;
};

// Members of a row in the order of its places.
std::vector<core::BackendId> MembersOf(const core::RowWords& row);

}  // namespace fairlead::testing
