#include "core/check_status.h"

#include <catch2/catch.hpp>
#include <string>

namespace fairlead::core {
namespace {

StatusMap Parse(absl::string_view text) {
  const absl::StatusOr<StatusMap> map = StatusMap::Parse(text);
  INFO(map.status());
  REQUIRE(map.ok());
  return *map;
}

std::string Meaning(absl::string_view text, int status) {
  return std::string(ToString(Parse(text).MeaningOf(status)));
}

TEST_CASE("what nobody says: 2xx up, 429 hold, 503 drain, the rest fails",
          "[core][check]") {
  const StatusMap map;
  CHECK(map.MeaningOf(200) == StatusMeaning::kUp);
  CHECK(map.MeaningOf(299) == StatusMeaning::kUp);
  CHECK(map.MeaningOf(300) == StatusMeaning::kFail);
  CHECK(map.MeaningOf(199) == StatusMeaning::kFail);
  CHECK(map.MeaningOf(429) == StatusMeaning::kHold);
  CHECK(map.MeaningOf(503) == StatusMeaning::kDrain);
  CHECK(map.MeaningOf(500) == StatusMeaning::kFail);
}

TEST_CASE("who names what is up takes 2xx back, and nothing else",
          "[core][check]") {
  CHECK(Meaning("204", 204) == "up");
  CHECK(Meaning("204", 200) == "fail");
  CHECK(Meaning("204", 503) == "drain");
  CHECK(Meaning("200-503", 429) == "up");
  CHECK(Meaning("500=drain", 200) == "up");
  CHECK(Meaning("500=drain", 500) == "drain");
  CHECK(Meaning("429=fail,503=fail", 503) == "fail");
  CHECK(Meaning("429=fail,503=fail", 429) == "fail");
  CHECK(Meaning("204=drain", 204) == "drain");
  CHECK(Meaning("204=hold,200-399", 204) == "hold");
  CHECK(Meaning("204=hold,200-399", 205) == "up");
}

TEST_CASE("a map is written as it is read", "[core][check]") {
  for (const std::string text :
       {"200-299", "204", "200-399,401", "503=fail", "204=hold,200-399",
        "200-299,500=drain", "100-599"}) {
    INFO(text);
    CHECK(Parse(text).ToString() == text);
    CHECK(Parse(Parse(text).ToString()) == Parse(text));
  }
  CHECK(StatusMap().ToString() == "200-299");
  CHECK(Parse("200-299=up") == StatusMap());
  CHECK(Parse("200=up,204-299=up").ToString() == "200,204-299");
}

TEST_CASE("a rule that is none, or is never reached, is refused by name",
          "[core][check]") {
  const auto problem = [](absl::string_view text) {
    return std::string(StatusMap::Parse(text).status().message());
  };
  CHECK(problem("99") == "status 99: must be 100 to 599");
  CHECK(problem("200-600") == "status 600: must be 100 to 599");
  CHECK(problem("300-299") == "status 300-299: the lower one comes first");
  CHECK(problem("200-299,204=drain") ==
        "status 204=drain: is never reached, 200-299 comes first");
  for (const absl::string_view text :
       {"", "2xx", "200-", "-200", "200,", "200=", "200=ok", "+200", "200 ",
        "1000", "200-299-300", "200=up=up"}) {
    INFO(text);
    CHECK(problem(text).find("write 200-299, 204 or 429=hold") !=
          std::string::npos);
  }
  std::string most = "100";
  for (size_t i = 1; i < kMostStatusRules; ++i)
    most += "," + std::to_string(100 + i);
  CHECK(StatusMap::Parse(most).ok());
  CHECK(problem(most + ",599") == "17 rules for statuses: at most 16");
}

}  // namespace
}  // namespace fairlead::core
