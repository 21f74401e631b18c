// One attempt of a health check, as a coroutine: a connect, TLS, an HTTP
// request whose answer is judged, or a WebSocket that is opened, pinged and
// closed. It reports what it saw; what follows from that is decided in core.
//
// A probe that could not be carried out in time by this host's own fault (it
// did not get to run, it has no socket left) reports kLate: it says nothing
// about the backend. An answer that came all the same counts.
#pragma once

#include <optional>

#include "base/ip_address.h"
#include "base/mono_time.h"
#include "core/model.h"
#include "event/loop.h"
#include "event/socket.h"
#include "event/task.h"
#include "probe/stall_watch.h"
#include "probe/tls.h"

namespace fairlead::probe {

// A probe that lost more of its time-out to this host's own stalls has no say,
// unless it was answered.
inline constexpr double kToleratedLoss = 0.25;
// What a health page may be at most, and what a WebSocket server may say before
// its pong.
inline constexpr size_t kMaxProbeBodyBytes = 256 * 1024;
// For the answer to a WebSocket's close, which is not judged.
inline constexpr absl::Duration kCloseWait = absl::Milliseconds(100);

struct Target {
  base::IpAddress address;
  uint16_t port = 0;
  core::CheckConfig check;
  std::optional<event::SocketRoad> road = {};
};

class Prober {
 public:
  // Borrowed.
  explicit Prober(event::Loop& loop) : loop_(loop), stalls_(loop) {}
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  // Ends at check.timeout after its beginning. Cancelled with its scope, it
  // reports kLate.
  event::Task<core::ProbeResult> Run(Target target);

  StallWatch& stalls() { return stalls_; }
  const StallWatch& stalls() const { return stalls_; }

 private:
  event::Loop& loop_;
  TlsContexts contexts_;
  StallWatch stalls_;
};

}  // namespace fairlead::probe
