#include "core/accept_rate.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "fairlead/abi/maps.h"

namespace fairlead::core {
namespace {

constexpr uint64_t kSecond = 1'000'000'000 >> FL_ACCEPT_SHIFT;

// What the packet path gives ahead: FL_ACCEPT_AHEAD of bpf/lib/accept.h.
constexpr absl::Duration kAhead = absl::Milliseconds(100);

// Rounded down, and so the rate up; a minute or so at most.
uint32_t IntervalOf(uint64_t rate, uint64_t held, uint64_t lb_hosts) {
  const uint64_t interval =
      lb_hosts * kSecond * FL_DRAWS / (rate * (FL_DRAWS - held));
  return static_cast<uint32_t>(
      std::clamp<uint64_t>(interval, 1, std::numeric_limits<uint32_t>::max()));
}

}  // namespace

AcceptPace PaceOf(uint32_t accept_rate, uint32_t held,
                  const SlowStart& slow_start, absl::Duration over,
                  size_t lb_hosts) {
  if (accept_rate == 0) return {};
  AcceptPace pace{.during = IntervalOf(accept_rate, held, lb_hosts),
                  .after = IntervalOf(accept_rate, 0, lb_hosts)};
  if (held != 0) pace.until = slow_start.WholeAt(over).value_or(pace.until);
  return pace;
}

bool IsAtRate(uint32_t accept_rate, const LoadReport& load,
              base::MonoTime now) {
  return accept_rate != 0 && load.accept_due > now + kAhead;
}

std::string AcceptRateText(uint32_t accept_rate, int slow_start_percent) {
  std::string whole = absl::StrCat(accept_rate, "/s");
  if (slow_start_percent >= 100) return whole;
  const uint64_t now =
      (uint64_t{accept_rate} * static_cast<uint64_t>(slow_start_percent) + 99) /
      100;
  return absl::StrCat(now, "/s of ", whole);
}

}  // namespace fairlead::core
