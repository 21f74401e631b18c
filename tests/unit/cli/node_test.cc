#include <catch2/catch.hpp>
#include <string>

#include "tests/unit/cli/fake_api.h"

namespace fairlead::cli {
namespace {

constexpr char kEvent[] =
    R"({"seq":12,"time":"2026-11-20T12:00:00.123Z","uid":0,)"
    R"("type":"backend.drain","service":"web","backend":"web1",)"
    R"("before":"ready","after":"drain","reason":"","lasted_ms":null})";
constexpr char kEventHeader[] =
    "   SEQ  TIME                      BY         TYPE             "
    "OBJECT        CHANGE            AFTER      REASON\n";
constexpr char kEventLine[] =
    "    12  2026-11-20T12:00:00.123Z  uid 0      backend.drain    "
    "web/web1      ready -> drain    -          -\n";

TEST_CASE("status prints host, tables, services and alarms", "[cli][node]") {
  FakeApi api;
  api.On("GET /v1/status", R"j({"generation": 7, "version": "0.1.0",
    "node": {"name": "edge1", "id": 1, "uptime_seconds": 10920, "pid": 812},
    "interfaces": [{"name": "eth0", "mode": "native", "mtu": 1500}],
    "tables": {"flows": {"used": 41207, "size": 1048576, "bytes": 16777216},
               "rows": {"used": 16384, "size": 1048576, "bytes": 16777216},
               "services": {"used": 1, "size": 512, "bytes": 196608},
               "backends": {"used": 3, "size": 4096, "bytes": 1081344},
               "prefixes": {"used": 40, "size": 4096, "bytes": 1572864},
               "sources": {"size": 65536, "bytes": 1048576},
               "counted_sources": {"size": 2048, "bytes": 16384}},
    "services": [{"name": "web", "vip": "198.51.100.10:443", "available": 2,
                  "backends": 3, "need": 1, "active": 41207,
                  "guarantee": "sockets (3/3 agents)",
                  "unsettled": "LB host edge2 has another table"}],
    "peers": [{"endpoint": "192.0.2.12:6083", "name": "edge2", "id": 2,
               "state": "differs", "differing": ["api", "web"]},
              {"endpoint": "192.0.2.13:6083", "name": "", "id": 0,
               "state": "silent", "differing": []}],
    "alarms": ["web: 1 row is full"]})j");
  REQUIRE(api.Run("status") == 0);
  CHECK(api.out() ==
        R"(edge1  id 1  fairleadd 0.1.0  pid 812  up 3h2m  generation 7
interface eth0  XDP native  MTU 1500

TABLE              USED       SIZE  FULL    MEMORY
backends              3      4,096    0%   1.0 MiB
counted_sources       -      2,048     -   0.0 MiB
flows            41,207  1,048,576    3%  16.0 MiB
prefixes             40      4,096    0%   1.5 MiB
rows             16,384  1,048,576    1%  16.0 MiB
services              1        512    0%   0.2 MiB
sources               -     65,536     -   1.0 MiB
all                   -          -     -  35.7 MiB

LB HOST  ENDPOINT         TABLES   DIFFERING
edge2    192.0.2.12:6083  differs  api, web
-        192.0.2.13:6083  silent   -

SERVICE  VIP                AVAILABLE  NEED  ACTIVE  GUARANTEE             SETTLED
web      198.51.100.10:443        2/3     1  41,207  sockets (3/3 agents)  no: LB host edge2 has another table

ALARM  web: 1 row is full
)");
}

TEST_CASE("status without services says how to get one", "[cli][node]") {
  FakeApi api;
  api.On("GET /v1/status", R"({"services": []})");
  REQUIRE(api.Run("status") == 0);
  CHECK_THAT(api.out(),
             Catch::Contains("no services; see fairlead service add --help"));
}

TEST_CASE("verdicts prints each counter with its meaning", "[cli][node]") {
  FakeApi api;
  api.On("GET /v1/verdicts", R"({"packets": 1235, "verdicts": [
    {"name": "TX_HIT", "action": "TX", "count": 1234, "help": "to its backend"},
    {"name": "PASS_OTHER", "action": "PASS", "count": 1, "help": "not ours"}],
    "checks": [{"name": "TX_PROBE", "action": "TX", "count": 4321, "help": "sent"}]})");
  REQUIRE(api.Run("verdicts") == 0);
  CHECK(api.out() == R"(VERDICT     ACTION  COUNT  MEANING
PASS_OTHER  PASS        1  not ours
TX_HIT      TX      1,234  to its backend

1,235 packets in all

CHECKS, ON THEIR WAY OUT  ACTION  COUNT  MEANING
TX_PROBE                  TX      4,321  sent
)");
}

TEST_CASE("events are lines that name who, what, before and after",
          "[cli][node]") {
  FakeApi api;
  api.On("GET /v1/events", std::string(R"({"events": [)") + kEvent +
                               R"(, {"seq": 13, "time": "t", "uid": null,
      "type": "service.add", "service": "web", "backend": "", "before": "",
      "after": "198.51.100.10:443", "reason": "r"}]})");
  REQUIRE(api.Run("events --since 11 --limit 2") == 0);
  CHECK(api.sent()[0].query ==
        http::StringMap{{"limit", "2"}, {"since", "11"}});
  CHECK_THAT(api.out(),
             Catch::Contains("web/web1") &&
                 Catch::Contains("fairleadd  service.add") &&
                 Catch::Contains("198.51.100.10:443  -          r\n"));
}

