// FlowMove: takes the flows of a flow table over into one of another size.
// Both buckets of a flow are functions of its tag, so no tuple is needed.
//
// Packets use both tables all the while (fl_old_flows of bpf/lib/maps.h): they
// look into the new one first, put new flows there alone, and go on with a flow
// in the old one for as long as it is only there. So what the new table has is
// the truth, and what it has not is taken over as it is; a pass may be repeated
// or be cut short by a kill at any point.
//
// The counters of fl_load are not touched: a flow that is moved counts as
// before. Those that find no room are for Recount.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "datapath/source_charges.h"
#include "fairlead/abi/flow_slot.h"

struct fl_buckets;

namespace fairlead::datapath {

struct FlowMoveOptions {
  fl_timeouts timeouts = {};
  uint32_t now_tick = 0;
  uint32_t backends = FL_MAX_BACKENDS;  // ids from here on are nobody's
  // By backend id: its flows are known by the flow table alone, for the packets
  // of its service carry no hop list. They are the last to be left out.
  std::vector<bool> table_only;
  // What flows are charged to, before and after; empty: nothing is taken over.
  SourceCharges charges_from = {};
  SourceCharges charges_to = {};
};

// Flows that the new table has not, but for those that were expired.
struct FlowsLeft {
  uint64_t live = 0;        // established or closing
  uint64_t table_only = 0;  // of those, by FlowMoveOptions::table_only
  uint64_t pending = 0;

  uint64_t sum() const { return live + pending; }
};

class FlowMove {
 public:
  // Borrows both. Requires: both numbers of buckets are powers of two.
  FlowMove(std::span<const fl_bucket> from, std::span<fl_bucket> to,
           FlowMoveOptions options);

  // Takes over what `to` has not yet; returns how many flows that were. Where
  // room is short, a flow may take the slot of one that is worth less:
  // established ones are worth more than young ones.
  uint64_t Pass();
  // Requires: no pass follows.
  FlowsLeft CountLeft() const;
  // Gives back what flows that have not been taken over are charged to.
  // Requires: likewise.
  void ReleaseCharges();

 private:
  // What a slot is worth; 0: it is free. The flow of greater worth may have it.
  int Worth(uint64_t word0, uint64_t word1) const;
  bool IsTableOnly(uint64_t word0) const;
  fl_buckets BucketsOf(uint64_t hash) const;
  bool Has(uint64_t hash) const;
  // False: no room.
  bool Take(size_t number, const fl_slot& slot);
  void TakeCharge(size_t number, const fl_slot& target, uint64_t hash);
  // The slot that is worth least, or nothing if all are worth `worth`.
  std::optional<uint32_t> PositionFor(const fl_buckets& buckets,
                                      int worth) const;

  // Constant after construction.
  const std::span<const fl_bucket> from_;
  const std::span<fl_bucket> to_;
  FlowMoveOptions options_;

  // Some flow found no slot, or one that was in use.
  bool short_of_room_ = false;
};

}  // namespace fairlead::datapath
