// Connections of sources over the lives of several daemons: what is pinned
// stays charged, a flow table of another size takes it along, and another
// number of sources begins anew.
#include <catch2/catch.hpp>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "datapath/flow_scan.h"
#include "datapath/program.h"
#include "datapath/recount.h"
#include "datapath/shared_tables.h"
#include "datapath/stats.h"
#include "tests/packet/datapath_options.h"
#include "tests/packet/host_sandbox.h"
#include "tests/support/bpf_run.h"

namespace fairlead::test {
namespace {

using datapath::Program;
using datapath::SharedTables;

constexpr uint16_t kWebId = 3;
constexpr uint64_t kRow = 0x0004000300020001;
const base::Endpoint kVip = {kVip4, kVipPort};

core::TableSizes Sizes(uint32_t conn_sets, uint32_t buckets = 256) {
  core::TableSizes sizes = SmallTables();
  sizes.conn_sets = conn_sets;
  sizes.flow_buckets = buckets;
  return sizes;
}

// A host whose tables outlive each daemon.
class Host {
 public:
  explicit Host(const core::TableSizes& sizes) {
    AddVeth("lb0", "rt0");
    Start(sizes);
  }
  // A daemon after the one before has been killed.
  void Start(const core::TableSizes& sizes) {
    tables_.reset();
    program_.reset();
    auto options = Options({"lb0"});
    options.sizes = sizes;
    auto program = Program::Open(std::move(options));
    INFO(program.status().ToString());
    REQUIRE(program.ok());
    program_ = std::move(program).value();
    auto tables = SharedTables::Open(program_->maps(), sizes);
    INFO(tables.status().ToString());
    REQUIRE(tables.ok());
    tables_ = std::move(tables).value();
  }
  void Put(uint32_t most) {
    core::NextHop hop;
    hop.interface = 1;
    hop.path_mtu = 1500;
    for (uint16_t id = 1; id <= 4; ++id) {
      const base::IpAddress address = Ip(absl::StrCat("192.0.2.", 10 + id));
      REQUIRE(tables_->SetNextHop(address, hop).ok());
      tables_->PutBackend(id, {.state = FL_BACKEND_USED | FL_BACKEND_ELIGIBLE,
                               .address = address,
                               .weight = 100,
                               .service = kWebId});
    }
    for (uint32_t row = 256; row < 512; ++row)
      tables_->StoreCandidates(row, kRow);
    const absl::Status status = tables_->PutService(
        kVip, {.id = kWebId,
               .rows_base = 256,
               .rows = 256,
               .source_rate = {.most = most, .length4 = 32, .length6 = 64}});
    INFO(status.ToString());
    REQUIRE(status.ok());
  }
  void Send(const Packet& packet) {
    REQUIRE(TestRun(program_->program_fd(), packet.Wire(), {}).error == 0);
  }
  // How many of so many connections from there open.
  uint64_t Opened(const std::string& source, uint16_t first, uint16_t count) {
    const uint64_t before = Refused();
    for (uint16_t i = 0; i < count; ++i)
      Send(Eth{} / Ipv4{.src = Ip(source)} /
           Tcp{.sport = static_cast<uint16_t>(first + i), .syn = true});
    return count - (Refused() - before);
  }
  uint64_t Refused() const {
    return datapath::Stats(program_->maps())
        .Verdicts()
        .value()[FL_LB_DROP_SOURCE_CONNS];
  }
  bool Told(absl::string_view what) const {
    for (const std::string& note : program_->notes())
      if (absl::StrContains(note, what)) return true;
    return false;
  }
  // Counts are what flows are charged to; how many that is.
  uint64_t CheckCharges() {
    const datapath::SourceCharges charges = tables_->charges();
    uint64_t charged = 0, counted = 0;
    for (size_t slot = 0; slot < charges.slots(); ++slot)
      charged += charges.Of(slot) != 0 ? 1 : 0;
    for (size_t entry = 0; entry < charges.entries(); ++entry)
      counted += static_cast<uint64_t>(charges.EntryCount(entry));
    CHECK(charged == counted);
    return charged;
  }

