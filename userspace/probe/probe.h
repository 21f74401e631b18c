// One attempt of a health check, as a coroutine: a TCP connect, or an HTTP GET
// whose status is judged. It reports what it saw; what follows from that is
// decided in core.
//
// A probe that could not be carried out in time by this host's own fault (its
// loop was late) reports kLate: it says nothing about the backend.
#pragma once

#include "base/ip_address.h"
#include "base/mono_time.h"
#include "core/model.h"
#include "event/loop.h"
#include "event/task.h"

namespace fairlead::probe {

// A probe's own timer that fires later than this after its time tells of a
// late loop, not of a slow backend.
inline constexpr absl::Duration kLateness = absl::Milliseconds(250);
// What a health page may be at most.
inline constexpr size_t kMaxProbeBodyBytes = 256 * 1024;

struct Target {
  base::IpAddress address;
  uint16_t port = 0;
  core::CheckConfig check;
};

// `due` is when the probe should have begun. Ends at check.timeout after its
// beginning. Cancelled with its scope, it reports kLate.
event::Task<core::ProbeResult> RunProbe(event::Loop& loop, Target target,
                                        base::MonoTime due);

}  // namespace fairlead::probe
