#include <catch2/catch.hpp>
#include <string>

#include "tests/unit/cli/fake_api.h"
#include "tests/unit/cli/sample_answers.h"

namespace fairlead::cli {
namespace {

constexpr char kDone[] = R"({"generation": 8})";

TEST_CASE("service add sends name, VIP and only the settings that were given",
          "[cli][service]") {
  FakeApi api;
  api.On("POST /v1/services", kDone);
  REQUIRE(api.Run("service add web 198.51.100.10:443") == 0);
  CHECK(api.SentLines() ==
        "POST /v1/services {\"name\":\"web\",\"vip\":\"198.51.100.10:443\"}\n");
  CHECK(api.out().empty());
  REQUIRE(
      api.Run("vip add ws [2001:db8::10]:443 --policy least-conn "
              "--choices 2 --encap gue --need 0 --syn-budget 20000/s "
              "--slow-start 45s --panic 50% --assume-up on --flap-damping off "
              "--shed reset "
              "--rows 256 --agent-port 0 "
              "--source-rate 50 --source-burst 70 --source-conns 20 "
              "--source-prefix4 24 "
              "--source-prefix6 48 "
              "--check http --check-via direct --check-port 8080 "
              "--check-path /h --check-host "
              "ws.example --check-status 200-204 --check-interval 500ms "
              "--check-timeout 1s --rise 1 --fall 5") == 0);
  CHECK(api.SentLines() ==
        "POST /v1/services {\"name\":\"ws\",\"vip\":\"[2001:db8::10]:443\","
        "\"policy\":\"least-conn\",\"choices\":2,\"encap\":\"gue\",\"need\":0,"
        "\"syn_budget\":\"20000/"
        "s\",\"slow_start\":\"45s\",\"panic\":\"50%\",\"assume_up\":true,"
        "\"flap_damping\":"
        "false,\"shed\":\"reset\",\"rows\":256,\"agent_"
        "port\":0,\"source_"
        "rate\":50,"
        "\"source_burst\":70,\"source_conns\":20,\"source_prefix4\":24,"
        "\"source_prefix6\":48,"
        "\"check\":{\"type\":\"http\",\"via\":\"direct\","
        "\"port\":8080,\"path\":\"/h\",\"host\":\"ws.example\","
        "\"status\":\"200-204\",\"interval\":\"500ms\",\"timeout\":\"1s\","
        "\"rise\":1,\"fall\":5}}\n");
}

TEST_CASE("all that a check may ask for is sent", "[cli][service]") {
  FakeApi api;
  api.On("PATCH /v1/services/web", kDone);
  REQUIRE(api.Run("service set --check wss --check-header X-Probe:yes "
                  "--check-header y:1 web --check-method HEAD --check-status "
                  "200-399,500=drain --check-body fine --check-subprotocol "
                  "chat --check-verify off --check-server-name ws.example "
                  "--check-ca /etc/ca.pem") == 0);
  CHECK(api.SentLines() ==
        "PATCH /v1/services/web {\"check\":{\"type\":\"wss\",\"headers\":"
        "{\"X-Probe\":\"yes\",\"y\":\"1\"},\"method\":\"HEAD\","
        "\"status\":\"200-399,500=drain\",\"body\":\"fine\","
        "\"subprotocol\":\"chat\",\"verify\":false,"
        "\"server_name\":\"ws.example\",\"ca_file\":\"/etc/ca.pem\"}}\n");
  REQUIRE(api.Run("service set web --check-header none --check-verify on") ==
          0);
  CHECK(api.SentLines() ==
        "PATCH /v1/services/web "
        "{\"check\":{\"headers\":{},\"verify\":true}}\n");
  CHECK(api.Run("service set web --check-header nothing") == 2);
  CHECK_THAT(api.err(), Catch::Contains("write \"Name: value\""));
}

TEST_CASE("service set changes only what was given, and something",
          "[cli][service]") {
  FakeApi api;
  api.On("PATCH /v1/services/web", kDone);
  REQUIRE(api.Run("service set web --check-interval 1s --need 2") == 0);
  CHECK(api.SentLines() ==
        "PATCH /v1/services/web {\"need\":2,\"check\":{\"interval\":\"1s\"}}"
        "\n");
  CHECK(api.Run("service set web --dry-run") == 2);
  CHECK(api.sent().empty());
  CHECK_THAT(api.err(), Catch::Contains("nothing to set"));
}

TEST_CASE("service set has no --rows: they are fixed", "[cli][service]") {
  FakeApi api;
  CHECK(api.Run("service set web --rows 256") == 2);
  CHECK(api.sent().empty());
}

TEST_CASE("service list is a table by name", "[cli][service]") {
  FakeApi api;
  api.On("GET /v1/services", R"j({"generation": 1, "services": [
    {"name": "web", "vip": "198.51.100.10:443", "policy": "least-conn",
     "encap": "gue", "need": 2, "available": 1, "active": 1200, "new_flows":
     5012, "guarantee": "sockets (3/3 agents)", "backends": [{}, {}, {}]},
    {"name": "api", "vip": "[2001:db8::10]:443", "policy": "hash",
     "encap": "gue", "need": 1, "available": 0, "active": 0, "new_flows": 0,
     "guarantee": "flow-table (0/1 agents)", "backends": [{}]}]})j");
  REQUIRE(api.Run("service list") == 0);
  CHECK(
      api.out() ==
      R"(SERVICE  VIP                 POLICY      ENCAP  AVAILABLE  NEED  ACTIVE    NEW  GUARANTEE
api      [2001:db8::10]:443  hash        gue          0/1     1       0      0  flow-table (0/1 agents)
web      198.51.100.10:443   least-conn  gue          1/3     2   1,200  5,012  sockets (3/3 agents)
)");
}

