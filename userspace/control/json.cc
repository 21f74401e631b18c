#include "control/json.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/text.h"

namespace fairlead::control {
namespace {

constexpr size_t kMaxExcerptBytes = 60;
constexpr size_t kMaxParserMessageBytes = 160;
constexpr char kExactTime[] = "%Y-%m-%dT%H:%M:%E*SZ";

// "line 3, column 7" of the last byte that the parser has taken.
std::string PositionIn(absl::string_view text, size_t taken) {
  const absl::string_view read = text.substr(0, std::min(taken, text.size()));
  const auto newlines = std::count(read.begin(), read.end(), '\n');
  // npos + 1 is 0: everything read is in the first line.
  const size_t line_start = read.rfind('\n') + 1;
  return absl::StrCat("line ", newlines + 1, ", column ",
                      read.size() - line_start);
}

// Builds the tree and stops at what the grammar allows but we do not.
class TreeBuilder : public nlohmann::json_sax<Json> {
 public:
  explicit TreeBuilder(absl::string_view text) : text_(text) {}

  bool null() override { return Add(Json()); }
  bool boolean(bool value) override { return Add(Json(value)); }
  bool number_integer(number_integer_t value) override {
    return Add(Json(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    return Add(Json(value));
  }
  bool number_float(number_float_t value, const string_t&) override {
    return Add(Json(value));
  }
  bool string(string_t& value) override { return Add(Json(std::move(value))); }
  bool binary(binary_t&) override { return Fail("binary data"); }
  bool start_object(size_t) override { return Open(Json::object()); }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    const Json& object = *open_.back();
    if (object.contains(name))
      return Fail(absl::StrCat("field ", base::Quoted(name), " comes twice"));
    if (object.size() >= kMaxJsonFields) {
      return Fail(absl::StrCat("an object with more than ", kMaxJsonFields,
                               " fields, at ", base::Quoted(name)));
    }
    key_ = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    absl::string_view what = error.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    what.remove_prefix(std::min(what.size(), what.find("] ") + 2));
    if (absl::StartsWith(what, "parse error at "))
      what.remove_prefix(what.find(": ") + 2);
    Fail(absl::StrCat(PositionIn(text_, position), ": ",
                      what.substr(0, kMaxParserMessageBytes)));
    return false;
  }

  Json TakeRoot() { return std::move(root_); }
  const std::string& problem() const { return problem_; }

 private:
  bool Add(Json value) {
    Insert(std::move(value));
    return true;
  }

  bool Open(Json container) {
    if (open_.size() >= kMaxJsonDepth)
      return Fail(absl::StrCat("nested more than ", kMaxJsonDepth, " deep"));
    open_.push_back(Insert(std::move(container)));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  Json* Insert(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[std::move(key_)] = std::move(value));
  }

  bool Fail(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }

  absl::string_view text_;
  Json root_;
  // From the outside in. A container that is open is the last element of its
  // parent, so nothing is inserted that would move it.
  std::vector<Json*> open_;
  std::string key_;
  std::string problem_;
};

absl::string_view TypeName(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return "an integer";
    case Json::value_t::number_float:
      return "a number with a fraction or out of range";
    default:
      return "not JSON";
  }
}

std::string Dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

absl::StatusOr<Json> ParseJson(absl::string_view text) {
  TreeBuilder builder(text);
  if (Json::sax_parse(text.begin(), text.end(), &builder))
    return builder.TakeRoot();
  return absl::InvalidArgumentError(builder.problem());
}

std::string DumpJson(const Json& json) {
  return absl::StrCat(Dump(json, -1), "\n");
}

std::string DumpJsonIndented(const Json& json) {
  return absl::StrCat(Dump(json, 2), "\n");
}

std::string Excerpt(const Json& json) {
  if (json.is_string()) return base::Quoted(json.get_ref<const std::string&>());
  std::string text = Dump(json, -1);
  if (text.size() <= kMaxExcerptBytes) return text;
  text.resize(kMaxExcerptBytes);
  // A character cut in two is no UTF-8.
  while (!text.empty() && (text.back() & 0x80) != 0) text.pop_back();
  return absl::StrCat(text, "...");
}

std::string FormatExactTime(absl::Time time) {
  return absl::FormatTime(kExactTime, time, absl::UTCTimeZone());
}

std::string FormatTimeMillis(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

std::string FormatTimeSeconds(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

absl::StatusOr<absl::Time> ParseTime(absl::string_view text) {
  absl::Time time;
  std::string ignored;
  // It also takes spaces, and gives infinity for "infinite-future" and for
  // years that it cannot count.
  const bool parsed = absl::EndsWith(text, "Z") &&
                      text.find(' ') == absl::string_view::npos &&
                      absl::ParseTime(kExactTime, text, &time, &ignored);
  if (parsed && time != absl::InfiniteFuture() && time != absl::InfinitePast())
    return time;
  return absl::InvalidArgumentError(absl::StrCat(
      base::Quoted(text), " is not a time; write it as 2026-11-20T12:00:00Z"));
}

ObjectReader::ObjectReader(const Json& json, std::string path)
    : json_(json), path_(std::move(path)) {
  if (json_.is_object()) return;
  Fail(absl::InvalidArgumentError(absl::StrCat(
      path_.empty() ? "the document" : absl::StrCat("field \"", path_, "\""),
      " is ", TypeName(json_), ", not an object")));
}

const Json* ObjectReader::Find(absl::string_view name) {
  known_.emplace_back(name);
  const auto found = json_.find(std::string(name));
  return found == json_.end() ? nullptr : &*found;
}

std::optional<std::string> ObjectReader::String(absl::string_view name) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  FailType(name, *value, "a string");
  return std::nullopt;
}

std::optional<bool> ObjectReader::Bool(absl::string_view name) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_boolean()) return value->get<bool>();
  FailType(name, *value, "true or false");
  return std::nullopt;
}

std::optional<uint64_t> ObjectReader::Unsigned(absl::string_view name,
                                               Range range) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number_integer()) {
    FailType(name, *value, "an integer");
    return std::nullopt;
  }
  const uint64_t number = value->is_number_unsigned()
                              ? value->get<uint64_t>()
                              : static_cast<uint64_t>(value->get<int64_t>());
  const bool negative =
      !value->is_number_unsigned() && value->get<int64_t>() < 0;
  if (!negative && number >= range.low && number <= range.high) return number;
  FailField(name, absl::StrCat(Excerpt(*value), " is not in ", range.low, "..",
                               range.high));
  return std::nullopt;
}

