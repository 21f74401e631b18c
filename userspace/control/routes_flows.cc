// One flow: where the tables have it, and what the packet path would do with
// its next segment.
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "control/explain.h"
#include "control/routes.h"
#include "core/registry.h"
#include "core/sources.h"
#include "core/tier_share.h"

namespace fairlead::control {
namespace {

absl::StatusOr<base::Endpoint> ReadEndpoint(const http::Request& request,
                                            absl::string_view name) {
  const absl::string_view text = http::Lookup(request.query, name);
  if (text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "query parameter \"", name, "\" is missing; write it as ADDRESS:PORT"));
  }
  FL_ASSIGN_OR_RETURN(const base::Endpoint endpoint,
                      base::Endpoint::Parse(text), "query parameter \"", name,
                      "\"");
  return endpoint;
}

absl::StatusOr<Flow> ReadFlow(const http::Request& request) {
  Flow flow;
  FL_ASSIGN_OR_RETURN(flow.client, ReadEndpoint(request, "src"));
  FL_ASSIGN_OR_RETURN(flow.vip, ReadEndpoint(request, "dst"));
  if (flow.client.address.is_ipv4() == flow.vip.address.is_ipv4()) return flow;
  return absl::InvalidArgumentError(
      absl::StrCat("src ", flow.client.ToString(), " and dst ",
                   flow.vip.ToString(), " are not of one address family"));
}

absl::StatusOr<const core::Service*> ServiceOf(const core::DesiredState& state,
                                               const base::Endpoint& vip) {
  std::vector<std::string> have;
  for (const auto& [name, service] : state.services) {
    if (service.vip == vip) return &service;
    have.push_back(service.vip.ToString());
  }
  const auto tombstone = state.tombstones.find(vip);
  if (tombstone != state.tombstones.end()) {
    return absl::NotFoundError(
        absl::StrCat("service ", base::Quoted(tombstone->second.name), " of ",
                     vip.ToString(), " was deleted; its packets are dropped"));
  }
  return absl::NotFoundError(absl::StrCat("no service has ", vip.ToString(),
                                          base::Hint(vip.ToString(), have)));
}

// The names of ids, as far as the service has them.
class Names {
 public:
  explicit Names(const core::Service& service) {
    for (const auto& [name, backend] : service.backends)
      names_.emplace(backend.id, name);
  }

  std::string Of(core::BackendId id) const {
    const auto found = names_.find(id);
    if (found != names_.end()) return found->second;
    return absl::StrCat("#", id, " (deleted)");
  }

 private:
  absl::btree_map<core::BackendId, std::string> names_;
};

struct Found {
  const core::Service* service = nullptr;
  base::IpAddress client;
  FlowFacts facts;
};

absl::StatusOr<Found> Find(const ReadContext& context, const Call& call) {
  FL_ASSIGN_OR_RETURN(const Flow flow, ReadFlow(call.request));
  Found found;
  FL_ASSIGN_OR_RETURN(found.service,
                      ServiceOf(context.controller.desired(), flow.vip));
  found.client = flow.client.address;
  found.facts = context.host.LookUp(*found.service, flow);
  return found;
}

absl::StatusOr<Json> LookUpFlow(const ReadContext& context, const Call& call) {
  FL_RETURN_IF_ERROR(CheckQuery(call.request, {"src", "dst"}));
  FL_ASSIGN_OR_RETURN(const Found found, Find(context, call));
  const Names names(*found.service);
  Json answer = AnswerOf(context.controller);
  AddFlow(
      *found.service, found.facts,
      [&](core::BackendId id) { return names.Of(id); }, answer);
  return answer;
}

MemberFacts FactsOf(const ReadContext& context, const Names& names,
                    core::BackendId id) {
  const BackendLine line = context.host.LineOf(id);
  return {.id = id,
          .name = names.Of(id),
          .state = line.state,
          .load = line.load,
          .weight = static_cast<uint64_t>(line.weight),
          .full = line.full,
          .at_rate = line.at_rate};
}

// Empty if it may open connections.
std::string WhyDenied(const Found& found) {
  const core::SourceVerdict verdict =
      core::JudgeSource(found.service->sources, found.client);
  if (verdict.admitted) return "";
  const std::string client = found.client.ToString();
  if (verdict.by == nullptr)
    return absl::StrCat("new connection, refused: ", client,
                        " is in none of the prefixes that service ",
                        found.service->name, " allows");
  return absl::StrCat("new connection, refused: service ", found.service->name,
                      " denies ", verdict.by->ToString(), ", which ", client,
                      " is in");
}

