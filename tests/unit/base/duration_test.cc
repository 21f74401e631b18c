#include "base/duration.h"

#include <catch2/catch.hpp>
#include <string>

namespace fairlead::base {
namespace {

TEST_CASE("a duration is read in the form in which it is printed", "[base]") {
  const std::string text = GENERATE("500ms", "2s", "1h30m", "1.5s", "0");
  CAPTURE(text);
  const auto duration = ParseDuration(text);
  REQUIRE(duration.ok());
  CHECK(absl::FormatDuration(*duration) == text);
}

TEST_CASE("a duration without unit, or without an end, is refused", "[base]") {
  const std::string text =
      GENERATE("", "5", "-2s", "inf", "-inf", "2 s", "s", "2x", "2s!", "x");
  CAPTURE(text);
  CHECK(ParseDuration(text).status().code() ==
        absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fairlead::base
