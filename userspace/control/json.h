// JSON as the control API and the state files want it: strict on the way in,
// stable on the way out. Nothing here throws.
//
// Reading an object:
//
//   ObjectReader body(json, "");
//   command.name = body.RequiredString("name");
//   command.weight = body.Integer<int>("weight", {1, 256}).value_or(100);
//   FL_RETURN_IF_ERROR(body.Finish());
//
// The reader keeps its first error. What it answers after that is a default,
// and Finish() refuses the whole.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fairlead::control {

// Keeps fields in the order in which they were written.
using Json = nlohmann::ordered_json;

inline constexpr size_t kMaxJsonDepth = 16;
// Of one object: a field is found by a walk over all of them.
inline constexpr size_t kMaxJsonFields = 64;

// INVALID_ARGUMENT, with line and column, if it is no JSON, has something
// behind it, is nested too deeply or names a field of one object twice.
absl::StatusOr<Json> ParseJson(absl::string_view text);

// On one line, with a newline. Bytes that are no UTF-8 become U+FFFD.
std::string DumpJson(const Json& json);
// For files that people read.
std::string DumpJsonIndented(const Json& json);
// For messages: short and on one line.
std::string Excerpt(const Json& json);

// RFC 3339 in UTC. Exact: with as many digits as the time has.
std::string FormatExactTime(absl::Time time);
std::string FormatTimeMillis(absl::Time time);
std::string FormatTimeSeconds(absl::Time time);
absl::StatusOr<absl::Time> ParseTime(absl::string_view text);

struct Range {
  uint64_t low = 0;
  uint64_t high = 0;
};

template <typename T>
using TextParser = absl::StatusOr<T> (*)(absl::string_view text);

class ObjectReader {
 public:
  // `json` outlives the reader. `path` names it in messages ("services[2]");
  // empty for the outermost object.
  ObjectReader(const Json& json, std::string path);
  ObjectReader(const ObjectReader&) = delete;
  ObjectReader& operator=(const ObjectReader&) = delete;

  // nullopt or null: there is no such field, or it is wrong.
  std::optional<std::string> String(absl::string_view name);
  std::optional<bool> Bool(absl::string_view name);
  template <std::integral T>
  std::optional<T> Integer(absl::string_view name,
                           Range range = {0, MaxOf<T>()}) {
    const std::optional<uint64_t> value = Unsigned(name, range);
    if (!value.has_value()) return std::nullopt;
    return static_cast<T>(*value);
  }
  // A string that `parse` understands.
  template <typename T>
  std::optional<T> Parsed(absl::string_view name, TextParser<T> parse) {
    const std::optional<std::string> text = String(name);
    if (!text.has_value()) return std::nullopt;
    absl::StatusOr<T> value = parse(*text);
    if (value.ok()) return *std::move(value);
    FailField(name, value.status().message());
    return std::nullopt;
  }
  const Json* Object(absl::string_view name);
  const Json* Array(absl::string_view name);
  // There is such a field, and it is null.
  bool IsNull(absl::string_view name);

  // As above, but it is an error if there is no such field.
  std::string RequiredString(absl::string_view name);
  template <std::integral T>
  T RequiredInteger(absl::string_view name, Range range = {0, MaxOf<T>()}) {
    Require(name);
    return Integer<T>(name, range).value_or(T());
  }
  template <typename T>
  T RequiredParsed(absl::string_view name, TextParser<T> parse) {
    Require(name);
    return Parsed<T>(name, parse).value_or(T());
  }
  const Json* RequiredObject(absl::string_view name);
  const Json* RequiredArray(absl::string_view name);

  // "check.port" for the field "port" of the object "check".
  std::string PathOf(absl::string_view name) const;
  // An error that the caller has found.
  void FailField(absl::string_view name, absl::string_view problem);
  void Fail(absl::Status status);

  // OK if all fields were asked for and all answers were good.
  absl::Status Finish() const;

 private:
  template <std::integral T>
  static constexpr uint64_t MaxOf() {
    return static_cast<uint64_t>(std::numeric_limits<T>::max());
  }
  // Null if it is absent. Remembers that the name is known.
  const Json* Find(absl::string_view name);
  std::optional<uint64_t> Unsigned(absl::string_view name, Range range);
  void Require(absl::string_view name);
  void FailType(absl::string_view name, const Json& value,
                absl::string_view wanted);

  const Json& json_;
  std::string path_;
  std::vector<std::string> known_;
  absl::Status status_;
};

}  // namespace fairlead::control
