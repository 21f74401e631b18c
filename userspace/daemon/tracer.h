// Tracer: `fairlead trace`. Has the packet path tell of packets, at a bounded
// rate, and puts words to what it tells.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mono_time.h"
#include "control/host.h"
#include "core/controller.h"
#include "datapath/packet_trace.h"
#include "event/loop.h"
#include "routes/route_watcher.h"

namespace fairlead::daemon {

inline constexpr uint64_t kTracedPerSecond = 1000;
// How often the packet path is given room for the next packets.
inline constexpr uint64_t kTraceTurnsPerSecond = 10;
inline constexpr absl::Duration kTraceTurn =
    absl::Milliseconds(1000 / kTraceTurnsPerSecond);
// The packet path stops by itself this long after a daemon that is gone.
inline constexpr absl::Duration kTraceLease = absl::Seconds(3);

class Tracer {
 public:
  struct Parts {
    event::Loop& loop;
    datapath::PacketTrace& packets;
    const core::Controller& controller;
    const routes::RouteWatcher& routes;
    uint16_t gue_port = 0;
  };
  // All borrowed.
  explicit Tracer(const Parts& parts) : parts_(parts) {}

  // As ControlHost::StartTrace(). The trace ends before the tracer.
  absl::StatusOr<std::unique_ptr<control::Trace>> Start(
      const control::TraceQuery& query);

 private:
  class Session;
  control::TracedPacket Describe(const fl_traced& traced) const;
  control::TracedFrame DescribeFrame(
      uint32_t interface, uint16_t length,
      const uint8_t (&bytes)[FL_TRACE_SNAP]) const;

  const Parts parts_;
  bool busy_ = false;
  base::MonoTime busy_since_;
};

}  // namespace fairlead::daemon
