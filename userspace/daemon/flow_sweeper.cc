#include "daemon/flow_sweeper.h"

#include <numeric>
#include <vector>

#include "absl/status/status.h"
#include "base/log.h"

namespace fairlead::daemon {

uint32_t TickOf(base::MonoTime now) {
  return static_cast<uint32_t>(static_cast<uint64_t>(now.nanoseconds()) >>
                               FL_TICK_SHIFT) &
         FL_TICK_MASK;
}

event::Task<void> FlowSweeper::Run() {
  recount_.emplace(tables_.flows(), tables_.load());
  absl::Time begun = loop_.WallNow();
  while (true) {
    CountAnew();
    const std::optional<datapath::FlowSweep> sweep =
        scan_.Step(kBucketsPerStep, NowTick(), controller_.Empty());
    if (sweep.has_value()) OnSweep(*sweep, begun);
    const bool rests = sweep.has_value() && !recount_.has_value() &&
                       !charges_recount_.has_value();
    const absl::Status slept =
        co_await loop_.SleepFor(rests ? kSweepPause : kStepPause);
    if (!slept.ok()) co_return;
    if (sweep.has_value()) begun = loop_.WallNow();
  }
}

void FlowSweeper::CountAnew() {
  if (charges_recount_.has_value()) {
    if (!charges_recount_->Step(kBucketsPerStep)) return;
    if (charges_recount_->corrected() > 0)
      base::LogInfo("connections of sources: ", charges_recount_->corrected(),
                    " counts corrected after a restart");
    charges_recount_.reset();
    return;
  }
  if (!recount_.has_value() || !recount_->Step(kBucketsPerStep)) return;
  if (recount_->corrected() > 0)
    base::LogInfo("flow table: ", recount_->corrected(),
                  " load counters corrected after a restart");
  recount_.reset();
  if (!tables_.charges().empty()) charges_recount_.emplace(tables_.charges());
}

void FlowSweeper::Learn(core::BackendId backend,
                        const std::vector<uint64_t>& hashes) {
  for (const uint64_t hash : hashes) scan_.Record(hash, backend, NowTick());
}

void FlowSweeper::OnSweep(const datapath::FlowSweep& sweep, absl::Time begun) {
  used_slots_ =
      std::accumulate(sweep.slots.begin() + 1, sweep.slots.end(), uint64_t{0});
  std::vector<core::BackendId> seen;
  for (size_t id = 1; id < sweep.backends.size(); ++id)
    if (sweep.Saw(static_cast<core::BackendId>(id)))
      seen.push_back(static_cast<core::BackendId>(id));
  tables_.TidyEgress();
  controller_.OnFlowCounts(sweep.counts, loop_.Now());
  controller_.OnFlowScan(seen, begun, loop_.Now());
  on_sweep_.NotifyAll();
}

}  // namespace fairlead::daemon
