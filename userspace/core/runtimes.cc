#include "core/runtimes.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "fairlead/abi/maps.h"

namespace fairlead::core {
namespace {

void ReconfigureAdmin(Admin before, Admin after, BackendRuntime& runtime,
                      base::MonoTime now) {
  if (before == after) return;
  if (after == Admin::kMaint)
    runtime.check.Pause();
  else
    runtime.check.Resume(now);
  // A signal may have begun it, but then flows were offered at need until now.
  if (before == Admin::kReady) runtime.drain.End();
}

void ReconfigureAgent(uint16_t before, uint16_t after,
                      BackendRuntime& runtime) {
  AgentView& agent = runtime.agent;
  if (before == after) return;
  if (after == 0) {
    agent = AgentView();
    runtime.drain.End();  // what it proved may be over, and nobody would say
  } else if (before == 0) {
    // To be asked is no reason not to be used meanwhile.
    agent.AssumeAbsent();
  } else {
    agent.AskElsewhere();
  }
}

// A first result counts at once, so it should not be that of an agent which was
// not asked yet.
bool IsTooEarly(const Service& service, const BackendRuntime& runtime,
                const CheckSet::One& check) {
  using enum AgentReport::Presence;
  const AgentReport::Presence agent = runtime.agent.report().presence;
  return service.agent_port != 0 && check.check.health() == Health::kInit &&
         (agent == kUnknown || agent == kStale);
}

// A probe that nobody has answered so long after its time-out never will be.
constexpr absl::Duration kForgetShared = absl::Seconds(10);

// False if it does not wait for it.
bool TakeResult(uint64_t number, const ProbeResult& result, base::MonoTime now,
                double random, CheckSet::One& one) {
  if (!one.check.OnResult(number, result, now, random)) return false;
  if (result.outcome == ProbeOutcome::kLate) return true;
  one.last_result = result;
  one.last_result_at = now;
  one.history.Add(result, now);
  return true;
}

}  // namespace

ProbeRequest MakeProbe(const Service& service, const Backend& backend,
                       const CheckRef& check) {
  const CheckConfig& config = *check.config;
  ProbeRequest probe;
  probe.check_name = std::string(check.name);
  probe.service = service.name;
  probe.backend = backend.name;
  probe.address = backend.address;
  probe.port = config.port != 0 ? config.port : service.vip.port;
  probe.check = config;
  if (config.via == CheckVia::kVip)
    probe.by_vip = {.vip = service.vip, .id = backend.id};
  return probe;
}

void Runtimes::Adopt(const DesiredState& desired,
                     absl::FunctionRef<uint64_t(BackendId)> table_state,
                     base::MonoTime now) {
  for (const auto& [name, service] : desired.services) {
    for (const auto& [backend_name, backend] : service.backends) {
      const auto [it, is_new] = runtimes_.emplace(
          backend.id,
          MakeAdopted(service, backend, table_state(backend.id), now));
      FL_CHECK(is_new);
      Derive(service, backend, it->second, now);
      Reschedule(service, it->second, now);
    }
  }
  groups_.Rebuild(desired);
  RecountAll(desired, now);
}

BackendRuntime Runtimes::Make(const Service& service, const Backend& backend,
                              base::MonoTime now) const {
  BackendRuntime runtime{.id = backend.id,
                         .service = service.name,
                         .backend = backend.name,
                         .check = CheckSet(service, now),
                         .state_since = now};
  if (backend.admin == Admin::kMaint) runtime.check.Pause();
  return runtime;
}

BackendRuntime Runtimes::MakeAdopted(const Service& service,
                                     const Backend& backend,
                                     uint64_t table_state, base::MonoTime now) {
  BackendRuntime runtime = Make(service, backend, now);
  runtime.state_since.reset();
  const bool was_eligible = (table_state & FL_BACKEND_ELIGIBLE) != 0;
  if (was_eligible && backend.admin != Admin::kMaint) {
    // Not all probes at once: what is taken for up can wait its turn.
    runtime.check.AssumeUp(service, random_(), now);
  }
  if (was_eligible) {
    // A restart begins nothing anew.
    runtime.effective.bits = FL_BACKEND_ELIGIBLE;
    runtime.slow_start.Resume(
        static_cast<uint32_t>(table_state >> FL_BACKEND_HELD_SHIFT),
        service.slow_start, now);
  }
  if (service.agent_port == 0) return runtime;
  if ((table_state & FL_BACKEND_AGENT) != 0)
    runtime.agent.AssumeLost();
  else if (was_eligible)
    runtime.agent.AssumeAbsent();
  return runtime;
}

void Runtimes::TakeOver(const DesiredState& before, const DesiredState& after,
                        base::MonoTime now) {
  ForgetDeleted(after);
  for (const auto& [name, service] : after.services) {
    const auto old = before.services.find(name);
    if (old != before.services.end()) Reconfigure(old->second, service, now);
    for (const auto& [backend_name, backend] : service.backends) {
      const auto found = runtimes_.find(backend.id);
      if (found != runtimes_.end()) {
        Refresh(service, backend, found->second, now);
        continue;
      }
      // Its event is backend.add.
      BackendRuntime& runtime =
          runtimes_.emplace(backend.id, Make(service, backend, now))
              .first->second;
      if (service.assume_up && backend.admin != Admin::kMaint)
        runtime.check.AssumeUp(service, 0, now);
      Derive(service, backend, runtime, now);
      Reschedule(service, runtime, now);
    }
  }
  groups_.Rebuild(after);
  RecountAll(after, now);
}

void Runtimes::ForgetDeleted(const DesiredState& after) {
  absl::btree_set<BackendId> configured;
  for (const auto& [name, service] : after.services)
    for (const auto& [backend_name, backend] : service.backends)
      configured.insert(backend.id);
  for (auto it = runtimes_.begin(); it != runtimes_.end();) {
    if (configured.contains(it->first)) {
      ++it;
      continue;
    }
    Move(deadlines_, it->first, it->second.deadline, std::nullopt);
    Move(steps_, it->first, it->second.step, std::nullopt);
    damped_ -= it->second.effective.damped ? 1 : 0;
    it = runtimes_.erase(it);
  }
  // By a change that nothing has asked about since.
  std::erase_if(reopened_,
                [&](BackendId id) { return !configured.contains(id); });
}

void Runtimes::Reconfigure(const Service& before, const Service& after,
                           base::MonoTime now) {
  for (const auto& [name, backend] : after.backends) {
    const auto old = before.backends.find(name);
    const auto found = runtimes_.find(backend.id);
    if (found == runtimes_.end() || old == before.backends.end()) continue;
    BackendRuntime& runtime = found->second;
    runtime.check.Reconfigure(after, now);
    ReconfigureAgent(before.agent_port, after.agent_port, runtime);
    ReconfigureAdmin(old->second.admin, backend.admin, runtime, now);
  }
}

void Runtimes::Derive(const Service& service, const Backend& backend,
                      BackendRuntime& runtime, base::MonoTime now) {
  const bool agent_drains = runtime.agent.report().draining;
  const bool fail_open = IsFailOpen(service);
  const bool by_signal =
      runtime.check.signal() == Signal::kDrain || agent_drains;
  // Who may be offered flows is proven to have none by no count.
  if (backend.admin != Admin::kReady || (by_signal && !fail_open))
    runtime.drain.Begin(now);
  else
    runtime.drain.End();
  const bool took_flows = (runtime.effective.bits & FL_BACKEND_ELIGIBLE) != 0;
  const bool has_several = runtime.check.all().size() > 1;
  const auto name_of = [&](const CheckSet::One& check) {
    return has_several ? check.name : std::string();
  };
  if (service.flap_damping)
    runtime.flap.OnHealth(runtime.check.health(), now);
  else
    runtime.flap.Stop();
  damped_ -= runtime.effective.damped ? 1 : 0;
  runtime.effective =
      DeriveEffective({.admin = backend.admin,
                       .health = runtime.check.health(),
                       .signal = runtime.check.signal(),
                       .signal_status = runtime.check.signal_status(),
                       .last_failure = runtime.check.last_failure(),
                       .health_check = name_of(runtime.check.decisive()),
                       .signal_check = name_of(runtime.check.signaller()),
                       .answers_some = runtime.check.answers_some(),
                       .agent_drains = agent_drains,
                       .agent_asked = service.agent_port != 0,
                       .hop_lists = service.guarantee == Guarantee::kSockets,
                       .on_link = service.encap == Encap::kL2,
                       .capped = backend.max_conn != 0,
                       .paced = backend.accept_rate != 0,
                       .agent = runtime.agent.presence(),
                       .drained = runtime.drain.drained(),
                       .flap_hold = runtime.flap.Hold(now),
                       .fail_open = fail_open});
  damped_ += runtime.effective.damped ? 1 : 0;
  DeriveShare(service, runtime, took_flows, now);
}

void Runtimes::DeriveShare(const Service& service, BackendRuntime& runtime,
                           bool took_flows, base::MonoTime now) {
  Effective& effective = runtime.effective;
  if ((effective.bits & FL_BACKEND_ELIGIBLE) == 0)
    runtime.slow_start.End();
  else if (!took_flows && effective.eligible)
    runtime.slow_start.Begin(now);
  // What it leaves would go to those that fail.
  effective.held = IsFailOpen(service)
                       ? 0
                       : runtime.slow_start.Held(service.slow_start, now);
  effective.bits |= uint64_t{effective.held} << FL_BACKEND_HELD_SHIFT;
}

void Runtimes::Refresh(const Service& service, const Backend& backend,
                       BackendRuntime& runtime, base::MonoTime now) {
  const Effective before = runtime.effective;
  RefreshOne(service, backend, runtime, now);
  const Effective& after = runtime.effective;
  const bool is_other = before.eligible != after.eligible ||
                        before.damped != after.damped ||
                        (before.state == EffectiveState::kInit) !=
                            (after.state == EffectiveState::kInit);
  if (is_other) Recount(service, now);
}

bool Runtimes::IsFailOpen(const Service& service) const {
  const auto found = fail_open_.find(service.name);
  return found != fail_open_.end() && found->second.active();
}

FailOpen::Count Runtimes::CountOf(const Service& service) const {
  FailOpen::Count count;
  for (const auto& [name, backend] : service.backends) {
    const BackendRuntime* runtime = Find(backend.id);
    if (runtime == nullptr || backend.admin != Admin::kReady ||
        runtime->effective.state == EffectiveState::kInit)
      continue;
    ++count.all;
    if (runtime->effective.eligible) ++count.available;
  }
  return count;
}

void Runtimes::PardonNeeded(const Service& service, base::MonoTime now) {
  if (damped_ == 0) return;
  int available = 0;
  std::vector<BackendRuntime*> held;
  for (const auto& [name, backend] : service.backends) {
    const auto found = runtimes_.find(backend.id);
    if (found == runtimes_.end()) continue;
    available += found->second.effective.eligible ? 1 : 0;
    if (found->second.effective.damped) held.push_back(&found->second);
  }
  for (BackendRuntime* runtime : held) {
    if (available >= service.need) return;
    runtime->flap.Pardon();
    RefreshOne(service, service.backends.find(runtime->backend)->second,
               *runtime, now);
    reopened_.push_back(runtime->id);
    ++available;
  }
}

void Runtimes::Recount(const Service& service, base::MonoTime now) {
  PardonNeeded(service, now);
  if (service.panic_percent == 0 && !fail_open_.contains(service.name)) return;
  FailOpen& fail_open = fail_open_[service.name];
  const FailOpen::Count count = CountOf(service);
  if (!fail_open.OnCount(count, service.panic_percent, now)) return;
  const bool begins = fail_open.active();
  events_.push_back(
      {.type = "service.fail-open",
       .service = service.name,
       .backend = "",
       .before = begins ? "no" : "yes",
       .after = begins ? "yes" : "no",
       .reason = absl::StrCat(count.available, " of ", count.all, " available"),
       .lasted = fail_open.lasted()});
  for (const auto& [name, backend] : service.backends) {
    const auto found = runtimes_.find(backend.id);
    if (found == runtimes_.end()) continue;
    RefreshOne(service, backend, found->second, now);
    reopened_.push_back(backend.id);
  }
}

void Runtimes::RecountAll(const DesiredState& desired, base::MonoTime now) {
  for (auto it = fail_open_.begin(); it != fail_open_.end();)
    it = desired.services.contains(it->first) ? std::next(it)
                                              : fail_open_.erase(it);
  for (const auto& [name, service] : desired.services) Recount(service, now);
}

void Runtimes::RefreshOne(const Service& service, const Backend& backend,
                          BackendRuntime& runtime, base::MonoTime now) {
  const EffectiveState before = runtime.effective.state;
  Derive(service, backend, runtime, now);
  Reschedule(service, runtime, now);
  TellSlowStart(service, runtime, now);
  TellFlap(runtime, now);
  if (runtime.effective.state == before) return;
  const auto since = std::exchange(runtime.state_since, now);
  events_.push_back(
      {.type = "backend.state",
       .service = service.name,
       .backend = backend.name,
       .before = std::string(ToString(before)),
       .after = std::string(ToString(runtime.effective.state)),
       .reason = ReasonText(runtime.effective.reason, runtime.effective.check),
       .lasted = since ? std::optional(now - *since) : std::nullopt});
}

void Runtimes::TellFlap(BackendRuntime& runtime, base::MonoTime now) {
  const auto change = runtime.flap.TakeChange(now);
  if (!change) return;
  events_.push_back({.type = "backend.flapping",
                     .service = runtime.service,
                     .backend = runtime.backend,
                     .before = change->begins ? "not held" : "held down",
                     .after = change->begins ? "held down" : "not held",
                     .reason = change->reason,
                     .lasted = change->lasted});
}

void Runtimes::TellSlowStart(const Service& service, BackendRuntime& runtime,
                             base::MonoTime now) {
  const auto lasted =
      runtime.slow_start.TakeCompletion(service.slow_start, now);
  if (!lasted) return;
  events_.push_back({.type = "backend.slow-start",
                     .service = runtime.service,
                     .backend = runtime.backend,
                     .before = "slow start",
                     .after = "whole share",
                     .reason = service.slow_start == absl::ZeroDuration()
                                   ? "slow-start.off"
                                   : "-",
                     .lasted = lasted});
}

void Runtimes::Reschedule(const Service& service, BackendRuntime& runtime,
                          base::MonoTime now) {
  Move(deadlines_, runtime.id, runtime.deadline, runtime.check.deadline());
  std::optional<base::MonoTime> step =
      runtime.slow_start.NextStep(service.slow_start, now);
  if (const auto end = runtime.flap.Deadline(now))
    step = std::min(step.value_or(*end), *end);
  Move(steps_, runtime.id, runtime.step, step);
}

void Runtimes::Move(Index& index, BackendId id,
                    std::optional<base::MonoTime>& from,
                    std::optional<base::MonoTime> to) {
  if (from == to) return;
  if (from) index.erase({*from, id});
  from = to;
  if (to) index.insert({*to, id});
}

std::vector<ProbeRequest> Runtimes::DueProbes(const DesiredState& desired,
                                              base::MonoTime now) {
  std::vector<ProbeRequest> probes;
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    BackendRuntime& runtime =
        runtimes_.find(deadlines_.begin()->second)->second;
    const Service& service = desired.services.find(runtime.service)->second;
    StartProbes(service, runtime, now, probes);
    Reschedule(service, runtime, now);
  }
  return probes;
}

