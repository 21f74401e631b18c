#include "core/syn_budget.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "base/text.h"
#include "fairlead/abi/config.h"
#include "fairlead/abi/flow_slot.h"

namespace fairlead::core {
namespace {

constexpr uint32_t kFairPart = 256;
constexpr uint32_t kBudgetPart = 64;
constexpr uint32_t kLeastSlots = 1u << 18;
constexpr uint64_t kNanoseconds = 1'000'000'000;

uint32_t SlotsOf(uint32_t flow_buckets) {
  return std::max(flow_buckets * FL_BUCKET_SLOTS, kLeastSlots);
}

// At least one, and never more a second than asked for.
uint32_t PerTick(uint32_t per_second) {
  const uint64_t flows = (uint64_t{per_second} << FL_TICK_SHIFT) / kNanoseconds;
  return static_cast<uint32_t>(
      std::clamp<uint64_t>(flows, 1, std::numeric_limits<uint32_t>::max()));
}

}  // namespace

SynShares SharesOf(const SynBudget& budget, uint32_t flow_buckets) {
  const uint32_t slots = SlotsOf(flow_buckets);
  SynShares shares = {.fair = slots / kFairPart, .limit = slots / kBudgetPart};
  if (budget.per_second.has_value())
    shares.limit = *budget.per_second == 0 ? 0 : PerTick(*budget.per_second);
  return shares;
}

uint64_t BudgetPerSecond(const SynBudget& budget, uint32_t flow_buckets) {
  if (budget.per_second.has_value()) return *budget.per_second;
  const uint64_t limit = SharesOf(budget, flow_buckets).limit;
  return limit * kNanoseconds >> FL_TICK_SHIFT;
}

std::string ToString(const SynBudget& budget) {
  if (!budget.per_second.has_value()) return "default";
  if (*budget.per_second == 0) return "off";
  return absl::StrCat(*budget.per_second, "/s");
}

absl::StatusOr<SynBudget> ParseSynBudget(absl::string_view text) {
  if (text == "default") return SynBudget{};
  if (text == "off") return SynBudget{.per_second = 0};
  uint32_t per_second = 0;
  if (!absl::SimpleAtoi(absl::StripSuffix(text, "/s"), &per_second))
    return absl::InvalidArgumentError(
        absl::StrCat(base::Quoted(text),
                     " is no SYN budget: must be default, off, or new "
                     "connections a second, such as 20000/s"));
  return SynBudget{.per_second = per_second};
}

bool SynWatch::OnSample(const NewFlows& sample, base::MonoTime now) {
  const bool was_above = excess_.has_value();
  excess_ = Measure(sample, now);
  if (was_above == excess_.has_value()) return false;
  lasted_ = changed_at_ ? std::optional(now - *changed_at_) : std::nullopt;
  changed_at_ = now;
  return true;
}

std::optional<SynWatch::Excess> SynWatch::Measure(const NewFlows& sample,
                                                  base::MonoTime now) {
  const std::optional<NewFlows> before = std::exchange(last_, sample);
  const absl::Duration passed = now - std::exchange(last_at_, now);
  // A program that was loaded anew counts on; one of another size from zero.
  if (!before.has_value() || passed <= absl::ZeroDuration() ||
      sample.over_budget <= before->over_budget || sample.all < before->all)
    return std::nullopt;
  const auto rate = [&](uint64_t flows) {
    return static_cast<uint64_t>(static_cast<double>(flows) /
                                 absl::ToDoubleSeconds(passed));
  };
  return Excess{
      .per_second = rate(sample.all - before->all),
      .unrecorded_per_second = rate(sample.over_budget - before->over_budget)};
}

}  // namespace fairlead::core
