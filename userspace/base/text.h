// What error messages are made of: quoted names, and the hint that follows an
// unknown one.
#pragma once

#include <span>
#include <string>

#include "absl/strings/string_view.h"

namespace fairlead::base {

// "web", with what cannot be printed escaped and what is too long cut: names
// come from outside.
std::string Quoted(absl::string_view text);

// The one of `have` that `unknown` was probably meant to be; empty if none is
// close.
std::string Nearest(absl::string_view unknown,
                    std::span<const std::string> have);

// ` (did you mean "web"?)` if one of `have` is close, else ` (have: api, mail)`
// in the order of `have`.
std::string Hint(absl::string_view unknown, std::span<const std::string> have);

}  // namespace fairlead::base
