#include "core/registry.h"

#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "core/allocation.h"
#include "core/check_list.h"
#include "core/settings.h"
#include "core/sources.h"
#include "core/syn_budget.h"

namespace fairlead::core {
namespace {

std::string CountOf(uint64_t count, absl::string_view noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

template <typename Map>
std::vector<typename Map::key_type> KeysOf(const Map& map) {
  std::vector<typename Map::key_type> keys;
  for (const auto& [key, value] : map) keys.push_back(key);
  return keys;
}

std::string RowsText(const Service& service) {
  return absl::StrCat("rows ", service.rows_base, " to ",
                      service.rows_base + service.rows - 1);
}

std::string RowsPlan(const Service& service) {
  return absl::StrCat("fl_rows: ", RowsText(service), " of ", service.name,
                      " list ", CountOf(service.backends.size(), "backend"));
}

std::string ServicePlan(const Service& service) {
  return absl::StrCat(
      "fl_services: ", service.vip.ToString(), " is service ", service.id, " (",
      service.name, "), policy ", ToString(service.policy), ", choices ",
      service.choices, ", encap ", ToString(service.encap), ", guarantee ",
      ToString(service.guarantee), ", SYN budget ",
      ToString(service.syn_budget), ", ", RowsText(service),
      service.source_rate.rate == 0 ? ""
                                    : absl::StrCat(", ", DescribeRate(service)),
      service.source_rate.most == 0
          ? ""
          : absl::StrCat(", ", DescribeMost(service)));
}

std::string MaxConnText(uint32_t max_conn) {
  return absl::StrCat("max-conn ",
                      max_conn == 0 ? "off" : absl::StrCat(max_conn));
}

std::string AcceptRateText(uint32_t accept_rate) {
  return absl::StrCat("accept-rate ", accept_rate == 0
                                          ? "off"
                                          : absl::StrCat(accept_rate, "/s"));
}

std::string BackendText(const Backend& backend) {
  return absl::StrCat(
      backend.address.ToString(), " weight ", backend.weight,
      backend.max_conn == 0 ? "" : " " + MaxConnText(backend.max_conn),
      backend.accept_rate == 0 ? ""
                               : " " + AcceptRateText(backend.accept_rate));
}

// Builds one Change; each handler is one command.
class Planner {
 public:
  Planner(const DesiredState& desired, const TableSizes& sizes, absl::Time wall,
          FactsOf facts)
      : desired_(desired), sizes_(sizes), wall_(wall), facts_(facts) {
    change_.next = desired;
  }

  absl::Status operator()(const AddService& command);
  absl::Status operator()(const SetService& command);
  absl::Status operator()(const DeleteService& command);
  absl::Status operator()(const ClearTombstone& command);
  absl::Status operator()(const ListSources& command);
  absl::Status operator()(const UnlistSources& command);
  absl::Status operator()(const AddBackend& command);
  absl::Status operator()(const SetBackend& command);
  absl::Status operator()(const DeleteBackend& command);
  absl::Status operator()(const SetAdmin& command);
  absl::Status operator()(const AddCheck& command);
  absl::Status operator()(const SetCheck& command);
  absl::Status operator()(const DeleteCheck& command);

  Change Take() {
    if (change_.next != desired_) ++change_.next.generation;
    return std::move(change_);
  }

 private:
  // In change_.next; the error lists what there is.
  absl::StatusOr<Service*> Find(const std::string& service);
  absl::StatusOr<Backend*> Find(Service& service, const std::string& backend);

  void Log(Event event) { change_.events.push_back(std::move(event)); }
  void Plan(std::string step) { change_.plan.push_back(std::move(step)); }
  absl::Status CheckFree(const AddService& command) const;
  void DropTombstone(const base::Endpoint& vip);
  void PlanSources(const Service& service);
  void LogCheck(absl::string_view what, const Service& service,
                const std::string& name, Event event);
  void LogSet(const SetBackend& command, const Backend& backend,
              const std::string& before, const std::string& after);
  void Retire(const Backend& backend);
  absl::Status RefuseTaking(const Service& service, const Backend& backend,
                            uint64_t flows) const;
  absl::Status RefuseLeaving(const Service& service,
                             const Backend& backend) const;
  void Leave(const Service& service, Backend& backend);
  absl::Status CheckNeed(const Service& service, const Backend& backend,
                         Admin wanted) const;
  absl::Status CheckAgents(const Service& service) const;
  uint64_t FlowsAtStake(const Service& service) const;

  const DesiredState& desired_;
  const TableSizes& sizes_;
  const absl::Time wall_;
  const FactsOf facts_;
  Change change_;
};

absl::StatusOr<Service*> Planner::Find(const std::string& service) {
  FL_RETURN_IF_ERROR(FindService(change_.next, service).status());
  return &change_.next.services.find(service)->second;
}

absl::StatusOr<Backend*> Planner::Find(Service& service,
                                       const std::string& backend) {
  FL_ASSIGN_OR_RETURN(const Backend* found, FindBackend(service, backend));
  return &service.backends.find(found->name)->second;
}

absl::Status Planner::CheckFree(const AddService& command) const {
  if (desired_.services.contains(command.name))
    return absl::AlreadyExistsError(
        "there is a service of that name; choose another name or delete it");
  for (const auto& [name, service] : desired_.services) {
    if (service.vip == command.vip)
      return absl::AlreadyExistsError(absl::StrCat(
          "vip ", command.vip.ToString(), " belongs to service ",
          base::Quoted(name), "; choose another VIP or delete that service"));
  }
  return absl::OkStatus();
}

void Planner::DropTombstone(const base::Endpoint& vip) {
  const auto found = change_.next.tombstones.find(vip);
  if (found == change_.next.tombstones.end()) return;
  Log({.type = "tombstone.clear",
       .service = found->second.name,
       .before = vip.ToString()});
  change_.next.tombstones.erase(found);
}

absl::Status Planner::operator()(const AddService& command) {
  const std::string context =
      absl::StrCat("service ", base::Quoted(command.name));
  Service service;
  service.name = command.name;
  service.vip = command.vip;
  FL_RETURN_IF_ERROR(CompleteSettings(command.settings, service), context);
  FL_RETURN_IF_ERROR(CheckCounted(service, sizes_), context);
  FL_RETURN_IF_ERROR(CheckFree(command), context);
  DropTombstone(command.vip);
  FL_ASSIGN_OR_RETURN(service.id, AllocateServiceId(change_.next, sizes_),
                      context);
  FL_ASSIGN_OR_RETURN(service.rows_base,
                      AllocateRows(change_.next, sizes_, service.rows),
                      context);
  Log({.type = "service.add",
       .service = service.name,
       .after = absl::StrCat(service.vip.ToString(), " policy ",
                             ToString(service.policy), " rows ", service.rows,
                             " check ", ToString(service.check.kind))});
  Plan(ServicePlan(service));
  change_.next.services.emplace(service.name, std::move(service));
  return absl::OkStatus();
}

absl::Status Planner::operator()(const SetService& command) {
  FL_ASSIGN_OR_RETURN(Service * service, Find(command.name));
  const Service before = *service;
  FL_RETURN_IF_ERROR(ChangeSettings(command.settings, *service), "service ",
                     base::Quoted(command.name));
  FL_RETURN_IF_ERROR(CheckCounted(*service, sizes_), "service ",
                     base::Quoted(command.name));
  if (before.guarantee != service->guarantee &&
      service->guarantee == Guarantee::kSockets)
    FL_RETURN_IF_ERROR(CheckAgents(before));
  const auto old_settings = DescribeSettings(before);
  const auto new_settings = DescribeSettings(*service);
  std::vector<std::string> from;
  std::vector<std::string> to;
  for (size_t i = 0; i < old_settings.size(); ++i) {
    if (old_settings[i] == new_settings[i]) continue;
    from.push_back(
        absl::StrJoin({old_settings[i].first, old_settings[i].second}, " "));
    to.push_back(
        absl::StrJoin({new_settings[i].first, new_settings[i].second}, " "));
  }
  if (from.empty()) return absl::OkStatus();
  Log({.type = "service.set",
       .service = service->name,
       .before = absl::StrJoin(from, ", "),
       .after = absl::StrJoin(to, ", ")});
  if (before.policy != service->policy || before.choices != service->choices ||
      before.guarantee != service->guarantee ||
      before.encap != service->encap ||
      before.syn_budget != service->syn_budget ||
      before.source_rate != service->source_rate)
    Plan(ServicePlan(*service));
  else
    Plan(absl::StrCat("service ", service->name, ": ", absl::StrJoin(to, ", "),
                      "; no table is written"));
  return absl::OkStatus();
}

// A backend without an agent does not understand hop lists.
absl::Status Planner::CheckAgents(const Service& service) const {
  std::vector<std::string> without;
  for (const auto& [name, backend] : service.backends)
    if (!facts_(backend).agent_answers) without.push_back(name);
  if (without.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "service ", base::Quoted(service.name), ": guarantee sockets: ",
      CountOf(without.size(), "backend"), " of ", service.backends.size(),
      without.size() == 1 ? " has" : " have", " no agent that answers on port ",
      service.agent_port, " (", absl::StrJoin(without, ", "),
      "); start fairlead-agent there, or delete them"));
}

uint64_t Planner::FlowsAtStake(const Service& service) const {
  uint64_t flows = 0;
  for (const auto& [name, backend] : service.backends)
    flows += facts_(backend).flows_at_stake;
  return flows;
}

void Planner::Retire(const Backend& backend) {
  change_.next.quarantine[backend.id] = wall_;
  Plan(absl::StrCat("fl_backends: ", backend.id, " (", backend.name,
                    ") takes no new flows, and is removed when no flow is "
                    "recorded for it any more"));
}

absl::Status Planner::operator()(const DeleteService& command) {
  FL_ASSIGN_OR_RETURN(Service * service, Find(command.name));
  const uint64_t flows = FlowsAtStake(*service);
  if (!command.force && !service->backends.empty())
    return absl::FailedPreconditionError(absl::StrCat(
        "service ", base::Quoted(command.name), " has ",
        CountOf(service->backends.size(), "backend"), " with ",
        CountOf(flows, "flow"),
        ": delete them first; with force its flows lose their backends"));
  for (const auto& [name, backend] : service->backends) Retire(backend);
  Log({.type = "service.delete",
       .service = command.name,
       .before = absl::StrCat(service->vip.ToString(), ", ",
                              CountOf(service->backends.size(), "backend"),
                              ", ", CountOf(flows, "flow")),
       .after = "tombstone"});
  Plan(absl::StrCat("fl_services: ", service->vip.ToString(),
                    " is a tombstone: dropped and counted until cleared"));
  change_.next.tombstones[service->vip] = {
      .id = service->id, .name = command.name, .since = wall_};
  change_.next.services.erase(command.name);
  return absl::OkStatus();
}

absl::Status Planner::operator()(const ClearTombstone& command) {
  if (!desired_.tombstones.contains(command.vip)) {
    std::vector<std::string> have;
    for (const auto& [vip, tombstone] : desired_.tombstones)
      have.push_back(vip.ToString());
    const std::string vip = command.vip.ToString();
    return absl::NotFoundError(
        absl::StrCat("no tombstone ", vip, base::Hint(vip, have)));
  }
  DropTombstone(command.vip);
  Plan(absl::StrCat("fl_services: ", command.vip.ToString(),
                    " is removed: its packets pass to this host"));
  return absl::OkStatus();
}

void Planner::PlanSources(const Service& service) {
  Plan(absl::StrCat("fl_prefixes: service ", service.id, " (", service.name,
                    "): ", DescribeSources(service.sources)));
}

absl::Status Planner::operator()(const ListSources& command) {
  FL_ASSIGN_OR_RETURN(Service * service, Find(command.service));
  const std::string context =
      absl::StrCat("service ", base::Quoted(command.service));
  FL_RETURN_IF_ERROR(ListPrefixes(command.prefixes, command.rule, *service),
                     context);
  const size_t used = CountPrefixes(change_.next);
  if (used > sizes_.prefixes)
    return absl::ResourceExhaustedError(absl::StrCat(
        context, ": the table of prefixes is too small for ", used,
        ": it has room for ", sizes_.prefixes, ", and ",
        CountPrefixes(desired_),
        " are taken; unlist some, or raise prefixes in the node config"));
  Log({.type = absl::StrCat("service.", ToString(command.rule)),
       .service = command.service,
       .after = DescribePrefixes(command.prefixes)});
  PlanSources(*service);
  return absl::OkStatus();
}

absl::Status Planner::operator()(const UnlistSources& command) {
  FL_ASSIGN_OR_RETURN(Service * service, Find(command.service));
  const std::string context =
      absl::StrCat("service ", base::Quoted(command.service));
  std::vector<base::IpPrefix> prefixes = command.prefixes;
  if (command.all) {
    if (!prefixes.empty())
      return absl::InvalidArgumentError(
          absl::StrCat(context, ": name prefixes to unlist, or all, not both"));
    if (service->sources.empty()) return absl::OkStatus();
    prefixes = KeysOf(service->sources);
  }
  FL_RETURN_IF_ERROR(UnlistPrefixes(prefixes, *service), context);
  Log({.type = "service.unlist",
       .service = command.service,
       .before = DescribePrefixes(prefixes)});
  PlanSources(*service);
  return absl::OkStatus();
}

absl::Status Planner::operator()(const AddBackend& command) {
  FL_ASSIGN_OR_RETURN(Service * service, Find(command.service));
  Backend backend;
  backend.address = command.address;
  backend.name =
      command.name.empty() ? command.address.ToString() : command.name;
  backend.weight = command.weight;
  backend.max_conn = command.max_conn;
  backend.accept_rate = command.accept_rate;
  const std::string context =
      absl::StrCat("backend ", base::Quoted(backend.name), " of service ",
                   base::Quoted(command.service));
  if (const auto same = service->backends.find(backend.name);
      same != service->backends.end()) {
    FL_RETURN_IF_ERROR(RefuseLeaving(*service, same->second));
    return absl::AlreadyExistsError(
        absl::StrCat(context,
                     ": there is one of that name; choose another "
                     "name or delete it"));
  }
  for (const auto& [name, other] : service->backends) {
    if (other.address != backend.address) continue;
    FL_RETURN_IF_ERROR(RefuseLeaving(*service, other));
    return absl::AlreadyExistsError(
        absl::StrCat(context, ": address ", backend.address.ToString(),
                     " belongs to backend ", base::Quoted(name)));
  }
  FL_ASSIGN_OR_RETURN(backend.id, AllocateBackendId(change_.next, sizes_),
                      context);
  service->backends.emplace(backend.name, backend);
  FL_RETURN_IF_ERROR(CheckService(*service), "service ",
                     base::Quoted(command.service));
  Log({.type = "backend.add",
       .service = command.service,
       .backend = backend.name,
       .after = BackendText(backend)});
  Plan(absl::StrCat("fl_backends: ", backend.id, " is ", backend.name, " (",
                    BackendText(backend), ")"));
  Plan(RowsPlan(*service));
  return absl::OkStatus();
}

absl::Status Planner::operator()(const SetBackend& command) {
  FL_ASSIGN_OR_RETURN(Service * service, Find(command.service));
  FL_ASSIGN_OR_RETURN(Backend * backend, Find(*service, command.name));
  FL_RETURN_IF_ERROR(RefuseLeaving(*service, *backend));
  Backend next = *backend;
  next.weight = command.weight.value_or(next.weight);
  next.max_conn = command.max_conn.value_or(next.max_conn);
  next.accept_rate = command.accept_rate.value_or(next.accept_rate);
  const std::string context =
      absl::StrCat("backend ", base::Quoted(next.name), " of service ",
                   base::Quoted(command.service));
  FL_RETURN_IF_ERROR(CheckWeight(next.weight), context);
  FL_RETURN_IF_ERROR(CheckMaxConn(next.max_conn), context);
  FL_RETURN_IF_ERROR(CheckAcceptRate(next.accept_rate), context);
  const bool new_weight = next.weight != backend->weight;
  if (new_weight) {
    LogSet(command, *backend, absl::StrCat("weight ", backend->weight),
           absl::StrCat("weight ", next.weight));
  }
  if (next.max_conn != backend->max_conn)
    LogSet(command, *backend, MaxConnText(backend->max_conn),
           MaxConnText(next.max_conn));
  if (next.accept_rate != backend->accept_rate)
    LogSet(command, *backend, AcceptRateText(backend->accept_rate),
           AcceptRateText(next.accept_rate));
  *backend = next;
  if (new_weight) Plan(RowsPlan(*service));
  return absl::OkStatus();
}

void Planner::LogSet(const SetBackend& command, const Backend& backend,
                     const std::string& before, const std::string& after) {
  Log({.type = "backend.set",
       .service = command.service,
       .backend = backend.name,
       .before = before,
       .after = after});
  Plan(absl::StrCat("fl_backends: ", backend.id, " (", backend.name, ") has ",
                    after));
}

absl::Status Planner::operator()(const DeleteBackend& command) {
  FL_ASSIGN_OR_RETURN(Service * service, Find(command.service));
  FL_ASSIGN_OR_RETURN(Backend * found, Find(*service, command.name));
  const Backend backend = *found;
  const BackendFacts facts = facts_(backend);
  const uint64_t flows = facts.flows_at_stake;
  if (!command.force && facts.has_agent && !facts.drained) {
    FL_RETURN_IF_ERROR(RefuseTaking(*service, backend, flows));
    if (!backend.leaving) Leave(*service, *found);
    return absl::OkStatus();
  }
  if (!command.force && flows > 0)
    return absl::FailedPreconditionError(absl::StrCat(
        "backend ", base::Quoted(backend.name), " of service ",
        base::Quoted(command.service), " has ", CountOf(flows, "flow"),
        ": drain it first; with force its ", CountOf(flows, "flow"),
        flows == 1 ? " loses its backend" : " lose their backend"));
  service->backends.erase(backend.name);
  Retire(backend);
  Log({.type = "backend.delete",
       .service = command.service,
       .backend = backend.name,
       .before =
           absl::StrCat(BackendText(backend), ", ", CountOf(flows, "flow"))});
  Plan(RowsPlan(*service));
  return absl::OkStatus();
}

// A backend that takes new connections is not deleted in passing.
absl::Status Planner::RefuseTaking(const Service& service,
                                   const Backend& backend,
                                   uint64_t flows) const {
  if (backend.admin != Admin::kReady || flows == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "backend ", base::Quoted(backend.name), " of service ",
      base::Quoted(service.name), " has ", CountOf(flows, "flow"),
      ": drain it first, then it may be deleted at once and goes with the last "
      "of them; with force ",
      flows == 1 ? "it loses its backend" : "they lose their backend"));
}

absl::Status Planner::RefuseLeaving(const Service& service,
                                    const Backend& backend) const {
  if (!backend.leaving) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "backend ", base::Quoted(backend.name), " of service ",
      base::Quoted(service.name),
      " is leaving: it was deleted and goes when its last connection has "
      "ended; ready takes it back, delete with force removes it now"));
}

