// Tables of another size, or another layout: what is in them is moved while
// packets flow. Frames come through a veth, so that every program that is
// attached in the course of a move has its share of them.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <net/if.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "datapath/program.h"
#include "datapath/recount.h"
#include "datapath/shared_tables.h"
#include "datapath/stats.h"
#include "tests/packet/datapath_options.h"
#include "tests/packet/frame_sender.h"
#include "tests/packet/host_sandbox.h"

namespace fairlead::test {
namespace {

using datapath::Program;
using datapath::SharedTables;

constexpr uint16_t kBackends = 4;
constexpr uint16_t kFlows = 500;  // about half of SmallTables' slots
constexpr uint64_t kMark = 0x0004000300020001;
const base::Endpoint kVip = {kVip4, kVipPort};

core::TableSizes WithFlows(uint32_t buckets) {
  core::TableSizes sizes = SmallTables();
  sizes.flow_buckets = buckets;
  return sizes;
}

Bytes Segment(uint16_t flow, bool syn) {
  return (Eth{} / Ipv4{} /
          Tcp{.sport = static_cast<uint16_t>(1024 + flow),
              .syn = syn,
              .ack = !syn})
      .Wire();
}

struct Host {
  BpfFsSandbox bpffs;
  NetnsSandbox netns;
  uint32_t lb0 = AddVeth("lb0", "rt0");

  Host() {
    // Without addresses the kernel sends nothing of its own.
    RunCommand("ip link set lb0 addrgenmode none");
    RunCommand("ip link set rt0 addrgenmode none");
  }
};

// A first daemon: a service without hop lists, its backends, and flows.
class Running {
 public:
  explicit Running(const core::TableSizes& sizes, uint16_t flows = kFlows) {
    const auto program = MustOpen(Sized(sizes));
    const auto tables = TablesOf(*program, sizes);
    core::NextHop hop;
    hop.interface = if_nametoindex("lb0");
    hop.path_mtu = 1500;
    for (uint16_t id = 1; id <= kBackends; ++id) {
      const base::IpAddress address = Ip(absl::StrCat("192.0.2.", 10 + id));
      REQUIRE(tables->SetNextHop(address, hop).ok());
      tables->PutBackend(id, {.state = FL_BACKEND_USED | FL_BACKEND_ELIGIBLE,
                              .address = address,
                              .weight = 100,
                              .service = 1});
    }
    for (uint32_t row = 0; row < 256; ++row)
      tables->StoreCandidates(row, kMark);
    REQUIRE(tables
                ->PutService(kVip, {.id = 1,
                                    .policy = core::Policy::kLeastConn,
                                    .choices = 4,
                                    .hop_lists = false,
                                    .rows_base = 0,
                                    .rows = 256})
                .ok());
    sender_ = std::make_unique<FrameSender>(if_nametoindex("rt0"),
                                            program->maps().verdicts);
    for (uint16_t flow = 0; flow < flows; ++flow) {
      REQUIRE(sender_->Send(Segment(flow, true)));
      REQUIRE(sender_->Send(Segment(flow, false)));
    }
    REQUIRE(sender_->Count(FL_LB_TX_MISS) == 0);
    flows_ = flows;
  }

  FrameSender& sender() { return *sender_; }
  // Every flow meets the program that is attached now, and is recorded.
  void CheckFlows() {
    const uint64_t hits = sender_->Count(FL_LB_TX_HIT);
    for (uint16_t flow = 0; flow < flows_; ++flow)
      REQUIRE(sender_->Send(Segment(flow, false)));
    CHECK(sender_->Count(FL_LB_TX_MISS) == 0);
    CHECK(sender_->Count(FL_LB_TX_HIT) == hits + flows_);
  }

