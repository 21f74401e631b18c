#include "core/registry.h"

#include <catch2/catch.hpp>

namespace fairlead::core {
namespace {

constexpr TableSizes kSizes = {
    .services = 16, .backends = 64, .rows = 1u << 17, .flow_buckets = 1};
const absl::Time kWall = absl::FromUnixSeconds(1'800'000'000);

base::IpAddress Address(const std::string& text) {
  return *base::IpAddress::Parse(text);
}
base::Endpoint Vip(const std::string& text) {
  return *base::Endpoint::Parse(text);
}

// A desired state that commands are put to.
class Registry {
 public:
  absl::StatusOr<Change> Ask(const Command& command) const {
    return PlanChange(
        state, kSizes, command, kWall, [&](const Backend& backend) {
          const auto found = facts.find(backend.id);
          return found == facts.end() ? BackendFacts() : found->second;
        });
  }
  Change Do(const Command& command) {
    const absl::StatusOr<Change> change = Ask(command);
    INFO(change.status());
    REQUIRE(change.ok());
    state = change->next;
    return *change;
  }
  // The message of a refusal with this code; "" if accepted.
  std::string Refusal(const Command& command, absl::StatusCode code) const {
    const absl::StatusOr<Change> change = Ask(command);
    CHECK(change.status().code() == code);
    return std::string(change.status().message());
  }
  std::string Invalid(const Command& command) const {
    return Refusal(command, absl::StatusCode::kInvalidArgument);
  }
  void AddWeb(int backends) {
    Do(AddService{.name = "web", .vip = Vip("198.51.100.10:443")});
    for (int i = 1; i <= backends; ++i) {
      Do(AddBackend{.service = "web",
                    .name = "web" + std::to_string(i),
                    .address = Address("192.0.2." + std::to_string(i))});
      facts[static_cast<BackendId>(i)] = {.connections = 0, .available = true};
    }
  }
  const Backend& Web(const std::string& name) const {
    return state.services.at("web").backends.at(name);
  }

  DesiredState state;
  absl::btree_map<BackendId, BackendFacts> facts;
};

AddService Add(ServiceSettings settings) {
  return {.name = "web",
          .vip = Vip("198.51.100.10:443"),
          .settings = std::move(settings)};
}

TEST_CASE("a service gets the documented defaults", "[core][registry]") {
  Registry registry;
  const Change change = registry.Do(Add({}));
  const Service& service = registry.state.services.at("web");
  CHECK(service.id == 1);
  CHECK(service.policy == Policy::kHash);
  CHECK(service.choices == 1);
  CHECK(service.need == 1);
  CHECK(service.rows == 16384);
  CHECK(service.agent_port == 6082);
  CHECK(service.check == CheckConfig());
  CHECK(registry.state.generation == 1);
  REQUIRE(change.events.size() == 1);
  CHECK(change.events[0].type == "service.add");
  CHECK(change.events[0].after ==
        "198.51.100.10:443 policy hash rows 16384 check tcp");
  CHECK(!change.plan.empty());
}

TEST_CASE(
    "least-conn chooses between two unless told otherwise, the others "
    "take one",
    "[core][registry]") {
  Registry registry;
  CHECK(registry.Do(Add({.policy = Policy::kLeastConn}))
            .next.services.at("web")
            .choices == 2);
  registry.Do(SetService{"web", {.choices = 4}});
  registry.Do(SetService{"web", {.policy = Policy::kSource}});
  CHECK(registry.state.services.at("web").choices == 1);
  CHECK(registry.Invalid(SetService{"web", {.choices = 2}}) ==
        "service \"web\": choices 2: policy source has 1, more need policy "
        "least-conn");
  CHECK(registry.Invalid(
            SetService{"web", {.policy = Policy::kLeastConn, .choices = 5}}) ==
        "service \"web\": choices 5: must be 1 to 4");
}

TEST_CASE("a setting out of range is refused by name, value and remedy",
          "[core][registry]") {
  const Registry registry;
  using S = ServiceSettings;
  const std::vector<std::pair<S, std::string>> cases = {
      {S{.need = 0}, "need 0: must be 1 to 65535"},
      {S{.rows = 1000}, "rows 1000: must be a power of two from 256 to 65536"},
      {S{.rows = 131072},
       "rows 131072: must be a power of two from 256 to 65536"},
      {S{.check_rise = 0}, "check rise 0: must be 1 to 10"},
      {S{.check_fall = 11}, "check fall 11: must be 1 to 10"},
      {S{.check_interval = absl::Milliseconds(99)},
       "check interval 99ms: must be 100ms to 1h"},
      {S{.check_interval = absl::Hours(2)},
       "check interval 2h: must be 100ms to 1h"},
      {S{.check_timeout = absl::Seconds(3)},
       "check timeout 3s: must not be longer than the interval, which is 2s"},
      {S{.check_timeout = absl::ZeroDuration()},
       "check timeout 0: must be at least 10ms"},
      {S{.check_via = CheckVia::kVip, .check_port = 81},
       "check-via vip: the VIP has no port 81; use check-port 0, or check-via "
       "direct"},
      {S{.check_path = "/health"},
       "check tcp: path, host and headers need check http, https, ws or wss"},
      {S{.check = CheckKind::kWs, .check_method = "HEAD"},
       "check ws: method, status and body need check http or https"},
      {S{.check = CheckKind::kHttp, .check_subprotocol = "chat"},
       "check http: subprotocol needs check ws or wss"},
      {S{.check = CheckKind::kWs, .check_verify = false},
       "check ws: verify, server-name and ca need check https or wss"},
      {S{.check = CheckKind::kHttp, .check_method = "TRACE"},
       "check method \"TRACE\": must be one of GET, HEAD, OPTIONS, POST"},
      {S{.check = CheckKind::kHttp, .check_method = "HEAD", .check_body = "ok"},
       "check body \"ok\": the answer to HEAD has none; use method GET"},
      {S{.check = CheckKind::kHttps, .check_ca_file = "ca.pem"},
       "check ca \"ca.pem\": must be the absolute path of a PEM file on the "
       "LB hosts"},
      {S{.check = CheckKind::kWs, .check_subprotocol = "a,b"},
       "check subprotocol \"a,b\": must be one word, as "
       "Sec-WebSocket-Protocol has it"},
      {S{.check = CheckKind::kHttp, .check_headers = {{{"host", "a"}}}},
       "check header \"host\": is set by check host"},
      {S{.check = CheckKind::kHttp, .check_headers = {{{"x-a", "b\r\nc: d"}}}},
       "check header x-a \"b\\r\\nc: d\": must have at most 512 printable "
       "characters"},
  };
  for (const auto& [settings, message] : cases)
    CHECK(registry.Invalid(Add(settings)) == "service \"web\": " + message);
  CHECK(registry.Invalid(
            Add({.check = CheckKind::kHttp, .check_path = "/a b\r\nX: y"})) ==
        "service \"web\": check path \"/a b\\r\\nX: y\": must begin with / and "
        "have at most 1024 printable characters without spaces");
}

TEST_CASE("a short interval shortens the default time-out with it",
          "[core][registry]") {
  Registry registry;
  registry.Do(Add({.check_interval = absl::Milliseconds(500)}));
  CHECK(registry.state.services.at("web").check.timeout ==
        absl::Milliseconds(500));
}

TEST_CASE("names are short, lower case and no addresses", "[core][registry]") {
  Registry registry;
  const auto add = [&](const std::string& name) {
    return registry.Ask(
        AddService{.name = name, .vip = Vip("198.51.100.10:443")});
  };
  for (const std::string name : {"a", "0", "web-1.example_x"})
    CHECK(add(name).ok());
  CHECK(add(std::string(63, 'a')).ok());
  for (const std::string name :
       {"", "-a", ".a", "Web", "w b", "w/b", "192.0.2.1"})
    CHECK(add(name).status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(!add(std::string(64, 'a')).ok());
  CHECK(add("Web").status().message() ==
        "service \"Web\": name \"Web\": must be 1 to 63 of a-z 0-9 . _ -, the "
        "first a letter or digit");
}

TEST_CASE("a VIP or a backend is the address of one host", "[core][registry]") {
  Registry registry;
  registry.AddWeb(1);
  for (const std::string address :
       {"127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"}) {
    INFO(address);
    CHECK(registry.Invalid(AddService{.name = "x", .vip = Vip(address + ":1")})
              .find("name the address of one host") != std::string::npos);
    CHECK(
        registry
            .Invalid(AddBackend{.service = "web", .address = Address(address)})
            .find("name the address of one host") != std::string::npos);
  }
  CHECK(!registry.Ask(AddService{.name = "x", .vip = Vip("[::1]:80")}).ok());
  CHECK(registry.Invalid(AddBackend{.service = "web",
                                    .name = "b",
                                    .address = Address("198.51.100.10")}) ==
        "service \"web\": backend \"b\": address 198.51.100.10: is the VIP's; "
        "name the backend's own address");
}

TEST_CASE(
    "a backend without a name has its address as name, and is found by "
    "either",
    "[core][registry]") {
  Registry registry;
  registry.AddWeb(1);
  registry.Do(AddBackend{.service = "web", .address = Address("2001:db8::7")});
  CHECK(registry.Web("2001:db8::7").id == 2);
  registry.Do(SetBackend{.service = "web", .name = "192.0.2.1", .weight = 7});
  CHECK(registry.Web("web1").weight == 7);
}

TEST_CASE("what is taken says who has it", "[core][registry]") {
  Registry registry;
  registry.AddWeb(1);
  const auto taken = [&](const Command& command) {
    return registry.Refusal(command, absl::StatusCode::kAlreadyExists);
  };
  CHECK(taken(AddService{.name = "web", .vip = Vip("198.51.100.11:443")}) ==
        "service \"web\": there is a service of that name; choose another name "
        "or delete it");
  CHECK(taken(AddService{.name = "api", .vip = Vip("198.51.100.10:443")}) ==
        "service \"api\": vip 198.51.100.10:443 belongs to service \"web\"; "
        "choose another VIP or delete that service");
  CHECK(
      taken(AddBackend{
          .service = "web", .name = "web1", .address = Address("192.0.2.9")}) ==
      "backend \"web1\" of service \"web\": there is one of that name; choose "
      "another name or delete it");
  CHECK(taken(AddBackend{.service = "web",
                         .name = "other",
                         .address = Address("192.0.2.1")}) ==
        "backend \"other\" of service \"web\": address 192.0.2.1 belongs to "
        "backend \"web1\"");
}

TEST_CASE("an unknown name is answered with what there is",
          "[core][registry]") {
  Registry registry;
  registry.AddWeb(2);
  const auto unknown = [&](const Command& command) {
    return registry.Refusal(command, absl::StatusCode::kNotFound);
  };
  CHECK(unknown(SetService{"wbe", {}}) ==
        "no service \"wbe\" (did you mean \"web\"?)");
  CHECK(unknown(SetService{"mail", {}}) == "no service \"mail\" (have: web)");
  CHECK(unknown(SetAdmin{.service = "web", .name = "alpha"}) ==
        "no backend \"alpha\" in service \"web\" (have: web1, web2)");
  CHECK(unknown(ClearTombstone{Vip("203.0.113.1:1")}) ==
        "no tombstone 203.0.113.1:1 (have: none)");
}

TEST_CASE("weight and max-conn are set apart or together", "[core][registry]") {
  Registry registry;
  registry.AddWeb(1);
  const Change change = registry.Do(SetBackend{
      .service = "web", .name = "web1", .weight = 7, .max_conn = 1000});
  REQUIRE(change.events.size() == 2);
  CHECK(change.events[1].before == "max-conn off");
  CHECK(change.events[1].after == "max-conn 1000");
  CHECK(change.plan.size() == 3);
  CHECK(registry.Web("web1").max_conn == 1000);
  CHECK(registry.Web("web1").weight == 7);
  const Change off =
      registry.Do(SetBackend{.service = "web", .name = "web1", .max_conn = 0});
  // The rows stay as they are.
  CHECK(off.plan.size() == 1);
  CHECK(registry.Web("web1").max_conn == 0);
  CHECK(registry.Invalid(SetBackend{
            .service = "web", .name = "web1", .max_conn = 100'000'001}) ==
        "backend \"web1\" of service \"web\": max-conn 100000001: must be 1 to "
        "100000000, or off");
}

TEST_CASE("an accept-rate is set and taken away", "[core][registry]") {
  Registry registry;
  registry.AddWeb(1);
  const Change change = registry.Do(
      SetBackend{.service = "web", .name = "web1", .accept_rate = 200});
  REQUIRE(change.events.size() == 1);
  CHECK(change.events[0].before == "accept-rate off");
  CHECK(change.events[0].after == "accept-rate 200/s");
  CHECK(registry.Web("web1").accept_rate == 200);
  registry.Do(SetBackend{.service = "web", .name = "web1", .accept_rate = 0});
  CHECK(registry.Web("web1").accept_rate == 0);
  CHECK(registry.Invalid(SetBackend{
            .service = "web", .name = "web1", .accept_rate = 1'000'001}) ==
        "backend \"web1\" of service \"web\": accept-rate 1000001: must be 1 "
        "to 1000000 a second, or off");
}

TEST_CASE("a weight is 1 to 256, and 0 is told about drain",
          "[core][registry]") {
  Registry registry;
  registry.AddWeb(1);
  CHECK(registry.Invalid(
            SetBackend{.service = "web", .name = "web1", .weight = 0}) ==
        "backend \"web1\" of service \"web\": weight 0: must be 1 to 256; to "
        "take no new flows, drain it");
  CHECK(
      registry.Invalid(AddBackend{
          .service = "web", .address = Address("192.0.2.9"), .weight = 257}) ==
      "service \"web\": backend \"192.0.2.9\": weight 257: must be 1 to 256");
  const Change change =
      registry.Do(SetBackend{.service = "web", .name = "web1", .weight = 256});
  CHECK(change.events[0].before == "weight 100");
  CHECK(change.events[0].after == "weight 256");
}

TEST_CASE("a service takes one backend for 64 rows", "[core][registry]") {
  Registry registry;
  registry.Do(Add({.rows = 256}));
  for (int i = 1; i <= 4; ++i)
    registry.Do(AddBackend{.service = "web",
                           .address = Address("192.0.2." + std::to_string(i))});
  CHECK(registry.Refusal(
            AddBackend{.service = "web", .address = Address("192.0.2.5")},
            absl::StatusCode::kResourceExhausted) ==
        "service \"web\": 256 rows take at most 4 backends; create the service "
        "with more rows");
}

TEST_CASE("rows never change", "[core][registry]") {
  Registry registry;
  registry.Do(Add({}));
  CHECK(registry.Ask(SetService{"web", {.rows = 16384}}).ok());
  CHECK(registry.Invalid(SetService{"web", {.rows = 256}}) ==
        "service \"web\": rows 256: fixed at 16384 when the service was "
        "created");
}

TEST_CASE("what is already so is accepted and changes nothing",
          "[core][registry]") {
  Registry registry;
  registry.AddWeb(2);
  registry.Do(SetAdmin{"web", "web1", Admin::kDrain});
  for (const Command& command : std::vector<Command>{
           SetService{"web", {.need = 1}},
           SetBackend{.service = "web", .name = "web1", .weight = 100},
           SetAdmin{"web", "web1", Admin::kDrain},
           SetAdmin{"web", "web2", Admin::kReady}}) {
    const auto change = registry.Ask(command);
    REQUIRE(change.ok());
    CHECK(change->next == registry.state);
    CHECK(change->events.empty());
    CHECK(change->plan.empty());
  }
}

TEST_CASE("service set tells what was and what is", "[core][registry]") {
  Registry registry;
  registry.Do(Add({}));
  const Change change = registry.Do(
      SetService{"web", {.need = 3, .check_interval = absl::Seconds(5)}});
  CHECK(change.events[0].before == "need 1, check-interval 2s");
  CHECK(change.events[0].after == "need 3, check-interval 5s");
}

TEST_CASE("a drain keeps when and with how many connections it began",
          "[core][registry]") {
  Registry registry;
  registry.AddWeb(2);
  registry.facts[1].connections = 1200;
  registry.Do(SetAdmin{"web", "web1", Admin::kDrain});
  REQUIRE(registry.Web("web1").drain);
  CHECK(registry.Web("web1").drain->since == kWall);
  CHECK(registry.Web("web1").drain->connections_at_start == 1200);

  registry.facts[1] = {.connections = 800, .available = false};
  const Change maint = registry.Do(SetAdmin{"web", "web1", Admin::kMaint});
  CHECK(maint.events[0].type == "backend.maint");
  CHECK(maint.events[0].before == "drain");
  CHECK(registry.Web("web1").drain->connections_at_start == 1200);

  registry.Do(SetAdmin{"web", "web1", Admin::kReady});
  CHECK(!registry.Web("web1").drain);
}

TEST_CASE("drain and maint are refused below need unless forced",
          "[core][registry]") {
  Registry registry;
  registry.AddWeb(3);
  registry.Do(SetService{"web", {.need = 2}});
  registry.facts[3].available = false;
  for (const Admin admin : {Admin::kDrain, Admin::kMaint})
    CHECK(
        registry.Refusal(SetAdmin{"web", "web1", admin},
                         absl::StatusCode::kFailedPrecondition) ==
        "backend \"web1\" of service \"web\": " + std::string(ToString(admin)) +
            " leaves 1 of 3 backends available, the service needs 2; ready "
            "another first, lower need, or force");
  CHECK(registry.Ask(SetAdmin{"web", "web1", Admin::kDrain, true}).ok());
  // One that is down is no loss.
  CHECK(registry.Ask(SetAdmin{"web", "web3", Admin::kDrain}).ok());
}

TEST_CASE(
    "a backend with flows is deleted only by force, and its id is kept "
    "back",
    "[core][registry]") {
  Registry registry;
  registry.AddWeb(2);
  registry.facts[1].flows_at_stake = 12;
  CHECK(
      registry.Refusal(DeleteBackend{"web", "web1"},
                       absl::StatusCode::kFailedPrecondition) ==
      "backend \"web1\" of service \"web\" has 12 flows: drain it first; with "
      "force its 12 flows lose their backend");
  registry.facts[1].flows_at_stake = 1;
  CHECK(registry.Refusal(DeleteBackend{"web", "web1"},
                         absl::StatusCode::kFailedPrecondition) ==
        "backend \"web1\" of service \"web\" has 1 flow: drain it first; with "
        "force its 1 flow loses its backend");
  registry.Do(DeleteBackend{"web", "web1", true});
  CHECK(registry.state.quarantine.at(1) == kWall);
  registry.Do(AddBackend{
      .service = "web", .name = "web1", .address = Address("192.0.2.1")});
  CHECK(registry.Web("web1").id == 3);
}

TEST_CASE("a backend with an agent is deleted when its last connection ends",
          "[core][registry]") {
  Registry registry;
  registry.AddWeb(2);
  registry.facts[1] = {.connections = 12,
                       .flows_at_stake = 12,
                       .available = true,
                       .has_agent = true};
  CHECK(registry.Refusal(DeleteBackend{"web", "web1"},
                         absl::StatusCode::kFailedPrecondition) ==
        "backend \"web1\" of service \"web\" has 12 flows: drain it "
        "first, then it may be deleted at once and goes with the last of them; "
        "with force they lose their backend");
  registry.Do(SetAdmin{"web", "web1", Admin::kDrain});
  const Change change = registry.Do(DeleteBackend{"web", "web1"});
  CHECK(registry.Web("web1").leaving);
  CHECK(registry.Web("web1").admin == Admin::kDrain);
  REQUIRE(registry.Web("web1").drain.has_value());
  CHECK(registry.Web("web1").drain->connections_at_start == 12);
  CHECK(registry.state.quarantine.empty());
  REQUIRE(change.events.size() == 1);
  CHECK(change.events[0].type == "backend.delete");
  CHECK(change.events[0].after == "leaving, 12 connections");
  // Said again, it is so already.
  CHECK(registry.Do(DeleteBackend{"web", "web1"}).events.empty());

  const auto refused = absl::StatusCode::kFailedPrecondition;
  const std::string why =
      "backend \"web1\" of service \"web\" is leaving: it was deleted and goes "
      "when its last connection has ended; ready takes it back, delete with "
      "force removes it now";
  CHECK(registry.Refusal(SetBackend{"web", "web1", 7}, refused) == why);
  CHECK(registry.Refusal(SetAdmin{"web", "web1", Admin::kMaint, true},
                         refused) == why);
  CHECK(registry.Refusal(AddBackend{.service = "web",
                                    .name = "web1",
                                    .address = Address("192.0.2.9")},
                         refused) == why);
  CHECK(registry.Refusal(AddBackend{.service = "web",
                                    .name = "web9",
                                    .address = Address("192.0.2.1")},
                         refused) == why);
  registry.Do(SetAdmin{"web", "web1", Admin::kReady});
  CHECK_FALSE(registry.Web("web1").leaving);
  CHECK_FALSE(registry.Web("web1").drain.has_value());

  registry.facts[1] = {.has_agent = true};
  registry.Do(DeleteBackend{"web", "web1"});
  CHECK(registry.Web("web1").leaving);
  registry.facts[1] = {.has_agent = true, .drained = true};
  registry.Do(DeleteBackend{"web", "web1"});
  CHECK(registry.state.quarantine.contains(1));
  registry.facts[2] = {.connections = 5, .has_agent = true};
  registry.Do(DeleteBackend{"web", "web2", true});
  CHECK(registry.state.quarantine.contains(2));
}

TEST_CASE(
    "a service with backends is deleted only by force, and leaves a "
    "tombstone with its id",
    "[core][registry]") {
  Registry registry;
  registry.AddWeb(2);
  registry.facts[1].flows_at_stake = 12;
  CHECK(registry.Refusal(DeleteService{"web"},
                         absl::StatusCode::kFailedPrecondition) ==
        "service \"web\" has 2 backends with 12 flows: delete them first; with "
        "force its flows lose their backends");
  registry.Do(DeleteService{"web", true});
  CHECK(registry.state.services.empty());
  CHECK(registry.state.quarantine.size() == 2);
  const Tombstone& tombstone =
      registry.state.tombstones.at(Vip("198.51.100.10:443"));
  CHECK(tombstone.id == 1);
  CHECK(tombstone.name == "web");
  CHECK(tombstone.since == kWall);
}

TEST_CASE("a service on a tombstone's VIP clears the tombstone",
          "[core][registry]") {
  Registry registry;
  registry.Do(Add({}));
  registry.Do(DeleteService{"web"});
  const Change change =
      registry.Do(AddService{.name = "api", .vip = Vip("198.51.100.10:443")});
  CHECK(registry.state.tombstones.empty());
  REQUIRE(change.events.size() == 2);
  CHECK(change.events[0].type == "tombstone.clear");
  CHECK(change.events[0].service == "web");
  CHECK(change.events[1].type == "service.add");
}

TEST_CASE("a tombstone is cleared by its VIP", "[core][registry]") {
  Registry registry;
  registry.Do(Add({}));
  registry.Do(DeleteService{"web"});
  const Change change = registry.Do(ClearTombstone{Vip("198.51.100.10:443")});
  CHECK(registry.state.tombstones.empty());
  CHECK(change.events[0].before == "198.51.100.10:443");
}

}  // namespace
}  // namespace fairlead::core
