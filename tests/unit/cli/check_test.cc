#include <catch2/catch.hpp>
#include <string>

#include "cli/json.h"
#include "tests/unit/cli/fake_api.h"

namespace fairlead::cli {
namespace {

Json SentBody(const FakeApi& api) {
  return ParseJson(api.sent().back().body).value();
}

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

TEST_CASE("of several checks each is told, and any that fails is exit code 1",
          "[cli][check]") {
  FakeApi api;
  api.On(kPath, R"j({"generation": 1, "result": {}, "results": [
    {"check": "main", "outcome": "success", "reason": "-", "detail": "",
     "steps": [{"step": "connect", "duration_us": 812}]},
    {"check": "live", "outcome": "ws-handshake",
     "reason": "check.ws-handshake(503)", "detail": "", "steps": [
      {"step": "upgrade", "duration_us": 2000}]}]})j");
  CHECK(api.Run("check run web web1") == 1);
  CHECK(api.out() == R"j(main: success, 0.812 ms
live: check.ws-handshake(503), 2.000 ms
)j");
  CHECK_THAT(api.err(),
             Catch::Contains("web1: check.ws-handshake(503) [live]"));
  CHECK(api.Run("check run web web1 --check live") == 1);
  CHECK(SentBody(api) == Json({{"check", "live"}}));
}

TEST_CASE("checks are added and changed with the options of a service's",
          "[cli][check]") {
  FakeApi api;
  api.On("POST /v1/services/web/checks", R"({"generation": 2})");
  REQUIRE(api.Run("check add web live --check ws --check-path /live --fall 2 "
                  "--check-interval 1s") == 0);
  CHECK(SentBody(api) == Json({{"type", "ws"},
                               {"path", "/live"},
                               {"interval", "1s"},
                               {"fall", 2},
                               {"name", "live"}}));
  api.On("PATCH /v1/services/web/checks/live", R"({"generation": 3})");
  REQUIRE(api.Run("check set web live --rise 4") == 0);
  CHECK(SentBody(api) == Json({{"rise", 4}}));
  CHECK(api.Run("check set web live") == 2);
  api.On("DELETE /v1/services/web/checks/live", R"({"generation": 4})");
  REQUIRE(api.Run("check delete web live") == 0);
  CHECK(api.out().empty());
  CHECK(api.Run("check add web live --check exec") == 2);
  CHECK_THAT(api.err(), Catch::Contains("nothing is run on an LB host"));
}

TEST_CASE("checks are listed with what they do", "[cli][check]") {
  FakeApi api;
  api.On("GET /v1/services/web/checks", R"({"generation": 1,
    "service": "web", "checks": [
    {"name": "main", "type": "tcp", "port": 0, "interval": "2s",
     "timeout": "1s", "rise": 2, "fall": 3},
    {"name": "live", "type": "ws", "port": 81, "path": "/live",
     "interval": "2s", "timeout": "1s", "rise": 2, "fall": 3}]})");
  REQUIRE(api.Run("check list web") == 0);
  CHECK(api.out() ==
        "CHECK  WHAT\n"
        "main   tcp port of the service, every 2s, timeout 1s, rise 2, fall "
        "3\n"
        "live   ws port 81, GET /live, every 2s, timeout 1s, rise 2, fall "
        "3\n");
}

TEST_CASE("backend show has a block for each of several checks",
          "[cli][check]") {
  FakeApi api;
  api.On("GET /v1/services/web/backends/web1", R"j({"generation": 1,
    "backend": {"name": "web1", "reason": "check.timeout",
      "reason_check": "live", "health_checks": [
      {"name": "main", "type": "http", "health": "up", "signal": "hold",
       "last_failure": null, "last": {"outcome": "success", "http_status": 200,
        "duration_ms": 3, "detail": "", "age_seconds": 1}},
      {"name": "live", "type": "ws", "health": "down", "signal": "none",
       "last_failure": "check.timeout", "last": null}]},
    "checks": [
    {"check": "main", "time": "2026-11-20T12:00:02.000Z", "outcome": "success",
     "reason": "-", "http_status": 200, "duration_us": 3412},
    {"check": "live", "time": "2026-11-20T12:00:00.000Z", "outcome": "timeout",
     "reason": "check.timeout", "http_status": 0, "duration_us": 90}]})j");
  REQUIRE(api.Run("backend show web web1") == 0);
  for (const char* line :
       {"reason            check.timeout [live]\n",
        "check main        http, up, asks for hold\n",
        "  last            success 200 3 ms, 1s ago\n",
        "check live        ws, down, last failure check.timeout\n",
        "\nCHECKED [live]", "\nCHECKED [main]"})
    CHECK_THAT(api.out(), Catch::Contains(line));
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