  SharedTables& tables() { return *tables_; }

 private:
  BpfFsSandbox bpffs_;
  NetnsSandbox netns_;
  std::unique_ptr<Program> program_;
  std::unique_ptr<SharedTables> tables_;
};

TEST_CASE("the next daemon knows who has connections", "[datapath][conns]") {
  Host host(Sizes(8));
  host.Put(5);
  CHECK(host.Opened("203.0.113.7", 1, 3) == 3);
  host.Start(Sizes(8));
  // Before it has written anything.
  CHECK(host.Opened("203.0.113.7", 4, 4) == 2);
  CHECK(host.Opened("203.0.113.8", 1, 9) == 5);
  CHECK(host.CheckCharges() == 10);
}

TEST_CASE("a changed limit holds for the next SYN", "[datapath][conns]") {
  Host host(Sizes(8));
  host.Put(2);
  CHECK(host.Opened("203.0.113.7", 1, 4) == 2);
  host.Put(3);
  CHECK(host.Opened("203.0.113.7", 5, 4) == 1);
  host.Put(1);
  CHECK(host.Opened("203.0.113.7", 9, 4) == 0);
  host.Put(0);
  CHECK(host.Opened("203.0.113.7", 13, 4) == 4);
}

TEST_CASE("a flow table of another size takes the charges along",
          "[datapath][conns][move]") {
  const uint32_t buckets = GENERATE(64, 1024);
  Host host(Sizes(8));
  host.Put(5);
  CHECK(host.Opened("203.0.113.7", 1, 3) == 3);
  CHECK(host.Opened("203.0.113.8", 1, 4) == 4);
  host.Start(Sizes(8, buckets));
  CHECK(host.CheckCharges() == 7);
  CHECK(host.Opened("203.0.113.7", 100, 9) == 2);
  CHECK(host.Opened("203.0.113.8", 100, 9) == 1);
  CHECK(host.CheckCharges() == 10);
}

TEST_CASE("another number of sources begins anew", "[datapath][conns][move]") {
  Host host(Sizes(8));
  host.Put(2);
  CHECK(host.Opened("203.0.113.7", 1, 3) == 2);
  host.Start(Sizes(16, GENERATE(256, 512)));
  CHECK(host.Told("fl_source_conns: 8 entries before, 16 now"));
  CHECK(host.Told("fl_flow_sources"));
  CHECK(host.CheckCharges() == 0);
  CHECK(host.Opened("203.0.113.7", 4, 3) == 2);
  CHECK(host.CheckCharges() == 2);
  // And none at all, and some again.
  host.Start(Sizes(1));
  CHECK(host.tables().charges().empty());
  CHECK(host.Opened("203.0.113.7", 7, 3) == 3);
  host.Start(Sizes(8));
  CHECK(host.Opened("203.0.113.7", 10, 3) == 2);
  CHECK(host.CheckCharges() == 2);
}

TEST_CASE("what a killed daemon left uncounted is counted anew",
          "[datapath][conns][recount]") {
  Host host(Sizes(8));
  host.Put(3);
  CHECK(host.Opened("203.0.113.7", 1, 3) == 3);
  // It freed a slot, and came no further.
  datapath::SourceCharges charges = host.tables().charges();
  for (size_t slot = 0; slot < charges.slots(); ++slot) {
    if (charges.Of(slot) == 0) continue;
    (void)charges.Take(slot);  // its count stays as it was
    break;
  }
  CHECK(host.Opened("203.0.113.7", 4, 1) == 0);
  host.Start(Sizes(8));
  datapath::Recount recount(host.tables().charges());
  while (!recount.Round()) {
  }
  CHECK(recount.corrected() == 1);
  CHECK(host.CheckCharges() == 2);
  CHECK(host.Opened("203.0.113.7", 4, 3) == 1);
}

}  // namespace
}  // namespace fairlead::test
