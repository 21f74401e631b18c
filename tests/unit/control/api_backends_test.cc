#include <catch2/catch.hpp>
#include <string>

#include "fairlead/abi/maps.h"
#include "tests/unit/control/fixture.h"

namespace fairlead::control {
namespace {

using Catch::Matchers::Contains;

constexpr char kBackends[] = "/v1/services/ws/backends";

std::string Path(absl::string_view rest) {
  return absl::StrCat(kBackends, "/", rest);
}

// "ws" with web1 and web2, both taking new flows.
Task<void> AddTwo(ApiFixture& fixture) {
  co_await fixture.AddService();
  co_await fixture.AddBackend("web1", "192.0.2.11");
  co_await fixture.AddBackend("web2", "192.0.2.12");
}

TEST_CASE("a check is made by hand, and nothing follows from it",
          "[control][api]") {
  ApiFixture fixture;
  fixture.host().check_result = {
      .outcome = core::ProbeOutcome::kWsHandshake,
      .step = core::ProbeStep::kUpgrade,
      .http_status = 503,
      .steps = {{core::ProbeStep::kConnect, absl::Microseconds(812)}}};
  fixture.Run([&]() -> Task<void> {
    co_await AddTwo(fixture);
    const std::string refused = co_await fixture.Refused(
        412, "precondition", "POST", Path("web1/check"));
    CHECK_THAT(refused, Contains("has no check") && Contains("--check"));
    co_await fixture.Good("PATCH", "/v1/services/ws",
                          R"({"check": {"type": "ws", "port": 8080}})");
    Json answer = co_await fixture.Good("POST", Path("192.0.2.12/check"));
    CHECK(answer["backend"] == "web2");
    CHECK(answer["result"]["reason"] == "check.ws-handshake(503)");
    CHECK(answer["result"]["steps"][0]["step"] == "connect");
    CHECK(answer["result"]["steps"][0]["duration_us"] == 812);
    REQUIRE(fixture.host().checked.has_value());
    CHECK(fixture.host().checked->address.ToString() == "192.0.2.12");
    CHECK(fixture.host().checked->port == 8080);
    CHECK(fixture.host().checked->check.kind == core::CheckKind::kWs);
    answer = co_await fixture.Good("GET", Path("web2"));
    CHECK(answer["checks"] == Json::array());
    CHECK(answer["backend"]["check"] == nullptr);
    (void)co_await fixture.Refused(404, "not_found", "POST",
                                   Path("web3/check"));
    const event::PeerCredentials viewer = {.uid = 1, .gid = kViewers};
    (void)co_await fixture.Refused(403, "permission_denied", "POST",
                                   Path("web1/check"), "", viewer);
  });
}

TEST_CASE("backends are added, listed and shown by name or address",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await AddTwo(fixture);
    const Json answer = co_await fixture.Good(
        "POST", kBackends, R"({"address": "2001:db8::13", "weight": 50})");
    CHECK(answer["generation"] == 4);
    const Json list = co_await fixture.Good("GET", kBackends);
    REQUIRE(list["backends"].size() == 3);
    CHECK(list["backends"][0]["name"] == "2001:db8::13");
    CHECK(list["backends"][0]["weight"] == 50);
    CHECK(list["backends"][1]["name"] == "web1");
    CHECK(list["backends"][1]["eligible"] == true);
    const Json by_name = co_await fixture.Good("GET", Path("web1"));
    const Json by_address = co_await fixture.Good("GET", Path("192.0.2.11"));
    CHECK(by_name == by_address);
    CHECK(by_name["backend"] == list["backends"][1]);
    CHECK(by_name["backend"]["packets"] == by_name["backend"]["id"]);
    CHECK(fixture.Durable() == fixture.desired());
  });
}

TEST_CASE("a weight changes", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await AddTwo(fixture);
    co_await fixture.Good("PATCH", Path("192.0.2.11"), R"({"weight": 7})");
    const core::Backend& web1 =
        fixture.desired().services.at("ws").backends.at("web1");
    CHECK(web1.weight == 7);
    CHECK(fixture.tables().backends().at(web1.id).weight == 7);
    CHECK(fixture.Durable() == fixture.desired());
  });
}

