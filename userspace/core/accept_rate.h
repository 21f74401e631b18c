// The accept-rate of a backend: how many new connections a second the packet
// path gives it. bpf/lib/accept.h counts them; what is above goes to others, or
// is refused. Pure; time is an argument.
//
// It is a number of the whole tier, of which each LB host gives an equal part.
// While the backend starts slowly, it grows with its share of new connections.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/mono_time.h"
#include "core/model.h"
#include "core/slow_start.h"

namespace fairlead::core {

// What the backend's line says of it. `during` holds until then, `after` from
// then on, whether the daemon is there or not; see fl_accept_word().
struct AcceptPace {
  uint32_t during = 0;
  uint32_t after = 0;
  base::MonoTime until;

  friend bool operator==(const AcceptPace&, const AcceptPace&) = default;
};

// `over` is the service's slow start, `held` what is held back of the backend's
// share just now. Requires: lb_hosts >= 1.
AcceptPace PaceOf(uint32_t accept_rate, uint32_t held,
                  const SlowStart& slow_start, absl::Duration over,
                  size_t lb_hosts);

// Has it been given as many of late as it may?
bool IsAtRate(uint32_t accept_rate, const LoadReport& load, base::MonoTime now);

// "200/s", or while it starts slowly "10/s of 200/s".
std::string AcceptRateText(uint32_t accept_rate, int slow_start_percent);

}  // namespace fairlead::core
