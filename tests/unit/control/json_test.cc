#include "control/json.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/duration.h"

namespace fairlead::control {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

std::string ProblemWith(absl::string_view text) {
  const absl::StatusOr<Json> json = ParseJson(text);
  INFO(text);
  REQUIRE_FALSE(json.ok());
  CHECK(absl::IsInvalidArgument(json.status()));
  return std::string(json.status().message());
}

Json Parsed(absl::string_view text) {
  absl::StatusOr<Json> json = ParseJson(text);
  INFO(text << ": " << json.status().ToString());
  REQUIRE(json.ok());
  return *std::move(json);
}

TEST_CASE("JSON comes back as it was written, fields in their order",
          "[control][json]") {
  const std::string text =
      R"({"z":1,"a":[true,null,-3,"x"],"m":{"b":{},"c":[]},"f":1.5})";
  CHECK(DumpJson(Parsed(text)) == text + "\n");
}

TEST_CASE("broken JSON is refused with line and column", "[control][json]") {
  CHECK_THAT(ProblemWith(""), StartsWith("line 1, column 0"));
  CHECK_THAT(ProblemWith("{\"a\": 1,}"), StartsWith("line 1, column 9"));
  CHECK_THAT(ProblemWith("{\n  \"a\": x\n}"), StartsWith("line 2, column 8"));
  CHECK_THAT(ProblemWith("{} {}"), Contains("line 1"));
  CHECK_THAT(ProblemWith("[1, 2"), Contains("line 1"));
  CHECK_THAT(ProblemWith("\"\xff\""), Contains("UTF-8"));
  CHECK_THAT(ProblemWith("{\"a\": 1e999}"), Contains("1e999"));
  CHECK(ProblemWith(std::string(100'000, 'x')).size() < 300);
}

TEST_CASE("a field that comes twice is refused, in other objects it may recur",
          "[control][json]") {
  CHECK(ProblemWith(R"({"a": 1, "b": 2, "a": 1})") ==
        "field \"a\" comes twice");
  CHECK(ProblemWith(R"({"x": [{"a": 1, "a": 2}]})") ==
        "field \"a\" comes twice");
  CHECK(ParseJson(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]})").ok());
}

TEST_CASE("depth and number of fields have limits", "[control][json]") {
  const std::string at_limit =
      std::string(kMaxJsonDepth, '[') + "1" + std::string(kMaxJsonDepth, ']');
  CHECK(ParseJson(at_limit).ok());
  CHECK_THAT(ProblemWith(absl::StrCat("[", at_limit, "]")),
             Contains("nested more than 16 deep"));
  CHECK_THAT(ProblemWith(std::string(1'000'000, '[')), Contains("nested"));

  std::string fields = "{\"f0\": 0";
  for (size_t i = 1; i < kMaxJsonFields; ++i)
    absl::StrAppend(&fields, ", \"f", i, "\": 0");
  CHECK(ParseJson(fields + "}").ok());
  CHECK_THAT(ProblemWith(fields + ", \"more\": 0}"),
             Contains("more than 64 fields"));
}

TEST_CASE("a reader gives typed fields", "[control][json]") {
  const Json json = Parsed(
      R"({"s": "x", "b": true, "i": 7, "d": "1m30s", "o": {}, "l": [1],
          "n": null})");
  ObjectReader reader(json, "");
  CHECK(reader.String("s") == "x");
  CHECK(reader.Bool("b") == true);
  CHECK(reader.Integer<int>("i") == 7);
  CHECK(reader.Parsed<absl::Duration>("d", base::ParseDuration) ==
        absl::Seconds(90));
  CHECK(reader.Object("o") != nullptr);
  CHECK(reader.Array("l") != nullptr);
  CHECK(reader.IsNull("n"));
  CHECK_FALSE(reader.String("absent").has_value());
  CHECK_FALSE(reader.Integer<int>("absent").has_value());
  CHECK(reader.Object("absent") == nullptr);
  CHECK_FALSE(reader.IsNull("absent"));
  CHECK(reader.Finish().ok());
}

template <typename Read>
std::string ReaderProblem(absl::string_view text, const Read& read) {
  const Json json = Parsed(text);
  ObjectReader reader(json, "");
  read(reader);
  const absl::Status status = reader.Finish();
  CHECK(absl::IsInvalidArgument(status));
  return std::string(status.message());
}

TEST_CASE("a field of another type is refused with field, value and type",
          "[control][json]") {
  const auto string = [](ObjectReader& r) { (void)r.String("f"); };
  const auto integer = [](ObjectReader& r) { (void)r.Integer<int>("f"); };
  const auto boolean = [](ObjectReader& r) { (void)r.Bool("f"); };
  const auto object = [](ObjectReader& r) { (void)r.Object("f"); };
  const auto array = [](ObjectReader& r) { (void)r.Array("f"); };
  CHECK(ReaderProblem(R"({"f": 7})", string) ==
        "field \"f\": 7 is an integer, not a string");
  CHECK(ReaderProblem(R"({"f": "7"})", integer) ==
        "field \"f\": \"7\" is a string, not an integer");
  CHECK_THAT(ReaderProblem(R"({"f": 1.0})", integer), Contains("1.0"));
  CHECK_THAT(ReaderProblem(R"({"f": 99999999999999999999})", integer),
             Contains("not an integer"));
  CHECK_THAT(ReaderProblem(R"({"f": 1})", boolean),
             Contains("not true or false"));
  CHECK_THAT(ReaderProblem(R"({"f": []})", object),
             Contains("[] is an array, not an object"));
  CHECK_THAT(ReaderProblem(R"({"f": {}})", array), Contains("not an array"));
  CHECK_THAT(ReaderProblem(R"({"f": null})", string), Contains("null is null"));
}

TEST_CASE("an integer out of range is refused with its range",
          "[control][json]") {
  const auto weight = [](ObjectReader& r) {
    (void)r.Integer<int>("w", {1, 256});
  };
  const auto port = [](ObjectReader& r) { (void)r.Integer<uint16_t>("w"); };
  CHECK(ReaderProblem(R"({"w": 0})", weight) ==
        "field \"w\": 0 is not in 1..256");
  CHECK(ReaderProblem(R"({"w": 257})", weight) ==
        "field \"w\": 257 is not in 1..256");
  CHECK(ReaderProblem(R"({"w": -1})", port) ==
        "field \"w\": -1 is not in 0..65535");
  CHECK_THAT(ReaderProblem(R"({"w": 18446744073709551615})", port),
             Contains("18446744073709551615 is not in"));
}

TEST_CASE("a missing field and an unknown one are named", "[control][json]") {
  const auto name = [](ObjectReader& r) {
    (void)r.RequiredString("name");
    (void)r.Integer<int>("weight");
  };
  CHECK(ReaderProblem("{}", name) == "field \"name\" is missing");
  CHECK(ReaderProblem(R"({"name": "x", "wieght": 1})", name) ==
        "unknown field \"wieght\" (did you mean \"weight\"?)");
  // The misspelt field is the better hint.
  CHECK(ReaderProblem(R"({"nam": "x"})", name) ==
        "unknown field \"nam\" (did you mean \"name\"?)");
  CHECK(ReaderProblem(R"({"name": "x", "zzzzz": 1})", name) ==
        "unknown field \"zzzzz\" (have: name, weight)");
  CHECK(ReaderProblem("[]", name) == "the document is an array, not an object");
}

TEST_CASE("a field of a nested object is named with its path",
          "[control][json]") {
  const Json json = Parsed(R"({"port": "x"})");
  ObjectReader reader(json, "services[2].check");
  (void)reader.Integer<uint16_t>("port");
  CHECK_THAT(std::string(reader.Finish().message()),
             StartsWith("field \"services[2].check.port\": \"x\" is"));
}

TEST_CASE("times keep all their digits", "[control][json]") {
  const absl::Time time = absl::FromUnixNanos(1'795'000'000'123'456'789);
  const absl::StatusOr<absl::Time> again = ParseTime(FormatExactTime(time));
  REQUIRE(again.ok());
  CHECK(*again == time);
  CHECK(FormatExactTime(absl::FromUnixSeconds(0)) == "1970-01-01T00:00:00Z");
  CHECK_FALSE(ParseTime("infinite-future").ok());
  CHECK_FALSE(ParseTime("2026-11-20").ok());
  CHECK_FALSE(ParseTime(" 2026-11-20T12:00:00Z").ok());
}

}  // namespace
}  // namespace fairlead::control
