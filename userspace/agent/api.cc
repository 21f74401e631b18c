#include "agent/api.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agent/socket_query.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "datapath/stats.h"
#include "fairlead/abi/config.h"

namespace fairlead::agent {
namespace {

using Json = nlohmann::json;

http::Response ErrorFor(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return http::ErrorResponse(400, "invalid_argument", status.message());
    case absl::StatusCode::kResourceExhausted:
      return http::ErrorResponse(507, "resource_exhausted", status.message());
    case absl::StatusCode::kCancelled:
      return http::ErrorResponse(503, "unavailable", "the agent is stopping");
    default:
      return http::ErrorResponse(500, "internal", status.message());
  }
}

http::Response JsonResponse(const Json& json) {
  http::Response response;
  response.body = json.dump() + "\n";
  return response;
}

Json VerdictsJson(const std::vector<uint64_t>& counts) {
  Json json = Json::object();
  const auto names = datapath::AgentVerdicts();
  for (size_t i = 0; i < counts.size() && i < names.size(); ++i)
    json[std::string(names[i].name)] = counts[i];
  return json;
}

Json ServicesJson(const Scan& scan) {
  Json json = Json::array();
  for (const ServiceSockets& service : scan.services) {
    json.push_back({{"vip", service.vip.ToString()},
                    {"live_sockets", service.live},
                    {"handshakes", service.handshakes},
                    {"row_by", service.by_source ? "source" : "flow"},
                    {"rows", service.owned.rows()},
                    {"owned", service.owned.ToString()}});
  }
  return json;
}

// Who asks for the state, and what it has been told already.
struct StateQuery {
  std::optional<uint16_t> lb;
  std::optional<uint32_t> learned_since;  // a tick
};

absl::StatusOr<uint32_t> Number(absl::string_view name, absl::string_view text,
                                uint32_t low, uint32_t high) {
  uint32_t value = 0;
  if (absl::SimpleAtoi(text, &value) && value >= low && value <= high)
    return value;
  return absl::InvalidArgumentError(absl::StrCat(
      name, ": \"", text, "\" is not an integer from ", low, " to ", high));
}

absl::StatusOr<StateQuery> ReadStateQuery(const http::Request& request) {
  StateQuery query;
  for (const auto& [name, value] : request.query) {
    if (name == "lb") {
      FL_ASSIGN_OR_RETURN(const uint32_t lb,
                          Number(name, value, 1, UINT16_MAX));
      query.lb = static_cast<uint16_t>(lb);
    } else if (name == "learned_since") {
      FL_ASSIGN_OR_RETURN(query.learned_since,
                          Number(name, value, 0, FL_TICK_MASK));
    } else {
      return absl::InvalidArgumentError(absl::StrCat(
          "unknown parameter \"", name, "\" (have: lb, learned_since)"));
    }
  }
  return query;
}

Json LearnedJson(
    const Tables& tables,
    const absl::btree_map<uint32_t, std::vector<uint64_t>>& flows) {
  Json json = Json::object();
  for (const auto& [vip, line] : tables.vips) {
    const auto found = flows.find(line.index);
    if (found == flows.end()) continue;
    Json hashes = Json::array();
    for (const uint64_t hash : found->second)
      hashes.push_back(absl::StrCat(absl::Hex(hash, absl::kZeroPad16)));
    json[vip.ToString()] = std::move(hashes);
  }
  return json;
}

// nullptr where there is no such time.
Json AgeJson(base::MonoTime now, std::optional<base::MonoTime> time) {
  if (!time.has_value()) return nullptr;
  return absl::ToInt64Milliseconds(now - *time);
}

http::Response WrongMethod(absl::string_view allowed) {
  http::Response response = http::ErrorResponse(
      405, "invalid_argument", absl::StrCat("only ", allowed, " is possible"));
  response.headers["allow"] = std::string(allowed);
  return response;
}

}  // namespace

http::ServerLimits ApiLimits() {
  http::ServerLimits limits;
  limits.message.body_bytes = kMaxPeersBody;
  limits.connections = kMaxApiConnections;
  return limits;
}

