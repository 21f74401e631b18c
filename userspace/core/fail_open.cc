#include "core/fail_open.h"

namespace fairlead::core {

bool FailOpen::OnCount(const Count& count, int percent, base::MonoTime now) {
  const bool was_active = active_;
  if (count.available * 100 < percent * count.all) {
    active_ = true;
    ends_at_.reset();
  } else if (active_ && percent != 0 && !ends_at_) {
    ends_at_ = now + kFailOpenCalm;
  } else if (active_ && (percent == 0 || now >= *ends_at_)) {
    active_ = false;
    ends_at_.reset();
  }
  if (active_ == was_active) return false;
  lasted_ = changed_at_ ? std::optional(now - *changed_at_) : std::nullopt;
  changed_at_ = now;
  return true;
}

}  // namespace fairlead::core
