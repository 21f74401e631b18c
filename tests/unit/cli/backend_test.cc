#include <catch2/catch.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/json.h"
#include "tests/unit/cli/fake_api.h"
#include "tests/unit/cli/sample_answers.h"

namespace fairlead::cli {
namespace {

using Catch::Matchers::Contains;

constexpr char kDone[] = R"({"generation": 8})";

// The answer to GET of one backend of the sample.
std::string BackendAnswer(size_t index) {
  const Json service = *ParseJson(kWebService);
  Json answer = Json::object();
  answer["generation"] = 7;
  answer["backend"] = service["service"]["backends"][index];
  return answer.dump();
}

TEST_CASE("backend list prints the service and its backends by name",
          "[cli][backend]") {
  FakeApi api;
  api.On("GET /v1/services/web", kWebService);
  const std::string verb =
      GENERATE("backend list", "server ls", "real list", "target ls");
  CAPTURE(verb);
  REQUIRE(api.Run(verb + " web") == 0);
  CHECK(api.err().empty());
  CHECK(
      api.out() ==
      R"(web  198.51.100.10:443  least-conn  gue  guarantee sockets (1/2 agents)  available 1/2, need 1 ok  active 41,207  new 5,012
BACKEND  ADDRESS     STATE         WEIGHT  ACTIVE    NEW  CHECK                     AGENT           REASON
web1     192.0.2.11  up               100  10,402    512  http 200 3 ms             present 10,399  -
web2     192.0.2.12  draining 37%     100   7,551  1,200  http status-mismatch 500  absent          admin.drain
)");
}

TEST_CASE("backend list without a service prints all services by name",
          "[cli][backend]") {
  FakeApi api;
  api.On("GET /v1/services", R"({"generation": 1, "services": [
    {"name": "b", "vip": "198.51.100.2:80", "policy": "hash", "encap": "gue",
     "need": 1, "available": 0, "guarantee": "flow-table", "backends": []},
    {"name": "a", "vip": "198.51.100.1:80", "policy": "hash", "encap": "gue",
     "need": 0, "available": 0, "guarantee": "flow-table", "backends": [],
     "fail_open": true}]})");
  REQUIRE(api.Run("backend list") == 0);
  CHECK(
      api.out() ==
      R"(a  198.51.100.1:80  hash  gue  guarantee flow-table  available 0/0, need 0 ok  FAIL OPEN  active 0  new 0
BACKEND  ADDRESS  STATE  WEIGHT  ACTIVE  NEW  CHECK  AGENT  REASON

b  198.51.100.2:80  hash  gue  guarantee flow-table  available 0/0, need 1 NOT MET  active 0  new 0
BACKEND  ADDRESS  STATE  WEIGHT  ACTIVE  NEW  CHECK  AGENT  REASON
)");
}

TEST_CASE("backend list -o json prints the daemon's answer", "[cli][backend]") {
  FakeApi api;
  api.On("GET /v1/services/web/backends",
         R"({"generation":7,"backends":[{"name":"web1","active":10402}]})");
  REQUIRE(api.Run("backend list web -o json") == 0);
  CHECK(api.out() == R"({
  "generation": 7,
  "backends": [
    {
      "name": "web1",
      "active": 10402
    }
  ]
}
)");
}

TEST_CASE("backend show prints what is known about a draining backend",
          "[cli][backend]") {
  FakeApi api;
  api.On("GET /v1/services/web/backends/web2", BackendAnswer(0));
  REQUIRE(api.Run("backend show web web2") == 0);
  CHECK(api.out() == R"(name              web2
address           192.0.2.12
id                2
weight            100
state             draining 37%
reason            admin.drain
new connections   no
admin             drain
health            down
signal            none
last check        status-mismatch 500, 1s ago
drain             since 2026-11-20T12:00:00Z (1h2m), 7,551 of 12,000 connections left, counted by flow-table
agent             absent
next hop          none
active            7,551
pending           0
new               1,200
packets           1
bytes             1
repeated SYNs     2
)");
}

