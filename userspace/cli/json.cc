#include "cli/json.h"

#include "cli/exit_code.h"

namespace fairlead::cli {
namespace {

// Never destroyed: a static of class type would be, in an unknown order.
const Json& Null() {
  static const Json& null = *new Json(nullptr);
  return null;
}

const Json& EmptyArray() {
  static const Json& empty = *new Json(Json::array());
  return empty;
}

}  // namespace

absl::StatusOr<Json> ParseJson(absl::string_view text) {
  Json value = Json::parse(text.begin(), text.end(), nullptr,
                           /*allow_exceptions=*/false);
  if (value.is_discarded()) return Failed("the daemon's answer is no JSON");
  return value;
}

const Json& Field(const Json& object, absl::string_view name) {
  if (!object.is_object()) return Null();
  const auto found = object.find(std::string(name));
  return found == object.end() ? Null() : *found;
}

bool Has(const Json& object, absl::string_view name) {
  return !Field(object, name).is_null();
}

std::string Text(const Json& object, absl::string_view name) {
  const Json& field = Field(object, name);
  return field.is_string() ? field.get<std::string>() : std::string();
}

int64_t Number(const Json& object, absl::string_view name) {
  const Json& field = Field(object, name);
  return field.is_number() ? field.get<int64_t>() : 0;
}

bool Flag(const Json& object, absl::string_view name) {
  const Json& field = Field(object, name);
  return field.is_boolean() && field.get<bool>();
}

const Json& Array(const Json& object, absl::string_view name) {
  const Json& field = Field(object, name);
  return field.is_array() ? field : EmptyArray();
}

std::string Pretty(const Json& value) {
  return value.dump(2, ' ', /*ensure_ascii=*/false,
                    Json::error_handler_t::replace);
}

}  // namespace fairlead::cli
