// What all changes share: who may, when not, and what a failure leaves behind.
#include <catch2/catch.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "event/scope.h"
#include "tests/unit/control/fixture.h"

namespace fairlead::control {
namespace {

using Catch::Matchers::Contains;

event::PeerCredentials Member(gid_t group) {
  return {.pid = 1, .uid = 1000, .gid = group};
}

constexpr char kBackends[] = "/v1/services/ws/backends";
constexpr char kWeb1[] = R"({"name": "web1", "address": "192.0.2.11"})";

TEST_CASE("a role may do what it is for and no more", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    co_await fixture.AddBackend("web1", "192.0.2.11");
    co_await fixture.AddBackend("web2", "192.0.2.12");
    struct Case {
      const char* method;
      const char* target;
      Role needed;
    };
    const Case cases[] = {
        {"GET", "/v1/services", Role::kViewer},
        {"GET", "/v1/services/ws", Role::kViewer},
        {"GET", "/v1/services/ws/backends", Role::kViewer},
        {"GET", "/v1/services/ws/backends/web1", Role::kViewer},
        {"GET", "/v1/tombstones", Role::kViewer},
        {"GET", "/v1/status", Role::kViewer},
        {"GET", "/v1/verdicts", Role::kViewer},
        {"GET", "/v1/events", Role::kViewer},
        {"POST", "/v1/services/ws/backends/web1/drain", Role::kOperator},
        {"POST", "/v1/services/ws/backends/web1/ready", Role::kOperator},
        {"POST", "/v1/services/ws/backends/web1/maint", Role::kOperator},
        {"POST", "/v1/services", Role::kAdmin},
        {"PATCH", "/v1/services/ws", Role::kAdmin},
        {"DELETE", "/v1/services/ws", Role::kAdmin},
        {"POST", "/v1/services/ws/backends", Role::kAdmin},
        {"PATCH", "/v1/services/ws/backends/web1", Role::kAdmin},
        {"DELETE", "/v1/services/ws/backends/web1", Role::kAdmin},
        {"DELETE", "/v1/tombstones/198.51.100.1:1", Role::kAdmin},
        {"POST", "/v1/node/detach", Role::kAdmin},
    };
    for (const Case& one : cases) {
      INFO(one.method << " " << one.target);
      const std::pair<gid_t, Role> members[] = {{5, Role::kNone},
                                                {kViewers, Role::kViewer},
                                                {kOperators, Role::kOperator}};
      for (const auto& [group, role] : members) {
        // A dry run, so that the next one finds the same.
        const http::Response response = co_await fixture.Call(
            one.method, one.target, R"({"dry_run": true})", Member(group));
        INFO(response.body);
        CHECK((response.status == 403) == (role < one.needed));
      }
    }
    CHECK(fixture.desired().generation == 3);
    CHECK(fixture.host().detaches.empty());
  });
}

TEST_CASE("a caller without credentials is refused", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    http::Request request = {.path = "/v1/status"};
    const http::Response response =
        co_await fixture.api().Handle(std::move(request));
    CHECK(response.status == 403);
    const std::string message = co_await fixture.Refused(
        403, "permission_denied", "POST", "/v1/services", "", Member(kViewers));
    CHECK_THAT(message,
               Contains("role admin") && Contains("access.admin_group"));
  });
}

TEST_CASE("a change for another generation is refused", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    for (const char* body : {R"({"need": 2, "if_generation": 0})",
                             R"({"need": 2, "if_generation": 2})"}) {
      const std::string message = co_await fixture.Refused(
          412, "precondition", "PATCH", "/v1/services/ws", body);
      CHECK_THAT(message, Contains("generation 1"));
    }
    const Json answer = co_await fixture.Good(
        "PATCH", "/v1/services/ws", R"({"need": 2, "if_generation": 1})");
    CHECK(answer["generation"] == 2);
  });
}

TEST_CASE("a dry run tells the plan and changes nothing", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    const core::DesiredState before = fixture.desired();
    const uint64_t writes = fixture.tables().writes();
    const Json answer = co_await fixture.Good(
        "POST", kBackends, R"({"address": "192.0.2.11", "dry_run": true})");
    CHECK(answer["generation"] == 1);
    REQUIRE(answer["plan"].size() >= 1);
    CHECK(answer["plan"][0].is_string());
    CHECK(fixture.desired() == before);
    CHECK(fixture.Durable() == before);
    CHECK(fixture.tables().writes() == writes);
    CHECK(fixture.log().last_seq() == 1);
    // It refuses what the change would be refused.
    co_await fixture.Refused(
        400, "invalid_argument", "POST", kBackends,
        R"({"address": "192.0.2.11", "weight": 0, "dry_run": true})");
  });
}

TEST_CASE("a state that cannot be saved refuses the change", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    const core::DesiredState before = fixture.desired();
    const uint64_t writes = fixture.tables().writes();
    const std::string blocker = fixture.folder().File("desired.json.tmp");
    std::filesystem::create_directory(blocker);
    const std::string message =
        co_await fixture.Refused(500, "internal", "POST", kBackends, kWeb1);
    CHECK_THAT(message, Contains("desired.json"));
    CHECK(fixture.desired() == before);
    CHECK(fixture.Durable() == before);
    CHECK(fixture.tables().writes() == writes);
    CHECK(fixture.log().last_seq() == 1);
    CHECK(fixture.changed() == 1);

    std::filesystem::remove(blocker);
    co_await fixture.AddBackend("web1", "192.0.2.11");
    CHECK(fixture.desired().generation == 2);
  });
}