TEST_CASE("backend list and show say that a backend is full",
          "[cli][backend]") {
  FakeApi api;
  Json backend = Field(*ParseJson(BackendAnswer(1)), "backend");
  backend["state_text"] = "full (1000/1000)";
  backend["reason"] = "max-conn";
  backend["max_conn"] = 1000;
  backend["connections"] = 1000;
  backend["full"] = true;
  api.On("GET /v1/services/web/backends/web1",
         Json{{"backend", backend}}.dump());
  REQUIRE(api.Run("backend show web web1") == 0);
  CHECK_THAT(api.out(), Contains("state             full (1000/1000)\n") &&
                            Contains("reason            max-conn\n") &&
                            Contains("new connections   no, it is full\n") &&
                            Contains("max conn          1,000, has 1,000\n"));
  backend["accept_rate"] = 2000;
  api.On("GET /v1/services/web/backends/web2",
         Json{{"backend", backend}}.dump());
  REQUIRE(api.Run("backend show web web2") == 0);
  CHECK_THAT(api.out(), Contains("accept rate       2,000/s\n"));
}

TEST_CASE("backend show prints where a healthy backend is reached",
          "[cli][backend]") {
  FakeApi api;
  api.On("GET /v1/services/web/backends/192.0.2.11", BackendAnswer(1));
  REQUIRE(api.Run("backend show web 192.0.2.11") == 0);
  CHECK_THAT(api.out(),
             Catch::Contains("last check        success 200 3 ms, 1s ago\n") &&
                 Catch::Contains("agent             present 10,399\n") &&
                 Catch::Contains("next hop          eth0 02:00:00:00:00:01, "
                                 "path MTU 1500\n"));
}

TEST_CASE("backend show says what to do about a gateway", "[cli][backend]") {
  FakeApi api;
  Json answer = *ParseJson(BackendAnswer(1));
  answer["backend"]["reason"] = "route.gateway(192.0.2.254)";
  answer["backend"]["next_hop"]["gateway"] = "192.0.2.254";
  api.On("GET /v1/services/web/backends/192.0.2.11", answer.dump());
  REQUIRE(api.Run("backend show web 192.0.2.11") == 0);
  CHECK_THAT(
      api.out(),
      Catch::Contains("reason            route.gateway(192.0.2.254): "
                      "encap l2 reaches only who is on a link of this "
                      "host; put it there, or set --encap ipip or gue\n") &&
          Catch::Contains("path MTU 1500, by the gateway 192.0.2.254\n"));
}

TEST_CASE("a next hop is shown with its VLAN, and a missing one with why",
          "[cli][backend]") {
  FakeApi api;
  Json answer = *ParseJson(BackendAnswer(1));
  answer["backend"]["next_hop"]["interface"] = "eth0.7";
  answer["backend"]["next_hop"]["vlan"] = {{"id", 7}, {"on", "eth0"}};
  api.On("GET /v1/services/web/backends/192.0.2.11", answer.dump());
  REQUIRE(api.Run("backend show web 192.0.2.11") == 0);
  CHECK_THAT(api.out(), Catch::Contains("path MTU 1500, VLAN 7 on eth0\n"));

  FakeApi other;
  answer["backend"]["next_hop"] = nullptr;
  answer["backend"]["no_next_hop"] = "no route to 192.0.2.11";
  other.On("GET /v1/services/web/backends/192.0.2.11", answer.dump());
  REQUIRE(other.Run("backend show web 192.0.2.11") == 0);
  CHECK_THAT(other.out(), Catch::Contains("none: no route to 192.0.2.11\n"));
}

TEST_CASE("a check that goes another way than was asked says why",
          "[cli][backend]") {
  FakeApi api;
  api.On("GET /v1/services/web/backends/b", R"({"backend": {"name": "b",
    "check": {"outcome": "success", "detail": "", "via": "direct",
              "why_direct": "no route"}}})");
  REQUIRE(api.Run("backend show web b") == 0);
  CHECK_THAT(api.out(),
             Catch::Contains("straight, not via the VIP: no route\n"));
}

