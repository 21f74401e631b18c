// What error messages are made of: quoted names, and the hint that follows an
// unknown one.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace fairlead::core {

// "web", with what cannot be printed escaped and what is too long cut: names
// come from outside.
std::string Quoted(absl::string_view text);

// Insertions, deletions, replacements and swaps of neighbours that turn one
// text into the other.
size_t EditDistance(absl::string_view a, absl::string_view b);

// ` (did you mean "web"?)` if one of `have` is close, else ` (have: api, mail)`
// in the order of `have`.
std::string Hint(absl::string_view unknown,
                 const std::vector<std::string>& have);

}  // namespace fairlead::core