// Empty if its source may open one more.
std::string WhyOverConns(const ReadContext& context, const Found& found) {
  if (!found.facts.source_connections.has_value()) return "";
  const uint64_t has = *found.facts.source_connections;
  const size_t lb_hosts = context.controller.lb_hosts();
  const uint64_t most =
      core::ShareOf(found.service->source_rate.most, lb_hosts);
  if (has < most) return "";
  return absl::StrCat(
      "new connection, refused: the source of ", found.client.ToString(),
      " has ", has, " connections recorded here, of ", most,
      " that it may have: service ", found.service->name, " takes ",
      core::DescribeMost(*found.service),
      lb_hosts == 1 ? "" : absl::StrCat(" on ", lb_hosts, " LB hosts"));
}

bool IsAboveBudget(const ReadContext& context, const core::Service& service) {
  const absl::StatusOr<core::ServiceView> view =
      context.controller.View(service.name);
  return view.ok() && view->above_syn_budget;
}

RouteFacts FactsOfFlow(const ReadContext& context, const Names& names,
                       const Found& found) {
  RouteFacts facts = {
      .row = found.facts.words,
      .choices = found.service->choices,
      .hop_lists = found.service->guarantee == core::Guarantee::kSockets,
      .shed = found.service->shed,
      .encap = found.service->encap,
      .over_budget = IsAboveBudget(context, *found.service),
      .draw = found.facts.draw,
      .recordable = found.facts.recordable,
      .denied = WhyDenied(found),
      .over_conns = WhyOverConns(context, found),
      .limit = found.service->source_rate.rate == 0
                   ? ""
                   : core::DescribeRate(*found.service)};
  for (const core::BackendId id : RowMembers(facts.row))
    facts.backends.push_back(FactsOf(context, names, id));
  if (found.facts.slot.has_value()) {
    const FlowSlot& slot = *found.facts.slot;
    facts.slot = {
        .state = slot.state, .backend = slot.backend, .ended = slot.ended};
    facts.backends.push_back(FactsOf(context, names, slot.backend));
  }
  return facts;
}

constexpr Route kRoutes[] = {
    {"GET", "/v1/flows/lookup", Role::kViewer, LookUpFlow},
    {"GET", "/v1/flows/explain", Role::kViewer, OwnHandler::kExplain},
};

}  // namespace

absl::StatusOr<SocketQuestion> AskAboutFlow(const ReadContext& context,
                                            const Call& call) {
  FL_ASSIGN_OR_RETURN(const Found found, Find(context, call));
  SocketQuestion question;
  FL_ASSIGN_OR_RETURN(question.flow, ReadFlow(call.request));
  question.agent_port = found.service->agent_port;
  if (question.agent_port == 0) return question;
  std::vector<core::BackendId> holders = RowMembers(found.facts.words);
  if (found.facts.slot.has_value())
    holders.push_back(found.facts.slot->backend);
  for (const auto& [name, backend] : found.service->backends)
    if (std::find(holders.begin(), holders.end(), backend.id) != holders.end())
      question.backends[backend.id] = backend.address;
  return question;
}

absl::StatusOr<Json> ExplainFlow(const ReadContext& context, const Call& call,
                                 const SocketAnswers& sockets) {
  FL_RETURN_IF_ERROR(CheckQuery(call.request, {"src", "dst", "if_drain"}));
  FL_ASSIGN_OR_RETURN(const Found found, Find(context, call));
  const Names names(*found.service);
  RouteFacts facts = FactsOfFlow(context, names, found);
  const absl::string_view drained =
      http::Lookup(call.request.query, "if_drain");
  if (!drained.empty()) {
    FL_ASSIGN_OR_RETURN(
        const core::Backend* backend,
        core::FindBackend(*found.service, std::string(drained)));
    facts = AsIfDraining(std::move(facts), backend->id);
  }
  const auto name_of = [&](core::BackendId id) { return names.Of(id); };
  Json answer = AnswerOf(context.controller);
  AddFlow(*found.service, found.facts, name_of, answer);
  answer["encap"] = std::string(core::ToString(facts.encap));
  answer["over_syn_budget"] = facts.over_budget;
  answer["members"] = EncodeMembers(facts, sockets);
  answer["syn"] = EncodeRoute(ExplainSyn(facts), name_of);
  answer["segment"] = EncodeRoute(ExplainSegment(facts), name_of);
  return answer;
}

std::span<const Route> FlowRoutes() { return kRoutes; }

}  // namespace fairlead::control
