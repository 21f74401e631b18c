// HealthRunner: starts the probes that the controller wants when it wants them,
// and tells it what they saw.
#pragma once

#include "core/controller.h"
#include "event/loop.h"
#include "event/sync.h"
#include "event/task.h"
#include "probe/probe.h"

namespace fairlead::daemon {

class HealthRunner {
 public:
  // All borrowed. `on_result` is notified after each result.
  HealthRunner(event::Loop& loop, core::Controller& controller,
               event::Event& on_result)
      : loop_(loop),
        prober_(loop),
        controller_(controller),
        on_result_(on_result),
        kick_(loop) {}

  // Until cancelled.
  event::Task<void> Run();
  // At once; the controller is not told.
  event::Task<core::ProbeResult> RunNow(core::ProbeRequest request);
  // The desired state changed: there may be an earlier deadline.
  void Kick() { kick_.NotifyAll(); }

 private:
  event::Task<void> RunOne(core::ProbeRequest request);

  event::Loop& loop_;
  probe::Prober prober_;
  core::Controller& controller_;
  event::Event& on_result_;
  event::Event kick_;
};

}  // namespace fairlead::daemon
