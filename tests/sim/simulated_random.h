// The only source of chance in a simulation: the same seed, the same run.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "core/mix.h"

namespace fairlead::testing {

class SimulatedRandom {
 public:
  explicit SimulatedRandom(uint64_t seed) : state_(core::Mix64(seed + 1)) {}

  uint64_t Next() { return core::Mix64(state_ += core::kGolden); }
  // In [0, bound). Requires: bound > 0.
  int Below(int bound) {
    return static_cast<int>(Next() % static_cast<uint64_t>(bound));
  }
  // In [0, 1).
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  bool Chance(double probability) { return Unit() < probability; }
  // Up to twice `mean`.
  absl::Duration About(absl::Duration mean) { return mean * (2 * Unit()); }

 private:
  uint64_t state_;
};

}  // namespace fairlead::testing