void Runtimes::StartProbes(const Service& service, BackendRuntime& runtime,
                           base::MonoTime now,
                           std::vector<ProbeRequest>& probes) {
  const Backend& backend = service.backends.find(runtime.backend)->second;
  for (const CheckRef& check : ChecksOf(service)) {
    CheckSet::One& one = *runtime.check.Find(check.name);
    const std::optional<base::MonoTime> due = one.check.deadline();
    if (one.check.IsOverdue(now)) {
      one.check.PutOff(now, random_());
      continue;
    }
    if (!one.check.StartProbe(probes_ + 1, now)) continue;
    ProbeRequest& probe =
        probes.emplace_back(MakeProbe(service, backend, check));
    probe.number = ++probes_;
    probe.due = *due;
    if (probe.by_vip)
      probe.by_vip->too_early = IsTooEarly(service, runtime, one);
    Share(probe, runtime.id, now);
  }
}

void Runtimes::Share(const ProbeRequest& probe, BackendId id,
                     base::MonoTime now) {
  while (!shared_.empty() && shared_.begin()->second.until < now)
    shared_.erase(shared_.begin());
  Shared shared = {.until = now + probe.check.timeout + kForgetShared,
                   .members = {}};
  for (ProbeGroups::Member& member : groups_.Others(id, probe.check_name)) {
    const auto found = runtimes_.find(member.id);
    if (found == runtimes_.end()) continue;
    BackendRuntime& runtime = found->second;
    CheckSet::One* one = runtime.check.Find(member.check);
    if (one == nullptr || !one->check.JoinProbe(probe.number, now)) continue;
    Move(deadlines_, runtime.id, runtime.deadline, runtime.check.deadline());
    shared.members.push_back(std::move(member));
  }
  if (!shared.members.empty()) shared_.emplace(probe.number, std::move(shared));
}

