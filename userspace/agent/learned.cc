#include "agent/learned.h"

#include <utility>

#include "base/status_macros.h"
#include "fairlead/abi/config.h"

namespace fairlead::agent {
namespace {

// Ticks wrap.
bool IsSince(uint32_t tick, uint32_t since) {
  return ((tick - since) & FL_TICK_MASK) <= FL_TICK_MASK / 2;
}

}  // namespace

absl::StatusOr<LearnedFlows> LearnedFlows::Map(int fd) {
  FL_ASSIGN_OR_RETURN(datapath::MappedArray<fl_learned> entries,
                      datapath::MappedArray<fl_learned>::Map(
                          fd, FL_AGENT_LEARNED, "fl_learned"));
  return LearnedFlows(std::move(entries));
}

uint32_t LearnedFlows::TickOf(base::MonoTime time) {
  return static_cast<uint32_t>(time.nanoseconds() >> FL_TICK_SHIFT) &
         FL_TICK_MASK;
}

absl::btree_map<uint32_t, std::vector<uint64_t>> LearnedFlows::Since(
    uint16_t lb_id, uint32_t tick) const {
  absl::btree_map<uint32_t, std::vector<uint64_t>> flows;
  for (const fl_learned& entry : entries_.elements()) {
    if (entry.hash != 0 && entry.lb_id == lb_id && IsSince(entry.tick, tick))
      flows[entry.vip].push_back(entry.hash);
  }
  return flows;
}

}  // namespace fairlead::agent
