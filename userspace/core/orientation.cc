#include "core/orientation.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

#include "base/check.h"

namespace fairlead::core {
namespace {

// Members are nodes; a row is an arc from its first to its second member, which
// can carry one unit of surplus by being swapped and then points back. A
// maximum flow from members with too many rows to members with too few is what
// Orient() promises; it is found in phases of shortest augmenting paths, each
// phase using up every path of the level graph that its breadth-first search
// drew.
class Orienter {
 public:
  Orienter(std::span<RowPair> rows, std::span<const uint32_t> shares);
  Orienter(const Orienter&) = delete;
  Orienter& operator=(const Orienter&) = delete;

  void Run();

 private:
  static constexpr uint32_t kUnreached = UINT32_MAX;

  size_t size() const { return excess_.size(); }
  void IndexRows();
  // False if no member with a deficit can be reached from one with a surplus.
  bool DrawLevels();
  // Moves one unit from `source` to some member with a deficit along the level
  // graph; false if there is no such path left.
  bool Augment(uint16_t source);
  // Follows the next usable arc of `node`, at the end of path_.
  bool Advance(uint16_t node);
  void SwapPath();

  // Constant after construction.
  std::vector<uint32_t> begin_;     // of a member's part of incident_
  std::vector<uint32_t> incident_;  // rows with that member, in either place

  std::span<RowPair> rows_;
  std::vector<int64_t> excess_;  // rows first in, less the share

  // Valid within one phase.
  std::vector<uint32_t> level_;
  std::vector<uint32_t> cursor_;  // arcs before it are of no more use
  std::vector<uint16_t> queue_;
  std::vector<uint32_t> path_;  // rows from the source on
};

Orienter::Orienter(std::span<RowPair> rows, std::span<const uint32_t> shares)
    : rows_(rows), excess_(shares.size()) {
  for (size_t i = 0; i < shares.size(); ++i)
    excess_[i] = -static_cast<int64_t>(shares[i]);
  IndexRows();
  for (const RowPair& row : rows_) ++excess_[row.first];
}

void Orienter::IndexRows() {
  begin_.assign(size() + 1, 0);
  for (const RowPair& row : rows_) {
    FL_CHECK(row.first < size() && row.second < size());
    FL_CHECK(row.first != row.second);
    ++begin_[row.first + size_t{1}];
    ++begin_[row.second + size_t{1}];
  }
  std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
  incident_.resize(2 * rows_.size());
  std::vector<uint32_t> next(begin_.begin(), begin_.end() - 1);
  for (uint32_t row = 0; row < rows_.size(); ++row) {
    incident_[next[rows_[row].first]++] = row;
    incident_[next[rows_[row].second]++] = row;
  }
}

void Orienter::Run() {
  while (DrawLevels()) {
    cursor_.assign(begin_.begin(), begin_.end() - 1);
    for (size_t node = 0; node < size(); ++node) {
      while (excess_[node] > 0 && Augment(static_cast<uint16_t>(node))) {
      }
    }
  }
}

bool Orienter::DrawLevels() {
  level_.assign(size(), kUnreached);
  queue_.clear();
  for (size_t node = 0; node < size(); ++node) {
    if (excess_[node] <= 0) continue;
    level_[node] = 0;
    queue_.push_back(static_cast<uint16_t>(node));
  }
  // Most members have an arc to many others, so that all are soon reached and
  // most arcs need not be looked at.
  for (size_t head = 0; head < queue_.size() && queue_.size() < size();
       ++head) {
    const uint16_t node = queue_[head];
    for (uint32_t i = begin_[node]; i < begin_[node + size_t{1}]; ++i) {
      // Of an arc that points to `node` itself, that is reached already.
      const RowPair& row = rows_[incident_[i]];
      if (level_[row.second] != kUnreached) continue;
      level_[row.second] = level_[node] + 1;
      queue_.push_back(row.second);
    }
  }
  return std::ranges::any_of(queue_,
                             [&](uint16_t node) { return excess_[node] < 0; });
}

bool Orienter::Augment(uint16_t source) {
  path_.clear();
  uint16_t node = source;
  while (excess_[node] >= 0) {
    if (Advance(node)) {
      node = rows_[path_.back()].second;
      continue;
    }
    if (path_.empty()) return false;
    node = rows_[path_.back()].first;
    path_.pop_back();
    ++cursor_[node];
  }
  --excess_[source];
  ++excess_[node];
  SwapPath();
  return true;
}

bool Orienter::Advance(uint16_t node) {
  for (uint32_t& i = cursor_[node]; i < begin_[node + size_t{1}]; ++i) {
    // An arc that points to `node` itself leads to its own level.
    if (level_[rows_[incident_[i]].second] != level_[node] + 1) continue;
    path_.push_back(incident_[i]);
    return true;
  }
  return false;
}

void Orienter::SwapPath() {
  for (const uint32_t row : path_)
    std::swap(rows_[row].first, rows_[row].second);
}

}  // namespace

std::vector<uint32_t> FairShares(std::span<const uint16_t> weights,
                                 uint32_t rows) {
  FL_CHECK(!weights.empty());
  uint64_t total = 0;
  for (const uint16_t weight : weights) {
    FL_CHECK(weight >= 1);
    total += weight;
  }
  std::vector<uint32_t> shares;
  std::vector<uint64_t> remainders;
  uint32_t left = rows;
  for (const uint16_t weight : weights) {
    const uint64_t product = uint64_t{rows} * weight;
    shares.push_back(static_cast<uint32_t>(product / total));
    remainders.push_back(product % total);
    left -= shares.back();
  }
  std::vector<uint32_t> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return remainders[a] > remainders[b];
  });
  // The remainders add up to `left` wholes, so fewer than all get one.
  for (uint32_t i = 0; i < left; ++i) ++shares[order[i]];
  return shares;
}

void Orient(std::span<RowPair> rows, std::span<const uint32_t> shares) {
  FL_CHECK(std::accumulate(shares.begin(), shares.end(), uint64_t{0}) ==
           rows.size());
  Orienter(rows, shares).Run();
}

}  // namespace fairlead::core
