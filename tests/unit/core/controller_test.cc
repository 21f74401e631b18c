#include "core/controller.h"

#include <catch2/catch.hpp>

#include "absl/strings/str_cat.h"
#include "fairlead/abi/maps.h"
#include "tests/support/core_world.h"

namespace fairlead::core {
namespace {

using testing::AddHealthyWeb;
using testing::Address;
using testing::AddWeb;
using testing::CoreWorld;
using testing::SmallSettings;
using testing::Vip;
using enum ProbeOutcome;
using Presence = AgentReport::Presence;

constexpr uint64_t kOffers = FL_BACKEND_ELIGIBLE | FL_BACKEND_FAIL_OPEN;

ServiceSettings WithAgents() {
  ServiceSettings settings = SmallSettings();
  settings.agent_port = 6082;
  return settings;
}

std::vector<std::string> Texts(const std::vector<Event>& events) {
  std::vector<std::string> texts;
  for (const Event& event : events)
    texts.push_back(event.type + " " + event.backend + ": " + event.before +
                    " -> " + event.after + " (" + event.reason + ")");
  return texts;
}

using Strings = std::vector<std::string>;

TEST_CASE("a new backend takes no flows before its first successful check",
          "[core][controller]") {
  CoreWorld world;
  AddWeb(world, 1);
  CHECK(world.LineOf("web1") == (FL_BACKEND_USED | FL_BACKEND_FAIL_OPEN));
  CHECK(world.View("web1").state_text == "init");
  CHECK(world.View("web1").reason == "check.pending");
  world.AnswerNext(kSuccess);
  CHECK((world.LineOf("web1") & FL_BACKEND_ELIGIBLE) != 0);
  CHECK(Texts(world.controller().TakeEvents()) ==
        Strings{"backend.state web1: init -> up (-)"});
}

TEST_CASE("without a check a backend takes flows as soon as it is there",
          "[core][controller]") {
  CoreWorld world;
  ServiceSettings settings = SmallSettings();
  settings.check = CheckKind::kNone;
  AddWeb(world, 1, settings);
  CHECK((world.LineOf("web1") & FL_BACKEND_ELIGIBLE) != 0);
  CHECK(!world.controller().NextDeadline());
}

TEST_CASE("a backend waits for the first word of its agent",
          "[core][controller]") {
  CoreWorld world;
  AddWeb(world, 1, WithAgents());
  world.AnswerNext(kSuccess);
  CHECK(world.View("web1").reason == "agent.pending");
  CHECK((world.LineOf("web1") & FL_BACKEND_ELIGIBLE) == 0);
  world.Report("web1", Presence::kStale);
  CHECK((world.LineOf("web1") & FL_BACKEND_ELIGIBLE) == 0);
  SECTION("which may be silence") {
    world.Report("web1", Presence::kAbsent);
    // It had answered.
    CHECK(world.View("web1").agent.presence == Presence::kLost);
    CHECK((world.LineOf("web1") & FL_BACKEND_ELIGIBLE) != 0);
  }
  SECTION("or a report") {
    world.Report("web1", Presence::kPresent);
    CHECK(world.LineOf("web1") ==
          (FL_BACKEND_USED | kOffers | FL_BACKEND_AGENT));
  }
}

TEST_CASE("a drain is one store: no new flows, rows untouched",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 3);
  const auto rows = world.tables().rows();
  const uint64_t writes = world.tables().writes();
  world.Do(SetAdmin{"web", "web2", Admin::kDrain});
  CHECK(world.tables().writes() == writes + 1);
  CHECK(world.LineOf("web2") == FL_BACKEND_USED);
  CHECK(world.tables().rows() == rows);
  CHECK(Texts(world.controller().TakeEvents()) ==
        Strings{"backend.state web2: up -> draining (admin.drain)"});
  world.Do(SetAdmin{"web", "web2", Admin::kReady});
  CHECK(world.tables().writes() == writes + 2);
  CHECK((world.LineOf("web2") & kOffers) == kOffers);
}

TEST_CASE("checks never touch the operator's intent", "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 2);
  world.Do(SetAdmin{"web", "web1", Admin::kDrain});
  world.AnswerAll(kRefused, 4);
  CHECK(world.View("web1").state == EffectiveState::kDraining);
  CHECK(world.View("web1").reason == "admin.drain");
  world.AnswerAll(kSuccess, 4);
  CHECK(world.View("web1").backend.admin == Admin::kDrain);
  CHECK((world.LineOf("web1") & kOffers) == 0);
}

TEST_CASE("a failing backend may still take flows when nobody else can",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 2);
  world.AnswerAll(kTimeout, 3);
  CHECK(world.View().fail_open);
  CHECK(world.View().available == 0);
  CHECK(world.LineOf("web1") ==
        (FL_BACKEND_USED | FL_BACKEND_FAIL_OPEN | FL_BACKEND_DEAD));
  CHECK(world.controller().Alarms() ==
        Strings{"service web: 0 of 2 backends available, needs 1: web1 "
                "check.timeout, web2 check.timeout",
                "service web: fail open: no backend is available, new flows go "
                "to those that are not in drain or maint"});
}

