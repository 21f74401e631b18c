#include <catch2/catch.hpp>
#include <string>

#include "tests/unit/cli/fake_api.h"

namespace fairlead::cli {
namespace {

constexpr char kPath[] = "POST /v1/services/web/backends/web1/check";

TEST_CASE("a check shows its steps and their times", "[cli][check]") {
  FakeApi api;
  api.On(kPath, R"({"generation": 1, "result": {
    "outcome": "success", "reason": "-", "detail": "HTTP 200",
    "certificate_days": 90, "steps": [
      {"step": "connect", "duration_us": 812},
      {"step": "tls", "duration_us": 12034},
      {"step": "response", "duration_us": 2000}]}})");
  REQUIRE(api.Run("check run web web1 -v") == 0);
  CHECK(api.out() == R"(STEP           TIME  RESULT
connect    0.812 ms  ok
tls       12.034 ms  ok
response   2.000 ms  ok
success, 14.846 ms: HTTP 200; certificate expires in 90 days
)");
  REQUIRE(api.Run("check run web web1") == 0);
  CHECK(api.out() ==
        "success, 14.846 ms: HTTP 200; certificate expires in 90 days\n");
}

TEST_CASE("a check that fails says where and why, and is exit code 1",
          "[cli][check]") {
  FakeApi api;
  api.On(kPath, R"j({"generation": 1, "result": {
    "outcome": "ws-handshake", "reason": "check.ws-handshake(503)",
    "detail": "HTTP 503, expected 101", "steps": [
      {"step": "connect", "duration_us": 812},
      {"step": "upgrade", "duration_us": 2000}]
}
})j");
  CHECK(api.Run("check run web web1 -v") == 1);
  CHECK(api.out() == R"j(STEP         TIME  RESULT
connect  0.812 ms  ok
upgrade  2.000 ms  check.ws-handshake(503)
check.ws-handshake(503), 2.812 ms: HTTP 503, expected 101
)j");
  CHECK_THAT(api.err(), Catch::Contains("web1: check.ws-handshake(503)"));
  CHECK(api.Run("check run web web1 -o json") == 1);
  CHECK_THAT(api.out(), Catch::Contains("\"duration_us\": 2000"));
}

TEST_CASE("backend show tells the last results", "[cli][check]") {
  FakeApi api;
  api.On("GET /v1/services/web/backends/web1", R"({"generation": 1,
    "backend": {"name": "web1"}, "checks": [
    {"time": "2026-11-20T12:00:02.000Z", "outcome": "drain-status",
     "reason": "signal.http-503", "http_status": 503, "duration_us": 3412},
    {"time": "2026-11-20T12:00:00.000Z", "outcome": "refused",
     "reason": "check.tcp-refused", "http_status": 0, "duration_us": 90}]})");
  REQUIRE(api.Run("backend show web web1") == 0);
  CHECK_THAT(api.out(), Catch::Contains(
                            R"(
CHECKED                   RESULT            TIME  HTTP  REASON
2026-11-20T12:00:02.000Z  drain-status  3.412 ms   503  signal.http-503
2026-11-20T12:00:00.000Z  refused       0.090 ms     -  check.tcp-refused
)"));
}

}  // namespace
}  // namespace fairlead::cli