TEST_CASE("events -f prints each event as it comes, in whatever pieces",
          "[cli][node]") {
  FakeApi api;
  const std::string line = std::string(kEvent) + "\n";
  api.OnStream("GET /v1/events",
               {line.substr(0, 30), line.substr(30) + "\n" + line});
  // The daemon ended the stream.
  REQUIRE(api.Run("events -f") == 3);
  CHECK(api.sent()[0].query == http::StringMap{{"follow", "true"}});
  CHECK(api.out() == std::string(kEventHeader) + kEventLine + kEventLine);
  FakeApi json;
  json.OnStream("GET /v1/events", {line + line});
  REQUIRE(json.Run("events --follow -o json") == 3);
  CHECK(json.out() == line + line);
}

TEST_CASE("events -f of a daemon that refuses tells why", "[cli][node]") {
  FakeApi api;
  api.OnError("GET /v1/events", 403, "permission_denied", "needs viewer");
  CHECK(api.Run("events -f") == 77);
  CHECK(api.err() == "fairlead: events: needs viewer\n");
}

TEST_CASE("config check is silent about a good file", "[cli][node]") {
  FakeApi api;
  api.SetFile("n.toml", R"([node]
id = 1
interfaces = ["eth0"]
address = "192.0.2.1"
key_file = "/etc/fairlead/tier.key"
)");
  CHECK(api.Run("config check n.toml") == 0);
  CHECK(api.out().empty());
  CHECK(api.err().empty());
  CHECK(api.Run("config check n.toml -o json") == 0);
  CHECK(api.out() == "{\n  \"ok\": true\n}\n");
  CHECK(api.sent().empty());
}

TEST_CASE("config check tells every problem and has exit code 8",
          "[cli][node]") {
  FakeApi api;
  api.SetFile("n.toml", "[node]\nid = 0\n");
  CHECK(api.Run("config check n.toml") == 8);
  CHECK_THAT(api.err(),
             Catch::Contains("n.toml:2:6: [node] id: must be an integer from 1 "
                             "to 65535") &&
                 Catch::Contains("[node] needs the key interfaces"));
  api.SetFile("a.toml", "[agent]\n");
  CHECK(api.Run("config check --agent a.toml") == 8);
  CHECK_THAT(api.err(), Catch::Contains("[agent] needs the key interface"));
  CHECK(api.Run("config check a.toml") == 8);
  CHECK_THAT(api.err(),
             Catch::EndsWith("if it is the config of an agent: --agent\n"));
  CHECK(api.Run("config check gone.toml") == 1);
}

TEST_CASE("node detach takes --force", "[cli][node]") {
  FakeApi api;
  api.OnError("POST /v1/node/detach", 412, "precondition",
              "packets for services arrive");
  CHECK(api.Run("node detach") == 5);
  CHECK(api.err() ==
        "fairlead: node detach: packets for services arrive (--force "
        "overrides)\n");
  CHECK(api.Run("node detach --force") == 5);
  CHECK(api.SentLines() == "POST /v1/node/detach {\"force\":true}\n");
}

TEST_CASE("flows lookup prints where a connection goes", "[cli][flows]") {
  FakeApi api;
  api.On("GET /v1/flows/lookup", R"({"generation": 7, "service": "web",
    "tag": "0x1f", "row": 17, "slot": {"state": "established",
    "backend": "web1", "age_seconds": 72, "idle_seconds": 0}})");
  REQUIRE(api.Run("flows lookup --src [2001:db8::7]:4000 --dst "
                  "[2001:db8::10]:443") == 0);
  CHECK(api.sent()[0].query == http::StringMap{{"dst", "[2001:db8::10]:443"},
                                               {"src", "[2001:db8::7]:4000"}});
  CHECK(api.out() ==
        "service  web\ntag      0x1f\nrow      17\n"
        "slot     established to web1, age 1m12s, idle 0\n");
}

TEST_CASE("flows explain prints members and what would happen now",
          "[cli][flows]") {
  FakeApi api;
  api.On("GET /v1/flows/explain", R"({"generation": 7, "service": "web",
    "tag": "0x1f", "row": 17, "slot": null, "encap": "ipip",
    "over_syn_budget": true, "members": [
     {"backend": "web2", "rank": 1, "role": "candidate", "why": "rank 1 of the order",
      "eligible": true, "full": true, "load": 12, "weight": 100, "socket": null},
     {"backend": "web1", "rank": 2, "role": "owner", "why": "has sockets",
      "eligible": false, "load": 1200, "weight": 100,
      "socket": "established"}],
    "syn": {"backend": "web2", "verdict": "TX_SYN_NEW", "why": "least loaded",
            "hops": ["web2", "web1"]},
    "segment": {"backend": "web2", "verdict": "TX_MISS", "why": "",
                "hops": ["web2", "web1"]}})");
  REQUIRE(api.Run("flows explain --src 203.0.113.7:4000 --dst "
                  "198.51.100.10:443 --if-drain web1") == 0);
  CHECK(api.sent()[0].query.at("if_drain") == "web1");
  CHECK(api.out() == R"(service  web
tag      0x1f
row      17
encap    ipip
budget   exceeded: new connections are not recorded
slot     none: this connection is not in the flow table

MEMBER  RANK  ROLE       ELIGIBLE   LOAD  WEIGHT  SOCKET       WHY
web2       1  candidate  full         12     100  -            rank 1 of the order
web1       2  owner      no        1,200     100  established  has sockets

if web1 were draining:
a SYN now goes to web2 (TX_SYN_NEW): least loaded; hops web2, web1
another segment now goes to web2 (TX_MISS); hops web2, web1
)");
}

}  // namespace
}  // namespace fairlead::cli
