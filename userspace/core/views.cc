#include "core/views.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace fairlead::core {
namespace {

std::string OwnStateText(const Backend& backend, const BackendRuntime& runtime,
                         const LoadReport& load) {
  std::string state(ToString(runtime.effective.state));
  switch (runtime.effective.state) {
    case EffectiveState::kDraining: {
      const std::string text = DrainText(
          backend.drain, CountConnections(runtime.agent.report(), load));
      return backend.leaving
                 ? absl::StrReplaceAll(text, {{"draining", "leaving"}})
                 : text;
    }
    case EffectiveState::kMaint:
      return runtime.drain.drained() ? "maint, drained" : state;
    case EffectiveState::kUp:
      if (runtime.effective.held == 0) return state;
      return absl::StrCat("up (slow start ",
                          SlowStartPercent(runtime.effective.held), " %)");
    case EffectiveState::kInit:
    case EffectiveState::kDrained:
    case EffectiveState::kDown:
      break;
  }
  return state;
}

std::string StateText(const Backend& backend, const BackendRuntime& runtime,
                      const LoadReport& load) {
  if (!runtime.effective.fails_open)
    return OwnStateText(backend, runtime, load);
  return absl::StrCat(ToString(runtime.effective.state), " (fail open)");
}

std::string GuaranteeText(const Service& service,
                          const std::vector<BackendView>& backends) {
  if (service.agent_port == 0) return "flow-table (no agents asked)";
  size_t agents = 0;
  for (const BackendView& view : backends)
    agents += HasAgent(view.agent.presence) ? 1 : 0;
  return absl::StrCat(ToString(service.guarantee), " (", agents, "/",
                      backends.size(), " agents)");
}

int64_t CountStaying(const std::vector<BackendView>& backends) {
  return std::count_if(
      backends.begin(), backends.end(),
      [](const BackendView& view) { return !view.backend.leaving; });
}

std::string AvailabilityAlarm(const ServiceView& view) {
  const Service& service = view.service;
  std::string reasons;
  for (const BackendView& backend : view.backends) {
    if (backend.eligible || backend.backend.leaving) continue;
    absl::StrAppend(&reasons, reasons.empty() ? ": " : ", ",
                    backend.backend.name, " ",
                    ReasonText(backend.reason, backend.reason_check));
  }
  return absl::StrCat("service ", service.name, ": ", view.available, " of ",
                      CountStaying(view.backends),
                      " backends available, needs ", service.need, reasons);
}

int64_t CountFailingOpen(const std::vector<BackendView>& backends) {
  return std::count_if(backends.begin(), backends.end(),
                       [](const BackendView& view) { return view.fails_open; });
}

std::optional<int> DaysLeft(const BackendView& backend) {
  std::optional<int> least;
  for (const CheckView& check : backend.checks) {
    if (!check.last_result || !check.last_result->certificate_days) continue;
    const int days = *check.last_result->certificate_days;
    least = std::min(least.value_or(days), days);
  }
  return least;
}

std::string FailOpenAlarm(const ServiceView& view) {
  if (const int64_t count = CountFailingOpen(view.backends); count > 0)
    return absl::StrCat("service ", view.service.name,
                        ": fail open: ", view.available,
                        " available, below its panic of ",
                        view.service.panic_percent, "%: ", count,
                        count == 1 ? " that fails or asks to drain takes"
                                   : " that fail or ask to drain take",
                        " new flows too");
  bool ready = false;
  for (const BackendView& backend : view.backends)
    ready = ready || backend.backend.admin == Admin::kReady;
  return absl::StrCat("service ", view.service.name,
                      ready ? ": fail open: no backend is available, new flows "
                              "go to those that are not in drain or maint"
                            : ": fail open: every backend is in drain or "
                              "maint, new flows go to them all the same");
}

// Nobody who takes new flows has room; empty if somebody has.
std::string FullAlarm(const ServiceView& view) {
  int full = 0;
  for (const BackendView& backend : view.backends) full += backend.full ? 1 : 0;
  if (full == 0 || full < view.available) return "";
  return absl::StrCat("service ", view.service.name, ": ",
                      full == 1 ? "the one backend that takes new connections "
                                  "is full"
                                : absl::StrCat("all ", full,
                                               " backends that take new "
                                               "connections are full"),
                      ": clients are refused; raise their max-conn with "
                      "backend set, or add a backend");
}

// Empty if none expires soon.
std::string CertificateAlarm(const ServiceView& view) {
  const BackendView* first = nullptr;
  int count = 0;
  for (const BackendView& backend : view.backends) {
    const std::optional<int> days = DaysLeft(backend);
    if (!days || *days > kCertificateWarningDays) continue;
    ++count;
    if (first == nullptr || *days < *DaysLeft(*first)) first = &backend;
  }
  if (first == nullptr) return "";
  std::string text =
      absl::StrCat("service ", view.service.name, ": the certificate of ",
                   first->backend.name, " expires in ", *DaysLeft(*first),
                   *DaysLeft(*first) == 1 ? " day" : " days");
  if (count > 1)
    absl::StrAppend(&text, ", those of ", count - 1, " others soon after");
  return absl::StrCat(text, "; checks fail from then on");
}

// Why no packet reaches a backend that would be sent some.
std::string WhyUnreachable(const Service& service,
                           const std::optional<NextHop>& next_hop) {
  if (service.encap == Encap::kL2 && next_hop && next_hop->gateway)
    return absl::StrCat("route.gateway(", next_hop->gateway->ToString(), ")");
  return "route.no-next-hop";
}

std::string GatewayAlarm(const ServiceView& view, const BackendView& backend) {
  return absl::StrCat(
      "service ", view.service.name, ": ", backend.backend.name, " (",
      backend.backend.address.ToString(), ") is behind the gateway ",
      backend.next_hop->gateway->ToString(),
      ", and encap l2 reaches only who is on a link of this host: put it "
      "there, or set --encap ipip or gue");
}

std::vector<CheckView> MakeCheckViews(const Service& service,
                                      const CheckSet& set) {
  std::vector<CheckView> views;
  for (const CheckRef& ref : ChecksOf(service)) {
    const CheckSet::One* one = set.Find(ref.name);
    if (one == nullptr) continue;
    views.push_back({.name = one->name,
                     .kind = ref.config->kind,
                     .health = one->check.health(),
                     .signal = one->check.signal(),
                     .last_failure = one->check.last_failure(),
                     .last_result = one->last_result,
                     .last_result_at = one->last_result_at,
                     .history = one->history.List()});
  }
  return views;
}

// What the reason is of; where it is of no check, what is worst.
const CheckSet::One& DecisiveOf(const BackendRuntime& runtime) {
  const CheckSet::One* named = runtime.check.Find(runtime.effective.check);
  return named == nullptr ? runtime.check.decisive() : *named;
}

}  // namespace

