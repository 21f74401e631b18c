// Packets that leave by another interface than they came by: from which the
// daemon lets them leave, over a restart and a move of the tables, and while no
// daemon runs. Frames cross real pairs of interfaces here.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "base/check.h"
#include "datapath/program.h"
#include "datapath/shared_tables.h"
#include "tests/packet/datapath_options.h"
#include "tests/packet/frame_sender.h"
#include "tests/packet/host_sandbox.h"

namespace fairlead::test {
namespace {

using datapath::Program;
using datapath::SharedTables;

const base::Endpoint kVip = {kVip4, kVipPort};
const base::IpAddress kBackend = Ip("192.0.2.7");
const base::IpAddress kOther = Ip("192.0.2.8");

std::set<uint32_t> EgressOf(const Program& program) {
  std::set<uint32_t> found;
  uint32_t key = 0;
  const int map = program.maps().egress;
  for (int result = bpf_map_get_next_key(map, nullptr, &key); result == 0;
       result = bpf_map_get_next_key(map, &key, &key))
    found.insert(key);
  return found;
}

core::NextHop HopBy(uint32_t interface) {
  return {.interface = interface,
          .interface_name = "lb1",
          .destination_mac = {2, 0, 0, 0, 0, 7},
          .source_mac = {2, 0, 0, 0, 0, 8},
          .path_mtu = 1500};
}

Bytes Syn(uint16_t port) {
  return (Eth{} / Ipv4{} / Tcp{.sport = port, .syn = true}).Wire();
}

// Clients are behind lb0, the backend behind lb1.
struct Host {
  BpfFsSandbox bpffs;
  NetnsSandbox netns;
  uint32_t lb0 = AddVeth("lb0", "rt0");
  uint32_t lb1 = AddVeth("lb1", "rt1");
  // What a pair takes from XDP has to find a program at its other end.
  base::UniqueFd pass = LoadPassProgram("fl_test_pass");
  base::UniqueFd rt1;

  Host() {
    for (const char* name : {"lb0", "rt0", "lb1", "rt1"})
      RunCommand(std::string("ip link set ") + name + " addrgenmode none");
    for (const char* name : {"rt0", "rt1"})
      FL_CHECK(bpf_xdp_attach(static_cast<int>(if_nametoindex(name)),
                              pass.get(), 0, nullptr) == 0);
    rt1.reset(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                     htons(ETH_P_ALL)));
    sockaddr_ll at = {};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_ALL);
    at.sll_ifindex = static_cast<int>(if_nametoindex("rt1"));
    FL_CHECK(bind(rt1.get(), reinterpret_cast<const sockaddr*>(&at),
                  sizeof(at)) == 0);
  }

  // The next frame that the backend gets, if there is one before long. What
  // the kernel has to say goes to groups.
  std::optional<Bytes> Received() const {
    constexpr int kPatience = 200'000;
    Bytes frame(2048);
    for (int i = 0; i < kPatience; ++i) {
      const ssize_t size = recv(rt1.get(), frame.data(), frame.size(), 0);
      if (size <= 0 || (frame[0] & 1) != 0) continue;
      frame.resize(static_cast<size_t>(size));
      return frame;
    }
    return std::nullopt;
  }
};

void AddService(SharedTables& tables) {
  tables.PutBackend(1, {.state = FL_BACKEND_USED | FL_BACKEND_ELIGIBLE,
                        .address = kBackend,
                        .weight = 100,
                        .service = 1});
  for (uint32_t row = 0; row < 256; ++row) tables.StoreCandidates(row, 1);
  REQUIRE(tables
              .PutService(kVip, {.id = 1,
                                 .policy = core::Policy::kHash,
                                 .choices = 1,
                                 .hop_lists = false,
                                 .rows_base = 0,
                                 .rows = 256})
              .ok());
}

TEST_CASE("packets leave by the backend's interface, over every restart",
          "[datapath][egress]") {
  const Host host;
  core::TableSizes sizes = SmallTables();
  uint16_t port = 1000;
  const auto arrives = [&](FrameSender& sender) {
    REQUIRE(sender.Send(Syn(++port)));
    const auto frame = host.Received();
    REQUIRE(frame.has_value());
    CHECK((*frame)[5] == 7);
    CHECK((*frame)[11] == 8);
  };
  {
    const auto program = MustOpen(Sized(sizes));
    const auto tables = TablesOf(*program, sizes);
    CHECK(EgressOf(*program).empty());
    REQUIRE(tables->SetNextHop(kBackend, HopBy(host.lb1)).ok());
    CHECK(EgressOf(*program) == std::set<uint32_t>{host.lb1});
    AddService(*tables);
    FrameSender sender(if_nametoindex("rt0"), program->maps().verdicts);
    arrives(sender);
  }
  // No daemon; the next one, which has not heard of netlink yet; and others
  // with larger tables.
  for (int restart = 0; restart < 3; ++restart) {
    const auto program = MustOpen(Sized(sizes));
    CHECK(program->adopted());
    CHECK(EgressOf(*program) == std::set<uint32_t>{host.lb1});
    FrameSender sender(if_nametoindex("rt0"), program->maps().verdicts);
    arrives(sender);
    CHECK(sender.Count(FL_LB_DROP_NO_EGRESS) == 0);
    sizes.backends *= 2;
    sizes.flow_buckets *= 2;
  }
}

TEST_CASE("an interface that is gone is no way, and is told",
          "[datapath][egress]") {
  const Host host;
  const core::TableSizes sizes = SmallTables();
  const auto program = MustOpen(Sized(sizes));
  const auto tables = TablesOf(*program, sizes);
  REQUIRE(tables->SetNextHop(kBackend, HopBy(host.lb1)).ok());
  AddService(*tables);
  FrameSender sender(if_nametoindex("rt0"), program->maps().verdicts);
  RunCommand("ip link del lb1");
  CHECK(EgressOf(*program).empty());
  REQUIRE(sender.Send(Syn(1)));
  CHECK(sender.Count(FL_LB_DROP_NO_EGRESS) == 1);
  const absl::Status again = tables->SetNextHop(kBackend, HopBy(host.lb1));
  CHECK(absl::StrContains(again.message(),
                          absl::StrCat("send by interface ", host.lb1)));
  CHECK_FALSE(tables->HasNextHop(1));
  REQUIRE(sender.Send(Syn(2)));
  CHECK(sender.Count(FL_LB_DROP_NO_NEXT_HOP) +
            sender.Count(FL_LB_DROP_NO_BACKEND) ==
        1);
}

TEST_CASE("what no next hop is behind any more is let go",
          "[datapath][egress]") {
  const Host host;
  const core::TableSizes sizes = SmallTables();
  const auto program = MustOpen(Sized(sizes));
  const auto tables = TablesOf(*program, sizes);
  REQUIRE(tables->SetNextHop(kBackend, HopBy(host.lb1)).ok());
  REQUIRE(tables->SetNextHop(kOther, HopBy(host.lb0)).ok());
  tables->TidyEgress();
  CHECK(EgressOf(*program) == std::set<uint32_t>{host.lb0, host.lb1});
  REQUIRE(tables->SetNextHop(kBackend, HopBy(host.lb0)).ok());
  tables->TidyEgress();
  CHECK(EgressOf(*program) == std::set<uint32_t>{host.lb0});
  // What somebody else took out comes back.
  const uint32_t key = host.lb0;
  REQUIRE(bpf_map_delete_elem(program->maps().egress, &key) == 0);
  tables->TidyEgress();
  CHECK(EgressOf(*program) == std::set<uint32_t>{host.lb0});
}

}  // namespace
}  // namespace fairlead::test
