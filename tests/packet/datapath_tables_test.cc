#include <bpf/bpf.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "datapath/flow_hash.h"
#include "datapath/flow_scan.h"
#include "datapath/loader.h"
#include "datapath/shared_tables.h"
#include "datapath/stats.h"
#include "tests/packet/datapath_options.h"
#include "tests/support/bpf_run.h"
#include "tests/support/datapath_conformance.h"

namespace fairlead::test {
namespace {

using datapath::MapFds;
using datapath::SharedTables;

const base::Endpoint kVipA = {kVip4, kVipPort};
const base::Endpoint kVipB = {kVip4, 80};
const base::Endpoint kVipC = {kVip6, kVipPort};

// The shipped program with new tables; nothing is pinned or attached.
struct Loaded {
  datapath::LoadedProgram program;
  MapFds maps;

  Loaded() {
    fl_config config = NodeConfig();
    config.flow_bucket_mask = SmallTables().flow_buckets - 1;
    auto loaded = datapath::LoadProgram({.config = config,
                                         .sizes = SmallTables(),
                                         .pins = "/nowhere",
                                         .unfinished = {},
                                         .room = std::nullopt});
    INFO(loaded.status().ToString());
    REQUIRE(loaded.ok());
    program = std::move(loaded).value();
    const auto fd = [&](size_t i) { return program.maps[i].now.fd.get(); };
    maps = {.services = fd(0),
            .rows = fd(1),
            .backends = fd(2),
            .load = fd(3),
            .flows = fd(4),
            .verdicts = fd(5),
            .service_stats = fd(6),
            .backend_stats = fd(7),
            .leases = fd(8),
            .prefixes = fd(9),
            .limits = program.limits.get(),
            .source_stats = fd(10),
            .source_conns = fd(11),
            .flow_sources = fd(12)};
  }

  std::unique_ptr<SharedTables> Open() const { return TablesOf(maps); }

  fl_backend Line(uint16_t id) const {
    const uint32_t key = id;
    fl_backend line;
    REQUIRE(bpf_map_lookup_elem(maps.backends, &key, &line) == 0);
    return line;
  }

  // The entry, if there is one; port 0 is the entry of the address.
  std::optional<fl_service> Service(const base::IpAddress& address,
                                    uint16_t port) const {
    fl_service_key key = {};
    std::memcpy(key.address, address.bytes().data(), 16);
    key.port = htons(port);
    key.proto = port == 0 ? 0 : IPPROTO_TCP;
    fl_service service;
    if (bpf_map_lookup_elem(maps.services, &key, &service) != 0) {
      return std::nullopt;
    }
    return service;
  }

