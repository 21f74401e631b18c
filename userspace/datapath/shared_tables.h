// SharedTables: the real core::Datapath. Rows, backends, load and flows are
// memory shared with the kernel; services are a hash map.
//
// It is the only writer of rows, backends and services, from one thread. The
// packet path reads at any time, so every change is a sequence of single 8-byte
// stores, each of which leaves a state that a packet may meet. A service's
// entry is replaced whole: when PutService() returns, no packet meets the one
// before.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "core/ports.h"
#include "datapath/egress.h"
#include "datapath/grace_period.h"
#include "datapath/map_fds.h"
#include "datapath/mapped_array.h"
#include "datapath/prefix_lists.h"
#include "datapath/source_charges.h"
#include "fairlead/abi/flow_slot.h"
#include "fairlead/abi/maps.h"
#include "fairlead/abi/row.h"

namespace fairlead::datapath {

class SharedTables : public core::Datapath {
 public:
  // Maps the tables and takes over what they hold: which addresses services
  // use, and the next hop of every backend line.
  // Requires: `maps` have the sizes `sizes` and outlive the result.
  static absl::StatusOr<std::unique_ptr<SharedTables>> Open(
      const MapFds& maps, const core::TableSizes& sizes);

  SharedTables(const SharedTables&) = delete;
  SharedTables& operator=(const SharedTables&) = delete;

  // On error the table is as it was.
  absl::Status PutService(const base::Endpoint& vip,
                          const core::ServiceEntry& entry) override;
  void RemoveService(const base::Endpoint& vip) override;
  void PutBackend(core::BackendId id, const core::BackendEntry& entry) override;
  void SetBackendState(core::BackendId id, uint64_t state) override;
  void SetBackendWeight(core::BackendId id, int weight) override;
  void RemoveBackend(core::BackendId id) override;
  uint64_t BackendState(core::BackendId id) const override;
  base::IpAddress BackendAddress(core::BackendId id) const override;
  core::ServiceId BackendService(core::BackendId id) const override;
  core::RowWords ReadRow(uint32_t row) const override;
  void StoreCandidates(uint32_t row, uint64_t word) override;
  void StoreOwners(uint32_t row, uint64_t word) override;
  core::LoadReport Load(core::BackendId id) const override;
  void SetAcceptPace(core::BackendId id, const core::AcceptPace& pace) override;
  void SetBound(core::BackendId id, uint64_t begun,
                base::MonoTime until) override;
  void SetElsewhere(core::BackendId id, int64_t connections) override;

  // How packets reach `address`, in all lines with that outer address and in
  // those that get it later; without a value they are dropped by name. On error
  // too: nothing can be sent by that interface.
  absl::Status SetNextHop(const base::IpAddress& address,
                          const std::optional<core::NextHop>& next_hop);
  std::optional<core::NextHop> NextHopOf(const base::IpAddress& address) const;

  // Packets of the service say SETTLED until `end`; nullopt: they do not.
  void SetLease(core::ServiceId service, std::optional<base::MonoTime> end);

  // To be called every few seconds: lets go of interfaces that no next hop is
  // behind any more.
  void TidyEgress();

  int BackendWeight(core::BackendId id) const;
  bool HasNextHop(core::BackendId id) const override;

  // VIPs in fl_services, tombstones included, in order. After adoption: those
  // that the daemon before this one left.
  std::vector<base::Endpoint> Vips() const override;

  const core::TableSizes& sizes() const { return sizes_; }
  std::span<fl_bucket> flows() const { return flows_.elements(); }
  std::span<fl_load> load() const { return load_.elements(); }
  // Empty where none are counted.
  SourceCharges charges() const {
    if (sizes_.conn_sets <= 1) return SourceCharges();
    return SourceCharges(flow_sources_.elements(), conns_.elements());
  }

 private:
  SharedTables(const MapFds& maps, const core::TableSizes& sizes,
               MappedArray<fl_row> rows, MappedArray<fl_backend> backends,
               MappedArray<fl_load> load, MappedArray<fl_bucket> flows,
               MappedArray<uint64_t> leases, MappedArray<uint64_t> limits,
               MappedArray<fl_flow_charges> flow_sources,
               MappedArray<fl_conn_set> conns, GracePeriod grace);

  absl::Status AdoptServices();
  // An address entry that no service needs: a daemon was killed between two
  // updates.
  absl::Status RemoveUnusedAddresses(
      std::span<const base::IpAddress> addresses);
  void AdoptNextHops();

  absl::Status Update(const fl_service_key& key, const fl_service& value,
                      absl::string_view what);
  void Remove(const fl_service_key& key);
  // Until no packet reads an entry of fl_services that is not there any more.
  void WaitForReaders();
  absl::Status PutAddress(const base::IpAddress& address);
  void StoreLimit(core::ServiceId service, uint64_t limit);
  bool HasVipOn(const base::IpAddress& address) const;

  fl_backend& LineOf(core::BackendId id) const;
  fl_row& RowAt(uint32_t row) const;
  // May packets of a line in `state` take it?
  static bool MayUse(uint64_t state,
                     const std::optional<core::NextHop>& next_hop);
  void StoreNextHop(fl_backend& line,
                    const std::optional<core::NextHop>& next_hop);

  // Constant after construction.
  const MapFds maps_;
  const core::TableSizes sizes_;
  const MappedArray<fl_row> rows_;
  const MappedArray<fl_backend> backends_;
  const MappedArray<fl_load> load_;
  const MappedArray<fl_bucket> flows_;
  const MappedArray<uint64_t> leases_;
  const MappedArray<uint64_t> limits_;
  const MappedArray<fl_flow_charges> flow_sources_;
  const MappedArray<fl_conn_set> conns_;
  const GracePeriod grace_;

  struct Vip {
    core::ServiceId id = 0;
    bool tombstone = false;
  };

  // VIPs in fl_services: an address entry exists while its address is here.
  absl::btree_map<base::Endpoint, Vip> vips_;
  absl::btree_map<base::IpAddress, core::NextHop> next_hops_;
  PrefixLists prefixes_;
  // Packets may be reading entries of fl_services that are not there any more:
  // at the start, those that the daemon before this one replaced.
  bool may_have_readers_ = true;
  const Egress egress_;
};

}  // namespace fairlead::datapath