// The backend's agent will tell when nothing is left of it. Until then it stays
// listed in the rows that it has connections of.
void Planner::Leave(const Service& service, Backend& backend) {
  const uint64_t connections = facts_(backend).connections;
  Log({.type = "backend.delete",
       .service = service.name,
       .backend = backend.name,
       .before = BackendText(backend),
       .after = absl::StrCat("leaving, ", CountOf(connections, "connection"))});
  if (!backend.drain)
    backend.drain = {.since = wall_, .connections_at_start = connections};
  backend.admin = Admin::kDrain;
  backend.leaving = true;
  Plan(absl::StrCat("fl_backends: ", backend.id, " (", backend.name,
                    ") takes no new flows; it is removed when its agent has "
                    "seen the last of its ",
                    CountOf(connections, "connection"), " end"));
  Plan(RowsPlan(service));
}

absl::Status Planner::CheckNeed(const Service& service, const Backend& backend,
                                Admin wanted) const {
  // One that takes no flows anyway is no loss.
  if (!facts_(backend).available) return absl::OkStatus();
  int left = -1;
  for (const auto& [name, other] : service.backends)
    left += facts_(other).available ? 1 : 0;
  if (left >= service.need) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "backend ", base::Quoted(backend.name), " of service ",
      base::Quoted(service.name), ": ", ToString(wanted), " leaves ", left,
      " of ", CountOf(service.backends.size(), "backend"),
      " available, the service needs ", service.need,
      "; ready another first, lower need, or force"));
}

