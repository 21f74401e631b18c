#include "control/codec.h"

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/verdicts.h"
#include "core/check_list.h"
#include "core/drain.h"
#include "core/health.h"
#include "core/probe_history.h"
#include "core/settings.h"
#include "core/slow_start.h"
#include "core/sources.h"
#include "core/syn_budget.h"
#include "core/views.h"
#include "fairlead/abi/flow_slot.h"
#include "fairlead/abi/maps.h"

namespace fairlead::control {
namespace {

// Json takes no absl::string_view.
std::string Text(absl::string_view text) { return std::string(text); }

int64_t WholeSeconds(absl::Duration duration) {
  return absl::ToInt64Seconds(std::max(duration, absl::ZeroDuration()));
}

std::string MacText(const uint8_t (&mac)[6]) {
  char text[sizeof("00:00:00:00:00:00")];
  std::snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0],
                mac[1], mac[2], mac[3], mac[4], mac[5]);
  return text;
}

// Why a result counts against the backend, or what it asks for; "-" if there is
// nothing to say.
std::string ReasonOf(const core::ProbeResult& result) {
  if (result.outcome == core::ProbeOutcome::kDrainStatus ||
      result.outcome == core::ProbeOutcome::kHoldStatus)
    return absl::StrCat("signal.http-", result.http_status);
  if (result.outcome == core::ProbeOutcome::kLate) return "late";
  return core::IsAnswer(result.outcome) ? "-" : core::FailureReason(result);
}

Json EncodeLastResult(const std::optional<core::ProbeResult>& result,
                      std::optional<base::MonoTime> at, const AnswerTime& now) {
  if (!result.has_value()) return nullptr;
  Json json = EncodeProbeResult(*result);
  json["age_seconds"] = WholeSeconds(now.mono - at.value_or(now.mono));
  return json;
}

Json EncodeCheckViews(const std::vector<core::CheckView>& checks,
                      const AnswerTime& now) {
  Json json = Json::array();
  for (const core::CheckView& check : checks) {
    Json entry;
    entry["name"] = check.name;
    entry["type"] = Text(core::ToString(check.kind));
    entry["health"] = Text(core::ToString(check.health));
    entry["signal"] = Text(core::ToString(check.signal));
    entry["last_failure"] = check.last_failure
                                ? Json(core::FailureReason(*check.last_failure))
                                : Json(nullptr);
    entry["last"] =
        EncodeLastResult(check.last_result, check.last_result_at, now);
    json.push_back(std::move(entry));
  }
  return json;
}

Json EncodeNextHop(const std::optional<core::NextHop>& next_hop) {
  if (!next_hop.has_value()) return nullptr;
  Json json;
  json["interface"] = next_hop->interface_name;
  json["mac"] = MacText(next_hop->destination_mac);
  json["path_mtu"] = next_hop->path_mtu;
  json["vlan"] = nullptr;
  if (next_hop->vlan.has_value()) {
    json["vlan"] = {{"id", next_hop->vlan->id}, {"on", next_hop->vlan->on}};
  }
  json["gateway"] = next_hop->gateway.has_value()
                        ? Json(next_hop->gateway->ToString())
                        : Json(nullptr);
  return json;
}

Json EncodeDrain(const core::BackendView& view, const AnswerTime& now) {
  if (!view.backend.drain.has_value()) return nullptr;
  const core::DrainRecord& drain = *view.backend.drain;
  const core::Connections connections =
      core::CountConnections(view.agent, view.load);
  Json json;
  json["since"] = FormatTimeSeconds(drain.since);
  json["elapsed_seconds"] = WholeSeconds(now.wall - drain.since);
  json["connections_at_start"] = drain.connections_at_start;
  json["connections"] = connections.count;
  json["basis"] = connections.by_agent ? "agent" : "flow-table";
  return json;
}

Json EncodeTableUse(const TableUse& table) {
  Json json;
  json["used"] = table.used;
  json["size"] = table.size;
  json["bytes"] = table.bytes;
  return json;
}

void AddSettings(const core::Service& service, Json& json) {
  json["policy"] = Text(core::ToString(service.policy));
  json["choices"] = service.choices;
  json["encap"] = Text(core::ToString(service.encap));
  json["need"] = service.need;
  json["syn_budget"] = core::ToString(service.syn_budget);
  json["rows"] = service.rows;
  json["agent_port"] = service.agent_port;
  json["source_rate"] = service.source_rate.rate;
  json["source_burst"] = service.source_rate.burst;
  json["source_conns"] = service.source_rate.most;
  json["source_prefix4"] = service.source_rate.length4;
  json["source_prefix6"] = service.source_rate.length6;
  json["slow_start"] = core::SlowStartText(service.slow_start);
  json["shed"] = Text(core::ToString(service.shed));
  json["panic"] = core::PanicText(service.panic_percent);
  json["assume_up"] = service.assume_up;
  json["flap_damping"] = service.flap_damping;
  json["check"] = EncodeCheckConfig(service.check);
  json["checks"] = EncodeChecks(service);
}

