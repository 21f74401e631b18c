// Routing, and what is asked of the node: status, verdicts, flows, detach.
#include <catch2/catch.hpp>
#include <string>

#include "fairlead/abi/flow_slot.h"
#include "fairlead/abi/maps.h"
#include "tests/unit/control/fixture.h"

namespace fairlead::control {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("an unknown path is not found, with the one that was meant",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    const std::string typo =
        co_await fixture.Refused(404, "not_found", "GET", "/v1/service");
    CHECK_THAT(typo, Contains("did you mean \"/v1/services\"?"));
    const std::string verb = co_await fixture.Refused(
        404, "not_found", "POST", "/v1/services/ws/backends/web1/drian");
    CHECK_THAT(verb, Contains("\"/v1/services/ws/backends/web1/drain\""));
    for (const char* path : {"/", "/v1", "/v1/services/", "/v2/services",
                             "/v1/services/ws/backends/web1/drain/now",
                             "/v1/services//backends", "*"}) {
      INFO(path);
      co_await fixture.Refused(404, "not_found", "GET", path);
    }
  });
}

TEST_CASE("another method is not allowed, with those that are",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    const http::Response response =
        co_await fixture.Call("PUT", "/v1/services");
    CHECK(response.status == 405);
    CHECK(response.header("allow") == "GET, POST");
    CHECK_THAT(response.body, Contains("PUT") && Contains("GET, POST"));
    const http::Response head = co_await fixture.Call("HEAD", "/v1/services");
    CHECK(head.status == 200);
    co_await fixture.Refused(405, "invalid_argument", "GET", "/v1/node/detach");
  });
}

TEST_CASE("bytes that are no text come back in an answer that is JSON",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    const http::Response response =
        co_await fixture.Call("GET", "/v1/services/\xff\"\n");
    CHECK(response.status == 404);
    CHECK(ParseJson(response.body).ok());
  });
}

