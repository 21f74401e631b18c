#include <catch2/catch.hpp>
#include <string>

#include "tests/unit/control/fixture.h"

namespace fairlead::control {
namespace {

using Catch::Matchers::Contains;

constexpr char kChecks[] = "/v1/services/ws/checks";

TEST_CASE("checks are added, listed, changed and deleted", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    co_await fixture.Good("PATCH", "/v1/services/ws",
                          R"({"check": {"type": "http"}})");
    co_await fixture.Good("POST", kChecks,
                          R"({"name": "live", "type": "ws", "path": "/live"})");
    const std::string exec =
        co_await fixture.Refused(400, "invalid_argument", "POST", kChecks,
                                 R"({"name": "x", "type": "exec"})");
    CHECK_THAT(exec, Contains("nothing is run on an LB host"));
    (void)co_await fixture.Refused(400, "invalid_argument", "POST", kChecks,
                                   R"({"name": "x", "pat": "/"})");
    Json list = co_await fixture.Good("GET", kChecks);
    CHECK(list["service"] == "ws");
    REQUIRE(list["checks"].size() == 2);
    CHECK(list["checks"][0]["name"] == "main");
    CHECK(list["checks"][0]["type"] == "http");
    CHECK(list["checks"][1]["name"] == "live");
    CHECK(list["checks"][1]["path"] == "/live");
    const Json service = co_await fixture.Good("GET", "/v1/services/ws");
    CHECK(service["service"]["checks"] == list["checks"]);
    CHECK(service["service"]["check"]["type"] == "http");
    co_await fixture.Good("PATCH", std::string(kChecks) + "/live",
                          R"({"fall": 5})");
    const Json plan = co_await fixture.Good(
        "DELETE", std::string(kChecks) + "/main", R"({"dry_run": true})");
    CHECK(plan["plan"].size() == 1);
    co_await fixture.Good("DELETE", std::string(kChecks) + "/main");
    list = co_await fixture.Good("GET", kChecks);
    REQUIRE(list["checks"].size() == 1);
    CHECK(list["checks"][0]["fall"] == 5);
    const std::string last = co_await fixture.Refused(
        412, "precondition", "DELETE", std::string(kChecks) + "/live");
    CHECK_THAT(last, Contains("the last one"));
    CHECK(fixture.Durable() == fixture.desired());
    const event::PeerCredentials operators = {.uid = 1, .gid = kOperators};
    (void)co_await fixture.Refused(403, "permission_denied", "POST", kChecks,
                                   R"({"name": "x"})", operators);
  });
}

TEST_CASE("all checks are made by hand, or the one that is named",
          "[control][api]") {
  ApiFixture fixture;
  fixture.host().check_result = {.outcome = core::ProbeOutcome::kRefused};
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    co_await fixture.AddBackend("web1", "192.0.2.11");
    co_await fixture.Good("PATCH", "/v1/services/ws",
                          R"({"check": {"type": "tcp"}})");
    co_await fixture.Good("POST", kChecks,
                          R"({"name": "live", "type": "ws", "port": 81})");
    const std::string run = "/v1/services/ws/backends/web1/check";
    const Json all = co_await fixture.Good("POST", run);
    REQUIRE(all["results"].size() == 2);
    CHECK(all["results"][0]["check"] == "main");
    CHECK(all["results"][1]["check"] == "live");
    CHECK(all["result"] == all["results"][0]);
    const Json one = co_await fixture.Good("POST", run, R"({"check": "live"})");
    REQUIRE(one["results"].size() == 1);
    CHECK(one["result"]["check"] == "live");
    CHECK(fixture.host().checked->port == 81);
    const std::string none = co_await fixture.Refused(
        404, "not_found", "POST", run, R"({"check": "lice"})");
    CHECK_THAT(none, Contains("no check \"lice\"") && Contains("live"));
    const Json shown =
        co_await fixture.Good("GET", "/v1/services/ws/backends/web1");
    REQUIRE(shown["backend"]["health_checks"].size() == 2);
    CHECK(shown["backend"]["health_checks"][1]["name"] == "live");
    CHECK(shown["backend"]["health_checks"][1]["type"] == "ws");
    CHECK(shown["backend"]["health_checks"][1]["last"] == nullptr);
  });
}

}  // namespace
}  // namespace fairlead::control