Api::Api(event::Loop& loop, Fleet& fleet, Scanner& scanner,
         const LearnedFlows& learned, HostState& state,
         routes::RouteWatcher& routes, ApiOptions options)
    : loop_(loop),
      fleet_(fleet),
      scanner_(scanner),
      learned_(learned),
      state_(state),
      routes_(routes),
      options_(std::move(options)),
      guard_(options_.mac_key) {}

bool Api::IsLocal(const http::Request& request) const {
  return request.peer_address.has_value() &&
         (request.peer_address->is_loopback() ||
          options_.own.contains(*request.peer_address));
}

bool Api::Allowed(const http::Request& request) const {
  return IsLocal(request) || (request.peer_address.has_value() &&
                              options_.lbs.contains(*request.peer_address));
}

event::Task<http::Response> Api::Handle(http::Request request) {
  http::Response response = co_await Answer(request);
  guard_.Sign(request, response);
  co_return response;
}

event::Task<http::Response> Api::Answer(const http::Request& request) {
  if (!Allowed(request)) {
    co_return http::ErrorResponse(
        403, "permission_denied",
        absl::StrCat(request.peer_address.has_value()
                         ? request.peer_address->ToString()
                         : "the peer",
                     " is not among the LB hosts of the agent's config"));
  }
  const absl::Status admitted = guard_.Admit(request);
  if (!admitted.ok()) {
    co_return http::ErrorResponse(401, "unauthenticated", admitted.message());
  }
  if (request.path == "/v1/state") {
    if (request.method != "GET") co_return WrongMethod("GET");
    co_return co_await State(request);
  }
  if (request.path == "/v1/status") {
    if (request.method != "GET") co_return WrongMethod("GET");
    co_return co_await Status();
  }
  if (request.path == "/v1/socket") {
    if (request.method != "GET") co_return WrongMethod("GET");
    co_return Socket(request);
  }
  if (request.path == "/v1/peers") {
    if (request.method != "PUT") co_return WrongMethod("PUT");
    co_return co_await PutPeers(request);
  }
  if (request.path == "/v1/drain" || request.path == "/v1/ready") {
    if (request.method != "POST") co_return WrongMethod("POST");
    co_return co_await SetDraining(request, request.path == "/v1/drain");
  }
  co_return http::ErrorResponse(
      404, "not_found",
      absl::StrCat(
          "no path ", request.path,
          " (have: /v1/drain, /v1/peers, /v1/ready, /v1/socket, /v1/state, "
          "/v1/status)"));
}

event::Task<http::Response> Api::State(const http::Request& request) {
  const absl::StatusOr<StateQuery> query = ReadStateQuery(request);
  if (!query.ok()) co_return ErrorFor(query.status());
  if (query->lb.has_value()) {
    const absl::Status heard = co_await fleet_.Hear(*query->lb);
    if (!heard.ok()) co_return ErrorFor(heard);
  }
  const absl::StatusOr<Scan> scan = co_await scanner_.Latest();
  if (!scan.ok()) co_return ErrorFor(scan.status());
  const absl::StatusOr<std::vector<uint64_t>> verdicts =
      fleet_.maps().Verdicts();
  if (!verdicts.ok()) co_return ErrorFor(verdicts.status());
  const base::MonoTime now = loop_.Now();
  state_.OnCounters(*scan, now);
  Json learned = Json::object();
  if (query->lb.has_value() && query->learned_since.has_value()) {
    learned = LearnedJson(fleet_.tables(),
                          learned_.Since(*query->lb, *query->learned_since));
  }
  co_return JsonResponse(
      {{"boot_id", options_.boot_id},
       {"scan", scan->number},
       {"scan_begun_age_ms", AgeJson(now, scan->begun)},
       {"previous_scan_begun_age_ms", AgeJson(now, scan->previous_begun)},
       {"syn_cookie_age_ms", AgeJson(now, state_.last_syn_cookie())},
       {"tick", LearnedFlows::TickOf(now)},
       {"learned", std::move(learned)},
       {"draining", state_.draining()},
       {"hot", state_.hot()},
       {"peer_map_digest",
        query->lb.has_value() ? fleet_.DigestOf(*query->lb) : ""},
       {"services", ServicesJson(*scan)},
       {"verdicts", VerdictsJson(*verdicts)},
       {"version", std::string(base::kVersion)}});
}

