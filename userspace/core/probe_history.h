// ProbeHistory: the last results of one backend's checks, without what takes
// much room: 24 bytes each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/mono_time.h"
#include "core/model.h"

namespace fairlead::core {

struct ProbeRecord {
  base::MonoTime at;  // when it ended
  uint32_t duration_us = 0;
  uint16_t http_status = 0;
  ProbeOutcome outcome = ProbeOutcome::kSuccess;
  ProbeCause cause = ProbeCause::kNone;
  ProbeStep step = ProbeStep::kConnect;
};

// As a result that FailureReason() understands; without details and steps.
ProbeResult ResultOf(const ProbeRecord& record);

class ProbeHistory {
 public:
  static constexpr size_t kMost = 20;

  // The oldest goes when there are too many.
  void Add(const ProbeResult& result, base::MonoTime now);
  // The newest first.
  std::vector<ProbeRecord> List() const;

 private:
  std::vector<ProbeRecord> records_;
  size_t oldest_ = 0;  // once there are kMost
};

}  // namespace fairlead::core