uint64_t ActiveFlows(const core::ServiceView& view) {
  uint64_t active = 0;
  for (const core::BackendView& backend : view.backends)
    active += backend.load.live;
  return active;
}

}  // namespace

Json EncodeCheckConfig(const core::CheckConfig& check) {
  Json json;
  json["type"] = Text(core::ToString(check.kind));
  json["via"] = Text(core::ToString(check.via));
  json["port"] = check.port;
  json["path"] = check.path;
  json["host"] = check.host;
  json["headers"] = Json::object();
  for (const auto& [name, value] : check.headers) json["headers"][name] = value;
  json["method"] = check.method;
  json["status"] = check.status.ToString();
  json["body"] = check.body;
  json["subprotocol"] = check.subprotocol;
  json["verify"] = check.verify;
  json["server_name"] = check.server_name;
  json["ca_file"] = check.ca_file;
  json["interval"] = absl::FormatDuration(check.interval);
  json["timeout"] = absl::FormatDuration(check.timeout);
  json["rise"] = check.rise;
  json["fall"] = check.fall;
  return json;
}

Json EncodeChecks(const core::Service& service) {
  Json json = Json::array();
  for (const core::CheckRef& check : core::ChecksOf(service)) {
    Json entry;
    entry["name"] = Text(check.name);
    entry.update(EncodeCheckConfig(*check.config));
    json.push_back(std::move(entry));
  }
  return json;
}

Json EncodeProbeResult(const core::ProbeResult& result) {
  Json json;
  json["outcome"] = Text(core::ToString(result.outcome));
  json["reason"] = ReasonOf(result);
  json["http_status"] = result.http_status;
  json["duration_ms"] = absl::ToInt64Milliseconds(result.duration);
  json["detail"] = result.detail;
  json["certificate_days"] = nullptr;
  if (result.certificate_days)
    json["certificate_days"] = *result.certificate_days;
  json["steps"] = Json::array();
  for (const core::ProbeStepTime& step : result.steps) {
    Json entry;
    entry["step"] = Text(core::ToString(step.step));
    entry["duration_us"] = absl::ToInt64Microseconds(step.duration);
    json["steps"].push_back(std::move(entry));
  }
  json["via"] = Text(core::ToString(result.via));
  json["why_direct"] =
      result.why_direct.empty() ? Json(nullptr) : Json(result.why_direct);
  return json;
}

Json EncodeHistory(const core::BackendView& view, const AnswerTime& now) {
  std::vector<std::pair<core::ProbeRecord, std::string>> records;
  for (const core::CheckView& check : view.checks)
    for (const core::ProbeRecord& record : check.history)
      records.emplace_back(record, check.name);
  std::stable_sort(
      records.begin(), records.end(),
      [](const auto& a, const auto& b) { return a.first.at > b.first.at; });
  Json json = Json::array();
  for (const auto& [record, check] : records) {
    const core::ProbeResult result = core::ResultOf(record);
    Json entry;
    entry["check"] = check;
    entry["time"] = FormatTimeMillis(now.wall - (now.mono - record.at));
    entry["outcome"] = Text(core::ToString(record.outcome));
    entry["reason"] = ReasonOf(result);
    entry["http_status"] = record.http_status;
    entry["duration_us"] = record.duration_us;
    json.push_back(std::move(entry));
  }
  return json;
}