TEST_CASE("when a drain is acknowledged no new flow goes there any more",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await AddTwo(fixture);
    const core::BackendId id =
        fixture.desired().services.at("ws").backends.at("web1").id;
    fixture.tables().SetLoad(id, {.live = 5, .pending = 1});
    CHECK((fixture.tables().BackendState(id) & FL_BACKEND_ELIGIBLE) != 0);

    const Json answer = co_await fixture.Good("POST", Path("web1/drain"));
    CHECK(answer["generation"] == 4);
    CHECK((fixture.tables().BackendState(id) & FL_BACKEND_ELIGIBLE) == 0);
    CHECK(fixture.Durable() == fixture.desired());
    const Json shown = co_await fixture.Good("GET", Path("web1"));
    CHECK(shown["backend"]["admin"] == "drain");
    CHECK(shown["backend"]["drain"]["connections_at_start"] == 6);
    CHECK(shown["backend"]["drain"]["basis"] == "flow-table");

    // Once more is no change.
    const Json again = co_await fixture.Good("POST", Path("web1/drain"));
    CHECK(again["generation"] == 4);

    co_await fixture.Good("POST", Path("web1/ready"));
    CHECK((fixture.tables().BackendState(id) & FL_BACKEND_ELIGIBLE) != 0);
    co_await fixture.Good("POST", Path("web1/maint"), R"({"force": false})");
    CHECK((fixture.tables().BackendState(id) & FL_BACKEND_ELIGIBLE) == 0);
    const std::vector<EventRecord> records = fixture.log().Newest(3);
    CHECK(records[0].event.type == "backend.drain");
    CHECK(records[1].event.type == "backend.ready");
    CHECK(records[2].event.type == "backend.maint");
  });
}

TEST_CASE("the last backend is not drained without force", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await AddTwo(fixture);
    co_await fixture.Good("POST", Path("web1/drain"));
    const std::string refused = co_await fixture.Refused(
        412, "precondition", "POST", Path("web2/drain"));
    CHECK_THAT(refused, Contains("web2") && Contains("force"));
    CHECK(fixture.desired().generation == 4);
    co_await fixture.Good("POST", Path("web2/drain"), R"({"force": true})");
    CHECK(fixture.desired().generation == 5);
  });
}

TEST_CASE("a backend with flows is not deleted without force",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await AddTwo(fixture);
    const core::BackendId id =
        fixture.desired().services.at("ws").backends.at("web1").id;
    fixture.tables().SetLoad(id, {.live = 5});
    const std::string refused =
        co_await fixture.Refused(412, "precondition", "DELETE", Path("web1"));
    CHECK_THAT(refused, Contains("5 flows"));
    co_await fixture.Good("DELETE", Path("web1"), R"({"force": true})");
    CHECK(fixture.Durable().quarantine.contains(id));
    co_await fixture.Refused(404, "not_found", "GET", Path("web1"));
  });
}

TEST_CASE("garbage about a backend changes nothing and says what is wrong",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await AddTwo(fixture);
    const core::DesiredState before = fixture.desired();
    struct Case {
      int status;
      const char* code;
      const char* method;
      const char* rest;
      const char* body;
      const char* says;
    };
    const Case cases[] = {
        {400, "invalid_argument", "POST", "",
         R"({"address": "192.0.2.13:443"})", "direct server return"},
        {400, "invalid_argument", "POST", "", R"({"address": "web3"})",
         "\"web3\" is not an IP address"},
        {400, "invalid_argument", "POST", "", R"({"name": "web3"})",
         "\"address\" is missing"},
        {400, "invalid_argument", "POST", "",
         R"({"address": "192.0.2.13", "wieght": 1})", "\"weight\""},
        {400, "invalid_argument", "POST", "",
         R"({"address": "192.0.2.13", "weight": 0})", "0 is not in 1..256"},
        {400, "invalid_argument", "POST", "", R"({"address": "127.0.0.1"})",
         "127.0.0.1"},
        {409, "already_exists", "POST", "", R"({"address": "192.0.2.11"})",
         "192.0.2.11"},
        {409, "already_exists", "POST", "",
         R"({"address": "192.0.2.13", "name": "web1"})", "web1"},
        {400, "invalid_argument", "PATCH", "/web1", R"({"weight": 257})",
         "257"},
        {404, "not_found", "PATCH", "/wbe1", R"({"weight": 1})",
         "did you mean \"web1\"?"},
        {400, "invalid_argument", "POST", "/web1/drain", R"({"grace": "30s"})",
         "\"grace\""},
        {404, "not_found", "POST", "/web9/drain", "", "web9"},
        {400, "invalid_argument", "DELETE", "/web1", "[1]", "an array"},
    };
    for (const Case& garbage : cases) {
      INFO(garbage.method << " " << garbage.rest << " " << garbage.body);
      const std::string message = co_await fixture.Refused(
          garbage.status, garbage.code, garbage.method,
          absl::StrCat(kBackends, garbage.rest), garbage.body);
      CHECK_THAT(message, Contains(garbage.says));
    }
    co_await fixture.Refused(404, "not_found", "POST",
                             "/v1/services/api/backends",
                             R"({"address": "192.0.2.13"})");
    CHECK(fixture.desired() == before);
    CHECK(fixture.Durable() == before);
  });
}

TEST_CASE("a service takes as many backends as its rows allow",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    for (int i = 1; i <= 4; ++i)
      co_await fixture.AddBackend(absl::StrCat("web", i),
                                  absl::StrCat("192.0.2.", i));
    const std::string message =
        co_await fixture.Refused(507, "resource_exhausted", "POST", kBackends,
                                 R"({"address": "192.0.2.5"})");
    CHECK_THAT(message, Contains("256 rows take at most 4 backends"));
    CHECK(fixture.desired().generation == 5);
  });
}

}  // namespace
}  // namespace fairlead::control