TEST_CASE("what a backend said cannot speak to the terminal",
          "[cli][backend]") {
  FakeApi api;
  api.On("GET /v1/services/web/backends/b", R"({"backend": {"name": "b",
    "check": {"outcome": "protocol", "detail": "\u001b]0;x\u0007\nGET"}}})");
  REQUIRE(api.Run("backend show web b") == 0);
  CHECK_THAT(api.out(), Catch::Contains("protocol, 0 ago: ?]0;x??GET\n"));
}

TEST_CASE("backend add sends what was given and is silent on success",
          "[cli][backend]") {
  FakeApi api;
  api.On("POST /v1/services/web/backends", kDone);
  REQUIRE(api.Run("backend add web 2001:db8::11") == 0);
  CHECK(api.SentLines() ==
        "POST /v1/services/web/backends {\"address\":\"2001:db8::11\"}\n");
  REQUIRE(api.Run("server add web 192.0.2.11 --name web1 --weight 50 "
                  "--if-generation 7 --dry-run -o json") == 0);
  CHECK(api.SentLines() ==
        "POST /v1/services/web/backends {\"if_generation\":7,\"dry_run\":true,"
        "\"address\":\"192.0.2.11\",\"name\":\"web1\",\"weight\":50}\n");
  REQUIRE(api.Run("backend add web 192.0.2.11") == 0);
  CHECK(api.out().empty());
  CHECK(api.err().empty());
}

TEST_CASE("backend add refuses a port and says why, without the daemon",
          "[cli][backend]") {
  const auto [address, plain] = GENERATE(table<std::string, std::string>({
      {"192.0.2.11:443", "192.0.2.11"},
      {"[2001:db8::11]:443", "2001:db8::11"},
  }));
  FakeApi api;
  REQUIRE(api.Run("backend add web " + address) == 1);
  CHECK(api.sent().empty());
  CHECK(api.err() ==
        absl::StrCat("fairlead: backend add: \"", address,
                     "\" has a port, and a backend has none of its own: it "
                     "answers clients directly, from the service's VIP and "
                     "port; give ",
                     plain, "\n"));
}

TEST_CASE("backend set and delete change one backend", "[cli][backend]") {
  FakeApi api;
  api.On("PATCH /v1/services/web/backends/web1", kDone);
  api.On("DELETE /v1/services/web/backends/web1", kDone);
  REQUIRE(api.Run("backend set web web1 --weight 7") == 0);
  CHECK(api.SentLines() ==
        "PATCH /v1/services/web/backends/web1 {\"weight\":7}\n");
  REQUIRE(api.Run("backend set web web1 --max-conn 10000") == 0);
  CHECK(api.SentLines() ==
        "PATCH /v1/services/web/backends/web1 {\"max_conn\":10000}\n");
  REQUIRE(api.Run("backend set web web1 --weight 7 --max-conn off") == 0);
  CHECK(api.SentLines() ==
        "PATCH /v1/services/web/backends/web1 "
        "{\"weight\":7,\"max_conn\":0}\n");
  CHECK(api.Run("backend set web web1") == 2);
  CHECK(api.err() ==
        "fairlead: backend set: nothing to set: give --weight, --max-conn or "
        "--accept-rate\n");
  for (const char* value : {"200/s", "200"}) {
    REQUIRE(api.Run(absl::StrCat("backend set web web1 --accept-rate ",
                                 value)) == 0);
    CHECK(api.SentLines() ==
          "PATCH /v1/services/web/backends/web1 {\"accept_rate\":200}\n");
  }
  REQUIRE(api.Run("backend set web web1 --accept-rate off") == 0);
  CHECK(api.SentLines() ==
        "PATCH /v1/services/web/backends/web1 {\"accept_rate\":0}\n");
  for (const char* value : {"0", "0/s", "none", "-1", "1000001", "5/m"})
    CHECK(api.Run(absl::StrCat("backend set web web1 --accept-rate ", value)) ==
          2);
  for (const char* value : {"0", "none", "-1", "100000001", "1k"})
    CHECK(api.Run(absl::StrCat("backend set web web1 --max-conn ", value)) ==
          2);
  CHECK(api.SentLines().empty());
  REQUIRE(api.Run("backend rm web web1 --force") == 0);
  CHECK(api.SentLines() ==
        "DELETE /v1/services/web/backends/web1 {\"force\":true}\n");
}

