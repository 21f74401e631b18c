// NegLog2: minus the binary logarithm of a 64-bit fraction, in integers only.
//
// Every LB host must compute the same candidate table bit by bit, whatever its
// compiler, libm or rounding mode. So the table of knots is built at compile
// time by repeated squaring and values between knots are interpolated linearly;
// no floating point takes part.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace fairlead::core {

inline constexpr int kLog2IndexBits = 10;
inline constexpr size_t kLog2Segments = size_t{1} << kLog2IndexBits;

// The first 32 bits after the point of log2(mantissa / 2^63), rounded down.
// Requires: mantissa >= 2^63.
constexpr uint64_t Log2FractionQ32(uint64_t mantissa) {
  __extension__ using Wide = unsigned __int128;
  uint64_t result = 0;
  for (int bit = 0; bit < 32; ++bit) {
    // mantissa^2 in Q2.126: at least 2 if its top bit is set.
    const Wide square = static_cast<Wide>(mantissa) * mantissa;
    const bool doubled = (square >> 127) != 0;
    mantissa = static_cast<uint64_t>(square >> (doubled ? 64 : 63));
    result = result << 1 | (doubled ? 1 : 0);
  }
  return result;
}

// Entry i is 1 - log2(1 + i / kLog2Segments) in Q1.32; strictly falling.
constexpr std::array<uint64_t, kLog2Segments + 1> MakeNegLog2Knots() {
  std::array<uint64_t, kLog2Segments + 1> knots = {};
  for (size_t i = 0; i < kLog2Segments; ++i)
    knots[i] =
        (uint64_t{1} << 32) -
        Log2FractionQ32(uint64_t{1} << 63 | static_cast<uint64_t>(i)
                                                << (63 - kLog2IndexBits));
  return knots;
}

inline constexpr auto kNegLog2Knots = MakeNegLog2Knots();

// -log2(hash / 2^64) in Q6.32, at most 64 (hash 0 counts as 1). Never rises
// when `hash` rises, and is at least 1.44 * (1 - hash / 2^64) less two units of
// the last place: candidates.cc prunes by that bound.
constexpr uint64_t NegLog2(uint64_t hash) {
  hash |= 1;
  const int zeros = std::countl_zero(hash);
  // Without its leading one, the mantissa is the place between two powers.
  const uint64_t place = hash << zeros << 1;
  const size_t index = static_cast<size_t>(place >> (64 - kLog2IndexBits));
  const uint64_t offset = place << kLog2IndexBits >> 32;
  const uint64_t step = kNegLog2Knots[index] - kNegLog2Knots[index + 1];
  return (static_cast<uint64_t>(zeros) << 32) + kNegLog2Knots[index] -
         (step * offset >> 32);
}

}  // namespace fairlead::core
