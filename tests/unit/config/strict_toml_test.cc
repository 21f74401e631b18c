#include "config/strict_toml.h"

#include <catch2/catch.hpp>
#include <string>

namespace fairlead::config {
namespace {

TEST_CASE("bad TOML is an error with line and column", "[config]") {
  const auto [text, where] = GENERATE(table<std::string, std::string>({
      {"[node\n", "f.toml:1:"},
      {"[node]\nid =\n", "f.toml:2:"},
      {"[node]\nid = 1\nid = 2\n", "f.toml:3:"},
      {"[node]\nname = \"\xff\"\n", "f.toml:2:"},
      {"[[node]\n", "f.toml:1:"},
  }));
  CAPTURE(text);
  const auto document = TomlDocument::Parse(text, "f.toml");
  REQUIRE(document.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(document.status().message()),
             Catch::StartsWith(where));
}

TEST_CASE("deep nesting is refused, not followed", "[config]") {
  const std::string text = "a = " + std::string(100000, '[');
  CHECK_FALSE(TomlDocument::Parse(text, "f.toml").ok());
}

TEST_CASE("a config file of more than a megabyte is refused", "[config]") {
  const auto document =
      TomlDocument::Parse(std::string(kMaxConfigBytes + 1, '#'), "f.toml");
  CHECK(document.status().message() ==
        "f.toml: 1048577 bytes; at most 1048576");
  CHECK(TomlDocument::Parse(std::string(kMaxConfigBytes, '#'), "f.toml").ok());
}

TEST_CASE("an array of tables is not a section", "[config]") {
  auto document = TomlDocument::Parse("[[node]]\nid = 1\n", "f.toml");
  REQUIRE(document.ok());
  CHECK_FALSE(document->Section("node")
                  .Integer("id", Presence::kOptional, {.min = 1, .max = 9})
                  .has_value());
  CHECK_FALSE(document->Finish().ok());
}

}  // namespace
}  // namespace fairlead::config