TEST_CASE("drain, ready and maint go by their other names too",
          "[cli][backend]") {
  const auto [word, verb] = GENERATE(table<std::string, std::string>({
      {"drain", "drain"},
      {"deregister", "drain"},
      {"ready", "ready"},
      {"undrain", "ready"},
      {"enable", "ready"},
      {"maint", "maint"},
      {"disable", "maint"},
  }));
  CAPTURE(word);
  const std::string what = "POST /v1/services/web/backends/web1/" + verb;
  FakeApi api;
  api.On(what, kDone);
  REQUIRE(api.Run(absl::StrCat("backend ", word, " web web1")) == 0);
  CHECK(api.SentLines() == what + " {}\n");
  CHECK(api.out().empty());
}

TEST_CASE("a mistyped name among several backends changes none of them",
          "[cli][backend]") {
  FakeApi api;
  api.On("POST /v1/services/web/backends/web1/drain", kDone);
  api.OnError("POST /v1/services/web/backends/wbe2/drain", 404, "not_found",
              "no backend \"wbe2\" in web (have: web1, web2)");
  REQUIRE(api.Run("backend drain web web1 wbe2") == 4);
  CHECK(api.SentLines() ==
        "POST /v1/services/web/backends/web1/drain {\"dry_run\":true}\n"
        "POST /v1/services/web/backends/wbe2/drain {\"dry_run\":true}\n");
  CHECK(api.err() ==
        "fairlead: backend drain: wbe2: nothing was changed: no backend "
        "\"wbe2\" in web (have: web1, web2)\n");
}

TEST_CASE("each of several backends expects what the one before has left",
          "[cli][backend]") {
  FakeApi api;
  api.On("POST /v1/services/web/backends/a/ready", R"({"generation": 7})");
  api.On("POST /v1/services/web/backends/a/ready", R"({"generation": 8})");
  api.On("POST /v1/services/web/backends/b/ready", R"({"generation": 7})");
  api.On("POST /v1/services/web/backends/b/ready", R"({"generation": 9})");
  REQUIRE(api.Run("backend ready web a b --if-generation 7") == 0);
  REQUIRE(api.sent().size() == 4);
  CHECK(api.sent()[2].body == R"({"if_generation":7})");
  CHECK(api.sent()[3].body == R"({"if_generation":8})");
}

TEST_CASE("a refusal half-way says for which backends it was done",
          "[cli][backend]") {
  FakeApi api;
  api.On("POST /v1/services/web/backends/a/drain", kDone);
  api.On("POST /v1/services/web/backends/b/drain", kDone);
  api.OnError("POST /v1/services/web/backends/b/drain", 412, "precondition",
              "1 backend would remain of 2 needed");
  REQUIRE(api.Run("backend drain web a b") == 5);
  CHECK(api.err() ==
        "fairlead: backend drain: b: done for a only: 1 backend would remain "
        "of 2 needed (--force overrides)\n");
}

TEST_CASE("--dry-run prints the plan", "[cli][backend]") {
  FakeApi api;
  api.On("POST /v1/services/web/backends/web1/drain",
         R"({"generation": 7, "plan": ["cordon web1", "write line 3"]})");
  REQUIRE(api.Run("backend drain web web1 --dry-run") == 0);
  CHECK(api.out() == "cordon web1\nwrite line 3\n");
  FakeApi idle;
  idle.On("POST /v1/services/web/backends/web1/drain",
          R"({"generation": 7, "plan": []})");
  REQUIRE(idle.Run("backend drain web web1 --dry-run") == 0);
  CHECK(idle.out() == "nothing to do\n");
}

}  // namespace
}  // namespace fairlead::cli
