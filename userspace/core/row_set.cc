#include "core/row_set.h"

#include <bit>

#include "absl/strings/str_cat.h"

namespace fairlead::core {
namespace {

constexpr char kDigits[] = "0123456789abcdef";
constexpr uint32_t kRowsPerDigit = 4;

int ValueOf(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

}  // namespace

absl::StatusOr<RowSet> RowSet::Parse(absl::string_view text, uint32_t rows) {
  if (text.size() != rows / kRowsPerDigit) {
    return absl::InvalidArgumentError(
        absl::StrCat("rows: ", text.size(), " digits; ", rows, " rows have ",
                     rows / kRowsPerDigit));
  }
  RowSet set(rows);
  for (size_t i = 0; i < text.size(); ++i) {
    const int value = ValueOf(text[i]);
    if (value < 0)
      return absl::InvalidArgumentError("rows: not a hexadecimal digit");
    const size_t row = i * kRowsPerDigit;
    set.words_[row / 64] |= static_cast<uint64_t>(value) << row % 64;
  }
  return set;
}

size_t RowSet::Count() const {
  size_t count = 0;
  for (const uint64_t word : words_)
    count += static_cast<size_t>(std::popcount(word));
  return count;
}

std::string RowSet::ToString() const {
  std::string text(rows_ / kRowsPerDigit, '0');
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t row = i * kRowsPerDigit;
    text[i] = kDigits[words_[row / 64] >> row % 64 & 0xf];
  }
  return text;
}

}  // namespace fairlead::core