TEST_CASE("a 503 drains without a record and ends with the signal",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 2);
  world.AnswerAll(kDrainStatus);
  CHECK(world.View("web1").state == EffectiveState::kDraining);
  CHECK(world.View("web1").reason == "signal.http-503");
  CHECK(!world.View("web1").backend.drain);
  CHECK(world.LineOf("web1") == (FL_BACKEND_USED | FL_BACKEND_FAIL_OPEN));
  world.AnswerAll(kSuccess, 2);
  CHECK(world.View("web1").state == EffectiveState::kUp);
  CHECK(world.controller().desired().generation == 3);
}

TEST_CASE("maint stops the checks, and ready begins them anew",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 1);
  world.Do(SetAdmin{"web", "web1", Admin::kMaint, true});
  CHECK(!world.controller().NextDeadline());
  CHECK(world.View("web1").state_text == "maint");
  CHECK(world.LineOf("web1") == FL_BACKEND_USED);
  world.Do(SetAdmin{"web", "web1", Admin::kReady});
  CHECK(world.View("web1").state == EffectiveState::kInit);
  CHECK(world.controller().NextDeadline() == world.now());
}

TEST_CASE("drained is said on the word of the agent", "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 2, WithAgents());
  world.Report("web1", Presence::kPresent, 200);
  world.Do(SetAdmin{"web", "web1", Admin::kDrain});
  CHECK(world.View("web1").backend.drain->connections_at_start == 200);
  world.Advance(absl::Seconds(4));
  world.Report("web1", Presence::kPresent, 50);
  CHECK(world.View("web1").state_text == "draining 75%");
  world.Report("web1", Presence::kPresent, 0);
  CHECK(world.View("web1").state_text == "draining 100%");
  world.controller().TakeEvents();
  world.Report("web1", Presence::kPresent, 0);
  CHECK(world.View("web1").state_text == "drained");
  CHECK(Texts(world.controller().TakeEvents()) ==
        Strings{"backend.state web1: draining -> drained (admin.drain)"});
  world.Do(SetAdmin{"web", "web1", Admin::kReady});
  CHECK(world.View("web1").state == EffectiveState::kUp);
}

TEST_CASE("a delete is done at once only when the agent has seen the last flow",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 2, WithAgents());
  const auto leaves = [&] {
    const auto change = world.controller().Prepare(
        DeleteBackend{.service = "web", .name = "web1"}, world.wall());
    REQUIRE(change.ok());
    return change->next.services.at("web").backends.contains("web1");
  };
  // Without a socket as far as it is known, and without one for sure.
  world.Report("web1", Presence::kPresent, 0);
  CHECK(leaves());
  world.Do(SetAdmin{"web", "web1", Admin::kDrain});
  world.Advance(absl::Seconds(4));
  world.Report("web1", Presence::kPresent, 0);
  CHECK(leaves());
  world.Report("web1", Presence::kPresent, 0);
  REQUIRE(world.View("web1").state == EffectiveState::kDrained);
  // What the table still counts has ended.
  world.tables().SetLoad(world.IdOf("web1"), {.live = 3, .pending = 4});
  CHECK_FALSE(leaves());
}

