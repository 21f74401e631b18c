#include "core/candidates.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"
#include "core/mix.h"
#include "core/orientation.h"

namespace fairlead::core {
namespace {

static_assert(kMaxTableMembers <= kNobody);

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

// The first two ranks of each row, in the order that makes the first column
// even. Requires: two members or more.
std::vector<RowPair> OrientFirstTwo(std::span<const WeightedMember> members,
                                    std::span<const Ranking> rankings) {
  std::vector<uint16_t> weights;
  weights.reserve(members.size());
  for (const WeightedMember& member : members) weights.push_back(member.weight);
  std::vector<RowPair> pairs;
  pairs.reserve(rankings.size());
  for (const Ranking& row : rankings) pairs.push_back({row[0], row[1]});
  Orient(pairs, FairShares(weights, static_cast<uint32_t>(rankings.size())));
  return pairs;
}

}  // namespace

uint64_t TableSeed(const base::Endpoint& vip) {
  return AddressKey(vip.address, vip.port);
}

// From the members that the table has to those that it is to have.
struct CandidateTable::Change {
  struct Move {
    uint16_t to = kNobody;  // the new index
    // Has left, or is not worth what it was: a row that lists it is to be
    // ranked anew.
    bool stale = true;
  };

  std::vector<Move> moves;  // by old index
  // New indices of those who may be in rows now that did not list them: who
  // joined, or has another weight.
  std::vector<uint16_t> newcomers;
  size_t stale = 0;
};

CandidateTable::CandidateTable(uint32_t rows, uint64_t seed)
    : seed_(seed),
      rankings_(rows, kEmptyRanking),
      last_scores_(rows, kNoScore),
      words_(rows) {
  FL_CHECK(std::has_single_bit(rows));
  FL_CHECK(rows >= kMinTableRows && rows <= kMaxTableRows);
}

void CandidateTable::SetMembers(std::span<const WeightedMember> members) {
  std::vector<WeightedMember> sorted(members.begin(), members.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const WeightedMember& a, const WeightedMember& b) {
              return a.address < b.address;
            });
  CheckMembers(sorted);
  const Change change = ChangeTo(sorted);
  members_ = std::move(sorted);
  contenders_.clear();
  contenders_.reserve(members_.size());
  for (const WeightedMember& member : members_)
    contenders_.push_back(
        {AddressKey(member.address, seed_), CostOfWeight(member.weight)});
  // One stale member costs as much as the four ranks of it in each row, and all
  // rows are held against a newcomer.
  const size_t work = 4 * change.stale + change.newcomers.size();
  if (work >= members_.size())
    RankAll();
  else
    RankChanged(change);
  WriteWords();
}

CandidateTable::Change CandidateTable::ChangeTo(
    std::span<const WeightedMember> sorted) const {
  Change change;
  change.moves.resize(members_.size());
  size_t old = 0;
  for (size_t i = 0; i < sorted.size(); ++i) {
    const auto index = static_cast<uint16_t>(i);
    while (old < members_.size() && members_[old].address < sorted[i].address)
      ++old;
    const bool stays =
        old < members_.size() && members_[old].address == sorted[i].address;
    if (stays && members_[old].weight == sorted[i].weight)
      change.moves[old] = {.to = index, .stale = false};
    else
      change.newcomers.push_back(index);
  }
  for (const Change::Move& move : change.moves)
    change.stale += move.stale ? 1 : 0;
  return change;
}

void CandidateTable::RankAll() {
  for (uint32_t row = 0; row < rankings_.size(); ++row)
    SetRanked(row, RankRow(contenders_, row));
}

void CandidateTable::RankChanged(const Change& change) {
  for (uint32_t row = 0; row < rankings_.size(); ++row) {
    RankedRow ranked = RankedAt(row);
    bool stale = false;
    for (uint16_t& index : ranked.ranking) {
      if (index == kNobody) break;
      const Change::Move& move = change.moves[index];
      stale = stale || move.stale;
      index = move.to;
    }
    if (stale) {
      SetRanked(row, RankRow(contenders_, row));
      continue;
    }
    for (const uint16_t newcomer : change.newcomers)
      ranked = RankNewcomer(ranked, contenders_, newcomer, row);
    SetRanked(row, ranked);
  }
}

void CandidateTable::SetRanked(uint32_t row, const RankedRow& ranked) {
  rankings_[row] = ranked.ranking;
  last_scores_[row] = ranked.last_score;
}

void CandidateTable::WriteWords() {
  const auto id_of = [&](uint16_t index) {
    return index == kNobody ? uint16_t{0} : members_[index].id;
  };
  for (size_t row = 0; row < rankings_.size(); ++row)
    std::ranges::transform(rankings_[row], words_[row].begin(), id_of);
  if (members_.size() < 2) return;
  const std::vector<RowPair> pairs = OrientFirstTwo(members_, rankings_);
  for (size_t row = 0; row < rankings_.size(); ++row) {
    words_[row][0] = id_of(pairs[row].first);
    words_[row][1] = id_of(pairs[row].second);
  }
}

std::vector<CandidateWord> BuildCandidates(
    std::span<const WeightedMember> members, uint32_t rows, uint64_t seed) {
  CandidateTable table(rows, seed);
  table.SetMembers(members);
  return table.words();
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
