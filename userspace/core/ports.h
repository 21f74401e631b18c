// What core needs from the world, as interfaces: each has a real adapter, an
// in-memory fake under tests/support, and one suite that runs against both.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/accept_rate.h"
#include "core/model.h"
#include "core/row_plan.h"

namespace fairlead::core {

// fl_services entry of a service or of a tombstone.
struct ServiceEntry {
  ServiceId id = 0;
  bool tombstone = false;
  Policy policy = Policy::kHash;
  int choices = 1;
  Encap encap = Encap::kGue;
  Shed shed = Shed::kDrop;
  bool hop_lists = true;  // only with kGue
  uint32_t rows_base = 0;
  uint32_t rows = 0;
  // New flows in a tick; see core/syn_budget.h.
  uint32_t syn_fair = 0;
  uint32_t syn_limit = 0;
  SourceList sources = {};
  SourceRate source_rate = {};

  friend bool operator==(const ServiceEntry&, const ServiceEntry&) = default;
};

// fl_backends line. `state` holds FL_BACKEND_* bits without
// FL_BACKEND_NEXT_HOP, which the adapter adds while it has a next hop for the
// address; with FL_BACKEND_ON_LINK only one that is the backend itself.
struct BackendEntry {
  uint64_t state = 0;
  base::IpAddress address;
  int weight = 100;
  ServiceId service = 0;

  friend bool operator==(const BackendEntry&, const BackendEntry&) = default;
};

// The shared tables. Writes take effect for the next packet when the call
// returns. Only PutService can fail: the others store to memory.
class Datapath {
 public:
  virtual ~Datapath() = default;

  virtual absl::Status PutService(const base::Endpoint& vip,
                                  const ServiceEntry& entry) = 0;
  virtual void RemoveService(const base::Endpoint& vip) = 0;
  // The VIPs that have an entry, in order, for adoption: one that the desired
  // state does not know was left by a writer that was killed.
  virtual std::vector<base::Endpoint> Vips() const = 0;

  // Writes the whole line. If the line is in use already, no reader sees it
  // unused meanwhile, and if it has this address it keeps its next hop.
  virtual void PutBackend(BackendId id, const BackendEntry& entry) = 0;
  // One store: the next SYN sees it.
  virtual void SetBackendState(BackendId id, uint64_t state) = 0;
  virtual void SetBackendWeight(BackendId id, int weight) = 0;
  virtual void RemoveBackend(BackendId id) = 0;
  // As found in the table, for adoption: 0 when the line is unused.
  virtual uint64_t BackendState(BackendId id) const = 0;
  // Likewise; :: when the line is unused.
  virtual base::IpAddress BackendAddress(BackendId id) const = 0;
  // Likewise; 0 when the line is unused.
  virtual ServiceId BackendService(BackendId id) const = 0;
  // Can packets reach it? Without that the packet path offers it no new flow.
  virtual bool HasNextHop(BackendId id) const = 0;

  // `row` counts over all services: rows_base + row of the service.
  virtual RowWords ReadRow(uint32_t row) const = 0;
  virtual void StoreCandidates(uint32_t row, uint64_t word) = 0;
  virtual void StoreOwners(uint32_t row, uint64_t word) = 0;

  virtual LoadReport Load(BackendId id) const = 0;
  // A backend with FL_BACKEND_CAPPED is full once so many of its flows have
  // begun, unless it is `until` by then.
  virtual void SetBound(BackendId id, uint64_t begun, base::MonoTime until) = 0;
  // Of a backend with FL_BACKEND_PACED.
  virtual void SetAcceptPace(BackendId id, const AcceptPace& pace) = 0;
  // Connections of the backend that this host has not recorded; negative: it
  // has recorded more than there are.
  virtual void SetElsewhere(BackendId id, int64_t connections) = 0;
};

}  // namespace fairlead::core
