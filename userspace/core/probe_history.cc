#include "core/probe_history.h"

#include <algorithm>
#include <limits>

namespace fairlead::core {
namespace {

constexpr int64_t kLongest = std::numeric_limits<uint32_t>::max();

}  // namespace

ProbeResult ResultOf(const ProbeRecord& record) {
  return {.outcome = record.outcome,
          .cause = record.cause,
          .step = record.step,
          .http_status = record.http_status,
          .duration = absl::Microseconds(record.duration_us)};
}

void ProbeHistory::Add(const ProbeResult& result, base::MonoTime now) {
  const ProbeRecord record = {
      .at = now,
      .duration_us = static_cast<uint32_t>(std::clamp(
          absl::ToInt64Microseconds(result.duration), int64_t{0}, kLongest)),
      .http_status = static_cast<uint16_t>(result.http_status),
      .outcome = result.outcome,
      .cause = result.cause,
      .step = result.step};
  if (records_.size() < kMost) {
    // All at once, so that no growth leaves room unused.
    records_.reserve(kMost);
    records_.push_back(record);
    return;
  }
  records_[oldest_] = record;
  oldest_ = (oldest_ + 1) % kMost;
}

std::vector<ProbeRecord> ProbeHistory::List() const {
  std::vector<ProbeRecord> newest_first;
  newest_first.reserve(records_.size());
  for (size_t i = records_.size(); i > 0; --i)
    newest_first.push_back(records_[(oldest_ + i - 1) % records_.size()]);
  return newest_first;
}

}  // namespace fairlead::core
