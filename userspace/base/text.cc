#include "base/text.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace fairlead::base {
namespace {

constexpr size_t kLongestQuoted = 80;
constexpr size_t kLongestList = 8;

// Nobody mistypes a longer word by accident; comparing it would only take time.
constexpr size_t kLongestTyped = 64;

// Insertions, deletions, replacements and swaps of neighbours that turn one
// text into the other.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  // Rows of the usual table: the one before the last, the last, this one.
  std::vector<size_t> older(b.size() + 1);
  std::vector<size_t> old(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    older.swap(old);
    old.swap(row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = old[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({old[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], older[j - 2] + 1);
    }
  }
  return row[b.size()];
}

}  // namespace

std::string Quoted(absl::string_view text) {
  const bool cut = text.size() > kLongestQuoted;
  return absl::StrCat("\"",
                      absl::Utf8SafeCEscape(text.substr(0, kLongestQuoted)),
                      cut ? "...\"" : "\"");
}

std::string Nearest(absl::string_view unknown,
                    std::span<const std::string> have) {
  if (unknown.empty() || unknown.size() > kLongestTyped) return "";
  const std::string lower = absl::AsciiStrToLower(unknown);
  const std::string* nearest = nullptr;
  size_t nearest_distance = 1 + std::max<size_t>(1, unknown.size() / 3);
  for (const std::string& name : have) {
    size_t distance = EditDistance(lower, absl::AsciiStrToLower(name));
    // "addr" is near "address", however long the rest.
    if (unknown.size() >= 3 && absl::StartsWith(name, lower)) distance = 1;
    // A name of one letter is close to everything.
    if (distance >= nearest_distance || distance >= name.size()) continue;
    nearest = &name;
    nearest_distance = distance;
  }
  return nearest == nullptr ? "" : *nearest;
}

std::string Hint(absl::string_view unknown, std::span<const std::string> have) {
  const std::string nearest = Nearest(unknown, have);
  if (!nearest.empty())
    return absl::StrCat(" (did you mean ", Quoted(nearest), "?)");
  if (have.empty()) return " (have: none)";
  const size_t shown = std::min(have.size(), kLongestList);
  return absl::StrCat(" (have: ", absl::StrJoin(have.first(shown), ", "),
                      shown < have.size() ? ", ...)" : ")");
}

}  // namespace fairlead::base
