// When this host last sent a SYN cookie. Until such a cookie has run out, a
// connection may come to life of which no socket tells yet.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/mono_time.h"

namespace fairlead::agent {

// The counter TcpExt `name` of /proc/net/netstat; DATA_LOSS if it is not in
// there.
absl::StatusOr<uint64_t> ParseTcpCounter(absl::string_view netstat,
                                         absl::string_view name);

class SynCookies {
 public:
  // The counter as read at `now`. At first, cookies that were sent before
  // count as sent just now.
  void OnCount(uint64_t sent, base::MonoTime now);

  // nullopt: none in living memory.
  std::optional<base::MonoTime> last_sent() const { return last_sent_; }

 private:
  uint64_t sent_ = 0;
  std::optional<base::MonoTime> last_sent_;
};

}  // namespace fairlead::agent
