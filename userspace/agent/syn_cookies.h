// When this host last sent a SYN cookie. Until such a cookie has run out, a
// connection may come to life of which no socket tells yet. What is known stays
// in fl_state, so that an agent that takes over need not assume the worst.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/mono_time.h"
#include "fairlead/abi/maps.h"

namespace fairlead::agent {

// The counter TcpExt `name` of /proc/net/netstat; DATA_LOSS if it is not in
// there.
absl::StatusOr<uint64_t> ParseTcpCounter(absl::string_view netstat,
                                         absl::string_view name);

// The kernel's count of them as read at `now`. What was sent while nobody
// looked counts as sent just now.
void NoteSynCookies(uint64_t sent, base::MonoTime now, fl_agent_state& state);

// nullopt: none since the host's start.
std::optional<base::MonoTime> LastSynCookie(const fl_agent_state& state);

}  // namespace fairlead::agent