 private:
  std::unique_ptr<FrameSender> sender_;
  uint16_t flows_ = 0;
};

struct Record {
  unsigned int state;
  uint16_t backend;
  friend bool operator==(const Record&, const Record&) = default;
};

// By tag; each must stand once.
std::map<uint64_t, Record> RecordsOf(const SharedTables& tables) {
  std::map<uint64_t, Record> records;
  for (const fl_bucket& bucket : tables.flows()) {
    for (const fl_slot& slot : bucket.slots) {
      if (slot.word0 == 0) continue;
      const Record record = {fl_slot_state(slot.word0),
                             fl_slot_backend(slot.word0)};
      CHECK(records.emplace(fl_slot_tag(slot.word0), record).second);
    }
  }
  return records;
}

// What the daemon does after a start.
void CountAnew(const SharedTables& tables) {
  datapath::Recount recount(tables.flows(), tables.load());
  while (!recount.Round()) {
  }
}

void CheckCounters(const SharedTables& tables) {
  std::map<uint16_t, uint64_t> slots;
  for (const auto& [tag, record] : RecordsOf(tables)) ++slots[record.backend];
  for (uint16_t id = 1; id <= kBackends; ++id) {
    CAPTURE(id);
    CHECK(tables.Load(id).recorded() == slots[id]);
  }
}

bool HasMoved() {
  for (const auto& entry : std::filesystem::directory_iterator(kPinPath)) {
    const std::string name = entry.path().filename();
    if (name != absl::StrCat("v", FL_ABI_VERSION)) return false;
  }
  return true;
}

// Segments of the recorded flows, and new flows all the while: a SYN, and at
// once the segment behind it.
class Traffic {
 public:
  explicit Traffic(FrameSender& sender)
      : sender_(sender), thread_([this] { Run(); }) {}
  ~Traffic() {
    if (thread_.joinable()) Stop();
  }
  void Stop() {
    stop_ = true;
    thread_.join();
  }
  int opened() const { return opened_; }
  bool lost() const { return lost_; }

 private:
  void Run() {
    std::mt19937 random(1);
    for (uint16_t next = 0; !stop_ && !lost_; ++next) {
      for (int i = 0; i < 8; ++i)
        Send(Segment(static_cast<uint16_t>(random() % kFlows), false));
      // Few enough to find room, each again and again.
      const auto flow = static_cast<uint16_t>(20000 + next % 100);
      Send(Segment(flow, true));
      Send(Segment(flow, false));
      ++opened_;
    }
  }
  void Send(const Bytes& frame) {
    if (!sender_.Send(frame)) lost_ = true;
  }

