#include "config/suggest.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace fairlead::config {
namespace {

// Insertions, deletions, replacements, and swaps of two neighbours.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> before_last(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    before_last.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

// Nobody mistypes a long word by accident; comparing it would only take time.
constexpr size_t kLongestWord = 64;

}  // namespace

std::string Nearest(absl::string_view word,
                    std::span<const std::string> candidates) {
  if (word.empty() || word.size() > kLongestWord) return "";
  const std::string lower = absl::AsciiStrToLower(word);
  std::string nearest;
  size_t nearest_distance = 1 + std::max<size_t>(1, word.size() / 3);
  for (const std::string& candidate : candidates) {
    size_t distance = EditDistance(lower, absl::AsciiStrToLower(candidate));
    // "addr" is near "address", however long the rest.
    if (word.size() >= 3 && absl::StartsWith(candidate, lower)) distance = 1;
    if (distance >= nearest_distance) continue;
    nearest = candidate;
    nearest_distance = distance;
  }
  return nearest;
}

std::string DidYouMean(absl::string_view word,
                       std::span<const std::string> candidates) {
  if (candidates.empty()) return "";
  const std::string nearest = Nearest(word, candidates);
  if (!nearest.empty())
    return absl::StrCat("; did you mean \"", nearest, "\"?");
  return absl::StrCat("; known are: ", absl::StrJoin(candidates, ", "));
}

}  // namespace fairlead::config
