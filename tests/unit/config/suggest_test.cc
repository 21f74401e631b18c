#include "config/suggest.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "config/duration.h"

namespace fairlead::config {
namespace {

const std::vector<std::string> kWords = {"add", "list", "drain", "address"};

TEST_CASE("a typing error is near the word that was meant", "[config]") {
  CHECK(Nearest("drian", kWords) == "drain");
  CHECK(Nearest("lst", kWords) == "list");
  CHECK(Nearest("DRAIN", kWords) == "drain");
  CHECK(Nearest("addr", kWords) == "add");
  CHECK(Nearest("addre", kWords) == "address");
  CHECK(Nearest("frobnicate", kWords).empty());
  CHECK(Nearest("", kWords).empty());
  CHECK(Nearest(std::string(1000, 'a'), kWords).empty());
}

TEST_CASE("a word that is near nothing gets the whole list", "[config]") {
  CHECK(DidYouMean("drian", kWords) == "; did you mean \"drain\"?");
  CHECK(DidYouMean("xyz", kWords) == "; known are: add, list, drain, address");
  CHECK(DidYouMean("xyz", {}).empty());
}

TEST_CASE("a duration is read in the form in which it is printed", "[config]") {
  const std::string text = GENERATE("500ms", "2s", "1h30m", "1.5s", "0");
  CAPTURE(text);
  const auto duration = ParseDuration(text);
  REQUIRE(duration.ok());
  CHECK(absl::FormatDuration(*duration) == text);
}

TEST_CASE("a duration without unit, or without an end, is refused",
          "[config]") {
  const std::string text = GENERATE("", "5", "-2s", "inf", "2 s", "2s!", "x");
  CAPTURE(text);
  CHECK(ParseDuration(text).status().code() ==
        absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fairlead::config
