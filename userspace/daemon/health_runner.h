// HealthRunner: starts the probes that the controller wants when it wants them,
// and tells it what they saw.
#pragma once

#include "core/controller.h"
#include "daemon/probe_roads.h"
#include "event/loop.h"
#include "event/sync.h"
#include "event/task.h"

namespace fairlead::daemon {

class HealthRunner {
 public:
  // All borrowed. `on_result` is notified after each result.
  HealthRunner(event::Loop& loop, core::Controller& controller,
               ProbeRoads& roads, event::Event& on_result)
      : loop_(loop),
        controller_(controller),
        roads_(roads),
        on_result_(on_result),
        kick_(loop) {}

  // Until cancelled.
  event::Task<void> Run();
  // At once; the controller is not told.
  event::Task<core::ProbeResult> RunNow(core::ProbeRequest request) {
    return roads_.Probe(std::move(request));
  }
  // The desired state changed: there may be an earlier deadline.
  void Kick() { kick_.NotifyAll(); }

 private:
  event::Task<void> RunOne(core::ProbeRequest request);

  event::Loop& loop_;
  core::Controller& controller_;
  ProbeRoads& roads_;
  event::Event& on_result_;
  event::Event kick_;
};

}  // namespace fairlead::daemon
