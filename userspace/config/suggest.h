// "Did you mean": the nearest of a few known words.
#pragma once

#include <span>
#include <string>

#include "absl/strings/string_view.h"

namespace fairlead::config {

// The candidate that `word` was probably meant to be; empty if none is near.
std::string Nearest(absl::string_view word,
                    std::span<const std::string> candidates);

// "; did you mean \"drain\"?", or "; known are: add, list" if none is near, or
// nothing at all if there are no candidates.
std::string DidYouMean(absl::string_view word,
                       std::span<const std::string> candidates);

}  // namespace fairlead::config
