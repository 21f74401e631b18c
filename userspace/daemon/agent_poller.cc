#include "daemon/agent_poller.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "event/scope.h"
#include "http/client.h"

namespace fairlead::daemon {

using core::AgentReport;

event::Task<void> AgentPoller::Run() {
  while (true) {
    const base::MonoTime begun = loop_.Now();
    const PeerMap peers = EncodePeerMap(controller_.desired(), lb_id_);
    absl::btree_map<base::Endpoint, Users> agents;
    for (const auto& [name, service] : controller_.desired().services) {
      if (service.agent_port == 0) continue;
      for (const auto& [backend_name, backend] : service.backends)
        agents[{backend.address, service.agent_port}].emplace_back(
            name, backend_name);
    }
    event::Scope round(co_await event::CurrentScope());
    for (auto& [agent, users] : agents)
      round.Spawn(PollOne(agent, std::move(users), peers));
    co_await round.Join();
    const absl::Status kicked = co_await kick_.Wait(begun + kAgentPollInterval);
    if (absl::IsCancelled(kicked)) co_return;
  }
}

event::Task<void> AgentPoller::PollOne(base::Endpoint agent, Users users,
                                       const PeerMap& peers) {
  base::MonoTime asked_at = loop_.Now();
  absl::StatusOr<AgentState> state = co_await Ask(agent);
  if (state.ok() && state->peer_map_digest != peers.digest) {
    absl::Status pushed = co_await Push(agent, peers);
    asked_at = loop_.Now();
    if (pushed.ok()) state = co_await Ask(agent);
  }
  if (absl::IsCancelled(state.status())) co_return;
  Report(agent, users, state,
         state.ok() && state->peer_map_digest == peers.digest, asked_at);
  on_report_.NotifyAll();
}

event::Task<absl::StatusOr<AgentState>> AgentPoller::Ask(base::Endpoint agent) {
  http::Request request;
  request.path = "/v1/state";
  request.query["lb"] = absl::StrCat(lb_id_);
  FL_CO_ASSIGN_OR_RETURN(const std::string body,
                         co_await Send(agent, std::move(request)));
  co_return DecodeAgentState(body);
}

event::Task<absl::Status> AgentPoller::Push(base::Endpoint agent,
                                            const PeerMap& peers) {
  http::Request request;
  request.method = "PUT";
  request.path = "/v1/peers";
  request.body = peers.json;
  request.headers["content-type"] = "application/json";
  const absl::StatusOr<std::string> body =
      co_await Send(agent, std::move(request));
  co_return body.status();
}

event::Task<absl::StatusOr<std::string>> AgentPoller::Send(
    base::Endpoint agent, http::Request request) {
  request.headers["connection"] = "close";
  const std::string what = absl::StrCat(request.method, " ", request.path);
  FL_CO_ASSIGN_OR_RETURN(
      http::Response response,
      co_await http::Fetch(loop_, event::SocketAddress(agent),
                           std::move(request),
                           {.deadline = loop_.Now() + kAgentTimeout,
                            .max_body_bytes = kMaxAgentReportBytes}));
  if (response.status != 200)
    co_return absl::UnavailableError(
        absl::StrCat("the agent answers HTTP ", response.status, " to ", what));
  co_return std::move(response.body);
}

void AgentPoller::Report(const base::Endpoint& agent, const Users& users,
                         const absl::StatusOr<AgentState>& state, bool current,
                         base::MonoTime asked_at) {
  const base::MonoTime now = loop_.Now();
  bool& answered = answered_[agent];
  answered = answered || state.ok();
  for (const auto& [service, backend] : users) {
    const auto found = controller_.desired().services.find(service);
    if (found == controller_.desired().services.end()) continue;
    AgentReport report;
    report.presence = answered ? AgentReport::Presence::kLost
                               : AgentReport::Presence::kAbsent;
    if (state.ok()) {
      const auto live = state->live_sockets.find(found->second.vip.ToString());
      const bool knows = current && live != state->live_sockets.end();
      report.presence = knows ? AgentReport::Presence::kPresent
                              : AgentReport::Presence::kStale;
      report.live_sockets = knows ? live->second : 0;
      report.scan = state->scan;
      report.boot_id = state->boot_id;
      // The scan began this long before the agent answered, and it answered
      // after it was asked.
      report.begun = asked_at - state->scan_begun_age;
    }
    controller_.OnAgentReport(service, backend, report, now);
  }
}

}  // namespace fairlead::daemon