TEST_CASE("a state folder that vanished refuses the change", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    std::filesystem::remove_all(fixture.folder().path());
    co_await fixture.Refused(
        500, "internal", "POST", "/v1/services",
        R"({"name": "ws", "vip": "198.51.100.10:443", "rows": 256})");
    CHECK(fixture.desired() == core::DesiredState());
  });
}

TEST_CASE("a change that the tables refuse is taken back", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    core::DesiredState before = fixture.desired();
    const std::vector<std::string> alarms = fixture.controller().Alarms();
    fixture.tables().FailPuts(1);
    const http::Response response = co_await fixture.Call(
        "POST", "/v1/services",
        R"({"name": "api", "vip": "198.51.100.11:443", "rows": 256})");
    INFO(response.body);
    CHECK(response.status == 507);
    CHECK(fixture.tables().services().size() == 1);
    // The state before, as a state of its own.
    before.generation = fixture.desired().generation;
    CHECK(before.generation > 1);
    CHECK(fixture.desired() == before);
    CHECK(fixture.Durable() == before);
    CHECK(fixture.controller().Alarms() == alarms);
    CHECK(fixture.log().last_seq() == 1);

    co_await fixture.AddBackend("web1", "192.0.2.11");
    CHECK(fixture.Durable() == fixture.desired());
  });
}

TEST_CASE("a change whose audit record cannot be written says that it is done",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    const std::string file = fixture.folder().File("events.jsonl");
    std::filesystem::create_directory(file);
    const std::string message =
        co_await fixture.Refused(500, "internal", "POST", "/v1/services",
                                 R"({"name": "ws", "rows": 256,
                                     "vip": "198.51.100.10:443"})");
    CHECK_THAT(message, Contains("generation 1 is in effect") &&
                            Contains("events.jsonl"));
    CHECK(fixture.Durable() == fixture.desired());
    CHECK(fixture.changed() == 1);
    // The record is not lost.
    std::filesystem::remove(file);
    co_await fixture.AddBackend("web1", "192.0.2.11");
    EventLog next(fixture.loop(), fixture.folder().path());
    event::ExpectOk(co_await next.Open());
    CHECK(next.Newest(9).size() == 2);
  });
}

TEST_CASE("changes at the same time are made one after the other",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    std::vector<uint64_t> generations;
    event::Scope clients(co_await event::CurrentScope());
    const auto add = [&](int number) -> Task<void> {
      const Json answer = co_await fixture.Good(
          "POST", kBackends,
          absl::StrCat(R"({"address": "192.0.2.)", number, R"("})"));
      generations.push_back(answer["generation"].get<uint64_t>());
    };
    for (int i = 1; i <= 4; ++i) clients.Spawn(add(i));
    co_await clients.Join();
    CHECK(generations == std::vector<uint64_t>{2, 3, 4, 5});
    CHECK(fixture.desired().services.at("ws").backends.size() == 4);
    CHECK(fixture.Durable() == fixture.desired());
    CHECK(fixture.log().last_seq() == 5);
  });
}

TEST_CASE("of two changes for one generation one is refused",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    std::vector<int> statuses;
    event::Scope clients(co_await event::CurrentScope());
    const auto set = [&](int need) -> Task<void> {
      const http::Response response = co_await fixture.Call(
          "PATCH", "/v1/services/ws",
          absl::StrCat(R"({"if_generation": 1, "need": )", need, "}"));
      statuses.push_back(response.status);
    };
    clients.Spawn(set(2));
    clients.Spawn(set(3));
    co_await clients.Join();
    CHECK(statuses == std::vector<int>{200, 412});
    CHECK(fixture.desired().services.at("ws").need == 2);
  });
}

TEST_CASE("a client that goes away does not leave a change half-way",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    event::Scope client(co_await event::CurrentScope());
    const auto add = [&]() -> Task<void> { co_await fixture.AddService(); };
    client.Spawn(add());
    co_await fixture.loop().Yield();
    CHECK(fixture.desired().generation == 0);
    client.Cancel();
    co_await client.Join();
    CHECK(fixture.desired().generation == 1);
    CHECK(fixture.Durable() == fixture.desired());
    CHECK(fixture.log().last_seq() == 1);
  });
}

TEST_CASE("a daemon that stops refuses changes and still answers reads",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    fixture.changes().Cancel();
    const std::string message =
        co_await fixture.Refused(503, "unavailable", "POST", kBackends, kWeb1);
    CHECK_THAT(message, Contains("stopping"));
    co_await fixture.Good("GET", "/v1/services");
    CHECK(fixture.desired().generation == 1);
  });
}

TEST_CASE("what the controller changed by itself is made durable on request",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    co_await fixture.AddBackend("web1", "192.0.2.11");
    co_await fixture.Good("DELETE", "/v1/services/ws/backends/web1");
    CHECK(fixture.Durable().quarantine.size() == 1);
    for (int i = 1; i <= 2; ++i)
      fixture.controller().OnFlowScan(
          {}, fixture.loop().WallNow() + absl::Seconds(i),
          fixture.loop().Now());
    REQUIRE(fixture.controller().TakeDirty());
    event::ExpectOk(co_await fixture.api().Persist());
    CHECK(fixture.Durable().quarantine.empty());
    CHECK(fixture.Durable() == fixture.desired());
  });
}

TEST_CASE("a restart finds what was acknowledged", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    co_await fixture.AddBackend("web1", "192.0.2.11");
    co_await fixture.Good("POST", "/v1/services/ws/backends/web1/drain",
                          R"({"force": true})");
    Store store(fixture.loop(), fixture.folder().path());
    const core::DesiredState loaded = event::ValueOf(co_await store.Load());
    CHECK(loaded == fixture.desired());
    CHECK(loaded.services.at("ws").backends.at("web1").drain.has_value());
  });
}

}  // namespace
}  // namespace fairlead::control