absl::Status Planner::operator()(const SetAdmin& command) {
  FL_ASSIGN_OR_RETURN(Service * service, Find(command.service));
  FL_ASSIGN_OR_RETURN(Backend * backend, Find(*service, command.name));
  if (command.admin == Admin::kMaint)
    FL_RETURN_IF_ERROR(RefuseLeaving(*service, *backend));
  if (command.admin == backend->admin) return absl::OkStatus();
  if (command.admin != Admin::kReady && !command.force)
    FL_RETURN_IF_ERROR(CheckNeed(*service, *backend, command.admin));
  Log({.type = absl::StrCat("backend.", ToString(command.admin)),
       .service = command.service,
       .backend = backend->name,
       .before =
           backend->leaving ? "leaving" : std::string(ToString(backend->admin)),
       .after = std::string(ToString(command.admin))});
  backend->admin = command.admin;
  if (command.admin == Admin::kReady) {
    backend->leaving = false;
    backend->drain.reset();
  } else if (!backend->drain) {
    backend->drain = {.since = wall_,
                      .connections_at_start = facts_(*backend).connections};
  }
  Plan(absl::StrCat("fl_backends: ", backend->id, " (", backend->name, ") ",
                    command.admin == Admin::kReady
                        ? "may take new flows as soon as it is healthy"
                        : "takes no new flows; its flows live on"));
  return absl::OkStatus();
}

