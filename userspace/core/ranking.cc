#include "core/ranking.h"

#include <algorithm>
#include <cstddef>

#include "core/log2_table.h"
#include "core/mix.h"

namespace fairlead::core {
namespace {

constexpr uint64_t kCostOfWeightOne = uint64_t{1} << 24;

// A score is at most 64 in Q6.32 times the cost of weight one.
static_assert((uint64_t{64} << 32) <= (kNoScore >> 1) / kCostOfWeightOne);

uint64_t RowKey(uint32_t row) { return Mix64((row + uint64_t{1}) * kGolden); }

uint64_t Score(uint64_t hash, uint64_t cost) { return NegLog2(hash) * cost; }

// How far the hash is from its maximum, in Q0.32, times the cost.
uint64_t ShortOfOne(uint64_t hash, uint64_t cost) {
  return (~hash >> 32) * cost;
}

// An upper bound of ShortOfOne() for scores that are not above `score`.
// NegLog2(hash) >= 36/25 * (1 - hash / 2^64) - 2 units, so that a contender
// with ShortOfOne() above score * 25/36 plus two units of the highest cost
// has a higher score. The tangent is tight near one, where winners are.
constexpr uint64_t BoundOf(uint64_t score) {
  return score / 36 * 25 + 25 + 2 * kCostOfWeightOne;
}

// The lowest scores of one row so far. Contenders are offered in the order of
// their indices, so of equal scores the one that came first wins.
class BestFour {
 public:
  // An upper bound of ShortOfOne() for scores that would still enter.
  uint64_t bound() const { return bound_; }
  RankedRow row() const { return {ranking_, scores_.back()}; }

  void Offer(uint64_t score, uint16_t index) {
    if (score >= scores_.back()) return;
    size_t at = scores_.size() - 1;
    for (; at > 0 && score < scores_[at - 1]; --at) {
      scores_[at] = scores_[at - 1];
      ranking_[at] = ranking_[at - 1];
    }
    scores_[at] = score;
    ranking_[at] = index;
    if (scores_.back() != kNoScore) bound_ = BoundOf(scores_.back());
  }

 private:
  std::array<uint64_t, FL_ROW_CANDIDATES> scores_ = {kNoScore, kNoScore,
                                                     kNoScore, kNoScore};
  Ranking ranking_ = kEmptyRanking;
  uint64_t bound_ = UINT64_MAX;
};

}  // namespace

uint64_t CostOfWeight(uint16_t weight) { return kCostOfWeightOne / weight; }

// About two nanoseconds per contender, because almost all are turned away
// before their logarithm is taken.
RankedRow RankRow(std::span<const Contender> contenders, uint32_t row) {
  const uint64_t row_key = RowKey(row);
  BestFour best;
  for (size_t i = 0; i < contenders.size(); ++i) {
    const Contender& contender = contenders[i];
    const uint64_t hash = Mix64(row_key ^ contender.key);
    if (ShortOfOne(hash, contender.cost) > best.bound()) continue;
    best.Offer(Score(hash, contender.cost), static_cast<uint16_t>(i));
  }
  return best.row();
}

RankedRow RankNewcomer(const RankedRow& ranked,
                       std::span<const Contender> contenders, uint16_t index,
                       uint32_t row) {
  const uint64_t row_key = RowKey(row);
  const Contender& newcomer = contenders[index];
  const uint64_t hash = Mix64(row_key ^ newcomer.key);
  if (ShortOfOne(hash, newcomer.cost) > BoundOf(ranked.last_score))
    return ranked;
  if (Score(hash, newcomer.cost) > ranked.last_score) return ranked;
  // Scores are not kept: in the few rows that come here, four are soon taken
  // again, and memory is for the many.
  std::array<uint16_t, FL_ROW_CANDIDATES + 1> indices;
  std::copy(ranked.ranking.begin(), ranked.ranking.end(), indices.begin());
  indices.back() = index;
  std::sort(indices.begin(), indices.end());
  BestFour best;
  for (const uint16_t i : indices) {
    if (i == kNobody) break;
    best.Offer(Score(Mix64(row_key ^ contenders[i].key), contenders[i].cost),
               i);
  }
  return best.row();
}

}  // namespace fairlead::core
