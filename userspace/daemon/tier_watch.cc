#include "daemon/tier_watch.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "daemon/agent_protocol.h"
#include "event/scope.h"
#include "tier/exchange.h"

namespace fairlead::daemon {

TierWatch::TierWatch(event::Loop& loop, core::Controller& controller,
                     datapath::SharedTables& tables, Options options)
    : loop_(loop),
      controller_(controller),
      tables_(tables),
      options_(std::move(options)),
      guard_(options_.mac_key) {
  for (const base::Endpoint& endpoint : options_.peers) {
    peers_.push_back(std::make_unique<Peer>(
        endpoint,
        tier::Caller(options_.mac_key, absl::StrCat("lb-", options_.lb_id, " ",
                                                    endpoint.ToString()))));
  }
}

event::Task<void> TierWatch::Run() {
  while (true) {
    const base::MonoTime begun = loop_.Now();
    event::Scope round(co_await event::CurrentScope());
    for (const std::unique_ptr<Peer>& peer : peers_) round.Spawn(Ask(*peer));
    co_await round.Join();
    controller_.OnTier(LiveHosts(), loop_.Now());
    NoteOtherTables();
    RenewLeases();
    const absl::Status slept = co_await loop_.SleepUntil(begun + kTierInterval);
    if (!slept.ok()) co_return;
  }
}

event::Task<void> TierWatch::Ask(Peer& peer) {
  const absl::StatusOr<std::string> body = co_await Fetch(peer);
  if (!absl::IsCancelled(body.status())) OnAnswer(peer, body);
}

event::Task<absl::StatusOr<std::string>> TierWatch::Fetch(Peer& peer) {
  http::Request request;
  request.path = "/v1/tables";
  const http::FetchOptions options = {.deadline = loop_.Now() + kTierTimeout,
                                      .max_body_bytes = kMaxTablesBytes};
  FL_CO_ASSIGN_OR_RETURN(
      http::Response response,
      co_await tier::Exchange(loop_, peer.endpoint, std::move(request),
                              peer.caller, options));
  if (response.status == 200) co_return std::move(response.body);
  co_return absl::UnavailableError(
      absl::StrCat("it answers HTTP ", response.status));
}

void TierWatch::OnAnswer(Peer& peer, const absl::StatusOr<std::string>& body) {
  const base::MonoTime now = loop_.Now();
  absl::Status status = body.status();
  if (body.ok()) {
    const absl::StatusOr<PeerTables> tables = DecodeTables(*body);
    status = tables.status();
    if (tables.ok()) {
      peer.tables = *tables;
      peer.answered_at = now;
      peer.state = State::kAnswers;
    }
  }
  peer.problem = std::string(status.message());
  if (status.ok()) return;
  // It is there, but who is it?
  if (absl::IsUnauthenticated(status)) {
    peer.state = State::kForeign;
    return;
  }
  const bool was_alive =
      peer.state == State::kAnswers && now - peer.answered_at < kPeerSilence;
  if (!was_alive) peer.state = State::kSilent;
}

event::Task<http::Response> TierWatch::Handle(http::Request request) {
  http::Response response;
  const absl::Status admitted = guard_.Admit(request);
  if (!admitted.ok()) {
    response = http::ErrorResponse(401, "unauthenticated", admitted.message());
  } else if (request.path != "/v1/tables" || request.method != "GET") {
    response = http::ErrorResponse(404, "not_found", "have: GET /v1/tables");
  } else {
    PeerTables tables =
        TablesOf(controller_.desired(), options_.node, options_.lb_id);
    for (const auto& [name, service] : controller_.desired().services) {
      auto stuck = controller_.Stuck(service);
      if (!stuck.empty())
        tables.stuck[service.vip.ToString()] = std::move(stuck);
    }
    response.body = EncodeTables(tables);
  }
  guard_.Sign(request, response);
  co_return response;
}

const std::string& TierWatch::DigestOf(const core::Service& service) const {
  const uint64_t generation = controller_.desired().generation;
  if (digests_generation_ != generation) digests_.clear();
  digests_generation_ = generation;
  std::string& digest = digests_[service.id];
  if (digest.empty()) digest = TableDigest(service);
  return digest;
}

bool TierWatch::Differs(const Peer& peer, const core::Service& service) const {
  if (peer.state != State::kAnswers) return false;
  const auto said = peer.tables.digests.find(service.vip.ToString());
  return said == peer.tables.digests.end() || said->second != DigestOf(service);
}

std::string TierWatch::NameOf(const Peer& peer) const {
  if (peer.tables.node.empty()) return peer.endpoint.ToString();
  return absl::StrCat(peer.tables.node, " (", peer.endpoint.ToString(), ")");
}

std::string TierWatch::WhyUnsettled(const core::Service& service) const {
  for (const std::unique_ptr<Peer>& peer : peers_) {
    const std::string who = absl::StrCat("LB host ", NameOf(*peer));
    switch (peer->state) {
      case State::kUnasked:
        return absl::StrCat(who, " has not answered yet");
      case State::kForeign:
        return absl::StrCat(who, " has not the tier's key");
      case State::kAnswers:
        if (Differs(*peer, service))
          return absl::StrCat(who, " has another table");
        if (peer->tables.stuck.contains(service.vip.ToString()))
          return absl::StrCat(who, " has rows without a place for an owner");
        break;
      case State::kSilent:
        break;
    }
  }
  return controller_.WhyUnsettled(service);
}

size_t TierWatch::LiveHosts() const {
  return 1 + static_cast<size_t>(std::count_if(
                 peers_.begin(), peers_.end(), [](const auto& peer) {
                   return peer->state == State::kAnswers;
                 }));
}

void TierWatch::NoteOtherTables() {
  for (const auto& named : controller_.desired().services) {
    const core::Service& service = named.second;
    const bool differs =
        std::any_of(peers_.begin(), peers_.end(),
                    [&](const auto& peer) { return Differs(*peer, service); });
    if (differs) controller_.OnOtherTable(service, loop_.Now());
    for (const std::unique_ptr<Peer>& peer : peers_) {
      const auto stuck = peer->tables.stuck.find(service.vip.ToString());
      if (peer->state == State::kAnswers && stuck != peer->tables.stuck.end())
        controller_.OnStuckElsewhere(service, stuck->second, loop_.Now());
    }
  }
}

void TierWatch::RenewLeases() {
  const base::MonoTime end = loop_.Now() + kLease;
  for (const auto& [name, service] : controller_.desired().services) {
    tables_.SetLease(service.id, WhyUnsettled(service).empty()
                                     ? std::optional(end)
                                     : std::nullopt);
  }
}

std::vector<control::PeerStatus> TierWatch::Peers() const {
  std::vector<control::PeerStatus> peers;
  for (const std::unique_ptr<Peer>& peer : peers_) {
    control::PeerStatus& status = peers.emplace_back();
    status.endpoint = peer->endpoint;
    status.node = peer->tables.node;
    status.lb_id = peer->tables.lb_id;
    for (const auto& [name, service] : controller_.desired().services)
      if (Differs(*peer, service)) status.differing.push_back(name);
    switch (peer->state) {
      case State::kUnasked:
        status.state = "unknown";
        break;
      case State::kSilent:
        status.state = "silent";
        break;
      case State::kForeign:
        status.state = "foreign";
        break;
      case State::kAnswers:
        status.state = status.differing.empty() ? "agrees" : "differs";
    }
  }
  return peers;
}

std::vector<std::string> TierWatch::Alarms() const {
  std::vector<std::string> alarms;
  for (const std::unique_ptr<Peer>& peer : peers_) {
    const std::string who = absl::StrCat("LB host ", NameOf(*peer));
    if (peer->state == State::kSilent)
      alarms.push_back(absl::StrCat(who, " is silent: ", peer->problem,
                                    "; what it balances by is not compared"));
    if (peer->state == State::kForeign)
      alarms.push_back(absl::StrCat(
          who, " has not the tier's key: ", peer->problem,
          "; copy the key file of this host there, or remove it from peers"));
    if (peer->state == State::kAnswers && peer->tables.lb_id == options_.lb_id)
      alarms.push_back(absl::StrCat(who, " has the id of this host, ",
                                    options_.lb_id,
                                    "; agents confuse them: change one"));
    for (const auto& [name, service] : controller_.desired().services) {
      if (Differs(*peer, service))
        alarms.push_back(absl::StrCat(
            "service ", name, ": ", who,
            " has another table; until they agree no packet is answered with "
            "a reset: compare `fairlead backend list ",
            name, "` on both"));
    }
  }
  return alarms;
}

}  // namespace fairlead::daemon
