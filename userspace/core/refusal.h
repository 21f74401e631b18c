// How a setting is refused: its name, its value, and what would be taken.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace fairlead::core {

inline absl::Status Refuse(absl::string_view field, absl::string_view value,
                           absl::string_view remedy) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, " ", value, ": ", remedy));
}

inline absl::Status CheckRange(absl::string_view field, int64_t value,
                               int64_t low, int64_t high) {
  if (low <= value && value <= high) return absl::OkStatus();
  return Refuse(field, absl::StrCat(value),
                absl::StrCat("must be ", low, " to ", high));
}

}  // namespace fairlead::core