void Runtimes::TellOthers(const DesiredState& desired, uint64_t number,
                          const ProbeResult& result, base::MonoTime now,
                          double random) {
  const auto found = shared_.find(number);
  if (found == shared_.end()) return;
  const std::vector<ProbeGroups::Member> members =
      std::move(found->second.members);
  shared_.erase(found);
  for (const ProbeGroups::Member& member : members) {
    const auto other = runtimes_.find(member.id);
    if (other == runtimes_.end()) continue;
    BackendRuntime& runtime = other->second;
    CheckSet::One* one = runtime.check.Find(member.check);
    if (one == nullptr || !TakeResult(number, result, now, random, *one))
      continue;
    const Service& service = desired.services.find(runtime.service)->second;
    Refresh(service, service.backends.find(runtime.backend)->second, runtime,
            now);
    reopened_.push_back(runtime.id);
  }
}

std::vector<const BackendRuntime*> Runtimes::DueSteps(
    const DesiredState& desired, base::MonoTime now) {
  std::vector<const BackendRuntime*> due;
  while (!steps_.empty() && steps_.begin()->first <= now) {
    BackendRuntime& runtime = runtimes_.find(steps_.begin()->second)->second;
    const Service& service = desired.services.find(runtime.service)->second;
    Refresh(service, service.backends.find(runtime.backend)->second, runtime,
            now);
    due.push_back(&runtime);
  }
  for (const auto& [name, fail_open] : fail_open_) {
    if (fail_open.deadline().value_or(base::MonoTime::InfiniteFuture()) <= now)
      Recount(desired.services.find(name)->second, now);
  }
  for (const BackendId id : TakeReopened()) due.push_back(Find(id));
  return due;
}