TEST_CASE("service show prints settings, counters and backends",
          "[cli][service]") {
  FakeApi api;
  api.On("GET /v1/services/web", kWebService);
  REQUIRE(api.Run("service show web") == 0);
  CHECK(api.out() == R"(name              web
vip               198.51.100.10:443
id                1
policy            least-conn, choices 2
encap             gue
guarantee         sockets (1/2 agents)
settled           yes
available         1/2
need              1
syn budget        30,517/s (default)
slow start        30s
panic             40%
assume up         on
flap damping      off
shed              reset
fail open         no
rows              16,384
agent port        6082
check             http port of the service, GET /health, status 200-299, every 2s, timeout 1s, rise 2, fall 3
sources           allow 1, deny 2 and all others
source rate       100 new connections a second, 100 at once, from each /32
source conns      20 connections from each /32
active            41,207
new               5,012
packets           1,234,567
bytes             7,654,321
denied            3,100
over source rate  17
over conns        5
uncounted         1
misses            3
over budget       12

BACKEND  ADDRESS     STATE         WEIGHT  ACTIVE    NEW  CHECK                     AGENT           REASON
web1     192.0.2.11  up               100  10,402    512  http 200 3 ms             present 10,399  -
web2     192.0.2.12  draining 37%     100   7,551  1,200  http status-mismatch 500  absent          admin.drain
)");
}

TEST_CASE("service delete says that --force overrides a refusal",
          "[cli][service]") {
  FakeApi api;
  api.OnError("DELETE /v1/services/web", 412, "precondition",
              "2 backends and 41207 flows are left");
  REQUIRE(api.Run("service rm web") == 5);
  CHECK(api.err() ==
        "fairlead: service delete: 2 backends and 41207 flows are left "
        "(--force overrides)\n");
  REQUIRE(api.Run("service delete web --force") == 5);
  CHECK(api.SentLines() == "DELETE /v1/services/web {\"force\":true}\n");
  CHECK_THAT(api.err(), !Catch::Contains("overrides"));
  REQUIRE(api.Run("service delete web --if-generation 3") == 5);
  CHECK_THAT(api.err(), !Catch::Contains("overrides"));
}

TEST_CASE("tombstones are listed and cleared", "[cli][service]") {
  FakeApi api;
  api.On("GET /v1/tombstones", R"({"generation": 3, "tombstones": [
    {"vip": "198.51.100.10:443", "service": "web",
     "since": "2026-11-20T12:00:00Z", "packets": 1234}]})");
  api.On("DELETE /v1/tombstones/198.51.100.10:443", kDone);
  REQUIRE(api.Run("service tombstone list") == 0);
  CHECK(api.out() ==
        "VIP                SERVICE  SINCE                 DROPPED\n"
        "198.51.100.10:443  web      2026-11-20T12:00:00Z    1,234\n");
  REQUIRE(api.Run("service tombstone clear 198.51.100.10:443/tcp") == 0);
  CHECK(api.SentLines() == "DELETE /v1/tombstones/198.51.100.10:443 {}\n");
}

}  // namespace
}  // namespace fairlead::cli
