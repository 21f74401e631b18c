#include <catch2/catch.hpp>
#include <string>

#include "tests/unit/control/fixture.h"

namespace fairlead::control {
namespace {

using Catch::Matchers::Contains;

constexpr char kWs[] = R"({"name": "ws", "vip": "198.51.100.10:443",
    "rows": 256, "agent_port": 0, "check": {"type": "none"}})";

TEST_CASE("a service that was added is durable, in the tables and listed",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    const Json before = co_await fixture.Good("GET", "/v1/services");
    CHECK(before.dump() == R"({"generation":0,"services":[]})");
    const Json answer = co_await fixture.Good("POST", "/v1/services", kWs);
    CHECK(answer.dump() == R"({"generation":1})");
    CHECK(fixture.Durable() == fixture.desired());
    CHECK(fixture.desired().services.contains("ws"));
    CHECK(fixture.tables().services().size() == 1);
    CHECK(fixture.changed() == 1);

    const Json list = co_await fixture.Good("GET", "/v1/services");
    CHECK(list["generation"] == 1);
    REQUIRE(list["services"].size() == 1);
    const Json one = co_await fixture.Good("GET", "/v1/services/ws");
    CHECK(one["generation"] == 1);
    CHECK(one["service"] == list["services"][0]);
    CHECK(one["service"]["vip"] == "198.51.100.10:443");
    CHECK(one["service"]["rows"] == 256);
    // The counters are those of its id.
    CHECK(one["service"]["packets"] == 1);
  });
}

TEST_CASE("an added service is in the audit log with who and what",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    const std::vector<EventRecord> records = fixture.log().Newest(9);
    REQUIRE(records.size() == 1);
    CHECK(records[0].uid == 0u);
    CHECK(records[0].event.type == "service.add");
    CHECK(records[0].event.service == "ws");
  });
}

TEST_CASE("settings change, and saying the same again changes nothing",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    const std::string need = R"({"policy": "least-conn", "need": 2})";
    const Json first = co_await fixture.Good("PATCH", "/v1/services/ws", need);
    CHECK(first["generation"] == 2);
    CHECK(fixture.Durable().services.at("ws").need == 2);
    CHECK(fixture.Durable().services.at("ws").choices == 2);
    const Json again = co_await fixture.Good("PATCH", "/v1/services/ws", need);
    CHECK(again["generation"] == 2);
    CHECK(fixture.changed() == 2);
    CHECK(fixture.log().last_seq() == 2);
  });
}

TEST_CASE("a deleted service leaves a tombstone until it is cleared",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    co_await fixture.AddBackend("web1", "192.0.2.11");
    const std::string refused = co_await fixture.Refused(
        412, "precondition", "DELETE", "/v1/services/ws");
    CHECK_THAT(refused, Contains("ws") && Contains("force"));
    co_await fixture.Good("DELETE", "/v1/services/ws", R"({"force": true})");
    CHECK(fixture.Durable() == fixture.desired());

    const Json list = co_await fixture.Good("GET", "/v1/tombstones");
    REQUIRE(list["tombstones"].size() == 1);
    CHECK(list["tombstones"][0]["vip"] == "198.51.100.10:443");
    CHECK(list["tombstones"][0]["service"] == "ws");
    CHECK(list["tombstones"][0]["packets"] == 1);

    co_await fixture.Good("DELETE", "/v1/tombstones/198.51.100.10:443/tcp");
    CHECK(fixture.Durable().tombstones.empty());
    CHECK(fixture.tables().services().empty());
    const std::string gone = co_await fixture.Refused(
        404, "not_found", "DELETE", "/v1/tombstones/198.51.100.10:443");
    CHECK_THAT(gone, Contains("198.51.100.10:443"));
  });
}

TEST_CASE("a service that is not there is named with those that are",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    const char* const methods[] = {"GET", "PATCH", "DELETE"};
    for (const char* method : methods) {
      const std::string message = co_await fixture.Refused(
          404, "not_found", method, "/v1/services/wss");
      CHECK_THAT(message, Contains("\"wss\"") && Contains("\"ws\""));
    }
    CHECK(fixture.desired().generation == 1);
  });
}

TEST_CASE("a second service of that name or VIP is refused", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    const std::string name =
        co_await fixture.Refused(409, "already_exists", "POST", "/v1/services",
                                 R"({"name": "ws", "vip": "198.51.100.11:1"})");
    CHECK_THAT(name, Contains("\"ws\""));
    const std::string vip = co_await fixture.Refused(
        409, "already_exists", "POST", "/v1/services",
        R"({"name": "api", "vip": "198.51.100.10:443"})");
    CHECK_THAT(vip, Contains("198.51.100.10:443") && Contains("\"ws\""));
    CHECK(fixture.desired().generation == 1);
  });
}

TEST_CASE("garbage changes nothing and says what is wrong", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    const core::DesiredState before = fixture.desired();
    struct Case {
      const char* method;
      const char* target;
      const char* body;
      const char* says;
    };
    const Case cases[] = {
        {"POST", "/v1/services", "nonsense", "no JSON"},
        {"POST", "/v1/services", "", "\"name\" is missing"},
        {"POST", "/v1/services", "{\"name\": \"\xff\"}", "UTF-8"},
        {"POST", "/v1/services",
         R"({"name": "Big Name", "vip": "198.51.100.12:1"})", "Big Name"},
        {"POST", "/v1/services", R"({"name": "x", "vip": "127.0.0.1:1"})",
         "loopback"},
        {"POST", "/v1/services?force=1", "{}", "force"},
        {"PATCH", "/v1/services/ws", R"({"need": 0})", "need 0"},
        {"PATCH", "/v1/services/ws", R"({"rows": 512})", "rows 512"},
        {"PATCH", "/v1/services/ws", R"({"choices": 3})", "choices 3"},
        {"PATCH", "/v1/services/ws", R"({"name": "y"})", "\"name\""},
        {"PATCH", "/v1/services/ws", R"({"check": {"interval": "1ms"}})",
         "1ms"},
        {"DELETE", "/v1/services/ws", R"({"force": "yes"})", "\"yes\""},
        {"DELETE", "/v1/tombstones/x", "", "\"x\""},
    };
    for (const Case& garbage : cases) {
      INFO(garbage.method << " " << garbage.target << " " << garbage.body);
      const std::string message =
          co_await fixture.Refused(400, "invalid_argument", garbage.method,
                                   garbage.target, garbage.body);
      CHECK_THAT(message, Contains(garbage.says));
    }
    CHECK(fixture.desired() == before);
    CHECK(fixture.Durable() == before);
    CHECK(fixture.log().last_seq() == 1);
  });
}

TEST_CASE("a table that is full is a limit that is named", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    int added = 0;
    while (added < 9) {
      const http::Response response = co_await fixture.Call(
          "POST", "/v1/services",
          absl::StrCat(R"({"name": "s)", added, R"(", "rows": 256,
                          "vip": "198.51.100.10:)",
                       1 + added, R"("})"));
      if (response.status != 200) {
        CHECK(response.status == 507);
        CHECK_THAT(response.body, Contains("resource_exhausted"));
        break;
      }
      ++added;
    }
    // The table has four places; id 0 means none.
    CHECK(added == 3);
    CHECK(fixture.Durable() == fixture.desired());
    CHECK(fixture.desired().services.size() == 3);
  });
}

}  // namespace
}  // namespace fairlead::control
