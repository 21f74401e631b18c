#include "daemon/health_runner.h"

#include <utility>

#include "absl/status/status.h"
#include "event/scope.h"

namespace fairlead::daemon {

event::Task<void> HealthRunner::Run() {
  event::Scope probes(co_await event::CurrentScope());
  while (!probes.cancelled()) {
    for (core::ProbeRequest& request : controller_.DueProbes(loop_.Now()))
      probes.Spawn(RunOne(std::move(request)));
    const base::MonoTime next =
        controller_.NextDeadline().value_or(base::MonoTime::InfiniteFuture());
    const absl::Status waited = co_await kick_.Wait(next);
    if (absl::IsCancelled(waited)) break;
    roads_.OnLate(loop_.Now() - next);
  }
  probes.Cancel();
  co_await probes.Join();
}

event::Task<void> HealthRunner::RunOne(core::ProbeRequest request) {
  const core::ProbeResult result = co_await roads_.Probe(request);
  controller_.OnProbeResult(request, result, loop_.Now());
  on_result_.NotifyAll();
  // The result moved the deadline of this backend.
  kick_.NotifyAll();
}

}  // namespace fairlead::daemon
