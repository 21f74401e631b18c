#include <catch2/catch.hpp>
#include <string>

#include "tests/unit/cli/fake_api.h"

namespace fairlead::cli {
namespace {

constexpr char kDone[] = R"({"generation": 8})";
constexpr char kLists[] = R"j({"generation": 8, "service": "web", "sources":
  {"allow": ["203.0.113.64/26"], "deny": ["192.0.2.0/24", "203.0.113.0/24"],
   "others": "deny", "denied": 12345}})j";

TEST_CASE("service deny, allow and unlist send all prefixes at once",
          "[cli][sources]") {
  FakeApi api;
  for (const std::string verb : {"deny", "allow", "unlist"}) {
    api.On("POST /v1/services/web/sources/" + verb, kDone);
    REQUIRE(api.Run("service " + verb + " web 192.0.2.0/24 203.0.113.7") == 0);
    CHECK(api.SentLines() ==
          "POST /v1/services/web/sources/" + verb +
              " {\"prefixes\":[\"192.0.2.0/24\",\"203.0.113.7\"]}\n");
    CHECK(api.out().empty());
  }
  REQUIRE(api.Run("service unlist web --all") == 0);
  CHECK(api.SentLines() ==
        "POST /v1/services/web/sources/unlist {\"all\":true}\n");
}

TEST_CASE("service unlist wants prefixes or --all", "[cli][sources]") {
  FakeApi api;
  CHECK(api.Run("service unlist web") == 2);
  CHECK(api.Run("service unlist web --all 192.0.2.0/24") == 2);
  CHECK(api.Run("service deny web") == 2);
  CHECK(api.sent().empty());
}

TEST_CASE("service sources is a table of prefixes, and all others",
          "[cli][sources]") {
  FakeApi api;
  api.On("GET /v1/services/web/sources", kLists);
  REQUIRE(api.Run("service sources web") == 0);
  CHECK(api.out() ==
        "SOURCE           NEW CONNECTIONS\n"
        "203.0.113.64/26  allow\n"
        "192.0.2.0/24     deny\n"
        "203.0.113.0/24   deny\n"
        "all others       deny\n"
        "12,345 SYNs refused\n");
  REQUIRE(api.Run("service sources web -o json") == 0);
  CHECK_THAT(api.out(), Catch::Contains("\"denied\": 12345"));
}

TEST_CASE("service sources tells what limits refused", "[cli][sources]") {
  FakeApi api;
  api.On("GET /v1/services/web/sources",
         R"j({"generation": 8, "service": "web", "sources":
  {"allow": [], "deny": [], "others": "allow", "denied": 0, "over_rate": 0,
   "over_source_conns": 1700, "uncounted": 3}})j");
  REQUIRE(api.Run("service sources web") == 0);
  CHECK(api.out() ==
        "SOURCE      NEW CONNECTIONS\n"
        "all others  allow\n"
        "0 SYNs refused\n"
        "1,700 SYNs of sources with as many connections as they may have\n"
        "3 connections not counted: raise counted_sources\n");
}

}  // namespace
}  // namespace fairlead::cli
