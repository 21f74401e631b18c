#include "control/codec.h"

#include <catch2/catch.hpp>
#include <string>

#include "fairlead/abi/flow_slot.h"
#include "fairlead/abi/maps.h"

namespace fairlead::control {
namespace {

base::IpAddress Address(absl::string_view text) {
  return base::IpAddress::Parse(text).value();
}

// The same document without its layout.
std::string Golden(absl::string_view text) {
  return DumpJson(ParseJson(text).value());
}

AnswerTime Now() {
  return {.mono = base::MonoTime::FromNanoseconds(100'000'000'000),
          .wall = absl::FromUnixSeconds(1'795'176'060)};
}

core::BackendView DrainingBackend() {
  core::BackendView view;
  view.backend = {
      .id = 1,
      .name = "web1",
      .address = Address("192.0.2.11"),
      .weight = 100,
      .admin = core::Admin::kDrain,
      .drain = core::DrainRecord{.since = absl::FromUnixSeconds(1'795'176'000),
                                 .connections_at_start = 1200}};
  view.state = core::EffectiveState::kDraining;
  view.state_text = "draining 37%";
  view.reason = "admin.drain";
  view.health = core::Health::kUp;
  view.checks = {{.name = "main",
                  .kind = core::CheckKind::kWs,
                  .health = core::Health::kFalling,
                  .signal = core::Signal::kHold,
                  .last_failure = core::ProbeResult{
                      .outcome = core::ProbeOutcome::kTimeout}}};
  view.last_check = "main";
  view.last_result = {
      .outcome = core::ProbeOutcome::kSuccess,
      .http_status = 200,
      .duration = absl::Milliseconds(3),
      .detail = "HTTP 200",
      .steps = {{core::ProbeStep::kConnect, absl::Microseconds(800)},
                {core::ProbeStep::kResponse, absl::Microseconds(2200)}},
      .certificate_days = 9};
  view.last_result_at = Now().mono - absl::Seconds(1);
  view.agent.presence = core::AgentReport::Presence::kPresent;
  view.agent.live_sockets = 752;
  view.load = {.live = 402, .pending = 3, .elsewhere = 7};
  view.next_hop = {.interface = 2,
                   .interface_name = "eth0",
                   .destination_mac = {2, 0, 0, 0, 0, 0x1f},
                   .path_mtu = 1500};
  return view;
}

BackendCounters CountersOfWeb1() {
  return {.packets = 10, .bytes = 1000, .new_flows = 512, .syn_again = 4};
}

constexpr absl::string_view kDrainingBackend = R"({
  "name": "web1", "address": "192.0.2.11", "id": 1, "weight": 100,
  "max_conn": 0, "accept_rate": 0,
  "admin": "drain", "leaving": false, "health": "up", "signal": "none",
  "state": "draining", "state_text": "draining 37%", "reason": "admin.drain",
  "reason_check": null, "eligible": false, "full": false, "fails_open": false,
    "slow_start_percent": 100,
  "connections": 0,
  "active": 402, "pending": 3, "elsewhere": 7, "new_flows": 512, "packets": 10, "bytes": 1000,
  "syn_again": 4,
  "check": {"outcome": "success", "reason": "-", "http_status": 200,
            "duration_ms": 3, "detail": "HTTP 200", "certificate_days": 9,
            "steps": [{"step": "connect", "duration_us": 800},
                      {"step": "response", "duration_us": 2200}],
            "via": "direct", "why_direct": null,
            "age_seconds": 1, "check": "main"},
  "health_checks": [{"name": "main", "type": "ws", "health": "falling",
                     "signal": "hold", "last_failure": "check.timeout",
                     "last": null}],
  "agent": {"presence": "present", "live_sockets": 752, "draining": false,
              "hot": false},
  "next_hop": {"interface": "eth0", "mac": "02:00:00:00:00:1f",
               "path_mtu": 1500, "vlan": null, "gateway": null},
  "no_next_hop": null,
  "drain": {"since": "2026-11-20T12:00:00Z", "elapsed_seconds": 60,
            "connections_at_start": 1200, "connections": 752,
            "basis": "agent"}
})";

TEST_CASE("a backend is told as the documentation says", "[control][codec]") {
  CHECK(DumpJson(EncodeBackend(DrainingBackend(), CountersOfWeb1(), Now())) ==
        Golden(kDrainingBackend));
}

TEST_CASE("what is not known of a backend is null", "[control][codec]") {
  core::BackendView view;
  view.backend = {.id = 2, .name = "web2", .address = Address("2001:db8::12")};
  view.state_text = "init";
  view.reason = "check.pending";
  CHECK(DumpJson(EncodeBackend(view, {}, Now())) == Golden(R"({
    "name": "web2", "address": "2001:db8::12", "id": 2, "weight": 100,
    "max_conn": 0, "accept_rate": 0,
    "admin": "ready", "leaving": false, "health": "init", "signal": "none",
    "state": "init", "state_text": "init", "reason": "check.pending",
    "reason_check": null, "eligible": false, "full": false, "fails_open": false,
    "slow_start_percent": 100,
    "connections": 0,
    "active": 0, "pending": 0, "elsewhere": 0, "new_flows": 0, "packets": 0, "bytes": 0,
    "syn_again": 0,
    "check": null, "health_checks": [], "agent": {"presence": "unknown", "live_sockets": 0, "draining": false,
              "hot": false},
    "next_hop": null, "no_next_hop": null, "drain": null})"));
}

TEST_CASE("a next hop's VLAN is told, and why there is none",
          "[control][codec]") {
  core::BackendView view = DrainingBackend();
  view.next_hop->interface_name = "eth0.7";
  view.next_hop->vlan = core::Vlan{.id = 7, .on = "eth0"};
  CHECK(DumpJson(EncodeBackend(view, {}, Now())["next_hop"]) == Golden(R"({
    "interface": "eth0.7", "mac": "02:00:00:00:00:1f", "path_mtu": 1500,
    "vlan": {"id": 7, "on": "eth0"}, "gateway": null})"));
  view.next_hop.reset();
  view.no_next_hop = "no route to 192.0.2.11";
  const Json json = EncodeBackend(view, {}, Now());
  CHECK(json["next_hop"].is_null());
  CHECK(json["no_next_hop"] == "no route to 192.0.2.11");
}

TEST_CASE("without an agent the flow table is a drain's basis",
          "[control][codec]") {
  core::BackendView view = DrainingBackend();
  view.agent = {.presence = core::AgentReport::Presence::kAbsent};
  const Json drain = EncodeBackend(view, {}, Now())["drain"];
  CHECK(drain["basis"] == "flow-table");
  CHECK(drain["connections"] == 405);
}

TEST_CASE("a service is told as the documentation says", "[control][codec]") {
  core::ServiceView view;
  view.service = {.id = 1,
                  .name = "ws",
                  .vip = base::Endpoint::Parse("198.51.100.10:443").value(),
                  .policy = core::Policy::kLeastConn,
                  .choices = 2,
                  .need = 1,
                  .rows = 16384,
                  .agent_port = 6082};
  for (const auto& [prefix, rule] :
       {std::pair("203.0.113.0/24", core::SourceRule::kDeny),
        std::pair("203.0.113.64/26", core::SourceRule::kAllow),
        std::pair("203.0.113.65", core::SourceRule::kDeny)})
    view.service.sources[base::IpPrefix::Parse(prefix).value()] = rule;
  view.service.source_rate = {.rate = 100, .most = 20, .length4 = 24};
  view.backends = {DrainingBackend()};
  view.available = 2;
  view.guarantee = "sockets (3/3 agents)";
  const ServiceCounters counters = {.packets = 9,
                                    .bytes = 8,
                                    .new_flows = 5012,
                                    .misses = 7,
                                    .fail_open = 6,
                                    .too_big = 5,
                                    .over_budget = 4,
                                    .denied = 3,
                                    .over_rate = 2,
                                    .over_conns = 13,
                                    .uncounted = 1};
  const std::string backends =
      "\"backends\": [" + std::string(kDrainingBackend) + "]}";
  CHECK(DumpJson(EncodeService(
            view, counters, [](core::BackendId) { return CountersOfWeb1(); },
            Now())) == Golden(R"json({
    "name": "ws", "vip": "198.51.100.10:443", "id": 1,
    "policy": "least-conn", "choices": 2, "encap": "gue", "need": 1,
    "syn_budget": "default", "rows": 16384, "agent_port": 6082,
    "source_rate": 100, "source_burst": 0, "source_conns": 20,
    "source_prefix4": 24,
    "source_prefix6": 64, "slow_start": "off", "shed": "drop", "panic": "off",
    "assume_up": false, "flap_damping": true,
    "check": {"type": "tcp", "via": "direct", "port": 0, "path": "/",
              "host": "",
              "headers": {}, "method": "GET", "status": "200-299",
              "body": "", "subprotocol": "", "verify": true,
              "server_name": "", "ca_file": "",
              "interval": "2s", "timeout": "1s",
              "rise": 2, "fall": 3},
    "checks": [{"name": "main", "type": "tcp", "via": "direct", "port": 0, "path": "/",
              "host": "",
              "headers": {}, "method": "GET", "status": "200-299",
              "body": "", "subprotocol": "", "verify": true,
              "server_name": "", "ca_file": "",
              "interval": "2s", "timeout": "1s",
              "rise": 2, "fall": 3}],
    "sources": {"allow": 1, "deny": 2},
    "available": 2, "guarantee": "sockets (3/3 agents)", "fail_open": false,
    "rows_overflowed": 0, "syn_budget_per_second": 0,
    "active": 402, "new_flows": 5012, "packets": 9, "bytes": 8, "misses": 7,
    "fail_open_flows": 6, "too_big": 5, "over_budget_flows": 4,
    "denied": 3, "over_rate": 2, "refused_full": 0,
    "over_source_conns": 13, "uncounted": 1,)json" +
                              backends));
  CHECK(DumpJson(EncodeServiceSummary(view)) == Golden(R"json({
    "name": "ws", "vip": "198.51.100.10:443", "available": 2, "backends": 1,
    "need": 1, "active": 402, "guarantee": "sockets (3/3 agents)"
})json"));
}

TEST_CASE("the last results are told with time and reason",
          "[control][codec]") {
  core::BackendView view = DrainingBackend();
  view.checks = {{.name = "main",
                  .history = {{.at = Now().mono - absl::Seconds(2),
                               .duration_us = 10,
                               .http_status = 200}}},
                 {.name = "live",
                  .history = {{.at = Now().mono - absl::Milliseconds(1500),
                               .duration_us = 1234,
                               .http_status = 503,
                               .outcome = core::ProbeOutcome::kWsHandshake,
                               .step = core::ProbeStep::kUpgrade},
                              {.at = Now().mono - absl::Seconds(60),
                               .duration_us = 3000,
                               .http_status = 429,
                               .outcome = core::ProbeOutcome::kHoldStatus}}}};
  const Json history = EncodeHistory(view, Now());
  REQUIRE(history.size() == 3);
  CHECK(history[0]["check"] == "live");
  CHECK(history[1]["check"] == "main");
  CHECK(history[0]["time"] ==
        FormatTimeMillis(Now().wall - absl::Milliseconds(1500)));
  CHECK(history[0]["outcome"] == "ws-handshake");
  CHECK(history[0]["reason"] == "check.ws-handshake(503)");
  CHECK(history[0]["duration_us"] == 1234);
  CHECK(history[2]["reason"] == "signal.http-429");
}

TEST_CASE("every slot state has a name", "[control][codec]") {
  CHECK(SlotStateName(FL_SLOT_EMBRYONIC) == "embryonic");
  CHECK(SlotStateName(FL_SLOT_YOUNG) == "young");
  CHECK(SlotStateName(FL_SLOT_ESTABLISHED) == "established");
  CHECK(SlotStateName(FL_SLOT_CLOSING) == "closing");
  CHECK(SlotStateName(FL_SLOT_EXPIRING_PENDING) == "young");
  CHECK(SlotStateName(FL_SLOT_EXPIRING_ESTABLISHED) == "established");
  CHECK(SlotStateName(FL_SLOT_EXPIRING_CLOSING) == "closing");
}

TEST_CASE("members are told with rank and role", "[control][codec]") {
  RouteFacts facts;
  facts.row.candidates = core::PackWord({2, 1, 0, 0});
  facts.row.owners = core::PackWord({3, 0, 0, 0});
  facts.backends = {{.id = 1, .name = "a", .load = 5, .weight = 100},
                    {.id = 2,
                     .name = "b",
                     .state = FL_BACKEND_ELIGIBLE,
                     .load = 12,
                     .weight = 50}};
  const SocketAnswers sockets = {{1, "established"}, {2, "none"}};
  CHECK(DumpJson(EncodeMembers(facts, sockets)) == Golden(R"([
    {"backend": "b", "rank": 1, "role": "candidate",
     "why": "rank 1 of the rendezvous order", "eligible": true, "full": false, "at_accept_rate": false, "load": 12,
     "weight": 50, "socket": "none"},
    {"backend": "a", "rank": 2, "role": "candidate",
     "why": "rank 2 of the rendezvous order", "eligible": false, "full": false, "at_accept_rate": false, "load": 5,
     "weight": 100, "socket": "established"},
    {"backend": "#3", "rank": 3, "role": "owner",
     "why": "was a candidate and may still hold connections",
     "eligible": false, "full": false, "at_accept_rate": false, "load": 0, "weight": 1, "socket": null}])"));
}

}  // namespace
}  // namespace fairlead::control
