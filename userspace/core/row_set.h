// RowSet: some of the rows of one service, a bit each.
//
// Written as lower-case hexadecimal digits, row 4n + k being bit k of digit n.
// Plain value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fairlead::core {

class RowSet {
 public:
  RowSet() = default;
  explicit RowSet(uint32_t rows) : rows_(rows), words_((rows + 63) / 64) {}
  // INVALID_ARGUMENT if it is not the text of a set of that many rows.
  // Requires: `rows` is a multiple of 4.
  static absl::StatusOr<RowSet> Parse(absl::string_view text, uint32_t rows);

  uint32_t rows() const { return rows_; }
  // Requires: row < rows().
  void Add(uint32_t row) { words_[row / 64] |= uint64_t{1} << row % 64; }
  // False for a row that there is not.
  bool Contains(uint32_t row) const {
    return row < rows_ && (words_[row / 64] >> row % 64 & 1) != 0;
  }
  size_t Count() const;
  std::string ToString() const;

  friend bool operator==(const RowSet&, const RowSet&) = default;

 private:
  uint32_t rows_ = 0;
  std::vector<uint64_t> words_;
};

}  // namespace fairlead::core
