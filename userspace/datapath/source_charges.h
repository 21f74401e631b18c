// SourceCharges: what the flows of a flow table are charged to, and the counts
// of live connections that this makes, as memory shared with packets
// (bpf/lib/conns.h has the rules). Where nothing is counted it is empty, and
// does nothing.
//
// Slots are numbered over the whole table: bucket * FL_BUCKET_SLOTS + place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "fairlead/abi/flow_slot.h"
#include "fairlead/abi/maps.h"

namespace fairlead::datapath {

class SourceCharges {
 public:
  SourceCharges() = default;
  // Borrows both. Requires: as many flows as the flow table has buckets.
  SourceCharges(std::span<fl_flow_charges> flows, std::span<fl_conn_set> conns)
      : flows_(flows), conns_(conns) {}

  bool empty() const { return flows_.empty(); }
  size_t slots() const { return flows_.size() * FL_BUCKET_SLOTS; }
  size_t entries() const { return conns_.size() * FL_CONN_SET; }

  // What the slot's flow is charged to; 0: nothing.
  uint32_t Of(size_t slot) const;
  // The slot was freed or taken, or its flow has ended: gives back `charge`,
  // which Of() said before. Harmless if somebody has done so meanwhile.
  void Release(size_t slot, uint32_t charge);
  // Takes the charge out of its slot, for Put() somewhere else.
  uint32_t Take(size_t slot);
  // The slot, which is now that of `hash`, is charged so; gives back what it
  // was charged to before.
  void Put(size_t slot, const fl_slot& flow, uint64_t hash, uint32_t charge);
  void GiveBack(uint32_t charge);

  // The connections of the source with this key (bpf/lib/conns.h).
  uint64_t CountOf(uint64_t key) const;

  // By entry, from 0 on; for a recount.
  int64_t EntryCount(size_t entry) const;
  void Subtract(size_t entry, int64_t amount);

 private:
  uint32_t* CellOf(size_t slot) const;
  uint64_t* WordOf(size_t entry) const;

  std::span<fl_flow_charges> flows_;
  std::span<fl_conn_set> conns_;
};

}  // namespace fairlead::datapath