TEST_CASE("without an agent a delete waits for the flow table",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 2);
  world.tables().SetLoad(world.IdOf("web1"), {.live = 3, .pending = 4});
  CHECK_THAT(
      std::string(world.controller()
                      .Prepare(DeleteBackend{"web", "web1"}, world.wall())
                      .status()
                      .message()),
      Catch::Contains("has 7 flows: drain it first"));
}

TEST_CASE("without an agent a drain never ends in drained",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 2);
  const BackendId id = world.IdOf("web1");
  world.tables().SetLoad(id, {.live = 8, .pending = 2});
  world.Do(SetAdmin{"web", "web1", Admin::kDrain});
  world.tables().SetLoad(id, {.live = 4, .pending = 0});
  CHECK(world.View("web1").state_text == "draining 60%");
  world.tables().SetLoad(id, {});
  world.Advance(absl::Hours(1));
  world.Scan({});
  CHECK(world.View("web1").state == EffectiveState::kDraining);
  CHECK(world.View("web1").state_text == "draining, no flows seen here");
}

TEST_CASE("drained ends with the questions to the agent",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 2, WithAgents());
  world.Do(SetAdmin{"web", "web1", Admin::kDrain});
  world.Advance(absl::Seconds(4));
  world.Report("web1", Presence::kPresent, 0);
  world.Report("web1", Presence::kPresent, 0);
  REQUIRE(world.View("web1").state == EffectiveState::kDrained);
  world.Do(
      SetService{"web", {.agent_port = 0, .guarantee = Guarantee::kFlowTable}});
  CHECK(world.View("web1").state == EffectiveState::kDraining);
}

TEST_CASE("a signal of drain does not shorten the operator's drain",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 2, WithAgents());
  world.AnswerAll(kDrainStatus);
  world.Advance(absl::Minutes(1));
  world.Report("web1", Presence::kPresent, 0);
  world.Report("web1", Presence::kPresent, 0);
  CHECK(world.View("web1").state == EffectiveState::kDrained);
  // Nobody else was available, so flows were offered until now.
  world.Do(SetAdmin{"web", "web1", Admin::kDrain});
  CHECK(world.View("web1").state == EffectiveState::kDraining);
  world.Report("web1", Presence::kPresent, 0);
  world.Report("web1", Presence::kPresent, 0);
  CHECK(world.View("web1").state == EffectiveState::kDraining);
}

TEST_CASE("the answer to a probe of a deleted backend is not its successor's",
          "[core][controller]") {
  CoreWorld world;
  AddWeb(world, 1);
  const std::vector<ProbeRequest> old = world.DueProbes();
  REQUIRE(old.size() == 1);
  CHECK(old[0].address == Address("192.0.2.1"));
  CHECK(old[0].port == 443);
  world.Do(DeleteBackend{"web", "web1"});
  CHECK(!world.controller().NextDeadline());
  world.Do(AddBackend{
      .service = "web", .name = "web1", .address = Address("192.0.2.1")});
  world.controller().OnProbeResult(old[0], {.outcome = kSuccess}, world.now());
  CHECK(world.View("web1").health == Health::kInit);
  CHECK(!world.View("web1").last_result);
}

TEST_CASE("a check by way of the VIP says which backend's it is",
          "[core][controller]") {
  CoreWorld world;
  AddWeb(world, 2);
  for (const ProbeRequest& probe : world.DueProbes()) CHECK(!probe.by_vip);
  world.Do(SetService{"web", {.check_via = CheckVia::kVip}});
  const std::vector<ProbeRequest> probes = world.DueProbes();
  REQUIRE(probes.size() == 2);
  for (const ProbeRequest& probe : probes) {
    REQUIRE(probe.by_vip.has_value());
    CHECK(probe.by_vip->vip ==
          world.controller().desired().services.at("web").vip);
    CHECK(probe.by_vip->id == world.View(probe.backend).backend.id);
    CHECK_FALSE(probe.by_vip->too_early);
  }
}

