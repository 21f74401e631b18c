// How one row of the shared table changes while the kernel reads it.
//
// A row is two 64-bit words of four u16 backend ids. Word 0: the candidates by
// rank. Word 1: up to three owners, backends that may still hold sockets of the
// row though they are candidates no more, and one reserved u16 that is 0.
// In both 0 = none.
//
// The writer has nothing but single 8-byte stores. The reader loads word 0,
// word 1 and word 0 again, and repeats if word 0 changed, so what it takes is
// the row between two stores. PlanRow() orders the stores so that every such
// state lists all members that are listed both before and after.
//
// A reader that is held up between its loads while word 0 changes and changes
// back, two whole changes of the row, can pair it with an old word 1 and miss
// an owner. Its packet then goes unclaimed once and is sent again; changes of
// one row are seconds apart and the loads a few nanoseconds.
//
// Pure: it plans, it stores nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "core/candidates.h"
#include "fairlead/abi/limits.h"

namespace fairlead::core {

inline constexpr size_t kRowCandidates = FL_ROW_CANDIDATES;
inline constexpr size_t kRowOwners = FL_ROW_OWNERS;

// u16 number i of a word stands at bits 16 * i: the order of an array of u16 on
// a little-endian machine.
constexpr uint64_t PackWord(const std::array<uint16_t, 4>& ids) {
  return uint64_t{ids[0]} | uint64_t{ids[1]} << 16 | uint64_t{ids[2]} << 32 |
         uint64_t{ids[3]} << 48;
}
constexpr std::array<uint16_t, 4> UnpackWord(uint64_t word) {
  return {static_cast<uint16_t>(word), static_cast<uint16_t>(word >> 16),
          static_cast<uint16_t>(word >> 32), static_cast<uint16_t>(word >> 48)};
}

struct RowWords {
  uint64_t candidates = 0;
  uint64_t owners = 0;

  friend bool operator==(const RowWords&, const RowWords&) = default;
};

enum class RowWord : uint8_t { kCandidates, kOwners };

struct RowStore {
  RowWord word = RowWord::kCandidates;
  uint64_t value = 0;
};

struct RowPlan {
  // To be done in this order; only the first `count` are used.
  std::array<RowStore, 3> stores;
  size_t count = 0;
  // The row has no place for all: word 0 does not become what was wanted.
  bool overflow = false;

  std::span<const RowStore> steps() const { return {stores.data(), count}; }
};

// Plans the way from `now` to `wanted` as candidates:
// - A candidate that is not wanted any more becomes an owner if it may own.
// - An owner that is wanted leaves word 1 after word 0 has it.
// - An owner that may own stays; one that may not is dropped by the last store
//   (by the first, if its place is needed).
// - A row never loses a member that may own. If there is no place, new
//   candidates are refused, those that rank last first, and candidates that
//   should have become owners stay in word 0, after all that are wanted:
//   `overflow`. The plan is then to be made again when an owner has gone, and
//   at once if it had stores: they may have made room. A plan without stores
//   is the end of it.
//
// `now` may be what a writer left that was killed between two stores.
// Requires: `wanted` has no id twice and its zeros at the end.
RowPlan PlanRow(RowWords now, const CandidateWord& wanted,
                absl::FunctionRef<bool(uint16_t id)> may_own);

}  // namespace fairlead::core