  FrameSender& sender_;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> lost_ = false;
  std::atomic<int> opened_ = 0;
  std::thread thread_;  // last: it uses the others
};

}  // namespace

TEST_CASE("tables of every other size take over what was there",
          "[datapath][move]") {
  Host host;
  core::TableSizes before = SmallTables();
  core::TableSizes after = before;
  SECTION("four times the flows") { after.flow_buckets *= 4; }
  SECTION("a quarter of the flows") { before.flow_buckets *= 4; }
  SECTION("more services") { after.services *= 2; }
  SECTION("fewer services") { before.services *= 2; }
  SECTION("more rows") { after.rows *= 2; }
  SECTION("fewer rows") { before.rows *= 2; }
  SECTION("more backends") { after.backends *= 2; }
  SECTION("fewer backends") { before.backends *= 2; }
  SECTION("everything") {
    after = {.services = 4, .backends = 100, .rows = 300, .flow_buckets = 512};
  }
  Running running(before);
  auto program = MustOpen(Sized(before));
  const auto records = RecordsOf(*TablesOf(*program, before));
  CHECK(records.size() == kFlows);
  const uint32_t first = XdpProgramOn(host.lb0);
  program.reset();

  program = MustOpen(Sized(after));
  CHECK(program->adopted());
  CHECK_FALSE(program->notes().empty());
  CHECK(program->attachments().at(0).taken_over);
  CHECK(XdpProgramOn(host.lb0) != first);
  CHECK(HasMoved());
  const auto tables = TablesOf(*program, after);
  CHECK(RecordsOf(*tables) == records);
  CHECK(tables->Vips() == std::vector<base::Endpoint>{kVip});
  CHECK(tables->ReadRow(255).candidates == kMark);
  CHECK(tables->HasNextHop(kBackends));
  CHECK(tables->BackendState(1) == (FL_BACKEND_USED | FL_BACKEND_ELIGIBLE));
  CountAnew(*tables);
  CheckCounters(*tables);
  const datapath::Stats stats(program->maps());
  CHECK(stats.Service(1)->new_flows == kFlows);
  CHECK(stats.Backend(1)->new_flows > 0);
  running.CheckFlows();
  // The next start finds what it wants.
  program.reset();
  CHECK(MustOpen(Sized(after))->notes().empty());
}

TEST_CASE("no packet misses its flow while tables grow and shrink",
          "[datapath][move]") {
  Host host;
  // The smallest is not so full that a new flow might find no slot.
  const uint32_t small = 512;
  Running running(WithFlows(small));
  Traffic traffic(running.sender());
  for (const uint32_t buckets : {4 * small, small, 16 * small, 4 * small, small,
                                 2 * small, 8 * small, small}) {
    const int before = traffic.opened();
    MustOpen(Sized(WithFlows(buckets)));
    while (traffic.opened() < before + 20 && !traffic.lost()) {
    }
  }
  traffic.Stop();
  CHECK_FALSE(traffic.lost());
  CHECK(running.sender().Count(FL_LB_TX_MISS) == 0);
  CHECK(running.sender().Count(FL_LB_TX_SYN_UNRECORDED) == 0);
  running.CheckFlows();
  const auto program = MustOpen(Sized(WithFlows(small)));
  const auto tables = TablesOf(*program, WithFlows(small));
  CountAnew(*tables);
  CheckCounters(*tables);
}

// Those of a move with one interface, but for the staging of the other maps.
constexpr absl::string_view kSteps[] = {"lock",
                                        "load",
                                        "stage fl_flows",
                                        "stage fl_leases",
                                        "begin the move",
                                        "commit the new maps",
                                        "move the links",
                                        "switch to the program that moves",
                                        "move the flows",
                                        "load the program that stays",
                                        "replace the program of lb0"};

// The hook ends Open() after a step and leaves all as it is, as a kill does. A
// kill is followed by a start with the new size, with the one before, or with
// yet another.
TEST_CASE("a move killed after any step loses no flow and is finished",
          "[datapath][move][kill]") {
  Host host;
  const uint32_t next = GENERATE(256u, 1024u, 512u);
  CAPTURE(next);
  for (const absl::string_view step : kSteps) {
    INFO("killed after step " << std::string(step));
    Running running(WithFlows(256), 100);
    auto options = Sized(WithFlows(1024));
    options.stop_after = [&](absl::string_view now) { return now == step; };
    CHECK(absl::IsCancelled(Program::Open(options).status()));
    running.CheckFlows();
    const auto program = MustOpen(Sized(WithFlows(next)));
    CHECK(program->adopted());
    CHECK(HasMoved());
    running.CheckFlows();
    CHECK(RecordsOf(*TablesOf(*program, WithFlows(next))).size() == 100);
    REQUIRE(program->Detach().ok());
    CHECK_FALSE(std::filesystem::exists(kPinPath));
    CHECK(XdpProgramOn(host.lb0) == 0);
  }
}

TEST_CASE("what a killed move left can be detached", "[datapath][move][kill]") {
  Host host;
  for (const absl::string_view step : kSteps) {
    INFO("killed after step " << std::string(step));
    Running running(WithFlows(256), 1);
    auto options = Sized(WithFlows(1024));
    options.stop_after = [&](absl::string_view now) { return now == step; };
    CHECK(absl::IsCancelled(Program::Open(options).status()));
    REQUIRE(Program::DetachFolder(kPinPath).ok());
    CHECK_FALSE(std::filesystem::exists(kPinPath));
    CHECK(XdpProgramOn(host.lb0) == 0);
  }
}

TEST_CASE("flows that find no room are told, and the others are kept",
          "[datapath][move]") {
  Host host;
  Running running(WithFlows(256));
  const auto program = MustOpen(Sized(WithFlows(64)));
  const auto tables = TablesOf(*program, WithFlows(64));
  const size_t kept = RecordsOf(*tables).size();
  CHECK(kept > 240);
  CHECK(kept <= 256);
  std::string told;
  for (const std::string& note : program->notes()) absl::StrAppend(&told, note);
  CAPTURE(told);
  CHECK(absl::StrContains(
      told, absl::StrCat(kFlows - kept, " found no room (0 established, ",
                         kFlows - kept, " young)")));
  CountAnew(*tables);
  CheckCounters(*tables);
}

TEST_CASE("tables too small for what is in use are refused, untouched",
          "[datapath][move]") {
  Host host;
  Running running(SmallTables(), 10);
  const uint32_t attached = XdpProgramOn(host.lb0);
  auto sizes = SmallTables();
  std::string wanted;
  SECTION("backends") {
    sizes.backends = 4;
    wanted =
        "table size backends = 4 is too small: backend id 4 needs 5 at "
        "least; raise backends in section [tables]";
  }
  SECTION("rows") {
    sizes.rows = 128;
    wanted = "table size rows = 128 is too small: service id 1 needs 256";
  }
  const auto program = Program::Open(Sized(sizes));
  REQUIRE_FALSE(program.ok());
  CAPTURE(program.status().message());
  CHECK(absl::StrContains(program.status().message(), wanted));
  CHECK(XdpProgramOn(host.lb0) == attached);
  CHECK(HasMoved());
  running.CheckFlows();
}

TEST_CASE("tables that do not fit into memory are refused, untouched",
          "[datapath][move]") {
  Host host;
  Running running(SmallTables(), 10);
  const uint32_t attached = XdpProgramOn(host.lb0);
  auto options = Sized(WithFlows(1u << 20));
  options.room = datapath::MemoryRoom{40u << 20, "a test"};
  const auto program = Program::Open(options);
  REQUIRE_FALSE(program.ok());
  CHECK(program.status().message() ==
        "the tables do not fit into memory: flows = 4194304 slots x 16 bytes = "
        "64.0 MiB, sources = 65536 x 16 bytes = 1.0 MiB; that is 65.0 MiB to "
        "be taken, and of 40.0 MiB (a test) seven eighths are for tables, 35.0 "
        "MiB; lower flows in section "
        "[tables] of the node config (2097152 would fit), or give more memory");
  CHECK(XdpProgramOn(host.lb0) == attached);
  running.CheckFlows();
}

TEST_CASE("verdicts keep their counts where there is room for more of them",
          "[datapath][move]") {
  Host host;
  MustOpen(Sized(SmallTables()));
  // As layout 4 has them.
  constexpr uint32_t kVerdicts = 27;
  const base::UniqueFd map(bpf_map_create(
      BPF_MAP_TYPE_PERCPU_ARRAY, "fl_verdicts", 4, 8, kVerdicts, nullptr));
  std::vector<uint64_t> counts(static_cast<size_t>(datapath::PossibleCpus()),
                               3);
  for (const uint32_t key : {0u, 26u}) {
    REQUIRE(bpf_map_update_elem(map.get(), &key, counts.data(), BPF_ANY) == 0);
  }
  const std::string pin = absl::StrCat(kLayout, "/fl_verdicts");
  REQUIRE(std::filesystem::remove(pin));
  REQUIRE(bpf_obj_pin(map.get(), pin.c_str()) == 0);
  REQUIRE(std::rename(kLayout, absl::StrCat(kPinPath, "/v4").c_str()) == 0);
  const auto program = MustOpen(Sized(SmallTables()));
  CHECK(HasMoved());
  const auto now = datapath::SumPerCpu(program->maps().verdicts,
                                       FL_LB_VERDICT_COUNT, "fl_verdicts");
  REQUIRE(now.ok());
  CHECK((*now)[0] == 3 * counts.size());
  CHECK((*now)[1] == 0);
  CHECK((*now)[26] == 3 * counts.size());
}

TEST_CASE("an older layout is taken over if it is known, else named",
          "[datapath][move]") {
  Host host;
  Running running(SmallTables(), 100);
  auto options = Sized(GENERATE(SmallTables(), WithFlows(512)));
  SECTION("known") {
    REQUIRE(std::rename(kLayout, absl::StrCat(kPinPath, "/v4").c_str()) == 0);
    const std::string step = GENERATE("", "stage fl_flows", "begin the move",
                                      "commit the new maps", "move the flows");
    if (!step.empty()) {
      auto killed = options;
      killed.stop_after = [&](absl::string_view now) { return now == step; };
      CHECK(absl::IsCancelled(Program::Open(killed).status()));
      running.CheckFlows();
    }
    const auto program = MustOpen(options);
    CHECK(program->adopted());
    CHECK(HasMoved());
    CHECK(RecordsOf(*TablesOf(*program, options.sizes)).size() == 100);
    running.CheckFlows();
  }
  SECTION("unknown") {
    const std::string older = absl::StrCat(kPinPath, "/v3");
    REQUIRE(std::rename(kLayout, older.c_str()) == 0);
    const uint32_t attached = XdpProgramOn(host.lb0);
    const auto program = Program::Open(options);
    REQUIRE_FALSE(program.ok());
    CHECK(absl::StrContains(
        program.status().message(),
        absl::StrCat(older, " holds tables of layout v3, this fairleadd has ",
                     "layout v5 and can take over v4, v5; start the fairleadd ",
                     "that made them")));
    CHECK(XdpProgramOn(host.lb0) == attached);
    running.CheckFlows();
  }
}

}  // namespace fairlead::test
