#include "tests/support/core_world.h"

#include <cstdio>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "core/candidates.h"
#include "core/slow_start.h"
#include "fairlead/abi/maps.h"

namespace fairlead::testing {

using core::BackendId;
using Kind = FakeDatapath::Write::Kind;

base::IpAddress Address(const std::string& text) {
  return *base::IpAddress::Parse(text);
}

base::Endpoint Vip(const std::string& text) {
  return *base::Endpoint::Parse(text);
}

double NoJitter() { return 0.5; }

CoreWorld::CoreWorld(const core::TableSizes& sizes,
                     std::function<double()> random)
    : tables_(sizes), random_(std::move(random)) {
  FL_CHECK(Restart().ok());
}

absl::Status CoreWorld::Try(const core::Command& command) {
  FL_ASSIGN_OR_RETURN(const core::Change change,
                      controller_->Prepare(command, wall_));
  disk_ = change.next;
  return controller_->Commit(change, now_);
}

void CoreWorld::Do(const core::Command& command) {
  const absl::Status status = Try(command);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  FL_CHECK(status.ok());
}

absl::Status CoreWorld::Restart() {
  tables_.Revive();
  controller_ = std::make_unique<core::Controller>(
      tables_.sizes(), tables_, [this] { return random_(); });
  return controller_->Adopt(disk_, now_);
}

void CoreWorld::Persist() {
  if (controller_->TakeDirty()) disk_ = controller_->desired();
}

void CoreWorld::Advance(absl::Duration duration) {
  now_ = now_ + duration;
  wall_ += duration;
}

std::vector<core::ProbeRequest> CoreWorld::DueProbes() {
  return controller_->DueProbes(now_);
}

core::ProbeResult CoreWorld::ResultOf(core::ProbeOutcome outcome) const {
  const int status = outcome == core::ProbeOutcome::kDrainStatus ? 503 : 500;
  return {.outcome = outcome,
          .http_status = status,
          .duration = absl::Milliseconds(3),
          .certificate_days = certificate_days};
}

void CoreWorld::AnswerNext(core::ProbeOutcome outcome) {
  const std::optional<base::MonoTime> deadline = controller_->NextDeadline();
  FL_CHECK(deadline.has_value());
  if (*deadline > now_) Advance(*deadline - now_);
  for (const core::ProbeRequest& probe : DueProbes())
    controller_->OnProbeResult(probe, ResultOf(outcome), now_);
}

void CoreWorld::AnswerAll(core::ProbeOutcome outcome, int times) {
  absl::btree_map<std::pair<std::string, std::string>, int> missing;
  for (const core::ServiceView& view : controller_->ViewAll()) {
    if (view.service.check.kind == core::CheckKind::kNone) continue;
    for (const core::BackendView& backend : view.backends)
      if (backend.backend.admin != core::Admin::kMaint)
        missing[{view.service.name, backend.backend.name}] = times;
  }
  while (!missing.empty()) {
    const base::MonoTime deadline = *controller_->NextDeadline();
    if (deadline > now_) Advance(deadline - now_);
    for (const core::ProbeRequest& probe : DueProbes()) {
      controller_->OnProbeResult(probe, ResultOf(outcome), now_);
      const auto found = missing.find({probe.service, probe.backend});
      if (found != missing.end() && --found->second == 0) missing.erase(found);
    }
  }
}

void CoreWorld::Report(const std::string& backend,
                       core::AgentReport::Presence presence,
                       uint64_t live_sockets) {
  core::AgentReport report = {
      .presence = presence,
      .live_sockets = live_sockets,
      .recorded = tables_.Load(IdOf(backend)).recorded(),
      .scan = ++scan_,
      .boot_id = "boot",
      .begun = now_};
  for (const auto& [name, service] : controller_->desired().services) {
    // Where the sockets are is not said.
    report.owned.reset();
    if (live_sockets == 0) report.owned = core::RowSet(service.rows);
    report.owned_begun = now_ - absl::Milliseconds(500);
    controller_->OnAgentReport(name, backend, report, now_);
  }
}

void CoreWorld::Scan(const std::vector<BackendId>& seen) {
  Advance(absl::Milliseconds(1));
  controller_->OnFlowScan(seen, wall_, now_);
}

core::ServiceView CoreWorld::View() const {
  const std::vector<core::ServiceView> views = controller_->ViewAll();
  FL_CHECK(views.size() == 1);
  return views[0];
}

core::BackendView CoreWorld::View(const std::string& backend) const {
  for (const core::BackendView& view : View().backends)
    if (view.backend.name == backend) return view;
  FL_CHECK(false);
  return {};
}

BackendId CoreWorld::IdOf(const std::string& backend) const {
  return View(backend).backend.id;
}

uint64_t CoreWorld::LineOf(const std::string& backend) const {
  return tables_.BackendState(IdOf(backend));
}

core::ServiceSettings SmallSettings() {
  core::ServiceSettings settings;
  settings.rows = 256;
  settings.agent_port = 0;
  return settings;
}

void AddWeb(CoreWorld& world, int backends,
            const core::ServiceSettings& settings) {
  world.Do(core::AddService{
      .name = "web", .vip = Vip("198.51.100.10:443"), .settings = settings});
  for (int i = 1; i <= backends; ++i)
    world.Do(core::AddBackend{.service = "web",
                              .name = absl::StrCat("web", i),
                              .address = Address(absl::StrCat("192.0.2.", i))});
}

void AddHealthyWeb(CoreWorld& world, int backends,
                   const core::ServiceSettings& settings) {
  AddWeb(world, backends, settings);
  world.AnswerAll(core::ProbeOutcome::kSuccess);
  for (int i = 1; i <= backends; ++i)
    world.Report(absl::StrCat("web", i), core::AgentReport::Presence::kPresent);
  world.controller().TakeEvents();
}

namespace {

std::string ComplainOfRow(const FakeDatapath& tables, uint32_t row) {
  const std::vector<BackendId> members = MembersOf(tables.rows()[row]);
  for (const BackendId id : members) {
    const uint64_t state = tables.BackendState(id);
    if ((state & FL_BACKEND_USED) == 0)
      return absl::StrCat("row ", row, " lists ", id, ", which has no line");
    if ((state & FL_BACKEND_CAPPED) != 0 &&
        tables.BoundUntil(id) == base::MonoTime())
      return absl::StrCat("row ", row, " lists ", id,
                          ", which is capped without a bound");
    if ((state & FL_BACKEND_PACED) != 0 && tables.AcceptPace(id).after == 0)
      return absl::StrCat("row ", row, " lists ", id,
                          ", which is paced without a rate");
  }
  const absl::btree_set<BackendId> different(members.begin(), members.end());
  if (different.size() > core::kRowCandidates + core::kRowOwners)
    return absl::StrCat("row ", row, " lists too many");
  return "";
}

// Packets that keep their destination must not meet a gateway.
std::string ComplainOfGateways(const FakeDatapath& tables,
                               const core::ServiceEntry& entry) {
  if (entry.encap != core::Encap::kL2) return "";
  for (const auto& [id, line] : tables.backends())
    if (line.service == entry.id && (line.state & FL_BACKEND_ON_LINK) == 0)
      return absl::StrCat("service ", entry.id, ": ", id,
                          " may be behind a gateway");
  return "";
}

std::string ComplainOfService(const FakeDatapath& tables,
                              const base::Endpoint& vip) {
  const core::ServiceEntry& entry = tables.services().at(vip);
  if (entry.tombstone) return "";
  if (std::string complaint = ComplainOfGateways(tables, entry);
      !complaint.empty())
    return complaint;
  for (uint32_t i = 0; i < entry.rows; ++i) {
    const std::string complaint = ComplainOfRow(tables, entry.rows_base + i);
    if (!complaint.empty())
      return absl::StrCat("service ", entry.id, ": ", complaint);
  }
  for (const auto& [other_vip, other] : tables.services()) {
    if (other_vip == vip || other.tombstone) continue;
    if (other.id == entry.id)
      return absl::StrCat("two services have id ", entry.id);
    if (entry.rows_base < other.rows_base + other.rows &&
        other.rows_base < entry.rows_base + entry.rows)
      return absl::StrCat("services ", entry.id, " and ", other.id,
                          " share rows");
  }
  return "";
}

bool IsLive(const FakeDatapath& tables, uint32_t row) {
  for (const auto& [vip, entry] : tables.services())
    if (!entry.tombstone && row >= entry.rows_base &&
        row - entry.rows_base < entry.rows)
      return true;
  return false;
}

core::ServiceEntry EntryOf(const core::Service& service,
                           const core::TableSizes& sizes) {
  const core::SynShares shares =
      core::SharesOf(service.syn_budget, sizes.flow_buckets);
  return {.id = service.id,
          .tombstone = false,
          .policy = service.policy,
          .choices = service.choices,
          .encap = service.encap,
          .shed = service.shed,
          .hop_lists = service.guarantee == core::Guarantee::kSockets,
          .rows_base = service.rows_base,
          .rows = service.rows,
          .syn_fair = shares.fair,
          .syn_limit = shares.limit};
}

uint64_t ExpectedBits(const core::BackendView& view,
                      const core::Service& service) {
  const bool hop_lists = service.guarantee == core::Guarantee::kSockets;
  const auto agent = view.agent.presence;
  uint64_t bits = FL_BACKEND_USED;
  if (view.eligible || view.fails_open) bits |= FL_BACKEND_ELIGIBLE;
  if (view.backend.admin == core::Admin::kReady) bits |= FL_BACKEND_FAIL_OPEN;
  if (hop_lists && (agent == core::AgentReport::Presence::kPresent ||
                    agent == core::AgentReport::Presence::kLost))
    bits |= FL_BACKEND_AGENT;
  if (service.encap == core::Encap::kL2) bits |= FL_BACKEND_ON_LINK;
  if (view.backend.max_conn != 0) bits |= FL_BACKEND_CAPPED;
  if (view.backend.accept_rate != 0) bits |= FL_BACKEND_PACED;
  return bits;
}

std::string ComplainOfBackend(const FakeDatapath& tables,
                              const core::Service& service,
                              const core::BackendView& view) {
  const std::string who =
      absl::StrCat(service.name, "/", view.backend.name, ": ");
  const auto found = tables.backends().find(view.backend.id);
  if (found == tables.backends().end()) return who + "no line";
  const core::BackendEntry& entry = found->second;
  if (entry.address != view.backend.address || entry.service != service.id ||
      entry.weight != view.backend.weight)
    return who + "the line is another's";
  uint64_t ignored = FL_BACKEND_DEAD;
  // An agent that is about to get a newer map keeps working with the older.
  if (view.agent.presence == core::AgentReport::Presence::kStale)
    ignored |= FL_BACKEND_AGENT;
  if (core::SlowStartPercent(static_cast<uint32_t>(
          entry.state >> FL_BACKEND_HELD_SHIFT)) != view.slow_start_percent)
    return absl::StrCat(who, "state ", entry.state, ", but has ",
                        view.slow_start_percent, " % of its share");
  ignored |= ~uint64_t{0} << FL_BACKEND_HELD_SHIFT;
  const uint64_t expected = ExpectedBits(view, service);
  if (((entry.state ^ expected) & ~ignored) != 0)
    return absl::StrCat(who, "state ", entry.state, ", not ", expected);
  if (view.fails_open && (view.eligible || service.panic_percent == 0 ||
                          view.backend.admin != core::Admin::kReady ||
                          view.health == core::Health::kInit ||
                          (entry.state & FL_BACKEND_DEAD) != 0))
    return who + "fails open without a reason";
  const bool closed = view.backend.admin != core::Admin::kReady ||
                      view.signal == core::Signal::kDrain ||
                      view.health == core::Health::kDown ||
                      view.health == core::Health::kRising ||
                      view.health == core::Health::kInit;
  if (closed && !view.fails_open && (entry.state & FL_BACKEND_ELIGIBLE) != 0)
    return who + "takes flows";
  if (closed && !view.fails_open && view.slow_start_percent != 100)
    return who + "starts slowly, and takes no flows";
  return "";
}

std::string ComplainOfRows(const FakeDatapath& tables,
                           const core::Service& service, bool overflowed) {
  std::vector<core::WeightedMember> members;
  for (const auto& [name, backend] : service.backends) {
    if (backend.leaving) continue;
    members.push_back(
        {backend.address, backend.id, static_cast<uint16_t>(backend.weight)});
  }
  const auto wanted = core::BuildCandidates(members, service.rows,
                                            core::TableSeed(service.vip));
  uint64_t different = 0;
  for (uint32_t i = 0; i < service.rows; ++i) {
    const core::RowWords& row = tables.rows()[service.rows_base + i];
    if (row.candidates != core::PackWord(wanted[i])) ++different;
  }
  if (different > 0 && !overflowed)
    return absl::StrCat(service.name, ": ", different, " rows differ");
  return "";
}

std::string ComplainOfLeftovers(const FakeDatapath& tables,
                                const core::DesiredState& desired) {
  absl::btree_set<BackendId> known;
  for (const auto& [id, since] : desired.quarantine) known.insert(id);
  for (const auto& [name, service] : desired.services)
    for (const auto& [backend_name, backend] : service.backends)
      known.insert(backend.id);
  for (const auto& [id, entry] : tables.backends())
    if (!known.contains(id)) return absl::StrCat("line ", id, " is nobody's");
  for (const auto& [id, since] : desired.quarantine) {
    const uint64_t state = tables.BackendState(id);
    if ((state & (FL_BACKEND_ELIGIBLE | FL_BACKEND_FAIL_OPEN)) != 0)
      return absl::StrCat("deleted backend ", id, " takes flows");
  }
  for (uint32_t row = 0; row < tables.sizes().rows; ++row)
    if (!IsLive(tables, row) && tables.rows()[row] != core::RowWords())
      return absl::StrCat("row ", row, " of no service is not empty");
  return "";
}

}  // namespace

std::string ComplainOfTables(const FakeDatapath& tables) {
  for (const auto& [vip, entry] : tables.services()) {
    std::string complaint = ComplainOfService(tables, vip);
    if (!complaint.empty()) return complaint;
  }
  return "";
}

std::string ComplainOfWrite(const FakeDatapath& tables,
                            const FakeDatapath::Write& write) {
  switch (write.kind) {
    case Kind::kPutService:
      return ComplainOfService(tables, write.vip);
    case Kind::kRemoveBackend:
      return ComplainOfTables(tables);
    case Kind::kCandidates:
    case Kind::kOwners:
      return IsLive(tables, write.row) ? ComplainOfRow(tables, write.row) : "";
    case Kind::kRemoveService:
    case Kind::kPutBackend:
    case Kind::kState:
    case Kind::kWeight:
      break;
  }
  return "";
}

std::string ComplainOfDifference(const FakeDatapath& tables,
                                 const core::Controller& controller) {
  const core::DesiredState& desired = controller.desired();
  size_t entries = desired.tombstones.size();
  for (const auto& [vip, tombstone] : desired.tombstones) {
    const auto found = tables.services().find(vip);
    if (found == tables.services().end() || !found->second.tombstone)
      return absl::StrCat("no tombstone ", vip.ToString());
  }
  for (const core::ServiceView& view : controller.ViewAll()) {
    ++entries;
    const auto found = tables.services().find(view.service.vip);
    if (found == tables.services().end() ||
        found->second != EntryOf(view.service, tables.sizes()))
      return absl::StrCat("service ", view.service.name, " is not applied");
    for (const core::BackendView& backend : view.backends) {
      std::string complaint = ComplainOfBackend(tables, view.service, backend);
      if (!complaint.empty()) return complaint;
    }
    std::string complaint =
        ComplainOfRows(tables, view.service, view.rows_overflowed > 0);
    if (!complaint.empty()) return complaint;
  }
  if (entries != tables.services().size()) return "an entry of no service";
  return ComplainOfLeftovers(tables, desired);
}

}  // namespace fairlead::testing