event::Task<http::Response> Api::Status() {
  const absl::StatusOr<Scan> scan = co_await scanner_.Latest();
  if (!scan.ok()) co_return ErrorFor(scan.status());
  const absl::StatusOr<std::vector<uint64_t>> verdicts =
      fleet_.maps().Verdicts();
  if (!verdicts.ok()) co_return ErrorFor(verdicts.status());
  Json lbs = Json::array();
  for (const auto& [id, document] : fleet_.documents()) {
    lbs.push_back({{"lb_id", id},
                   {"digest", fleet_.DigestOf(id)},
                   {"vips", document.vips.size()},
                   {"peers", document.peers.size()}});
  }
  co_return JsonResponse({{"boot_id", options_.boot_id},
                          {"interface", options_.interface},
                          {"draining", state_.draining()},
                          {"hot", state_.hot()},
                          {"lbs", std::move(lbs)},
                          {"vips", fleet_.tables().vips.size()},
                          {"peers", fleet_.tables().peers.size()},
                          {"services", ServicesJson(*scan)},
                          {"verdicts", VerdictsJson(*verdicts)},
                          {"version", std::string(base::kVersion)}});
}

http::Response Api::Socket(const http::Request& request) const {
  base::Endpoint ends[2];
  for (const auto& [name, end] :
       {std::pair("client", &ends[0]), std::pair("service", &ends[1])}) {
    const absl::StatusOr<base::Endpoint> endpoint =
        base::Endpoint::Parse(http::Lookup(request.query, name));
    if (!endpoint.ok()) {
      return ErrorFor(absl::InvalidArgumentError(
          absl::StrCat(name, ": ", endpoint.status().message())));
    }
    *end = *endpoint;
  }
  if (ends[0].address.is_ipv4() != ends[1].address.is_ipv4()) {
    return ErrorFor(absl::InvalidArgumentError(
        "client and service are not of one address family"));
  }
  const absl::StatusOr<absl::string_view> state = SocketState(ends[0], ends[1]);
  if (!state.ok()) return ErrorFor(state.status());
  return JsonResponse({{"socket", std::string(*state)}});
}

event::Task<http::Response> Api::SetDraining(const http::Request& request,
                                             bool draining) {
  if (!IsLocal(request)) {
    co_return http::ErrorResponse(
        403, "permission_denied",
        "only this host itself may say so; an LB host drains with fairlead");
  }
  const absl::Status set = co_await state_.SetDraining(loop_, draining);
  if (!set.ok()) co_return ErrorFor(set);
  base::LogInfo(draining ? "draining: no new connections while other backends "
                           "take them"
                         : "ready: new connections are welcome");
  co_return JsonResponse({{"draining", draining}});
}

event::Task<http::Response> Api::PutPeers(const http::Request& request) {
  absl::StatusOr<PeerDocument> document = ParsePeerDocument(request.body);
  if (!document.ok()) co_return ErrorFor(document.status());
  const uint16_t lb_id = document->lb_id;
  const std::string digest = document->digest;
  const std::string before = fleet_.DigestOf(lb_id);
  const absl::Status put = co_await fleet_.Put(*std::move(document));
  routes_.WatchOnly(fleet_.PeerAddresses());
  if (!put.ok()) {
    base::LogWarning("peers of LB host ", lb_id, ": ", put.message());
    co_return ErrorFor(put);
  }
  if (before != digest) {
    base::LogInfo("peers of LB host ", lb_id, ": digest ", digest, ", ",
                  fleet_.tables().vips.size(), " VIPs and ",
                  fleet_.tables().peers.size(),
                  " peers of all LB hosts in force");
  }
  co_return JsonResponse({{"digest", digest}});
}

}  // namespace fairlead::agent