Json EncodeBackend(const core::BackendView& counted,
                   const BackendCounters& counters, const AnswerTime& now) {
  core::BackendView view = counted;
  core::AddPace(now.mono, view);
  Json json;
  json["name"] = view.backend.name;
  json["address"] = view.backend.address.ToString();
  json["id"] = view.backend.id;
  json["weight"] = view.backend.weight;
  json["max_conn"] = view.backend.max_conn;
  json["accept_rate"] = view.backend.accept_rate;
  json["admin"] = Text(core::ToString(view.backend.admin));
  json["leaving"] = view.backend.leaving;
  json["health"] = Text(core::ToString(view.health));
  json["signal"] = Text(core::ToString(view.signal));
  json["state"] = Text(core::ToString(view.state));
  json["state_text"] = view.state_text;
  json["reason"] = view.reason;
  json["reason_check"] =
      view.reason_check.empty() ? Json(nullptr) : Json(view.reason_check);
  json["eligible"] = view.eligible;
  json["full"] = view.full;
  json["fails_open"] = view.fails_open;
  json["slow_start_percent"] = view.slow_start_percent;
  json["connections"] = view.connections;
  json["active"] = view.load.live;
  json["pending"] = view.load.pending;
  json["elsewhere"] = view.load.elsewhere;
  json["new_flows"] = counters.new_flows;
  json["packets"] = counters.packets;
  json["bytes"] = counters.bytes;
  json["syn_again"] = counters.syn_again;
  json["check"] = EncodeLastResult(view.last_result, view.last_result_at, now);
  if (view.last_result) json["check"]["check"] = view.last_check;
  json["health_checks"] = EncodeCheckViews(view.checks, now);
  json["agent"]["presence"] = Text(core::ToString(view.agent.presence));
  json["agent"]["live_sockets"] = view.agent.live_sockets;
  json["agent"]["draining"] = view.agent.draining;
  json["agent"]["hot"] = view.agent.hot;
  json["next_hop"] = EncodeNextHop(view.next_hop);
  json["no_next_hop"] =
      view.no_next_hop.empty() ? Json(nullptr) : Json(view.no_next_hop);
  json["drain"] = EncodeDrain(view, now);
  return json;
}

Json EncodeService(const core::ServiceView& view,
                   const ServiceCounters& counters,
                   BackendCountersOf backend_counters, const AnswerTime& now) {
  Json json;
  json["name"] = view.service.name;
  json["vip"] = view.service.vip.ToString();
  json["id"] = view.service.id;
  AddSettings(view.service, json);
  const core::SourceCounts sources = core::CountSources(view.service.sources);
  json["sources"]["allow"] = sources.allowed;
  json["sources"]["deny"] = sources.denied;
  json["available"] = view.available;
  json["guarantee"] = view.guarantee;
  json["fail_open"] = view.fail_open;
  json["rows_overflowed"] = view.rows_overflowed;
  json["syn_budget_per_second"] = view.syn_budget_per_second;
  json["active"] = ActiveFlows(view);
  json["new_flows"] = counters.new_flows;
  json["packets"] = counters.packets;
  json["bytes"] = counters.bytes;
  json["misses"] = counters.misses;
  json["fail_open_flows"] = counters.fail_open;
  json["too_big"] = counters.too_big;
  json["over_budget_flows"] = counters.over_budget;
  json["denied"] = counters.denied;
  json["over_rate"] = counters.over_rate;
  json["refused_full"] = counters.refused_full;
  json["over_source_conns"] = counters.over_conns;
  json["uncounted"] = counters.uncounted;
  json["backends"] = Json::array();
  for (const core::BackendView& backend : view.backends) {
    json["backends"].push_back(
        EncodeBackend(backend, backend_counters(backend.backend.id), now));
  }
  return json;
}

Json EncodeSources(const core::SourceList& sources,
                   const ServiceCounters& counters) {
  Json json;
  json["allow"] = Json::array();
  json["deny"] = Json::array();
  for (const auto& [prefix, rule] : sources)
    json[std::string(core::ToString(rule))].push_back(prefix.ToString());
  json["others"] = core::CountSources(sources).allowed == 0 ? "allow" : "deny";
  json["denied"] = counters.denied;
  json["over_rate"] = counters.over_rate;
  json["over_source_conns"] = counters.over_conns;
  json["uncounted"] = counters.uncounted;
  return json;
}

Json EncodeServiceSummary(const core::ServiceView& view) {
  Json json;
  json["name"] = view.service.name;
  json["vip"] = view.service.vip.ToString();
  json["available"] = view.available;
  json["backends"] = view.backends.size();
  json["need"] = view.service.need;
  json["active"] = ActiveFlows(view);
  json["guarantee"] = view.guarantee;
  return json;
}

Json EncodeUnsettled(const ControlHost& host, const core::Service& service) {
  std::string reason = host.WhyUnsettled(service);
  if (reason.empty()) return nullptr;
  return reason;
}

Json EncodeTombstone(const base::Endpoint& vip,
                     const core::Tombstone& tombstone,
                     const ServiceCounters& counters) {
  Json json;
  json["vip"] = vip.ToString();
  json["service"] = tombstone.name;
  json["id"] = tombstone.id;
  json["since"] = FormatTimeSeconds(tombstone.since);
  json["packets"] = counters.packets;
  json["bytes"] = counters.bytes;
  return json;
}

