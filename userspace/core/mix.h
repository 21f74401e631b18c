// Mix64: the one integer hash finaliser of core. Not keyed and not meant to
// resist an adversary: its inputs are configuration, never packets.
#pragma once

#include <cstdint>

namespace fairlead::core {

// An odd constant with well spread bits (2^64 divided by the golden ratio).
inline constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;

// A bijection of 64-bit values in which each input bit flips each output bit
// with a probability close to one half (Stafford's variant 13).
constexpr uint64_t Mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace fairlead::core
