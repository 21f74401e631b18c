// FlowSweeper: walks the flow table, a few buckets a turn, so that silent flows
// are forgotten without stalling the loop; tells the controller after each walk
// which backends still have flows.
#pragma once

#include <optional>

#include "core/controller.h"
#include "datapath/flow_scan.h"
#include "datapath/recount.h"
#include "datapath/shared_tables.h"
#include "event/loop.h"
#include "event/sync.h"
#include "event/task.h"

namespace fairlead::daemon {

// 128 KiB of table: below a third of a millisecond, also where every slot has
// to be expired (docs/BENCHMARKS.md).
inline constexpr uint32_t kBucketsPerStep = 2048;
inline constexpr absl::Duration kStepPause = absl::Milliseconds(2);
inline constexpr absl::Duration kSweepPause = absl::Seconds(2);

// The packet path's clock, in ticks.
uint32_t TickOf(base::MonoTime now);

class FlowSweeper {
 public:
  // All borrowed. `on_sweep` is notified after each walk.
  FlowSweeper(event::Loop& loop, core::Controller& controller,
              datapath::SharedTables& tables, const fl_timeouts& timeouts,
              event::Event& on_sweep)
      : loop_(loop),
        controller_(controller),
        tables_(tables),
        scan_(tables.flows(), tables.load(), timeouts, tables.charges()),
        on_sweep_(on_sweep) {}

  // Walks until cancelled, and first counts anew besides. One turn of the loop
  // looks at few enough buckets for others to be served in time, however large
  // the table is.
  event::Task<void> Run();

  const datapath::FlowScan& scan() const { return scan_; }
  // Flows that live at the backend, by hash.
  void Learn(core::BackendId backend, const std::vector<uint64_t>& hashes);

  // Slots in use, as of the last walk.
  uint64_t used_slots() const { return used_slots_; }

  uint32_t NowTick() const { return TickOf(loop_.Now()); }

 private:
  void OnSweep(const datapath::FlowSweep& sweep, absl::Time begun);
  // A step, until it is over.
  void CountAnew();

  event::Loop& loop_;
  core::Controller& controller_;
  datapath::SharedTables& tables_;
  datapath::FlowScan scan_;
  event::Event& on_sweep_;
  // While they go on, one after the other: each takes a quarter of the flow
  // table's memory.
  std::optional<datapath::Recount> recount_, charges_recount_;
  uint64_t used_slots_ = 0;
};

}  // namespace fairlead::daemon
