// The secret: one file, the same on every LB host and backend, readable by
// nobody but its owner. Every key is derived from it; it never crosses the
// wire.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fairlead::tier {

inline constexpr size_t kMinSecretBytes = 32;
inline constexpr size_t kMaxSecretBytes = 4096;

// The content without surrounding white space. FAILED_PRECONDITION with the
// command that mends it if the file may be read by others or is too short.
absl::StatusOr<std::string> ReadKeyFile(absl::string_view path);

}  // namespace fairlead::tier
