// What one LB host applies of a number that is given for the whole tier. Until
// the hosts share their counts each takes an equal part, rounded up.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/model.h"

namespace fairlead::core {

// Requires: lb_hosts >= 1.
constexpr uint64_t ShareOf(uint64_t number, size_t lb_hosts) {
  return number / lb_hosts + (number % lb_hosts != 0 ? 1 : 0);
}

inline SourceRate ShareOf(SourceRate rate, size_t lb_hosts) {
  rate.rate = static_cast<uint32_t>(ShareOf(rate.rate, lb_hosts));
  rate.burst = static_cast<uint32_t>(ShareOf(rate.burst, lb_hosts));
  rate.most = static_cast<uint32_t>(ShareOf(rate.most, lb_hosts));
  return rate;
}

}  // namespace fairlead::core