std::string CheckContext(const std::string& service, const std::string& name) {
  return absl::StrCat("check ", base::Quoted(name), " of service ",
                      base::Quoted(service));
}

void Planner::LogCheck(absl::string_view what, const Service& service,
                       const std::string& name, Event event) {
  const auto prefix = [&](std::string& text) {
    if (!text.empty()) text = absl::StrCat(name, ": ", text);
  };
  event.type = absl::StrCat("check.", what);
  event.service = service.name;
  prefix(event.before);
  prefix(event.after);
  Log(std::move(event));
  Plan(absl::StrCat("service ", service.name, ": check ", name, ": ", what,
                    "; no table is written"));
}

absl::Status Planner::operator()(const AddCheck& command) {
  FL_ASSIGN_OR_RETURN(Service * service, Find(command.service));
  FL_RETURN_IF_ERROR(AddCheckTo(command, *service),
                     CheckContext(command.service, command.name));
  FL_ASSIGN_OR_RETURN(const CheckRef check, FindCheck(*service, command.name));
  LogCheck("add", *service, command.name,
           {.after = std::string(ToString(check.config->kind))});
  return absl::OkStatus();
}

absl::Status Planner::operator()(const SetCheck& command) {
  FL_ASSIGN_OR_RETURN(Service * service, Find(command.service));
  FL_ASSIGN_OR_RETURN(const CheckRef found, FindCheck(*service, command.name));
  const CheckConfig before = *found.config;
  FL_RETURN_IF_ERROR(SetCheckOf(command, *service),
                     CheckContext(command.service, command.name));
  if (before == *found.config) return absl::OkStatus();
  auto [from, to] = DescribeDifference(before, *found.config);
  LogCheck("set", *service, command.name,
           {.before = std::move(from), .after = std::move(to)});
  return absl::OkStatus();
}

