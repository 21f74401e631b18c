#include "daemon/agent_poller.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "event/scope.h"
#include "tier/exchange.h"

namespace fairlead::daemon {

using core::AgentReport;

event::Task<void> AgentPoller::Run() {
  while (true) {
    const base::MonoTime begun = loop_.Now();
    const PeerMap peers = EncodePeerMap(controller_.desired(),
                                        controller_.Peers(), options_.lb_id);
    absl::btree_map<base::Endpoint, Users> agents;
    for (const auto& [name, service] : controller_.desired().services) {
      if (service.agent_port == 0) continue;
      for (const auto& [backend_name, backend] : service.backends)
        agents[{backend.address, service.agent_port}].push_back(
            {.service = name, .backend = backend_name});
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
  NoteRecorded(users);
  absl::StatusOr<AgentState> state = co_await Ask(agent);
  if (state.ok() && state->peer_map_digest != peers.digest) {
    absl::Status pushed = co_await Push(agent, peers);
    asked_at = loop_.Now();
    NoteRecorded(users);
    if (pushed.ok()) state = co_await Ask(agent);
  }
  if (absl::IsCancelled(state.status())) co_return;
  Report(agent, users, state,
         state.ok() && state->peer_map_digest == peers.digest, asked_at);
  on_report_.NotifyAll();
}

void AgentPoller::NoteRecorded(Users& users) const {
  for (User& user : users)
    user.recorded = controller_.Recorded(user.service, user.backend);
}

AgentPoller::Agent& AgentPoller::AgentAt(const base::Endpoint& endpoint) {
  std::unique_ptr<Agent>& agent = agents_[endpoint];
  if (agent == nullptr) {
    // An agent may listen on several addresses; requests to each of them are
    // counted apart.
    agent = std::make_unique<Agent>(tier::Caller(
        options_.mac_key,
        absl::StrCat("lb-", options_.lb_id, " ", endpoint.ToString())));
  }
  return *agent;
}

event::Task<absl::StatusOr<AgentState>> AgentPoller::Ask(base::Endpoint agent) {
  http::Request request;
  request.path = "/v1/state";
  request.query["lb"] = absl::StrCat(options_.lb_id);
  const std::optional<uint32_t> tick = AgentAt(agent).tick;
  if (tick.has_value()) request.query["learned_since"] = absl::StrCat(*tick);
  FL_CO_ASSIGN_OR_RETURN(
      const std::string body,
      co_await Send(agent, std::move(request), AgentAt(agent).caller));
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
      co_await Send(agent, std::move(request), AgentAt(agent).caller);
  co_return body.status();
}

event::Task<control::SocketAnswers> AgentPoller::AskSockets(
    control::SocketQuestion question) {
  control::SocketAnswers answers;
  // All places first: they must not move while they are filled.
  for (const auto& backend : question.backends) answers[backend.first] = "?";
  event::Scope all(co_await event::CurrentScope());
  for (const auto& [id, address] : question.backends)
    all.Spawn(
        AskSocket({address, question.agent_port}, question.flow, answers[id]));
  co_await all.Join();
  co_return answers;
}

event::Task<void> AgentPoller::AskSocket(base::Endpoint agent,
                                         const control::Flow& flow,
                                         std::string& answer) {
  http::Request request;
  request.path = "/v1/socket";
  request.query["client"] = flow.client.ToString();
  request.query["service"] = flow.vip.ToString();
  // Not the poll's, which may be under way.
  tier::Caller caller(
      options_.mac_key,
      absl::StrCat("lb-", options_.lb_id, " explain ", agent.ToString()));
  const absl::StatusOr<std::string> body =
      co_await Send(agent, std::move(request), caller);
  const absl::StatusOr<std::string> state =
      body.ok() ? DecodeSocketState(*body) : body.status();
  answer = state.ok() ? *state : absl::StrCat("? ", state.status().message());
}

event::Task<absl::StatusOr<std::string>> AgentPoller::Send(
    base::Endpoint agent, http::Request request, tier::Caller& caller) {
  const std::string what = absl::StrCat(request.method, " ", request.path);
  const http::FetchOptions options = {.deadline = loop_.Now() + kAgentTimeout,
                                      .max_body_bytes = kMaxAgentReportBytes};
  FL_CO_ASSIGN_OR_RETURN(
      http::Response response,
      co_await tier::Exchange(loop_, agent, std::move(request), caller,
                              options));
  if (response.status == 200) co_return std::move(response.body);
  co_return absl::UnavailableError(
      absl::StrCat("the agent answers HTTP ", response.status, " to ", what));
}

core::AgentReport AgentPoller::MakeReport(const AgentState& state,
                                          const core::Service& service,
                                          bool current,
                                          base::MonoTime asked_at) const {
  const auto said = state.services.find(service.vip.ToString());
  const bool knows = current && said != state.services.end();
  AgentReport report;
  report.presence =
      knows ? AgentReport::Presence::kPresent : AgentReport::Presence::kStale;
  report.scan = state.scan;
  report.boot_id = state.boot_id;
  // The scan began this long before the agent answered, and it answered
  // after it was asked.
  report.begun = asked_at - state.scan_begun_age;
  if (state.syn_cookie_age.has_value())
    report.last_syn_cookie = loop_.Now() - *state.syn_cookie_age;
  report.draining = state.draining;
  report.hot = state.hot;
  if (!knows) return report;
  report.live_sockets = said->second.live_sockets;
  report.handshakes = said->second.handshakes;
  const bool by_source = service.policy == core::Policy::kSource;
  if (said->second.owned.rows() == service.rows &&
      said->second.by_source == by_source) {
    report.owned = said->second.owned;
    if (state.previous_scan_begun_age.has_value())
      report.owned_begun = asked_at - *state.previous_scan_begun_age;
  }
  return report;
}

void AgentPoller::Report(const base::Endpoint& agent, const Users& users,
                         const absl::StatusOr<AgentState>& state, bool current,
                         base::MonoTime asked_at) {
  const base::MonoTime now = loop_.Now();
  bool& answered = AgentAt(agent).answered;
  answered = answered || state.ok();
  for (const auto& [service, backend, recorded] : users) {
    const auto found = controller_.desired().services.find(service);
    if (found == controller_.desired().services.end()) continue;
    AgentReport report;
    report.presence = answered ? AgentReport::Presence::kLost
                               : AgentReport::Presence::kAbsent;
    if (state.ok()) {
      const uint64_t before = controller_.Recorded(service, backend);
      report = MakeReport(*state, found->second, current, asked_at);
      const auto learned = state->learned.find(found->second.vip.ToString());
      const auto of = found->second.backends.find(backend);
      if (current && learned != state->learned.end() &&
          of != found->second.backends.end())
        flows_.Learn(of->second.id, learned->second);
      // What was learned just now is in the agent's count as well.
      report.recorded =
          recorded + controller_.Recorded(service, backend) - before;
    }
    controller_.OnAgentReport(service, backend, report, now);
  }
  // An answer that is not used must be given again, flows that were learned
  // before a push included.
  if (state.ok() && current) AgentAt(agent).tick = state->tick;
}

}  // namespace fairlead::daemon
