// HostState: whether this backend as a whole wants new connections. It does not
// while somebody here has said `drain`, which outlives restarts of the agent
// and of the host, nor for a moment while a listener's queue overflows. The
// packet path obeys at once, the LB hosts with their next poll. And what an
// agent has to remember of the host for the next one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/scanner.h"
#include "agent/syn_cookies.h"
#include "base/mono_time.h"
#include "datapath/mapped_array.h"
#include "event/loop.h"
#include "event/task.h"
#include "fairlead/abi/maps.h"

namespace fairlead::agent {

// After its last overflow a host is hot for so long.
inline constexpr absl::Duration kHotFor = absl::Seconds(2);

class HostState {
 public:
  // `fd` is the map fl_state. What was said before is found in `folder`.
  static absl::StatusOr<HostState> Open(int fd, std::string folder);

  bool draining() const { return (flags() & FL_AGENT_DRAINING) != 0; }
  bool hot() const { return (flags() & FL_AGENT_HOT) != 0; }

  // Durable before it is true. On error nothing has changed.
  event::Task<absl::Status> SetDraining(event::Loop& loop, bool draining);
  // A scan's counters.
  void OnCounters(const Scan& scan, base::MonoTime now);
  std::optional<base::MonoTime> last_syn_cookie() const {
    return LastSynCookie(state());
  }

 private:
  HostState(datapath::MappedArray<fl_agent_state> states, std::string folder)
      : states_(std::move(states)), folder_(std::move(folder)) {}

  fl_agent_state& state() const { return states_.elements()[0]; }
  uint64_t flags() const { return state().flags; }
  void Set(uint64_t flag, bool on);

  datapath::MappedArray<fl_agent_state> states_;  // one; packets read it
  std::string folder_;
  std::optional<uint64_t> overflows_;
  std::optional<base::MonoTime> overflowed_at_;
};

}  // namespace fairlead::agent