absl::string_view SlotStateName(unsigned int state) {
  switch (state) {
    case FL_SLOT_FREE:
      return "free";
    case FL_SLOT_EMBRYONIC:
      return "embryonic";
    case FL_SLOT_YOUNG:
    case FL_SLOT_EXPIRING_PENDING:
      return "young";
    case FL_SLOT_ESTABLISHED:
    case FL_SLOT_EXPIRING_ESTABLISHED:
      return "established";
    case FL_SLOT_CLOSING:
    case FL_SLOT_EXPIRING_CLOSING:
      return "closing";
    default:
      return "?";
  }
}

void AddFlow(const core::Service& service, const FlowFacts& facts,
             BackendNameOf name_of, Json& answer) {
  answer["service"] = service.name;
  answer["tag"] =
      absl::StrCat("0x", absl::Hex(facts.tag, absl::PadSpec::kZeroPad16));
  answer["row"] = facts.row;
  answer["source_connections"] = nullptr;
  if (facts.source_connections.has_value())
    answer["source_connections"] = *facts.source_connections;
  answer["slot"] = nullptr;
  if (!facts.slot.has_value()) return;
  Json slot;
  slot["state"] = Text(SlotStateName(facts.slot->state));
  slot["backend"] = name_of(facts.slot->backend);
  slot["age_seconds"] = WholeSeconds(facts.slot->age);
  slot["idle_seconds"] = WholeSeconds(facts.slot->idle);
  answer["slot"] = std::move(slot);
}

Json EncodeMembers(const RouteFacts& facts, const SocketAnswers& sockets) {
  Json members = Json::array();
  const std::vector<core::BackendId> candidates =
      RowMembers({.candidates = facts.row.candidates});
  const std::vector<core::BackendId> all = RowMembers(facts.row);
  for (size_t i = 0; i < all.size(); ++i) {
    const MemberFacts member = FactsOf(facts, all[i]);
    const bool candidate = i < candidates.size();
    Json json;
    json["backend"] = member.name;
    json["rank"] = i + 1;
    json["role"] = candidate ? "candidate" : "owner";
    json["why"] = candidate
                      ? absl::StrCat("rank ", i + 1, " of the rendezvous order")
                      : "was a candidate and may still hold connections";
    json["eligible"] = (member.state & FL_BACKEND_ELIGIBLE) != 0;
    json["full"] = member.full;
    json["at_accept_rate"] = member.at_rate;
    json["load"] = member.load;
    json["weight"] = member.weight;
    const auto socket = sockets.find(member.id);
    json["socket"] =
        socket == sockets.end() ? Json(nullptr) : Json(socket->second);
    members.push_back(std::move(json));
  }
  return members;
}

Json EncodeRoute(const RouteAnswer& route, BackendNameOf name_of) {
  Json json;
  json["backend"] = nullptr;
  if (route.target != FL_NO_BACKEND) json["backend"] = name_of(route.target);
  json["verdict"] = Text(LbVerdicts()[static_cast<size_t>(route.verdict)].name);
  json["why"] = route.why;
  json["hops"] = Json::array();
  for (const core::BackendId hop : route.hops)
    json["hops"].push_back(name_of(hop));
  return json;
}

Json EncodeNode(const NodeStatus& status) {
  Json json;
  json["name"] = status.name;
  json["id"] = status.id;
  json["uptime_seconds"] = WholeSeconds(status.uptime);
  json["pid"] = status.pid;
  return json;
}

Json EncodePeers(const NodeStatus& status) {
  Json json = Json::array();
  for (const PeerStatus& peer : status.peers) {
    Json entry;
    entry["endpoint"] = peer.endpoint.ToString();
    entry["name"] = peer.node;
    entry["id"] = peer.lb_id;
    entry["state"] = peer.state;
    entry["differing"] = peer.differing;
    json.push_back(std::move(entry));
  }
  return json;
}

Json EncodeInterfaces(const NodeStatus& status) {
  Json json = Json::array();
  for (const InterfaceStatus& interface : status.interfaces) {
    Json entry;
    entry["name"] = interface.name;
    entry["mode"] = interface.mode;
    entry["mtu"] = interface.mtu;
    json.push_back(std::move(entry));
  }
  return json;
}

Json EncodeTables(const NodeStatus& status) {
  Json json;
  json["flows"] = EncodeTableUse(status.flows);
  json["rows"] = EncodeTableUse(status.rows);
  json["services"] = EncodeTableUse(status.services);
  json["backends"] = EncodeTableUse(status.backends);
  json["prefixes"] = EncodeTableUse(status.prefixes);
  // How many are in use is not counted.
  json["sources"]["size"] = status.sources.size;
  json["sources"]["bytes"] = status.sources.bytes;
  json["counted_sources"]["size"] = status.counted_sources.size;
  json["counted_sources"]["bytes"] = status.counted_sources.bytes;
  return json;
}

}  // namespace fairlead::control