TEST_CASE("the status tells the node, its tables, services and alarms",
          "[control][api]") {
  ApiFixture fixture;
  fixture.host().status = {.name = "lb1",
                           .id = 3,
                           .version = "0.1.0",
                           .uptime = absl::Milliseconds(61'900),
                           .pid = 42,
                           .interfaces = {{"eth0", "native", 1500}},
                           .flows = {1, 2, 32},
                           .rows = {3, 4},
                           .services = {5, 6},
                           .backends = {7, 8},
                           .prefixes = {9, 10, 11},
                           .sources = {0, 12, 13},
                           .counted_sources = {0, 14, 15}};
  fixture.host().alarms = {"the disk is slow"};
  fixture.Run([&]() -> Task<void> {
    const Json status = co_await fixture.Good("GET", "/v1/status");
    CHECK(status.dump() ==
          R"({"generation":0,"version":"0.1.0",)"
          R"("node":{"name":"lb1","id":3,"uptime_seconds":61,"pid":42},)"
          R"("interfaces":[{"name":"eth0","mode":"native","mtu":1500}],)"
          R"("tables":{"flows":{"used":1,"size":2,"bytes":32},)"
          R"("rows":{"used":3,"size":4,"bytes":0},)"
          R"("services":{"used":5,"size":6,"bytes":0},)"
          R"("backends":{"used":7,"size":8,"bytes":0},)"
          R"("prefixes":{"used":9,"size":10,"bytes":11},)"
          R"("sources":{"size":12,"bytes":13},)"
          R"("counted_sources":{"size":14,"bytes":15}},)"
          R"("peers":[],"services":[],"alarms":["the disk is slow"]})");
    // A service without backends is an alarm of the controller's.
    co_await fixture.AddService();
    const Json with_service = co_await fixture.Good("GET", "/v1/status");
    CHECK(with_service["services"][0]["name"] == "ws");
    REQUIRE(with_service["alarms"].size() == 2);
    CHECK(with_service["alarms"][1] == "the disk is slow");
    const std::string extra = co_await fixture.Refused(
        400, "invalid_argument", "GET", "/v1/status?verbose=1");
    CHECK_THAT(extra, Contains("\"verbose\""));
  });
}

TEST_CASE("every verdict is told with its count and help", "[control][api]") {
  ApiFixture fixture;
  fixture.host().verdicts.assign(FL_LB_VERDICT_COUNT, 0);
  fixture.host().verdicts[FL_LB_TX_HIT] = 7;
  fixture.host().verdicts[FL_LB_PASS_NOT_IP] = 5;
  fixture.host().check_verdicts.assign(FL_PROBE_VERDICT_COUNT, 0);
  fixture.host().check_verdicts[FL_PROBE_TX_PROBE] = 9;
  fixture.Run([&]() -> Task<void> {
    const Json answer = co_await fixture.Good("GET", "/v1/verdicts");
    CHECK(answer["generation"] == 0);
    CHECK(answer["packets"] == 12);
    REQUIRE(answer["verdicts"].size() == FL_LB_VERDICT_COUNT);
    CHECK(answer["verdicts"][FL_LB_TX_HIT].dump() ==
          R"({"name":"TX_HIT","action":"TX","count":7,)"
          R"("help":"segment of a recorded flow, to the flow's backend"})");
    REQUIRE(answer["checks"].size() == FL_PROBE_VERDICT_COUNT);
    CHECK(answer["checks"][FL_PROBE_TX_PROBE].dump() ==
          R"({"name":"TX_PROBE","action":"TX","count":9,)"
          R"("help":"of a health check, encapsulated for its backend"})");
  });
}

// "ws" with web1 and web2; the row of every flow lists both.
Task<void> AddFlowService(ApiFixture& fixture) {
  co_await fixture.AddService();
  co_await fixture.AddBackend("web1", "192.0.2.11");
  co_await fixture.AddBackend("web2", "192.0.2.12");
  const auto& backends = fixture.desired().services.at("ws").backends;
  const core::BackendId web1 = backends.at("web1").id;
  const core::BackendId web2 = backends.at("web2").id;
  const uint64_t up = FL_BACKEND_USED | FL_BACKEND_ELIGIBLE |
                      FL_BACKEND_FAIL_OPEN | FL_BACKEND_NEXT_HOP;
  fixture.host().lines = {
      {web1,
       {.state = up, .live = 10, .pending = 2, .load = 12, .weight = 100}},
      {web2, {.state = up, .live = 3, .pending = 0, .load = 3, .weight = 50}}};
  fixture.host().facts = {
      .tag = 0xabc,
      .row = 17,
      .words = {.candidates = core::PackWord({web1, web2, 0, 0})}};
}

constexpr char kFlow[] = "src=203.0.113.7:40000&dst=198.51.100.10:443";

TEST_CASE("a flow is looked up", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await AddFlowService(fixture);
    const Json unrecorded =
        co_await fixture.Good("GET", absl::StrCat("/v1/flows/lookup?", kFlow));
    CHECK(unrecorded.dump() ==
          R"({"generation":3,"service":"ws","tag":"0x0000000000000abc",)"
          R"("row":17,"source_connections":null,"slot":null})");
    REQUIRE(fixture.host().last_flow.has_value());
    CHECK(fixture.host().last_flow->client.ToString() == "203.0.113.7:40000");

    fixture.host().facts.slot = {
        .state = FL_SLOT_ESTABLISHED,
        .backend = fixture.desired().services.at("ws").backends.at("web1").id,
        .age = absl::Seconds(12),
        .idle = absl::Milliseconds(900)};
    const Json recorded =
        co_await fixture.Good("GET", absl::StrCat("/v1/flows/lookup?", kFlow));
    CHECK(recorded["slot"].dump() ==
          R"({"state":"established","backend":"web1","age_seconds":12,)"
          R"("idle_seconds":0})");
    fixture.host().facts.slot->backend = 9;
    const Json deleted =
        co_await fixture.Good("GET", absl::StrCat("/v1/flows/lookup?", kFlow));
    CHECK(deleted["slot"]["backend"] == "#9 (deleted)");
  });
}

TEST_CASE("a flow is explained, also as if a backend were draining",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await AddFlowService(fixture);
    const std::string path = absl::StrCat("/v1/flows/explain?", kFlow);
    const Json answer = co_await fixture.Good("GET", path);
    CHECK(answer["row"] == 17);
    CHECK(answer["slot"].is_null());
    REQUIRE(answer["members"].size() == 2);
    CHECK(answer["members"][0].dump() ==
          R"({"backend":"web1","rank":1,"role":"candidate",)"
          R"("why":"rank 1 of the rendezvous order","eligible":true,)"
          R"("full":false,"at_accept_rate":false,)"
          R"("load":12,"weight":100,"socket":null})");
    CHECK(answer["syn"].dump() ==
          R"({"backend":"web1","verdict":"TX_SYN_NEW",)"
          R"("why":"new flow: web1 is the first eligible candidate",)"
          R"("hops":["web1"]})");
    CHECK(answer["segment"]["verdict"] == "TX_MISS");

    const Json drained =
        co_await fixture.Good("GET", path + "&if_drain=192.0.2.11");
    CHECK(drained["syn"]["backend"] == "web2");
    CHECK(drained["members"][0]["eligible"] == false);
    const std::string unknown = co_await fixture.Refused(
        404, "not_found", "GET", path + "&if_drain=web9");
    CHECK_THAT(unknown, Contains("web9"));
  });
}

