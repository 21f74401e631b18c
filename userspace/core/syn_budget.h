// How many new flows a service may record: its fair share of the flow table,
// and its budget. Pure arithmetic of the table's size; bpf/lib/syn_share.h
// counts.
//
// A young flow is nobody's to take for 60 s, which is 56 ticks. With a 256th of
// the slots a tick, a service holds 22 % of the table so: in a table at its
// design load, half full, that leaves room for the others. What it records
// beyond gives way to theirs. And with a 64th of the slots a tick, its budget,
// it holds seven eighths in all: no service can fill the table alone.
//
// Tables of less than 262,144 slots, as in a lab, have the shares of that many,
// and a service can fill them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/mono_time.h"
#include "core/model.h"

namespace fairlead::core {

// New flows in a tick.
struct SynShares {
  uint32_t fair = 0;
  uint32_t limit = 0;  // 0: none

  friend bool operator==(const SynShares&, const SynShares&) = default;
};

SynShares SharesOf(const SynBudget& budget, uint32_t flow_buckets);

// New flows a second, as people are told; 0: no budget.
uint64_t BudgetPerSecond(const SynBudget& budget, uint32_t flow_buckets);

// "default", "off" or "20000/s"; ParseSynBudget() takes "20000" and "0" too.
std::string ToString(const SynBudget& budget);
absl::StatusOr<SynBudget> ParseSynBudget(absl::string_view text);

// A service's new flows, counted since the program was loaded.
struct NewFlows {
  uint64_t all = 0;
  uint64_t over_budget = 0;
};

// Is a service above its budget, and by how much? Told by samples, a second
// apart or more.
class SynWatch {
 public:
  // True if it got above its budget, or is within it again.
  bool OnSample(const NewFlows& sample, base::MonoTime now);

  // New flows a second between the last two samples, if some of them were above
  // the budget.
  struct Excess {
    uint64_t per_second = 0;
    uint64_t unrecorded_per_second = 0;
  };
  const std::optional<Excess>& excess() const { return excess_; }
  // How long it had been otherwise before that; nullopt: it never was.
  std::optional<absl::Duration> lasted() const { return lasted_; }

 private:
  std::optional<Excess> Measure(const NewFlows& sample, base::MonoTime now);

  std::optional<NewFlows> last_;
  base::MonoTime last_at_;
  std::optional<Excess> excess_;
  std::optional<base::MonoTime> changed_at_;
  std::optional<absl::Duration> lasted_;
};

}  // namespace fairlead::core