const Json* ObjectReader::Object(absl::string_view name) {
  const Json* value = Find(name);
  if (value == nullptr || value->is_object()) return value;
  FailType(name, *value, "an object");
  return nullptr;
}

const Json* ObjectReader::Array(absl::string_view name) {
  const Json* value = Find(name);
  if (value == nullptr || value->is_array()) return value;
  FailType(name, *value, "an array");
  return nullptr;
}

bool ObjectReader::IsNull(absl::string_view name) {
  const Json* value = Find(name);
  return value != nullptr && value->is_null();
}

std::string ObjectReader::RequiredString(absl::string_view name) {
  Require(name);
  return String(name).value_or("");
}

const Json* ObjectReader::RequiredObject(absl::string_view name) {
  Require(name);
  return Object(name);
}

const Json* ObjectReader::RequiredArray(absl::string_view name) {
  Require(name);
  return Array(name);
}

std::string ObjectReader::PathOf(absl::string_view name) const {
  return path_.empty() ? std::string(name) : absl::StrCat(path_, ".", name);
}

void ObjectReader::FailField(absl::string_view name,
                             absl::string_view problem) {
  Fail(absl::InvalidArgumentError(
      absl::StrCat("field \"", PathOf(name), "\": ", problem)));
}

void ObjectReader::Fail(absl::Status status) {
  if (status_.ok()) status_ = std::move(status);
}

void ObjectReader::Require(absl::string_view name) {
  if (json_.is_object() && !json_.contains(std::string(name))) {
    Fail(absl::InvalidArgumentError(
        absl::StrCat("field \"", PathOf(name), "\" is missing")));
  }
}

void ObjectReader::FailType(absl::string_view name, const Json& value,
                            absl::string_view wanted) {
  FailField(name, absl::StrCat(Excerpt(value), " is ", TypeName(value),
                               ", not ", wanted));
}

absl::Status ObjectReader::Finish() const {
  if (!json_.is_object()) return status_;
  // First, because a misspelt field is also a missing one.
  for (const auto& item : json_.items()) {
    if (std::find(known_.begin(), known_.end(), item.key()) != known_.end())
      continue;
    return absl::InvalidArgumentError(
        absl::StrCat("unknown field ", base::Quoted(PathOf(item.key())),
                     base::Hint(item.key(), known_)));
  }
  return status_;
}

}  // namespace fairlead::control
