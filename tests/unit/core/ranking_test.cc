#include "core/ranking.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "core/mix.h"

namespace fairlead::core {
namespace {

std::vector<Contender> Make(uint16_t count, uint64_t keys) {
  std::vector<Contender> contenders;
  for (uint16_t i = 0; i < count; ++i) {
    const auto weight = static_cast<uint16_t>(1 + i % 3);
    contenders.push_back({Mix64(i % keys), CostOfWeight(weight)});
  }
  return contenders;
}

// The order of all but one.
RankedRow RankWithout(std::vector<Contender> contenders, uint16_t index,
                      uint32_t row) {
  contenders.erase(contenders.begin() + index);
  RankedRow ranked = RankRow(contenders, row);
  for (uint16_t& other : ranked.ranking)
    if (other != kNobody && other >= index) ++other;
  return ranked;
}

TEST_CASE("a newcomer is ranked as if all had been ranked anew",
          "[core][candidates]") {
  for (const uint16_t count :
       std::initializer_list<uint16_t>{1, 2, 3, 4, 5, 6, 20}) {
    const std::vector<Contender> contenders = Make(count, 1000);
    for (uint32_t row = 0; row < 200; ++row) {
      const RankedRow all = RankRow(contenders, row);
      for (uint16_t i = 0; i < count; ++i) {
        const RankedRow others = RankWithout(contenders, i, row);
        const RankedRow ranked = RankNewcomer(others, contenders, i, row);
        REQUIRE(ranked.ranking == all.ranking);
        REQUIRE(ranked.last_score == all.last_score);
      }
    }
  }
}

// Few keys, so that many contenders have the same score.
TEST_CASE("a newcomer of the same score is ranked by its index",
          "[core][candidates]") {
  for (const uint64_t keys : {1, 2, 3}) {
    const std::vector<Contender> contenders = Make(18, keys);
    for (uint32_t row = 0; row < 200; ++row) {
      const RankedRow all = RankRow(contenders, row);
      for (uint16_t i = 0; i < contenders.size(); ++i) {
        const RankedRow others = RankWithout(contenders, i, row);
        const RankedRow ranked = RankNewcomer(others, contenders, i, row);
        REQUIRE(ranked.ranking == all.ranking);
        REQUIRE(ranked.last_score == all.last_score);
      }
    }
  }
}

}  // namespace
}  // namespace fairlead::core