std::optional<base::MonoTime> Runtimes::NextDeadline() const {
  base::MonoTime first = base::MonoTime::InfiniteFuture();
  for (const Index* index : {&deadlines_, &steps_})
    if (!index->empty()) first = std::min(first, index->begin()->first);
  for (const auto& [name, fail_open] : fail_open_)
    first = std::min(first, fail_open.deadline().value_or(first));
  if (first == base::MonoTime::InfiniteFuture()) return std::nullopt;
  return first;
}

const BackendRuntime* Runtimes::OnProbeResult(const DesiredState& desired,
                                              const ProbeRequest& probe,
                                              const ProbeResult& result,
                                              base::MonoTime now) {
  // The same for all: they stay in step.
  const double random = random_();
  TellOthers(desired, probe.number, result, now, random);
  const auto named = FindNamed(desired, probe.service, probe.backend);
  if (!named) return nullptr;
  BackendRuntime& runtime = *named->runtime;
  CheckSet::One* one = runtime.check.Find(probe.check_name);
  if (one == nullptr || !TakeResult(probe.number, result, now, random, *one))
    return nullptr;
  Refresh(*named->service, *named->backend, runtime, now);
  return &runtime;
}

const BackendRuntime* Runtimes::OnAgentReport(const DesiredState& desired,
                                              const std::string& service,
                                              const std::string& backend,
                                              const AgentReport& report,
                                              base::MonoTime now) {
  const auto named = FindNamed(desired, service, backend);
  if (!named || named->service->agent_port == 0) return nullptr;
  BackendRuntime& runtime = *named->runtime;
  runtime.agent.OnReport(report);
  runtime.drain.OnReport(runtime.agent.report());
  Refresh(*named->service, *named->backend, runtime, now);
  return &runtime;
}

std::optional<Runtimes::Named> Runtimes::FindNamed(const DesiredState& desired,
                                                   const std::string& service,
                                                   const std::string& backend) {
  const auto found = desired.services.find(service);
  if (found == desired.services.end()) return std::nullopt;
  const auto found_backend = found->second.backends.find(backend);
  if (found_backend == found->second.backends.end()) return std::nullopt;
  const auto runtime = runtimes_.find(found_backend->second.id);
  FL_CHECK(runtime != runtimes_.end());
  return Named{.service = &found->second,
               .backend = &found_backend->second,
               .runtime = &runtime->second};
}

const BackendRuntime* Runtimes::Find(BackendId id) const {
  const auto found = runtimes_.find(id);
  return found == runtimes_.end() ? nullptr : &found->second;
}

const BackendRuntime& Runtimes::At(BackendId id) const {
  const BackendRuntime* runtime = Find(id);
  FL_CHECK(runtime != nullptr);
  return *runtime;
}

}  // namespace fairlead::core
