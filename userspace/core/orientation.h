// Orientation: which of a row's first two members comes first.
//
// Rendezvous hashing decides who the first two are; their order is free,
// because a packet carries both. Spending that freedom makes the first column
// as even as a table placed by hand, and moves no member of any row.
//
// Pure and deterministic: the result depends on the arguments alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fairlead::core {

// The first two members of a row, as indices into the table's members.
struct RowPair {
  uint16_t first;
  uint16_t second;

  friend bool operator==(const RowPair&, const RowPair&) = default;
};

// How many of `rows` rows each member should be first in: rows * weight /
// total, rounded so that the sum is `rows`; the largest remainders are rounded
// up, of equal ones the earlier member's. Requires: weights not empty, each at
// least 1.
std::vector<uint32_t> FairShares(std::span<const uint16_t> weights,
                                 uint32_t rows);

// Swaps pairs until the number of rows that each member is first in comes as
// close to `shares` as any choice of swaps can bring it (the sum of all excess
// is least). Starts from the given order and prefers few swaps.
// Requires: each pair has two different members, all below shares.size(); the
// shares add up to rows.size().
void Orient(std::span<RowPair> rows, std::span<const uint32_t> shares);

}  // namespace fairlead::core