BackendView MakeBackendView(const Service& service, const Backend& backend,
                            const BackendRuntime& runtime,
                            const LoadReport& load, const ToldNextHop& told,
                            bool reachable) {
  const bool wanted = runtime.effective.eligible;
  const CheckSet::One& decisive = DecisiveOf(runtime);
  return {.backend = backend,
          .state = runtime.effective.state,
          .state_text = StateText(backend, runtime, load),
          .reason = wanted && !reachable
                        ? WhyUnreachable(service, told.next_hop)
                        : runtime.effective.reason,
          .reason_check = wanted && !reachable ? "" : runtime.effective.check,
          .health = runtime.check.health(),
          .signal = runtime.check.signal(),
          .last_check = decisive.name,
          .last_result = decisive.last_result,
          .last_result_at = decisive.last_result_at,
          .checks = MakeCheckViews(service, runtime.check),
          .agent = runtime.agent.report(),
          .load = load,
          .next_hop = told.next_hop,
          .no_next_hop = told.reason,
          .eligible = wanted && reachable,
          .fails_open = runtime.effective.fails_open && reachable,
          .slow_start_percent = SlowStartPercent(runtime.effective.held)};
}

void AddLimit(uint64_t connections, BackendView& view) {
  view.connections = connections;
  const uint32_t max_conn = view.backend.max_conn;
  view.full =
      view.eligible && max_conn != 0 && view.load.begun >= view.load.bound;
  if (!view.full) return;
  view.state_text = absl::StrCat("full (", connections, "/", max_conn, ")");
  if (view.reason == "-") view.reason = "max-conn";
}

