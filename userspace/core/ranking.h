// The weighted rendezvous order of one row's contenders, of which the first
// four are kept.
//
// A contender's score in a row is the exponential draw that its hash makes,
// over its weight; the lowest come first, and of equal scores the one that has
// the lower index, so that with contenders sorted by address the order is the
// same on every host. Integers only.
//
// Pure.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "fairlead/abi/limits.h"

namespace fairlead::core {

// What scoring needs of a member.
struct Contender {
  uint64_t key;   // of its address, under the table's seed
  uint64_t cost;  // CostOfWeight()
};

// Of a weight of 1 to FL_MAX_WEIGHT.
uint64_t CostOfWeight(uint16_t weight);

inline constexpr uint16_t kNobody = UINT16_MAX;

// Indices of contenders by rank; kNobody at the end.
using Ranking = std::array<uint16_t, FL_ROW_CANDIDATES>;
inline constexpr Ranking kEmptyRanking = {kNobody, kNobody, kNobody, kNobody};

// Above every score: that of a rank that nobody holds.
inline constexpr uint64_t kNoScore = UINT64_MAX;

struct RankedRow {
  Ranking ranking = kEmptyRanking;
  uint64_t last_score = kNoScore;  // of the last rank
};

// The order of all.
RankedRow RankRow(std::span<const Contender> contenders, uint32_t row);

// The order of contenders of which four or fewer are ranked already and one
// more, `index`, is not: as if all had been ranked anew. Takes a few
// nanoseconds, for almost all newcomers are below the last rank.
// Requires: `ranked` is the order of the others.
RankedRow RankNewcomer(const RankedRow& ranked,
                       std::span<const Contender> contenders, uint16_t index,
                       uint32_t row);

}  // namespace fairlead::core
