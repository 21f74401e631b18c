// What the controller does to the shared tables: the order of its writes, what
// is left when it is killed between two of them, and who owns what until when.
#include <catch2/catch.hpp>

#include "core/controller.h"
#include "fairlead/abi/maps.h"
#include "tests/support/core_world.h"

namespace fairlead::core {
namespace {

using testing::Address;
using testing::CoreWorld;
using testing::FakeDatapath;
using testing::MembersOf;
using testing::Vip;
using enum ProbeOutcome;
using Presence = AgentReport::Presence;

// It takes no new flows, and comes last in hop lists.
constexpr uint64_t kDeleted = FL_BACKEND_USED | FL_BACKEND_DEAD;

ServiceSettings SmallSettings() {
  ServiceSettings settings;
  settings.rows = 512;
  settings.agent_port = 0;
  return settings;
}

void AddService(CoreWorld& world, const std::string& name,
                const std::string& vip, int backends) {
  world.Do(core::AddService{
      .name = name, .vip = Vip(vip), .settings = SmallSettings()});
  for (int i = 1; i <= backends; ++i)
    world.Do(AddBackend{.service = name,
                        .name = "b" + std::to_string(i),
                        .address = Address("192.0.2." + std::to_string(i))});
  world.AnswerAll(kSuccess);
}

size_t RowsWith(const FakeDatapath& tables, BackendId id) {
  size_t count = 0;
  for (const RowWords& row : tables.rows()) {
    const std::vector<BackendId> members = MembersOf(row);
    if (std::find(members.begin(), members.end(), id) != members.end()) ++count;
  }
  return count;
}

// Two services, one of them with flows; each command below has work to do.
void Furnish(CoreWorld& world) {
  AddService(world, "api", "198.51.100.20:80", 2);
  AddService(world, "web", "198.51.100.10:443", 5);
  AddService(world, "old", "198.51.100.30:80", 0);
  world.Do(DeleteService{"old"});
  for (BackendId id = 1; id <= 7; ++id) world.tables().SetLoad(id, {.live = 3});
}

std::vector<Command> Commands() {
  return {
      core::AddService{.name = "new",
                       .vip = Vip("198.51.100.40:80"),
                       .settings = SmallSettings()},
      core::AddService{.name = "new",
                       .vip = Vip("198.51.100.30:80"),
                       .settings = SmallSettings()},
      SetService{"web", {.policy = Policy::kLeastConn}},
      DeleteService{"web", true},
      ClearTombstone{Vip("198.51.100.30:80")},
      AddBackend{
          .service = "web", .name = "b6", .address = Address("192.0.2.6")},
      SetBackend{.service = "web", .name = "b1", .weight = 7},
      DeleteBackend{"web", "b1", true},
      SetAdmin{"web", "b1", Admin::kDrain, true},
      SetAdmin{"web", "b1", Admin::kMaint, true},
      SetService{"web", {.encap = Encap::kL2}},
      SetService{"web", {.encap = Encap::kIpip}},
  };
}

// Each command is carried out with a writer that dies after k writes, for every
// k. Every state that a packet can meet must be sound, and a new daemon must
// bring the tables to what they are without an accident.
TEST_CASE(
    "whatever write is the last one, the tables are sound and a restart "
    "completes the change",
    "[core][controller][tables]") {
  for (size_t i = 0; i < Commands().size(); ++i) {
    CoreWorld whole;
    Furnish(whole);
    const uint64_t before = whole.tables().writes();
    whole.Do(Commands()[i]);
    const uint64_t writes = whole.tables().writes() - before;
    REQUIRE(writes > 0);
    // The rows of one command are many and alike: each of the first and last
    // writes, and every 17th between.
    for (uint64_t k = 0; k < writes; ++k) {
      if (k > 40 && k + 40 < writes && k % 17 != 0) continue;
      CoreWorld world;
      Furnish(world);
      std::string complaint;
      world.tables().OnWrite([&](const FakeDatapath::Write& write) {
        if (complaint.empty())
          complaint = ComplainOfWrite(world.tables(), write);
      });
      world.tables().KillAfter(k);
      (void)world.Try(Commands()[i]);  // the dead cannot tell
      CHECK(ComplainOfTables(world.tables()) == "");
      REQUIRE(world.Restart().ok());
      INFO("command " << i << ", killed after " << k << " of " << writes);
      CHECK(complaint == "");
      CHECK(ComplainOfDifference(world.tables(), world.controller()) == "");
      CHECK(world.tables().services() == whole.tables().services());
      if (i == 7) continue;  // its rows keep an owner in another place
      CHECK(world.tables().rows() == whole.tables().rows());
    }
  }
}

TEST_CASE("no write takes from a row a member that it had and is to have",
          "[core][controller][tables]") {
  for (const Command& command : Commands()) {
    CoreWorld world;
    Furnish(world);
    const std::vector<RowWords> before = world.tables().rows();
    std::vector<std::pair<uint32_t, RowWords>> states;
    world.tables().OnWrite([&](const FakeDatapath::Write& write) {
      states.emplace_back(write.row, world.tables().rows()[write.row]);
    });
    world.Do(command);
    size_t missing = 0;
    for (const auto& [row, words] : states) {
      const std::vector<BackendId> now = MembersOf(words);
      const std::vector<BackendId> last = MembersOf(world.tables().rows()[row]);
      for (const BackendId id : MembersOf(before[row])) {
        const auto has = [id](const std::vector<BackendId>& ids) {
          return std::find(ids.begin(), ids.end(), id) != ids.end();
        };
        if (has(last) && !has(now)) ++missing;
      }
    }
    CHECK(missing == 0);
  }
}

TEST_CASE("flows are taken away first and given last",
          "[core][controller][tables]") {
  using Kind = FakeDatapath::Write::Kind;
  CoreWorld world;
  Furnish(world);
  std::vector<Kind> kinds;
  world.tables().OnWrite([&](const FakeDatapath::Write& write) {
    if (kinds.empty() || kinds.back() != write.kind)
      kinds.push_back(write.kind);
  });
  const auto kinds_of = [&](const Command& command) {
    kinds.clear();
    world.Do(command);
    return kinds;
  };
  const auto is_row = [](Kind kind) {
    return kind == Kind::kCandidates || kind == Kind::kOwners;
  };
  const std::vector<Kind> deleted = kinds_of(DeleteBackend{"web", "b1", true});
  CHECK(deleted[0] == Kind::kState);
  CHECK(std::all_of(deleted.begin() + 1, deleted.end(), is_row));
  const std::vector<Kind> added = kinds_of(AddBackend{
      .service = "web", .name = "b6", .address = Address("192.0.2.6")});
  CHECK(added[0] == Kind::kPutBackend);
  CHECK(std::all_of(added.begin() + 1, added.end(), is_row));
  const std::vector<Kind> gone = kinds_of(DeleteService{"web", true});
  CHECK(gone[0] == Kind::kState);
  CHECK(gone[1] == Kind::kPutService);
  CHECK(std::all_of(gone.begin() + 2, gone.end(), is_row));
}

TEST_CASE("a table that refuses is told, alarmed and tried again",
          "[core][controller][tables]") {
  CoreWorld world;
  AddService(world, "api", "198.51.100.20:80", 1);
  world.tables().FailPuts(2);
  const absl::Status status =
      world.Try(core::AddService{.name = "web",
                                 .vip = Vip("198.51.100.10:443"),
                                 .settings = SmallSettings()});
  CHECK(status.code() == absl::StatusCode::kResourceExhausted);
  CHECK(status.message() ==
        "service at 198.51.100.10:443: fl_services: no memory");
  CHECK(world.controller().desired().services.contains("web"));
  CHECK(world.controller().Alarms()[0] ==
        "the packet path lags behind the desired state, tried again every "
        "second: service at 198.51.100.10:443: fl_services: no memory");
  for (int i = 0; i < 2; ++i) {
    CHECK(*world.controller().NextDeadline() <= world.now() + absl::Seconds(1));
    world.Advance(absl::Seconds(1));
    world.DueProbes();
  }
  CHECK(ComplainOfDifference(world.tables(), world.controller()) == "");
}

TEST_CASE("a service that cannot be removed keeps its rows and its lines",
          "[core][controller][tables]") {
  CoreWorld world;
  AddService(world, "web", "198.51.100.10:443", 3);
  const auto rows = world.tables().rows();
  world.tables().FailPuts(1000);
  CHECK(!world.Try(DeleteService{"web", true}).ok());
  for (int i = 0; i < 5; ++i) world.Scan({});
  CHECK(world.tables().rows() == rows);
  CHECK(world.tables().backends().size() == 3);
  // What can be done is done: no backend takes new flows.
  for (const auto& [id, entry] : world.tables().backends())
    CHECK(entry.state == kDeleted);

  SECTION("until it can") {
    world.tables().FailPuts(0);
    world.Advance(absl::Seconds(1));
    world.DueProbes();
    CHECK(ComplainOfDifference(world.tables(), world.controller()) == "");
  }
  SECTION("or until another has its VIP") {
    world.tables().FailPuts(0);
    world.Do(core::AddService{.name = "new",
                              .vip = Vip("198.51.100.10:443"),
                              .settings = SmallSettings()});
    CHECK(ComplainOfDifference(world.tables(), world.controller()) == "");
  }
}

TEST_CASE("a refused change can be taken back", "[core][controller][tables]") {
  CoreWorld world;
  Furnish(world);
  const auto services = world.tables().services();
  const auto rows = world.tables().rows();
  for (const Command& command : Commands()) {
    DesiredState before = world.controller().desired();
    world.tables().FailPuts(1);
    const absl::Status status = world.Try(command);
    world.tables().FailPuts(0);
    if (status.ok()) break;  // those that put no service are at the end
    before.generation = world.controller().desired().generation + 1;
    REQUIRE(world.controller().Commit({.next = before}, world.now()).ok());
    world.AnswerAll(kSuccess);
    CHECK(ComplainOfDifference(world.tables(), world.controller()) == "");
    CHECK(world.tables().services() == services);
    CHECK(world.tables().rows() == rows);
  }
}

TEST_CASE("a deleted backend keeps its line while flows are recorded for it",
          "[core][controller][tables]") {
  CoreWorld world;
  AddService(world, "web", "198.51.100.10:443", 5);
  const BackendId id = world.IdOf("b1");
  world.tables().SetLoad(id, {.live = 2});
  const size_t listed = RowsWith(world.tables(), id);
  REQUIRE(listed > 0);
  world.Do(DeleteBackend{"web", "b1", true});
  CHECK(RowsWith(world.tables(), id) == listed);
  for (int i = 0; i < 5; ++i) world.Scan({id});
  CHECK(world.tables().BackendState(id) == kDeleted);
  CHECK(RowsWith(world.tables(), id) == listed);
  CHECK(!world.controller().TakeDirty());

  world.tables().SetLoad(id, {});
  world.Scan({});
  CHECK(RowsWith(world.tables(), id) == 0);
  CHECK(world.tables().BackendState(id) == 0);
  CHECK(world.controller().desired().quarantine.empty());
  CHECK(world.controller().TakeDirty());
  CHECK(!world.controller().TakeDirty());
}

TEST_CASE("one scan is not enough to free an id, nor one that began before",
          "[core][controller][tables]") {
  CoreWorld world;
  AddService(world, "web", "198.51.100.10:443", 2);
  const BackendId id = world.IdOf("b1");
  const absl::Time before = world.wall();
  world.Do(DeleteBackend{"web", "b1"});
  for (int i = 0; i < 5; ++i)
    world.controller().OnFlowScan({}, before, world.now());
  world.Scan({});
  CHECK(world.tables().BackendState(id) == kDeleted);
  world.Scan({});
  CHECK(world.tables().BackendState(id) == 0);
}

TEST_CASE("a counter that is wrong does not keep an id that no scan sees",
          "[core][controller][tables]") {
  CoreWorld world;
  AddService(world, "web", "198.51.100.10:443", 5);
  const BackendId id = world.IdOf("b1");
  world.tables().SetLoad(id, {.live = 1});
  world.Do(DeleteBackend{"web", "b1", true});
  world.Scan({});
  world.Scan({});
  CHECK(RowsWith(world.tables(), id) == 0);
  CHECK(ComplainOfDifference(world.tables(), world.controller()) == "");
}

TEST_CASE("an id that was freed between prepare and commit stays free",
          "[core][controller][tables]") {
  CoreWorld world;
  AddService(world, "web", "198.51.100.10:443", 3);
  world.Do(DeleteBackend{"web", "b1"});
  world.Scan({});
  const auto change = world.controller().Prepare(
      SetAdmin{"web", "b2", Admin::kDrain}, world.wall());
  world.Scan({});
  CHECK(world.controller().TakeDirty());
  REQUIRE(world.controller().Commit(*change, world.now()).ok());
  CHECK(world.controller().desired().quarantine.empty());
  // The disk has it still.
  CHECK(world.controller().TakeDirty());
}

TEST_CASE(
    "a candidate that is displaced stays as owner until its flows are "
    "gone",
    "[core][controller][tables]") {
  CoreWorld world;
  AddService(world, "web", "198.51.100.10:443", 4);
  for (BackendId id = 1; id <= 4; ++id) world.tables().SetLoad(id, {.live = 1});
  const size_t rows = 512;
  for (BackendId id = 1; id <= 4; ++id)
    REQUIRE(RowsWith(world.tables(), id) == rows);
  world.Do(AddBackend{
      .service = "web", .name = "b5", .address = Address("192.0.2.5")});
  for (BackendId id = 1; id <= 4; ++id)
    CHECK(RowsWith(world.tables(), id) == rows);
  world.tables().SetLoad(1, {});
  world.Scan({2, 3, 4});
  CHECK(RowsWith(world.tables(), 1) < rows);
  CHECK(RowsWith(world.tables(), 2) == rows);
}

TEST_CASE("sockets that only the agent knows of keep an owner too",
          "[core][controller][tables]") {
  CoreWorld world;
  AddService(world, "web", "198.51.100.10:443", 4);
  world.Do(SetService{"web", {.agent_port = 6082}});
  world.Report("b1", Presence::kPresent, 5);
  world.Do(AddBackend{
      .service = "web", .name = "b5", .address = Address("192.0.2.5")});
  world.Advance(absl::Seconds(5));
  world.Report("b2", Presence::kPresent, 0);
  world.Scan({});
  CHECK(RowsWith(world.tables(), 1) == 512);
  CHECK(RowsWith(world.tables(), 2) < 512);
  world.Report("b1", Presence::kPresent, 0);
  world.Scan({});
  CHECK(RowsWith(world.tables(), 1) < 512);
}

TEST_CASE("a row that is full refuses the new one, says so, and takes it later",
          "[core][controller][tables]") {
  CoreWorld world;
  AddService(world, "web", "198.51.100.10:443", 4);
  // Backends come while all that came before have flows.
  for (int i = 5; i <= 8; ++i) {
    for (BackendId id = 1; id < i; ++id)
      world.tables().SetLoad(id, {.live = 1});
    const std::string n = std::to_string(i);
    world.Do(AddBackend{
        .service = "web", .name = "b" + n, .address = Address("192.0.2." + n)});
  }
  for (BackendId id = 1; id <= 4; ++id)
    CHECK(RowsWith(world.tables(), id) == 512);
  const uint64_t overflowed = world.View().rows_overflowed;
  REQUIRE(overflowed > 0);
  world.AnswerAll(kSuccess);
  CHECK(world.controller().Alarms() ==
        std::vector<std::string>{
            "service web: " + std::to_string(overflowed) +
            " rows have no place for a new candidate until an owner has left"});
  for (BackendId id = 1; id <= 8; ++id) world.tables().SetLoad(id, {});
  world.Scan({});
  CHECK(world.View().rows_overflowed == 0);
  CHECK(ComplainOfDifference(world.tables(), world.controller()) == "");
}

TEST_CASE("what an unknown writer left is cleaned up in good order",
          "[core][controller][tables]") {
  CoreWorld world;
  FakeDatapath& tables = world.tables();
  AddService(world, "web", "198.51.100.10:443", 2);
  // A backend, a service and rows that the desired state does not know.
  tables.PutBackend(40, {.state = FL_BACKEND_USED | FL_BACKEND_ELIGIBLE,
                         .address = Address("192.0.2.40"),
                         .weight = 1,
                         .service = 7});
  REQUIRE(tables
              .PutService(Vip("203.0.113.1:1"),
                          {.id = 7, .rows_base = 1024, .rows = 256})
              .ok());
  tables.StoreCandidates(1025, 40);
  REQUIRE(world.Restart().ok());
  CHECK(!tables.services().contains(Vip("203.0.113.1:1")));
  CHECK(tables.rows()[1025] == RowWords());
  CHECK(tables.BackendState(40) == kDeleted);
  CHECK(world.controller().desired().quarantine.contains(40));
  CHECK(world.controller().TakeDirty());
  world.Scan({40});
  world.Scan({40});
  CHECK(tables.BackendState(40) == kDeleted);
  world.Scan({});
  CHECK(tables.BackendState(40) == 0);
}

TEST_CASE("a desired state that is not sound is refused before a write",
          "[core][controller][tables]") {
  CoreWorld world;
  AddService(world, "web", "198.51.100.10:443", 2);
  const auto message = [&](const DesiredState& state) {
    Controller controller(testing::kSmallSizes, world.tables(),
                          testing::NoJitter);
    const uint64_t writes = world.tables().writes();
    const absl::Status status = controller.Adopt(state, world.now());
    CHECK(world.tables().writes() == writes);
    CHECK(controller.desired() == DesiredState());
    return std::string(status.message());
  };
  DesiredState state = world.disk();
  state.services["web"].rows = 1000;
  CHECK(message(state) ==
        "desired state: service \"web\": rows 1000: must be a power of two "
        "from 256 to 65536");
  state = world.disk();
  state.services["web"].rows_base = 2048;
  CHECK(message(state) ==
        "desired state: service \"web\" needs a rows table of at least 2560, "
        "the node config says 2048");
  state = world.disk();
  state.tombstones[Vip("198.51.100.10:443")] = {
      .id = 5, .name = "", .since = {}};
  CHECK(message(state) ==
        "desired state: tombstone 198.51.100.10:443: is a service's VIP");
}

AgentReport RowsReport(const CoreWorld& world, const RowSet& owned,
                       absl::Duration older_scan_age) {
  AgentReport report;
  report.presence = Presence::kPresent;
  report.live_sockets = owned.Count();
  report.scan = 1;
  report.boot_id = "b";
  report.begun = world.now();
  report.owned = owned;
  report.owned_begun = world.now() - older_scan_age;
  return report;
}

// A service of six backends with agents, none of which has a socket.
void AddAgentService(CoreWorld& world) {
  ServiceSettings settings = SmallSettings();
  settings.agent_port = 6082;
  world.Do(core::AddService{
      .name = "web", .vip = Vip("198.51.100.10:443"), .settings = settings});
  for (int i = 1; i <= 6; ++i) {
    const std::string name = "b" + std::to_string(i);
    world.Do(AddBackend{.service = "web",
                        .name = name,
                        .address = Address("192.0.2." + std::to_string(i))});
    world.controller().OnAgentReport(
        "web", name, RowsReport(world, RowSet(512), {}), world.now());
  }
  world.AnswerAll(kSuccess);
  // What each was offered while the others came is over.
  world.Advance(absl::Seconds(10));
  for (int i = 1; i <= 6; ++i) {
    world.controller().OnAgentReport(
        "web", "b" + std::to_string(i),
        RowsReport(world, RowSet(512), absl::Seconds(1)), world.now());
  }
  world.Scan({});
}

TEST_CASE("a backend is listed in the rows that its agent says it owns",
          "[core][controller][ownership]") {
  CoreWorld world;
  AddAgentService(world);
  const BackendId id = world.IdOf("b1");
  RowSet owned(512);
  size_t added = 0;
  for (uint32_t row = 0; row < 512; row += 3) {
    owned.Add(row);
    const auto members = MembersOf(world.tables().rows()[row]);
    if (std::find(members.begin(), members.end(), id) == members.end()) ++added;
  }
  REQUIRE(added > 10);
  const size_t before = RowsWith(world.tables(), id);
  world.controller().OnAgentReport(
      "web", "b1", RowsReport(world, owned, absl::Seconds(1)), world.now());
  CHECK(RowsWith(world.tables(), id) == before + added);
  CHECK(ComplainOfTables(world.tables()).empty());

  // It stays until two scans in a row have found its rows empty.
  world.Advance(absl::Seconds(10));
  world.Scan({});
  CHECK(RowsWith(world.tables(), id) == before + added);
  world.controller().OnAgentReport(
      "web", "b1", RowsReport(world, RowSet(512), absl::Seconds(1)),
      world.now());
  world.Scan({});
  CHECK(RowsWith(world.tables(), id) == before);
}

TEST_CASE("who leaves a row stays its owner until the agent proves otherwise",
          "[core][controller][ownership]") {
  CoreWorld world;
  AddAgentService(world);
  const BackendId id = world.IdOf("b1");
  const size_t before = RowsWith(world.tables(), id);
  // Weights move candidates; b1 loses most of its rows.
  world.Do(SetBackend{.service = "web", .name = "b1", .weight = 1});
  CHECK(RowsWith(world.tables(), id) >= before);
  const auto report = [&](absl::Duration older_scan_age) {
    world.controller().OnAgentReport(
        "web", "b1", RowsReport(world, RowSet(512), older_scan_age),
        world.now());
    world.Scan({});
    return RowsWith(world.tables(), id);
  };
  world.Advance(absl::Seconds(4));
  // The older of the two scans began before the change, or just after it.
  CHECK(report(absl::Seconds(5)) >= before);
  CHECK(report(absl::Seconds(2)) >= before);
  // Silence proves nothing.
  world.Report("b1", Presence::kAbsent);
  world.Advance(absl::Hours(1));
  world.Scan({});
  CHECK(RowsWith(world.tables(), id) >= before);
  CHECK(report(absl::Seconds(1)) < before / 2);
}

TEST_CASE("a deleted backend stays an owner until its last socket is gone",
          "[core][controller][ownership]") {
  CoreWorld world;
  AddAgentService(world);
  const BackendId id = world.IdOf("b1");
  const size_t before = RowsWith(world.tables(), id);
  RowSet owned(512);
  for (uint32_t row = 0; row < 512; ++row) {
    const auto members = MembersOf(world.tables().rows()[row]);
    if (row % 5 == 0 &&
        std::find(members.begin(), members.end(), id) != members.end())
      owned.Add(row);
  }
  const auto report = [&](const RowSet& rows, uint64_t scan) {
    AgentReport made = RowsReport(world, rows, absl::Seconds(1));
    made.scan = scan;
    world.controller().OnAgentReport("web", "b1", made, world.now());
    world.Scan({});
  };
  report(owned, 1);
  world.Do(SetAdmin{"web", "b1", Admin::kDrain});
  world.Do(DeleteBackend{"web", "b1"});
  CHECK(world.View("b1").state_text.substr(0, 7) == "leaving");
  CHECK_FALSE(world.View("b1").eligible);
  CHECK(RowsWith(world.tables(), id) == before);
  world.Advance(absl::Seconds(10));
  report(owned, 2);
  CHECK(RowsWith(world.tables(), id) == owned.Count());
  // It survives a restart of the daemon, which has to learn anew.
  world.Persist();
  REQUIRE(world.Restart().ok());
  CHECK(world.View("b1").backend.leaving);
  report(owned, 3);
  CHECK(RowsWith(world.tables(), id) == owned.Count());
  world.Advance(absl::Seconds(10));
  report(RowSet(512), 4);
  CHECK(world.View().backends.size() == 6);
  // What this host still has recorded is of connections that have ended.
  world.tables().SetLoad(id, {.live = 5, .pending = 0});
  report(RowSet(512), 5);
  CHECK(world.View().backends.size() == 5);
  CHECK(RowsWith(world.tables(), id) == 0);
  CHECK(world.controller().desired().quarantine.contains(id));
  // Agents hand packets on to it until no row and no flow names it.
  CHECK(world.controller().Peers().contains(id));
  const std::vector<Event> events = world.controller().TakeEvents();
  CHECK(std::any_of(events.begin(), events.end(), [](const Event& event) {
    return event.type == "backend.gone" && event.backend == "b1";
  }));
  CHECK(world.controller().TakeDirty());
}

TEST_CASE("who was deleted and owns nothing makes room in rows full of owners",
          "[core][controller][ownership]") {
  CoreWorld world;
  AddAgentService(world);
  RowSet all(512);
  for (uint32_t row = 0; row < 512; ++row) all.Add(row);
  const auto report = [&] {
    for (int i = 1; i <= 6; ++i) {
      world.controller().OnAgentReport(
          "web", "b" + std::to_string(i),
          RowsReport(world, i <= 3 ? all : RowSet(512), absl::Seconds(1)),
          world.now());
    }
    world.Scan({});
  };
  report();
  // Owners have all places of their own, so that candidates have to stay.
  for (int i = 7; i <= 8; ++i)
    world.Do(AddBackend{.service = "web",
                        .name = "b" + std::to_string(i),
                        .address = Address("192.0.2." + std::to_string(i))});
  world.AnswerAll(kSuccess);
  for (int i = 1; i <= 6; ++i) {
    world.Do(SetAdmin{"web", "b" + std::to_string(i), Admin::kDrain, true});
    world.Do(DeleteBackend{"web", "b" + std::to_string(i)});
  }
  REQUIRE(world.View().rows_overflowed > 0);
  // Each round may make room for who was a candidate until then.
  for (int round = 0; round < 3; ++round) {
    world.Advance(absl::Seconds(10));
    report();
  }
  CHECK(world.View().rows_overflowed == 0);
  for (int i = 1; i <= 3; ++i)
    CHECK(RowsWith(world.tables(), world.IdOf("b" + std::to_string(i))) == 512);
}

TEST_CASE("a row without room holds up who is stuck there and nobody else",
          "[core][controller][ownership]") {
  CoreWorld world;
  AddAgentService(world);
  RowSet one(512);
  one.Add(7);
  uint64_t scan = 1;
  const auto round = [&](int owners, absl::Duration age = absl::Seconds(1)) {
    world.Advance(absl::Seconds(10));
    ++scan;
    for (int i = 1; i <= 6; ++i) {
      AgentReport report =
          RowsReport(world, i <= owners ? one : RowSet(512), age);
      report.scan = scan;
      world.controller().OnAgentReport("web", "b" + std::to_string(i), report,
                                       world.now());
    }
    world.Scan({});
  };
  round(5);
  world.Do(AddBackend{
      .service = "web", .name = "b7", .address = Address("192.0.2.7")});
  world.AnswerAll(kSuccess);
  for (int i = 1; i <= 6; ++i) {
    world.Do(SetAdmin{"web", "b" + std::to_string(i), Admin::kDrain, true});
    world.Do(DeleteBackend{"web", "b" + std::to_string(i)});
  }
  const auto stuck = [&] {
    return world.controller().Stuck(
        world.controller().desired().services.at("web"));
  };
  for (int i = 0; i < 4; ++i) round(5);
  CHECK(world.View().rows_overflowed == 1);
  CHECK(stuck().size() == 2);
  CHECK(world.View().backends.size() == 6);  // b6 has gone
  // Another LB host has no place for b2 but that.
  world.controller().OnStuckElsewhere(
      world.controller().desired().services.at("web"), {Address("192.0.2.2")},
      world.now() + absl::Seconds(28));
  round(1);
  // A report that began before the row had room proves nothing of the stuck.
  round(1, absl::Milliseconds(9900));
  CHECK(world.View().backends.size() == 5);  // b3 has gone
  round(1);
  CHECK(world.View().rows_overflowed == 0);
  CHECK(stuck().empty());
  CHECK(world.View().backends.size() == 3);  // b1, b2, b7
  round(1);
  CHECK(world.View().backends.size() == 2);
}

TEST_CASE("an agent that counts by other rows proves nothing",
          "[core][controller][ownership]") {
  CoreWorld world;
  AddAgentService(world);
  const BackendId id = world.IdOf("b1");
  const size_t before = RowsWith(world.tables(), id);
  world.Do(SetBackend{.service = "web", .name = "b1", .weight = 1});
  world.Advance(absl::Hours(1));
  AgentReport report = RowsReport(world, RowSet(256), absl::Seconds(1));
  report.owned.reset();
  world.controller().OnAgentReport("web", "b1", report, world.now());
  world.Scan({});
  CHECK(RowsWith(world.tables(), id) >= before);
}

}  // namespace
}  // namespace fairlead::core
