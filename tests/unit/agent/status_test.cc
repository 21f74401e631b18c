#include "agent/status.h"

#include <catch2/catch.hpp>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "agent/check.h"

namespace fairlead::agent {
namespace {

TEST_CASE("a status is rendered as tables", "[agent][status]") {
  std::ostringstream out;
  REQUIRE(RenderStatus(
              R"({"interface": "eth0", "version": "1.2.3", "vips": 1,
                  "peers": 2,
                  "lbs": [{"lb_id": 1, "digest": "ab", "vips": 1, "peers": 2}],
                  "services": [{"vip": "198.51.100.10:443",
                                "live_sockets": 402}],
                  "verdicts": {"PASS_SOCKET": 77}})",
              out)
              .ok());
  const std::string text = out.str();
  CHECK(absl::StartsWith(text,
                         "fairlead-agent 1.2.3 on eth0: 1 VIPs, 2 peers\n"));
  CHECK(absl::StrContains(text,
                          "LB HOST  VIPS  PEERS  DIGEST\n"
                          "1        1     2      ab\n"));
  CHECK(absl::StrContains(text, "198.51.100.10:443  402\n"));
  CHECK(absl::StrContains(text, "PASS_SOCKET         77       decapsulated"));
}

TEST_CASE("an answer that is no status is an error", "[agent][status]") {
  std::ostringstream out;
  for (const char* text : {"", "[]", "{}", R"({"verdicts": 1})"})
    CHECK(RenderStatus(text, out).code() == absl::StatusCode::kDataLoss);
  CHECK(out.str().empty());
}

TEST_CASE("findings are printed with what mends them", "[agent][check]") {
  const std::vector<Finding> findings = {
      {.test = "vip", .object = "198.51.100.10", .detail = "on lo"},
      {.test = "rp_filter",
       .object = "eth0",
       .result = Result::kFail,
       .detail = "all 1",
       .fix = "sysctl -w x=2"}};
  std::ostringstream table;
  PrintFindings(findings, Output::kTable, table);
  CHECK(table.str() ==
        "RESULT  TEST       OBJECT         DETAIL\n"
        "ok      vip        198.51.100.10  on lo\n"
        "FAIL    rp_filter  eth0           all 1\n"
        "  mend: sysctl -w x=2\n");
  std::ostringstream json;
  PrintFindings(findings, Output::kJson, json);
  CHECK(absl::StrContains(json.str(), "\"ok\": false"));
  CHECK(absl::StrContains(json.str(), "\"fix\": \"sysctl -w x=2\""));
}

}  // namespace
}  // namespace fairlead::agent
