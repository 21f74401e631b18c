#include "control/bodies.h"

#include <catch2/catch.hpp>
#include <string>
#include <variant>

#include "absl/strings/str_cat.h"

namespace fairlead::control {
namespace {

using Catch::Matchers::Contains;

template <typename Command>
Command CommandOf(const absl::StatusOr<ChangeRequest>& request) {
  INFO(request.status().ToString());
  REQUIRE(request.ok());
  REQUIRE(std::holds_alternative<Command>(request->command));
  return std::get<Command>(request->command);
}

std::string Problem(const absl::StatusOr<ChangeRequest>& request) {
  REQUIRE(absl::IsInvalidArgument(request.status()));
  return std::string(request.status().message());
}

TEST_CASE("a whole service is read", "[control][bodies]") {
  const auto command = CommandOf<core::AddService>(ReadAddService(R"({
      "name": "ws", "vip": "198.51.100.10:443/tcp", "policy": "least-conn",
      "choices": 3, "encap": "gue", "need": 2, "syn_budget": "20000/s", "rows": 512, "agent_port": 7000, "slow_start": "1m30s", "panic": "50%", "shed": "reset",
      "assume_up": true, "flap_damping": false,
      "check": {"type": "http", "via": "vip", "port": 8080, "path": "/live", "host": "ws",
                "status": "204", "interval": "5s", "timeout": "500ms",
                "rise": 3, "fall": 4}})"));
  CHECK(command.name == "ws");
  CHECK(command.vip.ToString() == "198.51.100.10:443");
  const core::ServiceSettings& settings = command.settings;
  CHECK(settings.policy == core::Policy::kLeastConn);
  CHECK(settings.choices == 3);
  CHECK(settings.encap == core::Encap::kGue);
  CHECK(settings.need == 2);
  CHECK(settings.syn_budget == core::SynBudget{.per_second = 20000});
  CHECK(settings.rows == 512u);
  CHECK(settings.slow_start == absl::Seconds(90));
  CHECK(settings.panic_percent == 50);
  CHECK(settings.assume_up == true);
  CHECK(settings.flap_damping == false);
  CHECK(settings.shed == core::Shed::kReset);
  CHECK(settings.agent_port == 7000);
  CHECK(settings.check == core::CheckKind::kHttp);
  CHECK(settings.check_via == core::CheckVia::kVip);
  CHECK(settings.check_port == 8080);
  CHECK(settings.check_path == "/live");
  CHECK(settings.check_host == "ws");
  CHECK(settings.check_status->ToString() == "204");
  CHECK(settings.check_interval == absl::Seconds(5));
  CHECK(settings.check_timeout == absl::Milliseconds(500));
  CHECK(settings.check_rise == 3);
  CHECK(settings.check_fall == 4);
}

TEST_CASE("all that a check may ask for is read", "[control][bodies]") {
  const auto command = CommandOf<core::SetService>(ReadSetService("ws", R"({
      "check": {"type": "wss", "headers": {"X-Probe": "yes"}, "method": "HEAD",
                "status": "200-399,500=drain", "body": "fine",
                "subprotocol": "chat", "verify": false,
                "server_name": "ws.example", "ca_file": "/etc/ca.pem"}})"));
  const core::ServiceSettings& settings = command.settings;
  CHECK(settings.check == core::CheckKind::kWss);
  CHECK(settings.check_headers->at("x-probe") == "yes");
  CHECK(settings.check_method == "HEAD");
  CHECK(settings.check_status->ToString() == "200-399,500=drain");
  CHECK(settings.check_body == "fine");
  CHECK(settings.check_subprotocol == "chat");
  CHECK(settings.check_verify == false);
  CHECK(settings.check_server_name == "ws.example");
  CHECK(settings.check_ca_file == "/etc/ca.pem");
  CHECK(CommandOf<core::SetService>(
            ReadSetService("ws", R"({"check": {"headers": {}}})"))
            .settings.check_headers->empty());
  CHECK_THAT(Problem(ReadSetService("ws", R"({"check": {"type": "exec"}})")),
             Contains("nothing is run on an LB host"));
  CHECK_THAT(Problem(ReadSetService(
                 "ws", R"({"check": {"headers": {"a": "1", "A": "2"}}})")),
             Contains("check.headers") && Contains("twice"));
  CHECK_THAT(
      Problem(ReadSetService("ws", R"({"check": {"headers": {"a": 1}}})")),
      Contains("check.headers.a") && Contains("string"));
}

TEST_CASE("what is not said stays unset", "[control][bodies]") {
  const auto command = CommandOf<core::SetService>(ReadSetService("ws", ""));
  CHECK(command.name == "ws");
  CHECK_FALSE(command.settings.policy.has_value());
  CHECK_FALSE(command.settings.check.has_value());
  CHECK_FALSE(command.settings.check_interval.has_value());
}

TEST_CASE("every change takes if_generation and dry_run", "[control][bodies]") {
  const std::string options = R"({"if_generation": 7, "dry_run": true})";
  const BackendPath path = {.service = "ws", .backend = "web1"};
  for (const absl::StatusOr<ChangeRequest>& request :
       {ReadSetService("ws", options), ReadDeleteService("ws", options),
        ReadClearTombstone("198.51.100.10:443", options),
        ReadSetBackend(path, options), ReadDeleteBackend(path, options),
        ReadSetAdmin(path, core::Admin::kDrain, options)}) {
    REQUIRE(request.ok());
    CHECK(request->options.if_generation == 7u);
    CHECK(request->options.dry_run);
  }
  const absl::StatusOr<DetachRequest> detach = ReadDetach(options);
  REQUIRE(detach.ok());
  CHECK(detach->options.if_generation == 7u);
}

TEST_CASE("a backend's address has no port", "[control][bodies]") {
  const auto command = CommandOf<core::AddBackend>(
      ReadAddBackend("ws", R"({"address": "2001:db8::7", "weight": 50,
                             "max_conn": 9, "accept_rate": 8})"));
  CHECK(command.service == "ws");
  CHECK(command.address.ToString() == "2001:db8::7");
  CHECK(command.name.empty());
  CHECK(command.weight == 50);
  CHECK(command.max_conn == 9);
  CHECK(command.accept_rate == 8);
  for (const char* address : {"192.0.2.7:80", "[2001:db8::7]:80"}) {
    CHECK_THAT(Problem(ReadAddBackend(
                   "ws", absl::StrCat(R"({"address": ")", address, R"("})"))),
               Contains(address) && Contains("direct server return"));
  }
}

TEST_CASE("intents and force are read", "[control][bodies]") {
  const BackendPath path = {.service = "ws", .backend = "192.0.2.7"};
  const auto drain = CommandOf<core::SetAdmin>(
      ReadSetAdmin(path, core::Admin::kDrain, R"({"force": true})"));
  CHECK(drain.service == "ws");
  CHECK(drain.name == "192.0.2.7");
  CHECK(drain.admin == core::Admin::kDrain);
  CHECK(drain.force);
  CHECK_FALSE(
      CommandOf<core::DeleteBackend>(ReadDeleteBackend(path, "")).force);
  CHECK(CommandOf<core::DeleteService>(
            ReadDeleteService("ws", R"({"force": true})"))
            .force);
  CHECK(ReadDetach(R"({"force": true})")->force);
}

TEST_CASE("garbage is refused with the field and the value",
          "[control][bodies]") {
  struct Case {
    const char* body;
    const char* field;
    const char* value;
  };
  const Case cases[] = {
      {"nonsense", "no JSON", "line 1"},
      {"[]", "document", "array"},
      {R"({"vip": "198.51.100.10:443"})", "\"name\"", "missing"},
      {R"({"name": "ws"})", "\"vip\"", "missing"},
      {R"({"name": 7, "vip": "198.51.100.10:443"})", "\"name\"", "7"},
      {R"({"name": "ws", "vip": "198.51.100.10"})", "\"vip\"", "198.51.100.10"},
      {R"({"name": "ws", "vip": "198.51.100.10:0"})", "\"vip\"", "\"0\""},
      {R"({"name": "ws", "vip": "198.51.100.10:443/udp"})", "\"vip\"", "/udp"},
      {R"({"name": "ws", "vip": "host:443"})", "\"vip\"", "host"},
      {R"({"name": "ws", "vip": "198.51.100.10:443", "polcy": "hash"})",
       "\"polcy\"", "\"policy\""},
      {R"({"name": "ws", "vip": "198.51.100.10:443", "policy": "maglev"})",
       "\"policy\"", "maglev"},
      {R"({"name": "ws", "vip": "198.51.100.10:443", "choices": 5})",
       "\"choices\"", "5"},
      {R"({"name": "ws", "vip": "198.51.100.10:443", "syn_budget": "1k/s"})",
       "\"syn_budget\"", "\"1k/s\" is no SYN budget"},
      {R"({"name": "ws", "vip": "198.51.100.10:443", "panic": "50"})",
       "\"panic\"", "\"50\" is no panic threshold"},
      {R"({"name": "ws", "vip": "198.51.100.10:443", "shed": "tell"})",
       "\"shed\"", "\"tell\""},
      {R"({"name": "ws", "vip": "198.51.100.10:443", "panic": "101%"})",
       "\"panic\"", "\"101%\" is no panic threshold"},
      {R"({"name": "ws", "vip": "198.51.100.10:443", "assume_up": "on"})",
       "\"assume_up\"", "\"on\" is a string, not true or false"},
      {R"({"name": "ws", "vip": "198.51.100.10:443", "slow_start": "30"})",
       "\"slow_start\"", "\"30\" is not a duration"},
      {R"({"name": "ws", "vip": "198.51.100.10:443", "need": -1})", "\"need\"",
       "-1"},
      {R"({"name": "ws", "vip": "198.51.100.10:443", "agent_port": 65536})",
       "\"agent_port\"", "65536"},
      {R"({"name": "ws", "vip": "198.51.100.10:443", "encap": "vxlan"})",
       "\"encap\"", "vxlan"},
      {R"({"name": "ws", "vip": "198.51.100.10:443", "dry_run": 1})",
       "\"dry_run\"", "1"},
      {R"({"name": "ws", "vip": "198.51.100.10:443", "if_generation": "7"})",
       "\"if_generation\"", "7"},
      {R"({"name": "ws", "vip": "198.51.100.10:443", "force": true})",
       "\"force\"", "unknown"},
      {R"({"name": "ws", "name": "ws"})", "\"name\"", "twice"},
  };
  for (const Case& garbage : cases) {
    INFO(garbage.body);
    CHECK_THAT(Problem(ReadAddService(garbage.body)),
               Contains(garbage.field) && Contains(garbage.value));
  }
}

TEST_CASE("garbage in a check is refused with the field and the value",
          "[control][bodies]") {
  struct Case {
    const char* check;
    const char* field;
    const char* value;
  };
  const Case cases[] = {
      {R"("tcp")", "\"check\"", "tcp"},
      {R"({"typ": 1})", "\"check.typ\"", "\"type\""},
      {R"({"type": "smtp"})", "\"check.type\"", "smtp"},
      {R"({"interval": 2})", "\"check.interval\"", "2"},
      {R"({"interval": "-2s"})", "\"check.interval\"", "-2s"},
      {R"({"status": "2xx"})", "\"check.status\"", "2xx"},
  };
  for (const Case& garbage : cases) {
    INFO(garbage.check);
    CHECK_THAT(Problem(ReadAddService(absl::StrCat(
                   R"({"name": "ws", "vip": "198.51.100.10:443", "check": )",
                   garbage.check, "}"))),
               Contains(garbage.field) && Contains(garbage.value));
  }
}

TEST_CASE("a body over the limit is refused, one at the limit is not",
          "[control][bodies]") {
  const std::string start = R"({"force": true)";
  const std::string body =
      start + std::string(kMaxChangeBytes - start.size() - 1, ' ') + "}";
  CHECK(ReadDeleteService("ws", body).ok());
  CHECK_THAT(Problem(ReadDeleteService("ws", body + " ")), Contains("65537"));
}

TEST_CASE("weights and tombstones are checked", "[control][bodies]") {
  const BackendPath path = {.service = "ws", .backend = "web1"};
  CHECK(CommandOf<core::SetBackend>(ReadSetBackend(path, R"({"weight": 256})"))
            .weight == 256);
  const auto set = CommandOf<core::SetBackend>(
      ReadSetBackend(path, R"({"max_conn": 1000})"));
  CHECK(set.max_conn == 1000);
  CHECK_FALSE(set.weight.has_value());
  CHECK_THAT(Problem(ReadSetBackend(path, R"({"max_conn": 100000001})")),
             Contains("\"max_conn\"") && Contains("100000001"));
  const auto paced = CommandOf<core::SetBackend>(
      ReadSetBackend(path, R"({"accept_rate": 200})"));
  CHECK(paced.accept_rate == 200);
  CHECK_FALSE(paced.max_conn.has_value());
  CHECK_THAT(Problem(ReadSetBackend(path, R"({"accept_rate": 1000001})")),
             Contains("\"accept_rate\"") && Contains("1000001"));
  CHECK_THAT(Problem(ReadSetBackend(path, R"({"weight": 257})")),
             Contains("\"weight\"") && Contains("257"));
  CHECK_THAT(Problem(ReadSetBackend(path, R"({"weight": "heavy"})")),
             Contains("heavy"));
  CHECK(CommandOf<core::ClearTombstone>(
            ReadClearTombstone("[2001:db8::1]:443", ""))
            .vip.ToString() == "[2001:db8::1]:443");
  CHECK_THAT(Problem(ReadClearTombstone("nonsense", "")), Contains("nonsense"));
}

}  // namespace
}  // namespace fairlead::control
