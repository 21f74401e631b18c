#include "core/log2_table.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>

#include "core/mix.h"

namespace fairlead::core {
namespace {

double Exact(uint64_t hash) {
  return 64.0 - std::log2(static_cast<double>(hash));
}

TEST_CASE("the negated logarithm is exact at powers of two", "[core][log2]") {
  for (unsigned bit = 0; bit < 64; ++bit) {
    INFO("bit " << bit);
    const uint64_t expected = uint64_t{64 - bit} << 32;
    // Below 2^10 the lowest bit, which is always set, is worth more than the
    // resolution.
    if (bit == 0 || bit >= 34) {
      CHECK(NegLog2(uint64_t{1} << bit) == expected);
    } else {
      CHECK(NegLog2(uint64_t{1} << bit) <= expected);
    }
  }
  CHECK(NegLog2(0) == uint64_t{64} << 32);
  CHECK(NegLog2(UINT64_MAX) <= 1);
}

TEST_CASE("the negated logarithm is near the real one", "[core][log2]") {
  for (uint64_t i = 1; i <= 100000; ++i) {
    const uint64_t hash = Mix64(i) >> (i % 48) | 1;
    const double ours = std::ldexp(static_cast<double>(NegLog2(hash)), -32);
    if (std::abs(ours - Exact(hash)) > 4e-7)
      FAIL("hash " << hash << ": " << ours << ", not " << Exact(hash));
  }
}

// Both properties are what the pruning of candidates.cc rests on. The places
// tried are all knots with their neighbours, and random ones, most of them
// close to one, where the winners of a row are.
TEST_CASE("the negated logarithm never rises and stays above its tangent",
          "[core][log2]") {
  const auto check = [](uint64_t hash) {
    const uint64_t value = NegLog2(hash);
    if (hash > 0 && NegLog2(hash - 1) < value) FAIL("rises at " << hash);
    if ((value + 2) * 25 < (~hash >> 32) * 36) FAIL("too low at " << hash);
  };
  for (uint64_t knot = 0; knot <= 4 * kLog2Segments; ++knot) {
    const uint64_t base = knot << (62 - kLog2IndexBits);
    for (uint64_t delta = 0; delta < 4; ++delta) {
      check(base + delta);
      check(base - delta);
    }
  }
  for (uint64_t i = 1; i <= 200000; ++i) {
    check(Mix64(i));
    check(~(Mix64(i) >> (i % 64)));
  }
}

}  // namespace
}  // namespace fairlead::core
