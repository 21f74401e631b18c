// The candidate table of a service: for each row, the first four of the
// weighted rendezvous order over all configured backends, with the first two
// oriented so that the first column is even (core/orientation.h).
//
// Every LB host computes the same table bit by bit from the same set of
// (address, weight): integers only, whatever the order of the input and
// whatever local ids the host gave to the backends. A backend that joins,
// leaves or changes weight moves members by the minimum: only rows in which it
// enters or leaves the first four change their members, and by one.
//
// Row r has the same members in a table of any size, so a table that is grown
// keeps its first half.
//
// Pure: no clock, no I/O. A thousand backends and 65,536 rows take some hundred
// milliseconds to rank, a change of one of them a few;
// tests/bench/candidates_bench prints them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ip_address.h"
#include "core/ranking.h"
#include "fairlead/abi/limits.h"

namespace fairlead::core {

inline constexpr uint32_t kMinTableRows = FL_MIN_ROW_COUNT;
inline constexpr uint32_t kMaxTableRows = FL_MAX_ROW_COUNT;
inline constexpr uint16_t kMaxMemberWeight = FL_MAX_WEIGHT;
inline constexpr size_t kMaxTableMembers = FL_MAX_BACKENDS - 1;

struct WeightedMember {
  base::IpAddress address;
  uint16_t id;      // local backend id, not 0; has no influence on the order
  uint16_t weight;  // 1..kMaxMemberWeight
};

// Backend ids by rank; 0 = none, only at the end.
using CandidateWord = std::array<uint16_t, FL_ROW_CANDIDATES>;

// The seed of the table of the service at `vip`: gives each service an order of
// its own, and the same one on every host.
uint64_t TableSeed(const base::Endpoint& vip);

// The table of one service, kept so that a change of few members costs little.
// Only rows that list one who left or changed weight are ranked anew among all,
// an expected 4/N of them; in the others, newcomers are held against the last
// rank. What comes out is a function of the members alone: how the table came
// to them leaves no trace.
//
// Keeps 24 bytes a row: the words, who is ranked, and the last rank's score.
class CandidateTable {
 public:
  // Without members: all words are empty. Requires: `rows` is a power of two in
  // [kMinTableRows, kMaxTableRows].
  CandidateTable(uint32_t rows, uint64_t seed);

  // Requires: addresses and ids differ, ids are not 0, weights are in range, at
  // most kMaxTableMembers members.
  void SetMembers(std::span<const WeightedMember> members);

  const std::vector<CandidateWord>& words() const { return words_; }

 private:
  struct Change;

  Change ChangeTo(std::span<const WeightedMember> sorted) const;
  void RankAll();
  void RankChanged(const Change& change);
  RankedRow RankedAt(uint32_t row) const {
    return {rankings_[row], last_scores_[row]};
  }
  void SetRanked(uint32_t row, const RankedRow& ranked);
  // Words from rankings.
  void WriteWords();

  // Constant after construction.
  const uint64_t seed_;

  std::vector<WeightedMember> members_;  // by address
  std::vector<Contender> contenders_;    // the same, for ranking
  // Of contenders, by row.
  std::vector<Ranking> rankings_;
  std::vector<uint64_t> last_scores_;
  std::vector<CandidateWord> words_;
};

// The words of a new table with these members. Requires: as SetMembers().
std::vector<CandidateWord> BuildCandidates(
    std::span<const WeightedMember> members, uint32_t rows, uint64_t seed);

// A number that two hosts share iff (but for chance) their tables list the same
// addresses in the same places. It guards against divergence, not against a
// forger.
// Requires: each id in `table` is the id of one of `members`.
uint64_t CandidateDigest(std::span<const CandidateWord> table,
                         std::span<const WeightedMember> members);

}  // namespace fairlead::core
