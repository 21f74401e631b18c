// A loop that is busy: it does not get to run for a while, as if the process
// were stopped or had no CPU. It is what the test is about, not a wait for
// something to happen.
#pragma once

#include <poll.h>

#include "absl/time/time.h"

namespace fairlead::event {

inline void KeepBusy(absl::Duration duration) {
  (void)poll(nullptr, 0, static_cast<int>(absl::ToInt64Milliseconds(duration)));
}

}  // namespace fairlead::event
