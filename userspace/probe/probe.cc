#include "probe/probe.h"

#include <memory>

#include "probe/attempt.h"

namespace fairlead::probe {

event::Task<core::ProbeResult> Prober::Run(Target target, base::MonoTime due) {
  const base::MonoTime begun = loop_.Now();
  if (begun - due > kLateness) {
    core::ProbeResult late;
    late.outcome = core::ProbeOutcome::kLate;
    late.detail = "started late";
    co_return late;
  }
  const base::MonoTime deadline = begun + target.check.timeout;
  Attempt attempt(loop_, contexts_, target, deadline);
  core::ProbeResult result = co_await attempt.Run();
  const base::MonoTime ended = loop_.Now();
  result.duration = ended - begun;
  const bool timed_out = result.outcome == core::ProbeOutcome::kTimeout ||
                         result.outcome == core::ProbeOutcome::kWsPong;
  if (timed_out && ended - deadline > kLateness) {
    result.outcome = core::ProbeOutcome::kLate;
    result.detail = "timed out while this host was late itself";
  }
  co_return result;
}

}  // namespace fairlead::probe
