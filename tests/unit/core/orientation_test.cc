#include "core/orientation.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "core/mix.h"

namespace fairlead::core {
namespace {

using Shares = std::vector<uint32_t>;

Shares Share(std::vector<uint16_t> weights, uint32_t rows) {
  return FairShares(weights, rows);
}

uint64_t Excess(const std::vector<RowPair>& rows, const Shares& shares) {
  Shares counts(shares.size());
  for (const RowPair& row : rows) ++counts[row.first];
  uint64_t excess = 0;
  for (size_t i = 0; i < shares.size(); ++i)
    excess += counts[i] > shares[i] ? counts[i] - shares[i] : 0;
  return excess;
}

// Tries every combination of swaps.
uint64_t LeastExcess(const std::vector<RowPair>& rows, const Shares& shares) {
  uint64_t least = UINT64_MAX;
  for (uint32_t mask = 0; mask < 1u << rows.size(); ++mask) {
    std::vector<RowPair> tried = rows;
    for (size_t i = 0; i < tried.size(); ++i) {
      if ((mask >> i & 1) != 0) std::swap(tried[i].first, tried[i].second);
    }
    least = std::min(least, Excess(tried, shares));
  }
  return least;
}

// Deterministic small cases.
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}
  uint32_t Below(uint32_t limit) {
    return static_cast<uint32_t>(Mix64(state_ += kGolden) % limit);
  }

 private:
  uint64_t state_;
};

RowPair RandomPair(Dice& dice, uint32_t members) {
  const auto first = static_cast<uint16_t>(dice.Below(members));
  const auto step = 1 + dice.Below(members - 1);
  return {first, static_cast<uint16_t>((first + step) % members)};
}

TEST_CASE("fair shares add up to the rows and are off by less than one",
          "[core][orientation]") {
  CHECK(Share({1}, 256) == Shares{256});
  CHECK(Share({1, 1}, 256) == Shares{128, 128});
  CHECK(Share({1, 1, 1}, 256) == Shares{86, 85, 85});
  CHECK(Share({3, 1}, 256) == Shares{192, 64});
  CHECK(Share({256, 1}, 256) == Shares{255, 1});
  CHECK(Share({1, 256, 1}, 65536) == Shares{254, 65028, 254});
}

TEST_CASE("the largest remainders are rounded up, the earlier one on a tie",
          "[core][orientation]") {
  // 256 * 1/7 = 36.57, 256 * 2/7 = 73.14, 256 * 4/7 = 146.29
  CHECK(Share({1, 2, 4}, 256) == Shares{37, 73, 146});
  CHECK(Share({2, 1, 4}, 256) == Shares{73, 37, 146});
  // 256 / 6 = 42.67: four are rounded up.
  CHECK(Share({1, 1, 1, 1, 1, 1}, 256) == Shares{43, 43, 43, 43, 42, 42});
}

TEST_CASE("more members than rows leaves some without a share",
          "[core][orientation]") {
  const Shares shares = Share(std::vector<uint16_t>(300, 1), 256);
  CHECK(std::accumulate(shares.begin(), shares.end(), 0u) == 256);
  CHECK(*std::max_element(shares.begin(), shares.end()) == 1);
}

TEST_CASE("two members share their rows exactly", "[core][orientation]") {
  std::vector<RowPair> rows(256, RowPair{0, 1});
  Orient(rows, Shares{100, 156});
  CHECK(Excess(rows, Shares{100, 156}) == 0);
}

TEST_CASE("a surplus travels along a chain of rows", "[core][orientation]") {
  // Only 0 has too many and only 3 too few; they share no row.
  std::vector<RowPair> rows = {{0, 1}, {0, 1}, {1, 2}, {2, 3}};
  Orient(rows, Shares{1, 1, 1, 1});
  CHECK(Excess(rows, Shares{1, 1, 1, 1}) == 0);
  CHECK(rows[3] == RowPair{3, 2});
}

TEST_CASE("an order that is fair already stays", "[core][orientation]") {
  std::vector<RowPair> rows = {{0, 1}, {1, 2}, {2, 0}};
  const std::vector<RowPair> before = rows;
  Orient(rows, Shares{1, 1, 1});
  CHECK(rows == before);
}

// Small random graphs, most of them without a perfect solution, against an
// exhaustive search; and a row keeps its two members.
TEST_CASE("no choice of swaps comes closer to the shares",
          "[core][orientation]") {
  Dice dice(20);
  int imperfect = 0;
  for (int round = 0; round < 1500; ++round) {
    const uint32_t members = 2 + dice.Below(5);
    std::vector<RowPair> rows;
    for (uint32_t i = dice.Below(10); i < 10; ++i)
      rows.push_back(RandomPair(dice, members));
    Shares shares(members);
    for (size_t i = 0; i < rows.size(); ++i) ++shares[dice.Below(members)];
    const std::vector<RowPair> before = rows;
    Orient(rows, shares);
    const uint64_t least = LeastExcess(before, shares);
    imperfect += least > 0 ? 1 : 0;
    REQUIRE(Excess(rows, shares) == least);
    for (size_t i = 0; i < rows.size(); ++i) {
      const bool same = rows[i] == before[i];
      const bool swapped =
          rows[i] == RowPair{before[i].second, before[i].first};
      REQUIRE((same || swapped));
    }
  }
  CHECK(imperfect > 100);
  CHECK(imperfect < 1400);
}

}  // namespace
}  // namespace fairlead::core
