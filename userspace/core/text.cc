#include "core/text.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace fairlead::core {
namespace {

constexpr size_t kLongestQuoted = 80;
constexpr size_t kLongestList = 8;

// Farther than this from everything, a name is not a slip of the keyboard.
size_t FarthestSlip(absl::string_view unknown) {
  return unknown.size() < 3 ? 1 : 2;
}

}  // namespace

std::string Quoted(absl::string_view text) {
  const bool cut = text.size() > kLongestQuoted;
  return absl::StrCat("\"",
                      absl::Utf8SafeCEscape(text.substr(0, kLongestQuoted)),
                      cut ? "...\"" : "\"");
}

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

std::string Hint(absl::string_view unknown,
                 const std::vector<std::string>& have) {
  const absl::string_view start = unknown.substr(0, kLongestQuoted);
  const std::string* best = nullptr;
  size_t best_distance = FarthestSlip(start) + 1;
  for (const std::string& name : have) {
    const size_t distance = EditDistance(start, name);
    // A name of one letter is close to everything.
    if (distance >= best_distance || distance >= name.size()) continue;
    best = &name;
    best_distance = distance;
  }
  if (best != nullptr)
    return absl::StrCat(" (did you mean ", Quoted(*best), "?)");
  if (have.empty()) return " (have: none)";
  const size_t shown = std::min(have.size(), kLongestList);
  const std::string list = absl::StrJoin(
      have.begin(), have.begin() + static_cast<std::ptrdiff_t>(shown), ", ");
  return absl::StrCat(" (have: ", list, shown < have.size() ? ", ...)" : ")");
}

}  // namespace fairlead::core