void AddPace(base::MonoTime now, BackendView& view) {
  const uint32_t rate = view.backend.accept_rate;
  if (view.full || !view.eligible || !IsAtRate(rate, view.load, now)) return;
  const std::string text = AcceptRateText(rate, view.slow_start_percent);
  view.full = true;
  view.state_text = absl::StrCat("full (", text, ")");
  if (view.reason == "-")
    view.reason = absl::StrCat("accept-rate (", text, ")");
}

ServiceView MakeServiceView(const Service& service,
                            std::vector<BackendView> backends,
                            uint64_t rows_overflowed) {
  ServiceView view;
  view.service = service;
  view.guarantee = GuaranteeText(service, backends);
  for (const BackendView& backend : backends)
    view.available += backend.eligible ? 1 : 0;
  view.fail_open = !backends.empty() &&
                   (view.available == 0 || CountFailingOpen(backends) > 0);
  view.rows_overflowed = rows_overflowed;
  view.backends = std::move(backends);
  return view;
}

std::string SynBudgetAlarm(const Service& service,
                           const SynWatch::Excess& excess, uint64_t budget) {
  return absl::StrCat(
      "service ", service.name, ": ", excess.per_second,
      " new flows/s, above its SYN budget of ", budget,
      "/s: ", excess.unrecorded_per_second,
      "/s are served and not recorded; if they are no flood, raise it with "
      "service set --syn-budget");
}

Event SynBudgetEvent(const Service& service, const SynWatch& watch,
                     uint64_t budget) {
  const bool is_above = watch.excess().has_value();
  return {.type = "service.syn-budget",
          .service = service.name,
          .backend = "",
          .before = is_above ? "within" : "above",
          .after = is_above ? "above" : "within",
          .reason = absl::StrCat(budget, " new flows/s are recorded"),
          .lasted = watch.lasted()};
}

std::vector<std::string> ServiceAlarms(
    const ServiceView& view, const std::vector<std::string>& no_next_hop) {
  std::vector<std::string> alarms;
  const std::string service = absl::StrCat("service ", view.service.name);
  if (view.available < view.service.need)
    alarms.push_back(AvailabilityAlarm(view));
  if (view.fail_open) alarms.push_back(FailOpenAlarm(view));
  if (std::string alarm = FullAlarm(view); !alarm.empty())
    alarms.push_back(std::move(alarm));
  if (std::string alarm = CertificateAlarm(view); !alarm.empty())
    alarms.push_back(std::move(alarm));
  if (view.rows_overflowed > 0)
    alarms.push_back(absl::StrCat(
        service, ": ", view.rows_overflowed,
        " rows have no place for a new candidate until an owner has left"));
  for (const BackendView& backend : view.backends) {
    if (backend.agent.presence == AgentReport::Presence::kLost)
      alarms.push_back(absl::StrCat(service, ": the agent of ",
                                    backend.backend.name, " is silent"));
    if (backend.agent.presence == AgentReport::Presence::kAbsent &&
        view.service.guarantee == Guarantee::kSockets)
      alarms.push_back(absl::StrCat(service, ": ", backend.backend.name,
                                    " has no agent that answers on port ",
                                    view.service.agent_port,
                                    ", and takes no new connections"));
  }
  for (const BackendView& backend : view.backends)
    if (view.service.encap == Encap::kL2 && backend.next_hop &&
        backend.next_hop->gateway)
      alarms.push_back(GatewayAlarm(view, backend));
  for (const std::string& name : no_next_hop)
    alarms.push_back(absl::StrCat(service, ": no next hop for ", name));
  return alarms;
}

}  // namespace fairlead::core
