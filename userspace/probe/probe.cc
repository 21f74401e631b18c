#include "probe/probe.h"

#include "absl/strings/str_cat.h"
#include "core/health.h"
#include "probe/attempt.h"

namespace fairlead::probe {
namespace {

using core::ProbeOutcome;

// Whoever refuses does so at whatever time he is asked.
bool DependsOnTime(const core::ProbeResult& result) {
  const bool refused_at_once = result.step == core::ProbeStep::kConnect &&
                               (result.outcome == ProbeOutcome::kRefused ||
                                result.outcome == ProbeOutcome::kUnreachable);
  return !core::IsAnswer(result.outcome) && !refused_at_once;
}

}  // namespace

event::Task<core::ProbeResult> Prober::Run(Target target) {
  const StallWatch::Watching watching(stalls_);
  const base::MonoTime begun = loop_.Now();
  Attempt attempt(loop_, contexts_, target, begun + target.check.timeout);
  core::ProbeResult result = co_await attempt.Run();
  result.duration = loop_.Now() - begun;
  const absl::Duration lost = watching.Lost();
  if (DependsOnTime(result) && lost > target.check.timeout * kToleratedLoss) {
    result.outcome = ProbeOutcome::kLate;
    result.detail = absl::StrCat(
        "this host did not get to run for ",
        absl::FormatDuration(absl::Trunc(lost, absl::Milliseconds(1))),
        " of it: ", result.detail);
  }
  co_return result;
}

}  // namespace fairlead::probe