// Until then the packets of its first check would be dropped there.
TEST_CASE("a first check by way of the VIP waits until the agent knows it",
          "[core][controller]") {
  CoreWorld world;
  ServiceSettings settings = SmallSettings();
  settings.agent_port = 6082;
  settings.check_via = CheckVia::kVip;
  AddWeb(world, 1, settings);
  const auto too_early = [&] {
    world.Advance(*world.controller().NextDeadline() - world.now());
    const std::vector<ProbeRequest> probes = world.DueProbes();
    REQUIRE(probes.size() == 1);
    return probes[0].by_vip->too_early;
  };
  CHECK(too_early());
  world.Report("web1", Presence::kStale, 0);
  CHECK(too_early());
  world.Report("web1", Presence::kPresent, 0);
  CHECK_FALSE(too_early());
  // Nobody answers: the check is to say so.
  world.Report("web1", Presence::kAbsent, 0);
  CHECK_FALSE(too_early());
}

TEST_CASE("a change made for an older generation is refused whole",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 2);
  Controller& controller = world.controller();
  const auto first =
      controller.Prepare(SetAdmin{"web", "web1", Admin::kDrain}, world.wall());
  const auto second =
      controller.Prepare(SetAdmin{"web", "web2", Admin::kDrain}, world.wall());
  REQUIRE(controller.Commit(*first, world.now()).ok());
  const uint64_t writes = world.tables().writes();
  CHECK(controller.Commit(*second, world.now()).code() ==
        absl::StatusCode::kAborted);
  CHECK(world.tables().writes() == writes);
  CHECK(world.View("web2").backend.admin == Admin::kReady);
}

TEST_CASE("a command for what is already so writes nothing and logs nothing",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 2);
  world.Do(SetAdmin{"web", "web1", Admin::kDrain});
  world.controller().TakeEvents();
  const DesiredState before = world.controller().desired();
  const uint64_t writes = world.tables().writes();
  world.Do(SetAdmin{"web", "web1", Admin::kDrain});
  CHECK(world.controller().desired() == before);
  CHECK(world.tables().writes() == writes);
  CHECK(world.controller().TakeEvents().empty());
}

TEST_CASE("the guarantee counts agents, silent ones too",
          "[core][controller]") {
  CoreWorld world;
  SECTION("all") {
    AddHealthyWeb(world, 2, WithAgents());
    world.Report("web1", Presence::kLost);
    CHECK(world.View().guarantee == "sockets (2/2 agents)");
    CHECK(world.controller().Alarms() ==
          Strings{"service web: the agent of web1 is silent"});
  }
  SECTION("some") {
    AddWeb(world, 3, WithAgents());
    world.Report("web1", Presence::kPresent);
    world.Report("web2", Presence::kAbsent);
    CHECK(world.View().guarantee == "sockets (1/3 agents)");
    world.Do(SetService{"web", {.guarantee = Guarantee::kFlowTable}});
    CHECK(world.View().guarantee == "flow-table (1/3 agents)");
  }
  SECTION("none") {
    AddWeb(world, 0, WithAgents());
    CHECK(world.View().guarantee == "sockets (0/0 agents)");
  }
  SECTION("none asked") {
    AddWeb(world, 1);
    world.Report("web1", Presence::kPresent);
    CHECK(world.View().guarantee == "flow-table (no agents asked)");
    CHECK(world.View("web1").agent.presence == Presence::kUnknown);
  }
}