TEST_CASE("the agents of a flow's members are asked for its socket",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await AddFlowService(fixture);
    const auto& backends = fixture.desired().services.at("ws").backends;
    const core::BackendId web2 = backends.at("web2").id;
    const std::string path = absl::StrCat("/v1/flows/explain?", kFlow);
    (void)co_await fixture.Good("GET", path);
    CHECK(fixture.host().asked.backends.empty());

    (void)co_await fixture.Good("PATCH", "/v1/services/ws",
                                R"({"agent_port": 6082})");
    fixture.host().sockets = {{web2, "established"}};
    const Json answer = co_await fixture.Good("GET", path);
    CHECK(fixture.host().asked.agent_port == 6082);
    CHECK(fixture.host().asked.backends.size() == 2);
    CHECK(fixture.host().asked.flow.client.ToString() == "203.0.113.7:40000");
    CHECK(answer["members"][0]["socket"].is_null());
    CHECK(answer["members"][1]["socket"] == "established");
  });
}

TEST_CASE("a flow that cannot be is refused", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await AddFlowService(fixture);
    struct Case {
      int status;
      const char* query;
      const char* says;
    };
    const Case cases[] = {
        {400, "", "\"src\" is missing"},
        {400, "src=203.0.113.7:1", "\"dst\" is missing"},
        {400, "src=203.0.113.7&dst=198.51.100.10:443", "203.0.113.7"},
        {400, "src=[2001:db8::1]:1&dst=198.51.100.10:443", "address family"},
        {400, "src=203.0.113.7:1&dst=198.51.100.10:443&proto=udp", "proto"},
        {404, "src=203.0.113.7:1&dst=198.51.100.10:80", "198.51.100.10:443"},
    };
    for (const char* path : {"/v1/flows/lookup?", "/v1/flows/explain?"}) {
      for (const Case& one : cases) {
        INFO(path << one.query);
        const std::string message = co_await fixture.Refused(
            one.status, one.status == 404 ? "not_found" : "invalid_argument",
            "GET", absl::StrCat(path, one.query));
        CHECK_THAT(message, Contains(one.says));
      }
    }
    co_await fixture.Good("DELETE", "/v1/services/ws", R"({"force": true})");
    const std::string deleted = co_await fixture.Refused(
        404, "not_found", "GET", absl::StrCat("/v1/flows/lookup?", kFlow));
    CHECK_THAT(deleted, Contains("was deleted"));
  });
}

TEST_CASE("detach is done once it is asked for, and logged", "[control][api]") {
  ApiFixture fixture;
  fixture.host().status.interfaces = {{"eth0", "native", 1500},
                                      {"eth1", "native", 1500}};
  fixture.Run([&]() -> Task<void> {
    const Json plan = co_await fixture.Good("POST", "/v1/node/detach",
                                            R"({"dry_run": true})");
    CHECK(plan["plan"].size() == 2);
    CHECK_THAT(plan["plan"][0].get<std::string>(), Contains("eth0, eth1"));
    co_await fixture.Refused(412, "precondition", "POST", "/v1/node/detach",
                             R"({"if_generation": 7})");
    co_await fixture.Refused(400, "invalid_argument", "POST", "/v1/node/detach",
                             R"({"frce": true})");
    CHECK(fixture.host().detaches.empty());

    fixture.host().detached =
        absl::FailedPreconditionError("packets arrive; force overrides");
    const std::string refused = co_await fixture.Refused(
        412, "precondition", "POST", "/v1/node/detach");
    CHECK_THAT(refused, Contains("packets arrive"));
    CHECK(fixture.log().last_seq() == 0);

    fixture.host().detached = absl::OkStatus();
    co_await fixture.Good("POST", "/v1/node/detach", R"({"force": true})");
    CHECK(fixture.host().detaches == std::vector<bool>{false, true});
    CHECK(fixture.log().Newest(1)[0].event.type == "node.detach");
  });
}

TEST_CASE("errors have the codes of the documentation", "[control][api]") {
  const std::pair<absl::Status, int> cases[] = {
      {absl::InvalidArgumentError("m"), 400},
      {absl::PermissionDeniedError("m"), 403},
      {absl::NotFoundError("m"), 404},
      {absl::AlreadyExistsError("m"), 409},
      {absl::FailedPreconditionError("m"), 412},
      {absl::ResourceExhaustedError("m"), 507},
      {absl::UnavailableError("m"), 503},
      {absl::CancelledError("m"), 503},
      {absl::InternalError("m"), 500},
      {absl::DataLossError("m"), 500},
  };
  for (const auto& [error, http_status] : cases)
    CHECK(ErrorAnswer(error).status == http_status);
  CHECK(ErrorAnswer(absl::NotFoundError("no service \"web\"")).body ==
        "{\"error\":{\"code\":\"not_found\","
        "\"message\":\"no service \\\"web\\\"\"}}\n");
}

}  // namespace
}  // namespace fairlead::control
