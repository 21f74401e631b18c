// Reading the daemon's answers. A field that is absent or of another type reads
// as empty, so that a newer or older daemon never stops the command line.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fairlead::cli {

// Keeps the order of the daemon's fields.
using Json = nlohmann::ordered_json;

absl::StatusOr<Json> ParseJson(absl::string_view text);

// The field, or null.
const Json& Field(const Json& object, absl::string_view name);
bool Has(const Json& object, absl::string_view name);
// "" if it is no string.
std::string Text(const Json& object, absl::string_view name);
// 0 if it is no number.
int64_t Number(const Json& object, absl::string_view name);
bool Flag(const Json& object, absl::string_view name);
// The array, or an empty one.
const Json& Array(const Json& object, absl::string_view name);

// For programs: indented, and always valid UTF-8.
std::string Pretty(const Json& value);

}  // namespace fairlead::cli
