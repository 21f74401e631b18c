#include "core/candidates.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "core/log2_table.h"
#include "core/mix.h"
#include "core/orientation.h"

namespace fairlead::core {
namespace {

constexpr uint64_t kCostOfWeightOne = uint64_t{1} << 24;
constexpr uint16_t kNobody = UINT16_MAX;

static_assert(kMaxTableMembers <= kNobody);
// A score is at most 64 in Q6.32 times the cost of weight one.
static_assert((uint64_t{64} << 32) <= (UINT64_MAX >> 1) / kCostOfWeightOne);

uint64_t LoadBigEndian(const uint8_t* bytes) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | bytes[i];
  return value;
}

uint64_t AddressKey(const base::IpAddress& address, uint64_t seed) {
  const uint8_t* bytes = address.bytes().data();
  const uint64_t high = LoadBigEndian(bytes);
  const uint64_t low = LoadBigEndian(bytes + 8);
  return Mix64(Mix64(Mix64(seed + kGolden) ^ high) ^ low);
}

uint64_t RowKey(uint32_t row) { return Mix64((row + uint64_t{1}) * kGolden); }

// What the hot loop needs of a member.
struct Contender {
  uint64_t key;   // of the address, under the table's seed
  uint64_t cost;  // kCostOfWeightOne / weight
};

// Indices of contenders by rank; kNobody at the end.
using Ranking = std::array<uint16_t, 4>;

// The lowest scores of one row so far. Contenders are offered in the order of
// their addresses, so of equal scores the one that came first wins.
class BestFour {
 public:
  // An upper bound of ShortOfOne() for scores that would still enter.
  uint64_t bound() const { return bound_; }
  const Ranking& ranking() const { return ranking_; }

  void Offer(uint64_t score, uint16_t index) {
    if (score >= scores_.back()) return;
    size_t at = scores_.size() - 1;
    for (; at > 0 && score < scores_[at - 1]; --at) {
      scores_[at] = scores_[at - 1];
      ranking_[at] = ranking_[at - 1];
    }
    scores_[at] = score;
    ranking_[at] = index;
    if (scores_.back() != UINT64_MAX) bound_ = BoundOf(scores_.back());
  }

 private:
  // NegLog2(hash) >= 36/25 * (1 - hash / 2^64) - 2 units, so that a contender
  // with ShortOfOne() above score * 25/36 plus two units of the highest cost
  // has a higher score. The tangent is tight near one, where winners are.
  static constexpr uint64_t BoundOf(uint64_t score) {
    return score / 36 * 25 + 25 + 2 * kCostOfWeightOne;
  }

  std::array<uint64_t, 4> scores_ = {UINT64_MAX, UINT64_MAX, UINT64_MAX,
                                     UINT64_MAX};
  Ranking ranking_ = {kNobody, kNobody, kNobody, kNobody};
  uint64_t bound_ = UINT64_MAX;
};

// How far the hash is from its maximum, in Q0.32, times the cost.
uint64_t ShortOfOne(uint64_t hash, uint64_t cost) {
  return (~hash >> 32) * cost;
}

// The hot loop: about two nanoseconds per contender, because almost all are
// turned away before their logarithm is taken.
Ranking RankRow(std::span<const Contender> contenders, uint32_t row) {
  const uint64_t row_key = RowKey(row);
  BestFour best;
  for (size_t i = 0; i < contenders.size(); ++i) {
    const Contender& contender = contenders[i];
    const uint64_t hash = Mix64(row_key ^ contender.key);
    if (ShortOfOne(hash, contender.cost) > best.bound()) continue;
    best.Offer(NegLog2(hash) * contender.cost, static_cast<uint16_t>(i));
  }
  return best.ranking();
}

void CheckMembers(std::span<const WeightedMember> sorted) {
  FL_CHECK(sorted.size() <= kMaxTableMembers);
  std::vector<bool> seen(size_t{UINT16_MAX} + 1);
  for (size_t i = 0; i < sorted.size(); ++i) {
    const WeightedMember& member = sorted[i];
    FL_CHECK(member.id != 0);
    FL_CHECK(!seen[member.id]);
    seen[member.id] = true;
    FL_CHECK(member.weight >= 1 && member.weight <= kMaxMemberWeight);
    FL_CHECK(i == 0 || sorted[i - 1].address != member.address);
  }
}

void OrientTable(std::span<const WeightedMember> members,
                 std::span<Ranking> table) {
  std::vector<uint16_t> weights;
  weights.reserve(members.size());
  for (const WeightedMember& member : members) weights.push_back(member.weight);
  std::vector<RowPair> pairs;
  pairs.reserve(table.size());
  for (const Ranking& row : table) pairs.push_back({row[0], row[1]});
  Orient(pairs, FairShares(weights, static_cast<uint32_t>(table.size())));
  for (size_t row = 0; row < table.size(); ++row) {
    table[row][0] = pairs[row].first;
    table[row][1] = pairs[row].second;
  }
}

}  // namespace

uint64_t TableSeed(const base::Endpoint& vip) {
  return AddressKey(vip.address, vip.port);
}

std::vector<CandidateWord> BuildCandidates(
    std::span<const WeightedMember> members, uint32_t rows, uint64_t seed) {
  FL_CHECK(std::has_single_bit(rows));
  FL_CHECK(rows >= kMinTableRows && rows <= kMaxTableRows);
  std::vector<WeightedMember> sorted(members.begin(), members.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const WeightedMember& a, const WeightedMember& b) {
              return a.address < b.address;
            });
  CheckMembers(sorted);

  std::vector<Contender> contenders;
  contenders.reserve(sorted.size());
  for (const WeightedMember& member : sorted)
    contenders.push_back(
        {AddressKey(member.address, seed), kCostOfWeightOne / member.weight});
  std::vector<Ranking> rankings;
  rankings.reserve(rows);
  for (uint32_t row = 0; row < rows; ++row)
    rankings.push_back(RankRow(contenders, row));
  if (sorted.size() >= 2) OrientTable(sorted, rankings);

  std::vector<CandidateWord> table(rows);
  for (uint32_t row = 0; row < rows; ++row) {
    for (size_t rank = 0; rank < 4; ++rank) {
      const uint16_t index = rankings[row][rank];
      table[row][rank] = index == kNobody ? uint16_t{0} : sorted[index].id;
    }
  }
  return table;
}

uint64_t CandidateDigest(std::span<const CandidateWord> table,
                         std::span<const WeightedMember> members) {
  std::vector<uint64_t> keys(size_t{UINT16_MAX} + 1);
  std::vector<bool> known(keys.size());
  known[0] = true;  // "none", with key 0
  for (const WeightedMember& member : members) {
    keys[member.id] = AddressKey(member.address, 0);
    known[member.id] = true;
  }
  uint64_t digest = Mix64(table.size() + kGolden);
  for (const CandidateWord& row : table) {
    for (const uint16_t id : row) {
      FL_CHECK(known[id]);
      digest = Mix64((digest + kGolden) ^ keys[id]);
    }
  }
  return digest;
}

}  // namespace fairlead::core