  bool HasAddress(const base::IpAddress& address) const {
    const auto entry = Service(address, 0);
    return entry && entry->flags == FL_SERVICE_ADDRESS;
  }
};

core::NextHop Hop(uint32_t interface, uint8_t last) {
  return {.interface = interface,
          .interface_name = "eth0",
          .destination_mac = {2, 0, 0, 0, 0, last},
          .source_mac = {2, 0, 0, 0, 1, last},
          .path_mtu = 1400};
}

core::BackendEntry Entry(const char* address, int weight = 100) {
  return {.state = FL_BACKEND_USED | FL_BACKEND_ELIGIBLE,
          .address = Ip(address),
          .weight = weight,
          .service = 3};
}

const core::ServiceEntry kEntry = {.id = 3,
                                   .tombstone = false,
                                   .policy = core::Policy::kLeastConn,
                                   .choices = 2,
                                   .rows_base = 256,
                                   .rows = 256};

}  // namespace

TEST_CASE("the shared tables keep the promises of a datapath",
          "[datapath][tables]") {
  const Loaded loaded;
  CheckDatapathConformance(*loaded.Open(), SmallTables());
}

TEST_CASE("a service is written as the program reads it",
          "[datapath][tables]") {
  const Loaded loaded;
  const auto tables = loaded.Open();
  REQUIRE(tables->PutService(kVipA, kEntry).ok());
  auto written = loaded.Service(kVip4, kVipPort);
  REQUIRE(written.has_value());
  CHECK(written->id == 3);
  CHECK(written->flags == 0);
  CHECK(written->policy == FL_POLICY_LEAST_CONN);
  CHECK(written->choices == 2);
  CHECK(written->encap == FL_ENCAP_GUE);
  CHECK(written->rows_base == 256);
  CHECK(written->row_mask == 255);

  core::ServiceEntry tombstone = kEntry;
  tombstone.tombstone = true;
  REQUIRE(tables->PutService(kVipA, tombstone).ok());
  written = loaded.Service(kVip4, kVipPort);
  CHECK(written->flags == FL_SERVICE_TOMBSTONE);
}

TEST_CASE("a limit of sources is there while its service asks for it",
          "[datapath][tables]") {
  const Loaded loaded;
  const auto tables = loaded.Open();
  const auto limit = [&] {
    const uint32_t id = 3;
    uint64_t word = 0;
    REQUIRE(bpf_map_lookup_elem(loaded.maps.limits, &id, &word) == 0);
    return word;
  };
  core::ServiceEntry entry = kEntry;
  entry.source_rate = {.rate = 1000, .burst = 0, .length4 = 24, .length6 = 56};
  REQUIRE(tables->PutService(kVipA, entry).ok());
  CHECK(loaded.Service(kVip4, kVipPort)->flags == FL_SERVICE_LIMITED);
  CHECK(limit() == fl_limit_word(15625, 1000, 120, 56));
  entry.source_rate.burst = 50;
  REQUIRE(tables->PutService(kVipA, entry).ok());
  CHECK(limit() == fl_limit_word(15625, 50, 120, 56));
  REQUIRE(tables->PutService(kVipA, kEntry).ok());
  CHECK(loaded.Service(kVip4, kVipPort)->flags == 0);
  CHECK(limit() == 0);
}

TEST_CASE("an address has its own entry while a service has the address",
          "[datapath][tables]") {
  const Loaded loaded;
  auto tables = loaded.Open();
  REQUIRE(tables->PutService(kVipA, kEntry).ok());
  REQUIRE(tables->PutService(kVipB, kEntry).ok());
  REQUIRE(tables->PutService(kVipC, kEntry).ok());
  CHECK(loaded.HasAddress(kVip4));
  CHECK(loaded.HasAddress(kVip6));
  SECTION("as one daemon counts") {}
  SECTION("as the next daemon counts") { tables = loaded.Open(); }
  CHECK(tables->Vips() == std::vector{kVipB, kVipA, kVipC});
  tables->RemoveService(kVipA);
  CHECK(loaded.HasAddress(kVip4));
  tables->RemoveService(kVipB);
  CHECK_FALSE(loaded.HasAddress(kVip4));
  CHECK_FALSE(loaded.Service(kVip4, 80).has_value());
  CHECK(loaded.HasAddress(kVip6));
}

TEST_CASE("an address of which only tombstones are left is one",
          "[datapath][tables]") {
  const Loaded loaded;
  auto tables = loaded.Open();
  core::ServiceEntry tombstone = kEntry;
  tombstone.tombstone = true;
  const auto is_tombstone = [&] {
    return loaded.Service(kVip4, 0)->flags ==
           (FL_SERVICE_ADDRESS | FL_SERVICE_TOMBSTONE);
  };
  REQUIRE(tables->PutService(kVipA, kEntry).ok());
  REQUIRE(tables->PutService(kVipB, tombstone).ok());
  CHECK(loaded.HasAddress(kVip4));
  REQUIRE(tables->PutService(kVipA, tombstone).ok());
  CHECK(is_tombstone());
  tables = loaded.Open();
  CHECK(is_tombstone());
  REQUIRE(tables->PutService(kVipB, kEntry).ok());
  CHECK(loaded.HasAddress(kVip4));
  tables->RemoveService(kVipB);
  CHECK(is_tombstone());
}

TEST_CASE("address entries that a killed daemon left wrong are put right",
          "[datapath][tables]") {
  const Loaded loaded;
  fl_service_key key = {};
  std::memcpy(key.address, kVip4.bytes().data(), 16);
  SECTION("one that no service needs is removed") {
    fl_service value = {};
    value.flags = FL_SERVICE_ADDRESS;
    REQUIRE(bpf_map_update_elem(loaded.maps.services, &key, &value, BPF_ANY) ==
            0);
    loaded.Open();
    CHECK_FALSE(loaded.HasAddress(kVip4));
  }
  SECTION("one that is missing is made") {
    REQUIRE(loaded.Open()->PutService(kVipA, kEntry).ok());
    REQUIRE(bpf_map_delete_elem(loaded.maps.services, &key) == 0);
    loaded.Open();
    CHECK(loaded.HasAddress(kVip4));
  }
}

TEST_CASE("a service that does not fit is refused and leaves nothing",
          "[datapath][tables]") {
  const Loaded loaded;
  const auto tables = loaded.Open();
  // The map holds twice as many entries as there may be services.
  const uint16_t room = static_cast<uint16_t>(2 * SmallTables().services - 1);
  for (uint16_t port = 1; port < room; ++port) {
    REQUIRE(tables->PutService({kVip4, port}, kEntry).ok());
  }
  // One entry is left: enough for the address, not for the service.
  const absl::Status status = tables->PutService(kVipC, kEntry);
  CHECK(absl::IsResourceExhausted(status));
  CHECK(absl::StrContains(status.message(), "fl_services (of 8 services)"));
  CHECK_FALSE(loaded.HasAddress(kVip6));
  CHECK(tables->PutService({kVip4, room}, kEntry).ok());
  tables->RemoveService({kVip4, room});
  tables->RemoveService({kVip4, 1});
  CHECK(tables->PutService(kVipC, kEntry).ok());
}

TEST_CASE("a next hop reaches every backend with that outer address",
          "[datapath][tables]") {
  const Loaded loaded;
  const auto tables = loaded.Open();
  tables->PutBackend(1, Entry("192.0.2.7", 10));
  tables->PutBackend(2, Entry("192.0.2.8", 20));
  REQUIRE(tables->SetNextHop(Ip("192.0.2.7"), Hop(5, 0xaa)).ok());
  // Known before the backend is.
  tables->PutBackend(3, Entry("192.0.2.7", 30));

  for (const uint16_t id : {uint16_t{1}, uint16_t{3}}) {
    const fl_backend line = loaded.Line(id);
    CHECK(line.state ==
          (FL_BACKEND_USED | FL_BACKEND_ELIGIBLE | FL_BACKEND_NEXT_HOP));
    CHECK(std::memcmp(&line.next_hop, "\x02\0\0\0\0\xaa", 6) == 0);
    CHECK(line.next_hop >> 48 == 1400);
    CHECK(std::memcmp(&line.source, "\x02\0\0\0\x01\xaa", 6) == 0);
    CHECK(line.egress == 5);
    CHECK(line.weight == 10 * id);
    CHECK(line.service == 3);
  }
  CHECK(loaded.Line(2).state == (FL_BACKEND_USED | FL_BACKEND_ELIGIBLE));

  SECTION("the state of a backend changes without it") {
    tables->SetBackendState(1, FL_BACKEND_USED | FL_BACKEND_DEAD);
    CHECK(loaded.Line(1).state ==
          (FL_BACKEND_USED | FL_BACKEND_DEAD | FL_BACKEND_NEXT_HOP));
    CHECK(tables->BackendState(1) == (FL_BACKEND_USED | FL_BACKEND_DEAD));
  }
  SECTION("it may move to another interface") {
    REQUIRE(tables->SetNextHop(Ip("192.0.2.7"), Hop(6, 0xbb)).ok());
    CHECK(loaded.Line(1).egress == 6);
    CHECK((loaded.Line(1).state & FL_BACKEND_NEXT_HOP) != 0);
    CHECK(loaded.Line(1).weight == 10);
  }
  SECTION("it may get lost") {
    REQUIRE(tables->SetNextHop(Ip("192.0.2.7"), std::nullopt).ok());
    CHECK((loaded.Line(1).state & FL_BACKEND_NEXT_HOP) == 0);
    CHECK((loaded.Line(3).state & FL_BACKEND_NEXT_HOP) == 0);
    CHECK_FALSE(tables->NextHopOf(Ip("192.0.2.7")).has_value());
  }
  SECTION("the next daemon has it until netlink says otherwise") {
    const auto next = loaded.Open();
    next->PutBackend(1, Entry("192.0.2.7", 40));
    CHECK((loaded.Line(1).state & FL_BACKEND_NEXT_HOP) != 0);
    CHECK(loaded.Line(1).weight == 40);
    const auto hop = next->NextHopOf(Ip("192.0.2.7"));
    REQUIRE(hop.has_value());
    CHECK(hop->interface == 5);
    CHECK(hop->path_mtu == 1400);
    CHECK(hop->destination_mac[5] == 0xaa);
    CHECK(hop->source_mac[5] == 0xaa);
  }
  SECTION("a backend that gets another address has that one's") {
    tables->PutBackend(1, Entry("192.0.2.8", 10));
    CHECK(loaded.Line(1).state == (FL_BACKEND_USED | FL_BACKEND_ELIGIBLE));
  }
  SECTION("a removed backend leaves an empty line") {
    tables->RemoveBackend(1);
    const fl_backend empty = {};
    const fl_backend line = loaded.Line(1);
    CHECK(std::memcmp(&line, &empty, sizeof(line)) == 0);
  }
}

TEST_CASE("a next hop may move to a VLAN, and back", "[datapath][tables]") {
  const Loaded loaded;
  const auto tables = loaded.Open();
  tables->PutBackend(3, Entry("192.0.2.7"));
  REQUIRE(tables->SetNextHop(Ip("192.0.2.7"), Hop(5, 0xaa)).ok());
  core::NextHop tagged = Hop(5, 0xcc);
  tagged.vlan = core::Vlan{.id = 0, .on = "eth0"};
  REQUIRE(tables->SetNextHop(Ip("192.0.2.7"), tagged).ok());
  CHECK(loaded.Line(3).source >> 48 == FL_VLAN);
  tagged.vlan->id = 4094;
  REQUIRE(tables->SetNextHop(Ip("192.0.2.7"), tagged).ok());
  CHECK(loaded.Line(3).source >> 48 == (FL_VLAN | 4094));
  const uint64_t source = loaded.Line(3).source;
  CHECK(std::memcmp(&source, tagged.source_mac, 6) == 0);
  CHECK((loaded.Line(3).state & FL_BACKEND_NEXT_HOP) != 0);
  const auto adopted = loaded.Open()->NextHopOf(Ip("192.0.2.7"));
  REQUIRE(adopted.has_value());
  CHECK(adopted->vlan == core::Vlan{.id = 4094});
  REQUIRE(tables->SetNextHop(Ip("192.0.2.7"), Hop(5, 0xcc)).ok());
  CHECK(loaded.Line(3).source >> 48 == 0);
}

TEST_CASE("a line that needs its backend on the link takes no gateway",
          "[datapath][tables]") {
  const Loaded loaded;
  auto tables = loaded.Open();
  constexpr uint64_t kUsed = FL_BACKEND_USED | FL_BACKEND_ELIGIBLE;
  constexpr uint64_t kOnLink = kUsed | FL_BACKEND_ON_LINK;
  core::NextHop direct = Hop(5, 0xaa), behind = Hop(5, 0xbb);
  behind.gateway = Ip("192.0.2.254");
  const auto has_next_hop = [&](core::BackendId id) {
    return (loaded.Line(id).state & FL_BACKEND_NEXT_HOP) != 0;
  };
  REQUIRE(tables->SetNextHop(Ip("192.0.2.7"), behind).ok());
  tables->PutBackend(1, Entry("192.0.2.7"));
  core::BackendEntry on_link = Entry("192.0.2.7");
  on_link.state = kOnLink;
  tables->PutBackend(2, on_link);
  CHECK(has_next_hop(1));
  CHECK_FALSE(has_next_hop(2));

  SECTION("which may change with the route") {
    REQUIRE(tables->SetNextHop(Ip("192.0.2.7"), direct).ok());
    CHECK(has_next_hop(2));
    REQUIRE(tables->SetNextHop(Ip("192.0.2.7"), behind).ok());
    CHECK(has_next_hop(1));
    CHECK_FALSE(has_next_hop(2));
  }
  SECTION("which may change with the service") {
    tables->SetBackendState(1, kOnLink);
    CHECK_FALSE(has_next_hop(1));
    tables->SetBackendState(1, kUsed);
    CHECK(has_next_hop(1));
    CHECK(loaded.Line(1).next_hop >> 48 == 1400);
  }
  SECTION("which the next daemon does not know at first") {
    REQUIRE(tables->SetNextHop(Ip("192.0.2.7"), direct).ok());
    tables = loaded.Open();
    tables->SetBackendState(1, kOnLink);
    CHECK_FALSE(has_next_hop(1));
    // What was found so stays so.
    tables->SetBackendState(2, kOnLink | FL_BACKEND_DEAD);
    CHECK(has_next_hop(2));
    REQUIRE(tables->SetNextHop(Ip("192.0.2.7"), direct).ok());
    CHECK(has_next_hop(1));
  }
}

TEST_CASE("what clients without room are told is written as the program reads",
          "[datapath][tables]") {
  const Loaded loaded;
  const auto tables = loaded.Open();
  core::ServiceEntry entry = kEntry;
  for (const core::Shed shed : {core::Shed::kReset, core::Shed::kDrop}) {
    entry.shed = shed;
    REQUIRE(tables->PutService(kVipA, entry).ok());
    const bool tells =
        (loaded.Service(kVip4, kVipPort)->flags & FL_SERVICE_SHED_RESET) != 0;
    CHECK(tells == (shed == core::Shed::kReset));
  }
}

TEST_CASE("each encapsulation is written as the program reads it",
          "[datapath][tables]") {
  const Loaded loaded;
  const auto tables = loaded.Open();
  const auto written = [&](core::Encap encap, bool hop_lists) {
    core::ServiceEntry entry = kEntry;
    entry.encap = encap;
    entry.hop_lists = hop_lists;
    REQUIRE(tables->PutService(kVipA, entry).ok());
    return loaded.Service(kVip4, kVipPort)->encap;
  };
  CHECK(written(core::Encap::kGue, true) == FL_ENCAP_GUE);
  CHECK(written(core::Encap::kGue, false) == FL_ENCAP_GUE_PLAIN);
  CHECK(written(core::Encap::kIpip, false) == FL_ENCAP_IPIP);
  CHECK(written(core::Encap::kL2, false) == FL_ENCAP_L2);
}

TEST_CASE("what the daemon writes, the program forwards by and counts",
          "[datapath][tables]") {
  const Loaded loaded;
  const auto tables = loaded.Open();
  REQUIRE(tables->PutService(kVipA, kEntry).ok());
  tables->PutBackend(9, Entry("192.0.2.7"));
  REQUIRE(tables->SetNextHop(Ip("192.0.2.7"), Hop(0, 0xaa)).ok());
  for (uint32_t row = 256; row < 512; ++row) tables->StoreCandidates(row, 9);

  const Packet syn = Eth{} / Ipv4{} / Tcp{.syn = true};
  const TestRunResult sent =
      TestRun(loaded.program.program.get(), syn.Wire(), {});
  REQUIRE(sent.error == 0);
  CHECK(sent.action == XDP_TX);
  CHECK(std::memcmp(sent.frame.data(), Hop(0, 0xaa).destination_mac, 6) == 0);

  const datapath::Stats stats(loaded.maps);
  const auto verdicts = stats.Verdicts().value();
  for (uint32_t i = 0; i < FL_LB_VERDICT_COUNT; ++i) {
    CHECK(verdicts[i] == (i == FL_LB_TX_SYN_NEW ? 1 : 0));
  }
  CHECK(stats.Service(3).value().new_flows == 1);
  CHECK(stats.Backend(9).value().new_flows == 1);
  CHECK(tables->Load(9).pending == 1);

  const datapath::HashKey key = {kHashKey[0], kHashKey[1]};
  const uint64_t hash = datapath::HashFlow(key, {kClient4, kClientPort}, kVipA);
  const datapath::FlowScan scan(tables->flows(), tables->load(), kTimeouts);
  const auto flow = scan.Lookup(hash);
  REQUIRE(flow.has_value());
  CHECK(flow->state == FL_SLOT_EMBRYONIC);
  CHECK(flow->backend == 9);
  CHECK_FALSE(scan.Lookup(~hash).has_value());
}

TEST_CASE("an accept-rate is written as the program reads it",
          "[datapath][tables]") {
  const Loaded loaded;
  const auto tables = loaded.Open();
  REQUIRE(tables->PutService(kVipA, kEntry).ok());
  tables->PutBackend(9, Entry("192.0.2.7"));
  REQUIRE(tables->SetNextHop(Ip("192.0.2.7"), Hop(0, 0xaa)).ok());
  for (uint32_t row = 256; row < 512; ++row) tables->StoreCandidates(row, 9);
  tables->SetBackendState(9, tables->BackendState(9) | FL_BACKEND_PACED);
  const auto send = [&](uint16_t sport) {
    const Packet syn = Eth{} / Ipv4{} / Tcp{.sport = sport, .syn = true};
    return TestRun(loaded.program.program.get(), syn.Wire(), {}).action;
  };
  // The one holds until then, the other from then on.
  const auto far = base::MonoTime::FromNanoseconds(int64_t{1} << 60);
  constexpr uint32_t kMinute = 60'000'000'000u >> FL_ACCEPT_SHIFT;
  tables->SetAcceptPace(9, {.during = 0, .after = kMinute, .until = far});
  CHECK(send(1) == XDP_TX);
  CHECK(send(2) == XDP_TX);
  tables->SetAcceptPace(9, {.during = 0, .after = kMinute, .until = {}});
  CHECK(tables->Load(9).accept_due == base::MonoTime());
  CHECK(send(3) == XDP_TX);
  CHECK(tables->Load(9).accept_due - base::MonoTime() > absl::Minutes(1));
  CHECK(send(4) == XDP_DROP);
}

}  // namespace fairlead::test
