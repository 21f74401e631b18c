#include "tests/sim/controller_sim.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "fairlead/abi/maps.h"

namespace fairlead::testing {
namespace {

using core::BackendId;
using Kind = FakeDatapath::Write::Kind;

constexpr uint64_t kOffers = FL_BACKEND_ELIGIBLE | FL_BACKEND_FAIL_OPEN;
constexpr int kServices = 4;
constexpr int kBackends = 9;

std::string ServiceName(int i) { return absl::StrCat("s", i); }
base::Endpoint ServiceVip(int i) {
  return Vip(absl::StrCat("198.51.100.", i + 1, ":443"));
}
std::string BackendName(int i) { return absl::StrCat("b", i); }
base::IpAddress BackendAddress(int service, int i) {
  return Address(absl::StrCat("192.0.2.", service * 20 + i + 1));
}

bool Has(const std::vector<BackendId>& ids, BackendId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

ControllerSim::ControllerSim(uint64_t seed)
    : random_(seed),
      world_(kSmallSizes, [this] { return random_.Unit(); }),
      fleet_(random_, world_.tables()) {
  world_.tables().OnWrite(
      [this](const FakeDatapath::Write& write) { WatchWrite(write); });
  Schedule(Happening::kPoll, absl::Seconds(40));
  Schedule(Happening::kScan, absl::Seconds(90));
  Schedule(Happening::kTraffic, absl::Seconds(60));
  Schedule(Happening::kDisturbance, absl::Minutes(10));
  Schedule(Happening::kCommand, absl::Seconds(1));
  Schedule(Happening::kRestart, absl::Hours(3));
}

void ControllerSim::Schedule(Happening happening, absl::Duration mean) {
  schedule_[happening] = world_.now() + random_.About(mean);
}

std::string ControllerSim::RunFor(absl::Duration duration) {
  const base::MonoTime end = world_.now() + duration;
  while (complaint_.empty()) {
    const auto [at, happening] = Next();
    if (at > end) break;
    if (at > world_.now()) world_.Advance(at - world_.now());
    Happen(happening);
    CheckWrites();
    CheckAlways();
    CheckEvents();
    if (++tally_.events % 64 == 0) CheckWhole();
  }
  return complaint_;
}

std::pair<base::MonoTime, ControllerSim::Happening> ControllerSim::Next()
    const {
  std::pair<base::MonoTime, Happening> first = {
      base::MonoTime::InfiniteFuture(), Happening::kPoll};
  const auto consider = [&](base::MonoTime at, Happening happening) {
    if (at < first.first) first = {at, happening};
  };
  if (const auto deadline = world_.controller().NextDeadline())
    consider(*deadline, Happening::kDeadline);
  if (!answers_.empty()) consider(answers_.begin()->first, Happening::kAnswer);
  for (const auto& [happening, at] : schedule_) consider(at, happening);
  return first;
}

void ControllerSim::Happen(Happening happening) {
  switch (happening) {
    case Happening::kDeadline:
      return StartProbes();
    case Happening::kAnswer:
      return DeliverAnswer();
    case Happening::kPoll:
      PollAgents();
      return Schedule(happening, absl::Seconds(40));
    case Happening::kScan:
      ScanFlows();
      return Schedule(happening, absl::Seconds(90));
    case Happening::kTraffic:
      Complain(fleet_.Traffic());
      return Schedule(happening, absl::Seconds(60));
    case Happening::kDisturbance:
      fleet_.Disturb();
      return Schedule(happening, absl::Minutes(10));
    case Happening::kCommand:
      RunCommands();
      return Schedule(happening, absl::Minutes(20));
    case Happening::kRestart:
      Restart();
      return Schedule(happening, absl::Hours(3));
  }
}

void ControllerSim::StartProbes() {
  for (const core::ProbeRequest& probe : world_.DueProbes()) {
    ++tally_.probes;
    CheckProbe(probe);
    if (random_.Chance(0.002)) continue;  // a prober that never answers
    const SimulatedFleet::Answer answer = fleet_.Probe(probe);
    answers_.insert({world_.now() + answer.delay, {probe, answer.result}});
  }
  const auto deadline = world_.controller().NextDeadline();
  if (deadline && *deadline <= world_.now())
    Complain("the next deadline stays in the past");
}

void ControllerSim::CheckProbe(const core::ProbeRequest& probe) {
  const auto& services = world_.disk().services;
  const auto service = services.find(probe.service);
  if (service == services.end())
    return Complain("a probe for a service that is not there");
  const auto backend = service->second.backends.find(probe.backend);
  if (backend == service->second.backends.end())
    return Complain("a probe for a backend that is not there");
  if (backend->second.admin == core::Admin::kMaint)
    return Complain("a probe for a backend in maint");
  if (backend->second.address != probe.address)
    return Complain("a probe for another address");
  if (service->second.check.kind == core::CheckKind::kNone)
    return Complain("a probe though there is no check");
}

void ControllerSim::DeliverAnswer() {
  const PendingAnswer answer = answers_.begin()->second;
  answers_.erase(answers_.begin());
  world_.controller().OnProbeResult(answer.probe, answer.result, world_.now());
}

void ControllerSim::PollAgents() {
  // A copy: who is asked does not change while they answer.
  const auto services = world_.controller().desired().services;
  for (const auto& [name, service] : services)
    for (const auto& [backend_name, backend] : service.backends)
      world_.controller().OnAgentReport(
          name, backend_name, fleet_.AskAgent(service, backend, world_.now()),
          world_.now());
  if (random_.Chance(0.5)) world_.Persist();
}

void ControllerSim::ScanFlows() {
  world_.Scan(fleet_.Recorded());
  // A backend that was leaving may be gone.
  world_.Persist();
}

void ControllerSim::Restart() {
  ++tally_.kills;
  answers_.clear();  // the probers died with it
  if (random_.Chance(0.2)) world_.tables().FailPuts(random_.Below(4));
  const absl::Status status = world_.Restart();
  if (!status.ok()) ++tally_.refusals_by_table;
  if (!status.ok() && !absl::IsResourceExhausted(status))
    Complain(absl::StrCat("adoption failed: ", status.ToString()));
}

void ControllerSim::RunCommands() {
  for (int i = random_.Chance(0.1) ? 20 : 1 + random_.Below(3); i > 0; --i) {
    RunCommand(RandomCommand());
    CheckWrites();
    CheckAlways();
  }
  CheckWhole();
}

void ControllerSim::RunCommand(const core::Command& command) {
  const bool kill = random_.Chance(0.15);
  if (kill) {
    const int writes = random_.Chance(0.5) ? 5 : 1500;
    world_.tables().KillAfter(static_cast<uint64_t>(random_.Below(writes)));
  } else if (random_.Chance(0.1)) {
    world_.tables().FailPuts(1 + random_.Below(5));
  }
  const uint64_t generation = world_.disk().generation;
  const absl::Status status = world_.Try(command);
  const bool accepted = world_.disk().generation != generation;
  ++(status.ok() ? tally_.accepted : tally_.refused);
  if (!status.ok() && accepted) ++tally_.refusals_by_table;
  if (accepted) CheckNewId(command);
  if (kill) Restart();
  if (absl::IsInternal(status) || absl::IsAborted(status))
    Complain(absl::StrCat("a command failed: ", status.ToString()));
}

// Flows that are recorded for an id would go to its new owner.
void ControllerSim::CheckNewId(const core::Command& command) {
  const auto* add = std::get_if<core::AddBackend>(&command);
  if (add == nullptr) return;
  const core::Service& service = world_.disk().services.at(add->service);
  if (fleet_.FlowsOf(service.backends.at(add->name).id) > 0)
    Complain("an id is used again while flows are recorded for it");
}

core::Command ControllerSim::RandomCommand() {
  const int s = random_.Below(kServices);
  const int b = random_.Below(kBackends);
  const std::string service = ServiceName(s);
  const std::string backend = BackendName(b);
  switch (random_.Below(24)) {
    case 0:
    case 1:
    case 2:
      return core::AddService{.name = service,
                              .vip = ServiceVip(s),
                              .settings = RandomSettings(true)};
    case 3:
      return core::SetService{service, RandomSettings(false)};
    case 4:
      return core::DeleteService{service, random_.Chance(0.2)};
    case 5:
      return core::ClearTombstone{ServiceVip(s)};
    case 6:
      return core::SetBackend{.service = service,
                              .name = backend,
                              .weight = 1 + random_.Below(256)};
    case 7:
      return core::SetBackend{
          .service = service,
          .name = backend,
          .max_conn = random_.Chance(0.3)
                          ? 0
                          : static_cast<uint32_t>(random_.Below(100))};
    case 8:
    case 9:
      return core::DeleteBackend{service, backend, random_.Chance(0.3)};
    case 10:
    case 11:
    case 12:
      return core::SetAdmin{service, backend, core::Admin::kDrain,
                            random_.Chance(0.3)};
    case 13:
      return core::SetAdmin{service, backend, core::Admin::kMaint,
                            random_.Chance(0.3)};
    case 14:
    case 15:
    case 16:
    case 17:
      return core::SetAdmin{service, backend, core::Admin::kReady};
    default:
      return core::AddBackend{.service = service,
                              .name = backend,
                              .address = BackendAddress(s, b),
                              .weight = 1 + random_.Below(256)};
  }
}

core::ServiceSettings ControllerSim::RandomSettings(bool is_new) {
  core::ServiceSettings settings;
  if (is_new) settings.rows = random_.Chance(0.5) ? 256 : 512;
  settings.policy = static_cast<core::Policy>(random_.Below(3));
  settings.need = 1 + random_.Below(3);
  settings.agent_port = random_.Chance(0.8) ? 6082 : 0;
  settings.guarantee = *settings.agent_port != 0 && random_.Chance(0.8)
                           ? core::Guarantee::kSockets
                           : core::Guarantee::kFlowTable;
  settings.encap = core::Encap::kGue;
  if (settings.guarantee == core::Guarantee::kFlowTable)
    settings.encap = static_cast<core::Encap>(random_.Below(3));
  settings.check =
      random_.Chance(0.1) ? core::CheckKind::kNone : core::CheckKind::kHttp;
  if (random_.Chance(0.3)) settings.flap_damping = random_.Chance(0.5);
  if (random_.Chance(0.3)) settings.assume_up = random_.Chance(0.5);
  if (random_.Chance(0.5)) settings.panic_percent = random_.Below(101);
  if (random_.Chance(0.5))
    settings.slow_start = absl::Seconds(random_.Below(3) * 100);
  settings.check_interval = absl::Seconds(20 + random_.Below(100));
  settings.check_timeout = absl::Seconds(1 + random_.Below(10));
  settings.check_rise = 1 + random_.Below(3);
  settings.check_fall = 1 + random_.Below(3);
  return settings;
}

void ControllerSim::WatchWrite(const FakeDatapath::Write& write) {
  Complain(ComplainOfWrite(world_.tables(), write));
  if (write.kind == Kind::kRemoveBackend) {
    ++tally_.ids_freed;
    if (Has(fleet_.Recorded(), write.id))
      Complain("a line was freed while flows are recorded for it");
  }
  if (write.kind == Kind::kPutBackend) {
    const auto& services = world_.disk().services;
    bool is_old = false;
    for (const auto& [name, service] : services)
      for (const auto& [backend_name, backend] : service.backends)
        is_old = is_old || backend.id == write.id;
    if (!is_old) Complain("a line of a backend that is not durable");
  }
  if (write.kind != Kind::kCandidates && write.kind != Kind::kOwners) return;
  std::vector<core::RowWords>& states = row_states_[write.row];
  if (states.empty()) states.push_back(write.before);
  states.push_back(world_.tables().rows()[write.row]);
}

// No state in between lacks a member that the row had and has, and that has
// flows of it. One that surely has none may go and come back as a candidate.
void ControllerSim::CheckWrites() {
  for (const auto& [row, states] : row_states_) {
    const std::vector<BackendId> last = MembersOf(states.back());
    for (const BackendId id : MembersOf(states.front())) {
      if (!Has(last, id)) continue;
      for (const core::RowWords& state : states)
        if (fleet_.HasFlowIn(id, row) && !Has(MembersOf(state), id))
          Complain(absl::StrCat("row ", row, " lost ", id, " for a moment"));
    }
  }
  row_states_.clear();
}

void ControllerSim::CheckAlways() {
  const core::DesiredState& desired = world_.controller().desired();
  Complain(fleet_.FindLost(desired));
  // What is durable and what is wanted differ in quarantine at most.
  if (desired.services != world_.disk().services ||
      desired.tombstones != world_.disk().tombstones ||
      desired.generation != world_.disk().generation)
    Complain("the desired state was changed by no command");
  for (const auto& [name, service] : desired.services) {
    for (const auto& [backend_name, backend] : service.backends) {
      if (backend.admin != core::Admin::kReady &&
          (world_.tables().BackendState(backend.id) & kOffers) != 0)
        Complain(absl::StrCat(name, "/", backend_name, " is in ",
                              core::ToString(backend.admin),
                              " and may take flows"));
      if (desired.quarantine.contains(backend.id))
        Complain(absl::StrCat("id ", backend.id, " is in quarantine and used"));
    }
  }
  for (const auto& [id, since] : desired.quarantine) {
    if ((world_.tables().BackendState(id) & kOffers) != 0)
      Complain(absl::StrCat("deleted backend ", id, " may take flows"));
  }
}

void ControllerSim::CheckEvents() {
  for (const core::Event& event : world_.controller().TakeEvents()) {
    ++tally_.state_changes;
    if (event.before == event.after) Complain("an event of no change");
    if (event.after != "drained") continue;
    ++tally_.drained;
    const core::Service& service =
        world_.controller().desired().services.at(event.service);
    if (fleet_.EmptyReportsOf(service.backends.at(event.backend).id) < 2)
      Complain(absl::StrCat(event.service, "/", event.backend,
                            " was called drained without evidence"));
  }
}

void ControllerSim::CheckWhole() {
  for (const std::string& alarm : world_.controller().Alarms())
    if (alarm.find("lags behind") != std::string::npos) return;
  for (const core::ServiceView& view : world_.controller().ViewAll())
    if (view.rows_overflowed > 0) ++tally_.overflows;
  Complain(ComplainOfDifference(world_.tables(), world_.controller()));
}

void ControllerSim::Complain(const std::string& complaint) {
  if (complaint.empty() || !complaint_.empty()) return;
  complaint_ = absl::StrCat("event ", tally_.events, ", ",
                            world_.now().nanoseconds(), " ns: ", complaint);
}

}  // namespace fairlead::testing
