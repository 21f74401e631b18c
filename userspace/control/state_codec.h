// The desired state as a durable document, and back. The same state gives the
// same bytes.
//
// A document that cannot be understood in full is refused: what it does not say
// would be taken out of the packet path.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/model.h"

namespace fairlead::control {

// Changes when a daemon of this version can no longer read what the last one
// wrote.
inline constexpr int kStateFormat = 1;

std::string EncodeState(const core::DesiredState& state);
// INVALID_ARGUMENT with line and column, or with the field's path.
absl::StatusOr<core::DesiredState> DecodeState(absl::string_view text);

}  // namespace fairlead::control
