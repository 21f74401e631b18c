// FlowScan: the daemon's walk over the flow table, a few buckets at a time. It
// expires slots by rule R3 of fairlead/abi/flow_slot.h, keeps the counters of
// fl_load true to what it does (R1), and counts what it sees.
//
// Packets change the table all the while. `now_tick` is the packet path's
// clock: CLOCK_MONOTONIC_COARSE in nanoseconds >> FL_TICK_SHIFT.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/container/btree_set.h"
#include "core/model.h"
#include "datapath/source_charges.h"
#include "fairlead/abi/flow_slot.h"
#include "fairlead/abi/maps.h"

namespace fairlead::datapath {

// What one walk over the whole table saw. Each slot was looked at once, at
// different times: sums are right only for what did not change meanwhile.
struct FlowSweep {
  uint64_t number = 0;                     // 1 for the first
  std::array<uint64_t, 8> slots = {};      // by enum fl_slot_state
  std::vector<core::LoadReport> backends;  // by id
  std::vector<core::FlowCounts> counts;    // by id
  uint64_t expired = 0;                    // slots freed
  uint64_t returned = 0;  // expiring slots that a segment brought back
  uint64_t reverted = 0;  // expiring slots that a killed daemon left

  // Some slot had the id, in whatever state.
  bool Saw(core::BackendId id) const {
    return id < backends.size() && backends[id].live + backends[id].pending > 0;
  }
};

struct FlowRecord {
  unsigned int state = 0;  // enum fl_slot_state
  core::BackendId backend = 0;
  uint32_t born = 0;       // ticks
  uint32_t last_seen = 0;  // ticks
  bool ended = false;      // the client will send no more
};

class FlowScan {
 public:
  // Borrows the tables. Requires: the number of buckets is a power of two.
  FlowScan(std::span<fl_bucket> flows, std::span<fl_load> load,
           const fl_timeouts& timeouts, SourceCharges charges = {});
  FlowScan(const FlowScan&) = delete;
  FlowScan& operator=(const FlowScan&) = delete;

  // Ends the expiry of the slots that the step before began to expire, then
  // looks at the next `buckets` buckets. Requires: packets had time to hit
  // those slots since, so one step per turn of the loop. Slots of backends that
  // are `empty`, which have no connection any more, are freed. Returns the
  // sweep when this step looked at the last bucket.
  std::optional<FlowSweep> Step(
      uint32_t buckets, uint32_t now_tick,
      const absl::btree_set<core::BackendId>& empty = {});

  // Records a flow that is known to live at the backend, as established; a
  // record that names another backend is corrected. False: no slot may be
  // taken, or packets changed it just now.
  bool Record(uint64_t hash, core::BackendId backend, uint32_t now_tick);

  // The record of the flow with this hash, if the table has one.
  std::optional<FlowRecord> Lookup(uint64_t hash) const;

  const fl_timeouts& timeouts() const { return timeouts_; }

 private:
  struct Expiring {
    size_t number;   // of the slot
    uint64_t word1;  // by which it was judged
  };

  void EndExpiry();
  void LookAt(size_t number, uint32_t now_tick,
              const absl::btree_set<core::BackendId>& empty);
  // Slots by number: bucket * FL_BUCKET_SLOTS + place.
  fl_slot& SlotAt(size_t number) const;
  size_t NumberOf(const fl_slot& slot) const;
  // Of a free slot, and of a flow that has ended and is silent.
  void ReleaseCharge(size_t number, uint32_t charge, uint32_t now_tick);
  void Count(uint64_t word0, uint64_t word1, uint32_t now_tick);
  // Moves the counters as R1 says.
  void Move(uint64_t before, uint64_t after);
  void AddLoad(uint64_t word0, int64_t amount);
  void BeginSweep();
  void NoteBegun();

  // Constant after construction.
  const std::span<fl_bucket> flows_;
  const std::span<fl_load> load_;
  const fl_timeouts timeouts_;

  SourceCharges charges_;
  std::vector<Expiring> expiring_;  // begun by the last step
  FlowSweep sweep_;                 // the one under way
  size_t next_bucket_ = 0;
};

}  // namespace fairlead::datapath