TEST_CASE("agents are rolled out while a service goes on without hop lists",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 2);
  const base::Endpoint vip = world.View().service.vip;
  const auto hop_lists = [&] {
    return world.tables().services().at(vip).hop_lists;
  };
  const SetService to_sockets = {"web", {.guarantee = Guarantee::kSockets}};
  // It would need agents, and there is nobody to ask.
  CHECK(world.Try(to_sockets).code() == absl::StatusCode::kInvalidArgument);
  world.Do(SetService{"web", {.agent_port = 6082}});
  CHECK((world.LineOf("web1") & FL_BACKEND_ELIGIBLE) != 0);
  world.Report("web1", Presence::kPresent);
  world.Report("web2", Presence::kAbsent);
  CHECK(world.View().guarantee == "flow-table (1/2 agents)");
  CHECK(world.LineOf("web1") == (FL_BACKEND_USED | kOffers));
  const absl::Status refused = world.Try(to_sockets);
  CHECK(refused.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(refused.message()),
             Catch::Contains("1 backend of 2 has no agent that answers on "
                             "port 6082 (web2)"));
  CHECK_FALSE(hop_lists());
  world.Report("web2", Presence::kPresent);
  world.Do(to_sockets);
  CHECK(hop_lists());
  CHECK((world.LineOf("web1") & FL_BACKEND_AGENT) != 0);
  // And back, in one step only.
  CHECK(world.Try(SetService{"web", {.agent_port = 0}}).code() ==
        absl::StatusCode::kInvalidArgument);
  world.Do(
      SetService{"web", {.agent_port = 0, .guarantee = Guarantee::kFlowTable}});
  CHECK_FALSE(hop_lists());
  CHECK(world.LineOf("web1") == (FL_BACKEND_USED | kOffers));
}

TEST_CASE("an agent's word drains, and never undoes an operator's",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 2, WithAgents());
  AgentReport report{.presence = Presence::kPresent, .live_sockets = 3};
  const auto say = [&](bool draining) {
    report.draining = draining;
    world.controller().OnAgentReport("web", "web1", report, world.now());
    return world.View("web1");
  };
  CHECK(say(true).state == EffectiveState::kDraining);
  CHECK(world.View("web1").reason == "signal.agent");
  CHECK_FALSE(world.View("web1").eligible);
  // It has been said, whoever is silent now.
  world.Report("web1", Presence::kLost);
  CHECK_FALSE(world.View("web1").eligible);
  CHECK(say(false).eligible);
  world.Do(SetAdmin{"web", "web1", Admin::kDrain});
  CHECK(say(true).reason == "admin.drain");
  CHECK_FALSE(say(false).eligible);
}

TEST_CASE("what the agent counts more than this host is load as well",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 1, WithAgents());
  const BackendId id = world.IdOf("web1");
  world.tables().SetLoad(id, {.live = 30, .pending = 2});
  world.Report("web1", Presence::kPresent, 100);
  CHECK(world.tables().Load(id).elsewhere == 68);
  CHECK(world.tables().Load(id).sum() == 100);
  world.Report("web1", Presence::kLost);
  CHECK(world.tables().Load(id).elsewhere == 68);
}

TEST_CASE("what the agent does not count any more is no load",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 1, WithAgents());
  const BackendId id = world.IdOf("web1");
  // Its process has ended; the slots stay until they are silent for long.
  world.tables().SetLoad(id, {.live = 30, .pending = 2});
  world.Report("web1", Presence::kPresent, 5);
  CHECK(world.tables().Load(id).elsewhere == -27);
  CHECK(world.tables().Load(id).sum() == 5);
  // All of them, those that closed as well.
  world.tables().SetLoad(id, {.elsewhere = -27});
  CHECK(world.tables().Load(id).sum() == 0);
}

TEST_CASE("what was recorded since the agent counted is load",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 1, WithAgents());
  const BackendId id = world.IdOf("web1");
  AgentReport report{.presence = Presence::kPresent, .live_sockets = 10};
  report.recorded = 10;
  world.tables().SetLoad(id, {.live = 10, .pending = 7});
  world.controller().OnAgentReport("web", "web1", report, world.now());
  CHECK(world.tables().Load(id).sum() == 17);
}

TEST_CASE("with guarantee sockets a backend waits for its agent",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 2, WithAgents());
  world.Do(AddBackend{
      .service = "web", .name = "new", .address = Address("192.0.2.9")});
  world.AnswerAll(kSuccess);
  world.Report("new", Presence::kAbsent);
  CHECK_FALSE(world.View("new").eligible);
  CHECK(world.View("new").reason == "agent.absent");
  CHECK(world.controller().Alarms() ==
        Strings{"service web: new has no agent that answers on port 6082, and "
                "takes no new connections"});
  world.Report("new", Presence::kPresent);
  CHECK(world.View("new").eligible);
}