absl::Status Planner::operator()(const DeleteCheck& command) {
  FL_ASSIGN_OR_RETURN(Service * service, Find(command.service));
  FL_ASSIGN_OR_RETURN(const CheckRef found, FindCheck(*service, command.name));
  const CheckKind kind = found.config->kind;
  FL_RETURN_IF_ERROR(DeleteCheckOf(command, *service),
                     CheckContext(command.service, command.name));
  LogCheck("delete", *service, command.name,
           {.before = std::string(ToString(kind))});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Change> PlanChange(const DesiredState& desired,
                                  const TableSizes& sizes,
                                  const Command& command, absl::Time wall,
                                  FactsOf facts) {
  Planner planner(desired, sizes, wall, facts);
  FL_RETURN_IF_ERROR(std::visit(planner, command));
  return planner.Take();
}

absl::StatusOr<const Service*> FindService(const DesiredState& desired,
                                           const std::string& name) {
  const auto found = desired.services.find(name);
  if (found != desired.services.end()) return &found->second;
  return absl::NotFoundError(
      absl::StrCat("no service ", base::Quoted(name),
                   base::Hint(name, KeysOf(desired.services))));
}

absl::StatusOr<const Backend*> FindBackend(const Service& service,
                                           const std::string& name) {
  const auto found = service.backends.find(name);
  if (found != service.backends.end()) return &found->second;
  if (const auto address = base::IpAddress::Parse(name); address.ok()) {
    for (const auto& [other_name, backend] : service.backends)
      if (backend.address == *address) return &backend;
  }
  return absl::NotFoundError(absl::StrCat(
      "no backend ", base::Quoted(name), " in service ",
      base::Quoted(service.name), base::Hint(name, KeysOf(service.backends))));
}

}  // namespace fairlead::core