TEST_CASE("a service above its SYN budget raises an alarm, and two events",
          "[core][controller][budget]") {
  CoreWorld world;
  AddHealthyWeb(world, 1);
  SetService set = {.name = "web", .settings = {}};
  set.settings.syn_budget = SynBudget{.per_second = 2000};
  world.Do(set);
  CHECK(world.tables().services().begin()->second.syn_limit == 2147);
  world.controller().TakeEvents();
  const base::MonoTime start = base::MonoTime::FromNanoseconds(0);
  const auto sample = [&](uint64_t all, uint64_t over, int second) {
    world.controller().OnNewFlows("web", {.all = all, .over_budget = over},
                                  start + absl::Seconds(second));
  };
  sample(0, 0, 1);
  CHECK(world.controller().Alarms().empty());
  sample(10000, 6000, 3);
  CHECK(world.controller().Alarms() ==
        Strings{"service web: 5000 new flows/s, above its SYN budget of "
                "2000/s: 3000/s are served and not recorded; if they are no "
                "flood, raise it with service set --syn-budget"});
  sample(20000, 12000, 5);
  sample(21000, 12000, 7);
  CHECK(world.controller().Alarms().empty());
  CHECK(Texts(world.controller().TakeEvents()) ==
        Strings{"service.syn-budget : within -> above (2000 new flows/s are "
                "recorded)",
                "service.syn-budget : above -> within (2000 new flows/s are "
                "recorded)"});
  world.controller().OnNewFlows("nobody", {}, start);
}

TEST_CASE("an address known to have no next hop raises an alarm",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 1);
  CHECK(world.controller().Alarms().empty());
  world.controller().OnNextHop(Address("192.0.2.1"), std::nullopt);
  CHECK(world.controller().Alarms() ==
        Strings{"service web: no next hop for web1 (192.0.2.1)"});
  world.controller().OnNextHop(Address("192.0.2.1"), std::nullopt,
                               "no route to 192.0.2.1");
  CHECK(world.controller().Alarms() ==
        Strings{"service web: no next hop for web1 (192.0.2.1): no route to "
                "192.0.2.1"});
  CHECK(world.View("web1").no_next_hop == "no route to 192.0.2.1");
  NextHop hop;
  hop.interface_name = "eth0";
  world.controller().OnNextHop(Address("192.0.2.1"), hop);
  CHECK(world.controller().Alarms().empty());
  CHECK(world.View("web1").next_hop->interface_name == "eth0");
  CHECK(world.View("web1").no_next_hop.empty());
}

TEST_CASE("a service whose packets list no hops has guarantee flow-table",
          "[core][controller]") {
  for (const auto& [encap, name] :
       {std::pair(Encap::kIpip, "ipip"), std::pair(Encap::kL2, "l2")}) {
    INFO(name);
    CoreWorld world;
    ServiceSettings settings = WithAgents();
    settings.encap = encap;
    AddWeb(world, 1, settings);
    CHECK(world.View().service.guarantee == Guarantee::kFlowTable);
    const auto entry = [&] {
      return world.tables().services().at(world.View().service.vip);
    };
    CHECK(entry().encap == encap);
    CHECK_FALSE(entry().hop_lists);
    const absl::Status refused =
        world.Try(SetService{"web", {.guarantee = Guarantee::kSockets}});
    CHECK(refused.message() ==
          absl::StrCat("service \"web\": guarantee sockets: needs encap gue, "
                       "which carries hop lists to agents; with encap ",
                       name,
                       " the guarantee is flow-table: set both, or stay with "
                       "gue"));
    // Back, and not by half.
    world.Report("web1", Presence::kPresent);
    world.Do(SetService{
        "web", {.encap = Encap::kGue, .guarantee = Guarantee::kSockets}});
    CHECK(entry().hop_lists);
    CHECK(world.Try(SetService{"web", {.encap = encap}}).code() ==
          absl::StatusCode::kInvalidArgument);
    world.Do(SetService{"web",
                        {.encap = encap, .guarantee = Guarantee::kFlowTable}});
    CHECK(entry().encap == encap);
  }
}

TEST_CASE("encap l2 reaches nobody behind a gateway, and says so",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 2);
  NextHop hop;
  hop.interface_name = "eth0";
  world.controller().OnNextHop(Address("192.0.2.2"), hop);
  hop.gateway = Address("192.0.2.254");
  world.controller().OnNextHop(Address("192.0.2.1"), hop);
  CHECK(world.controller().Alarms().empty());

  world.Do(SetService{"web", {.encap = Encap::kL2}});
  CHECK((world.LineOf("web1") & FL_BACKEND_ON_LINK) != 0);
  CHECK((world.LineOf("web2") & FL_BACKEND_ON_LINK) != 0);
  // Which is what the tables do with it.
  world.tables().SetReachable(world.IdOf("web1"), false);
  CHECK(world.View("web1").reason == "route.gateway(192.0.2.254)");
  CHECK_FALSE(world.View("web1").eligible);
  CHECK(world.View("web2").eligible);
  CHECK(world.controller().Alarms() ==
        Strings{"service web: web1 (192.0.2.1) is behind the gateway "
                "192.0.2.254, and encap l2 reaches only who is on a link of "
                "this host: put it there, or set --encap ipip or gue"});

  world.Do(SetService{"web", {.encap = Encap::kIpip}});
  CHECK((world.LineOf("web1") & FL_BACKEND_ON_LINK) == 0);
  world.tables().SetReachable(world.IdOf("web1"), true);
  CHECK(world.View("web1").eligible);
  CHECK(world.controller().Alarms().empty());
}

TEST_CASE("a backend without a next hop is not available",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 2);
  world.tables().SetReachable(world.IdOf("web1"), false);
  CHECK(world.View().available == 1);
  CHECK_FALSE(world.View("web1").eligible);
  CHECK(world.View("web1").reason == "route.no-next-hop");
  // Nor may the other one be taken out.
  CHECK(absl::IsFailedPrecondition(
      world.Try(SetAdmin{"web", "web2", Admin::kDrain})));
  world.tables().SetReachable(world.IdOf("web1"), true);
  CHECK(world.View("web1").eligible);
  CHECK(world.View("web1").reason == "-");
}

TEST_CASE(
    "a restart is no outage: what was eligible stays so until checks "
    "say otherwise",
    "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 3, WithAgents());
  world.Do(SetAdmin{"web", "web3", Admin::kDrain});
  const auto lines = world.tables().backends();
  const auto rows = world.tables().rows();
  std::string complaint;
  world.tables().OnWrite([&](const testing::FakeDatapath::Write&) {
    for (const auto& [id, entry] : world.tables().backends())
      if (entry.state != lines.at(id).state) complaint = "a line changed";
    if (world.tables().rows() != rows) complaint = "a row changed";
  });
  REQUIRE(world.Restart().ok());
  CHECK(complaint.empty());
  CHECK(world.tables().backends() == lines);
  CHECK(world.controller().TakeEvents().empty());
  CHECK(world.View("web1").health == Health::kUp);
  CHECK(world.View("web1").agent.presence == Presence::kLost);
  world.tables().OnWrite({});
  world.AnswerAll(kRefused, 2);
  CHECK((world.LineOf("web1") & FL_BACKEND_ELIGIBLE) != 0);
  world.AnswerAll(kRefused);
  CHECK((world.LineOf("web1") & FL_BACKEND_ELIGIBLE) == 0);
}

TEST_CASE("after a restart a drain goes on and needs new evidence",
          "[core][controller]") {
  CoreWorld world;
  AddHealthyWeb(world, 2, WithAgents());
  world.Report("web1", Presence::kPresent, 10);
  world.Do(SetAdmin{"web", "web1", Admin::kDrain});
  REQUIRE(world.Restart().ok());
  CHECK(world.View("web1").backend.drain->connections_at_start == 10);
  world.Report("web1", Presence::kPresent, 0);
  world.Advance(absl::Seconds(4));
  world.Report("web1", Presence::kPresent, 0);
  CHECK(world.View("web1").state == EffectiveState::kDraining);
  world.Report("web1", Presence::kPresent, 0);
  CHECK(world.View("web1").state == EffectiveState::kDrained);
}

}  // namespace
}  // namespace fairlead::core
