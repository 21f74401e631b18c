// Nanoseconds per packet of the backend's program, by path.
//
//   agent_bench [--quick] [--rounds N] [--repeat N] [--only TEXT]
//
// As packet_bench, with a trampoline that restores all outer headers, in a
// network namespace of its own, in which a connection of the service lives: the
// program looks its socket up. Needs root.
#include <arpa/inet.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/check.h"
#include "fairlead/abi/config.h"
#include "fairlead/abi/maps.h"
#include "fairlead/abi/verdict.h"
#include "fairlead/abi/wire.h"
#include "tests/bench/report.h"
#include "tests/bench/trampoline_run.h"
#include "tests/support/agent_fixture.h"
#include "tests/support/live_connection.h"
#include "tests/support/packet.h"

namespace fairlead::test {
namespace {

constexpr uint16_t kLbId = 1;
constexpr uint16_t kSelf = 1, kPeer = 2;
const base::IpAddress kLb4 = Ip("192.0.2.1");
const base::IpAddress kNode4 = Ip("192.0.2.11");
const base::IpAddress kPeer4 = Ip("192.0.2.12");
// Its packets come without a hop list.
const base::IpAddress kPlainVip4 = Ip("198.51.100.11");

fl_agent_config Config() {
  fl_agent_config config = {};
  std::memcpy(config.node_address, kNode4.bytes().data(), 16);
  config.gue_port = htons(FL_GUE_PORT);
  return config;
}

void AddPeer(AgentProgram& agent, uint16_t id, const base::IpAddress& address,
             uint32_t flags) {
  fl_peer peer = {};
  std::memcpy(peer.address, address.bytes().data(), 16);
  peer.flags = flags;
  agent.SetPeer({.lb_id = kLbId, .backend = id}, peer);
}

struct Case {
  std::string name;
  Packet packet;
  fl_agent_verdict verdict;
  int target_ns;
};

void RunCase(Trampoline& trampoline, const AgentProgram& agent, const Case& c,
             const BenchOptions& options) {
  const Bytes frame = c.packet.Wire();
  PacketCost cost;
  for (int round = 0; round < options.rounds; round++) {
    const uint64_t before = agent.CountOf(c.verdict);
    trampoline.Round(agent.program_fd(), Restores::kHead, frame, {},
                     options.repeat, cost);
    FL_CHECK(agent.CountOf(c.verdict) - before == options.repeat);
  }
  JsonLine line("agent", c.name);
  line.Text("verdict", VerdictName(c.verdict));
  ReportCost(line, cost, c.target_ns);
  line.Count("rounds", static_cast<uint64_t>(options.rounds))
      .Count("repeat", options.repeat);
}

std::vector<Case> Cases(const LiveConnection& connection) {
  const Packet outer =
      Eth{} / Ipv4{.src = kLb4, .dst = kNode4} / Udp{.sport = 50000};
  const Packet with_list =
      outer / Gue{} /
      Hops{.ids = {kSelf, kPeer}, .acceptors = 1, .lb_id = kLbId};
  const Packet ack = Ipv4{} / Tcp{.sport = connection.client_port(),
                                  .seq = connection.next_sequence(),
                                  .ack_number = connection.acknowledged(),
                                  .ack = true};
  const Packet stranger = Ipv4{} / Tcp{.sport = 1, .ack = true};
  const Packet syn = Ipv4{} / Tcp{.sport = 1, .syn = true};
  // Long enough for the trampoline.
  const Packet plain = Ipv4{.dst = kPlainVip4} / Tcp{.ack = true} / Payload(64);
  return {
      {"not from an LB host", Eth{} / Ipv4{} / Tcp{.ack = true} / Payload(64),
       FL_AGENT_PASS_NOT_TUNNEL, 0},
      {"decapsulate, no hop list", outer / Gue{} / plain, FL_AGENT_PASS_PLAIN,
       35},
      {"decapsulate, SYN", with_list / syn, FL_AGENT_PASS_SYN, 0},
      {"decapsulate, socket checked", with_list / ack, FL_AGENT_PASS_SOCKET,
       75},
      {"hand on to the next hop", with_list / stranger, FL_AGENT_TX_NEXT_HOP,
       60},
  };
}

}  // namespace
}  // namespace fairlead::test

int main(int argc, char** argv) {
  using namespace fairlead::test;  // NOLINT: main is the program's root
  const BenchOptions options = ParseBenchOptions(argc, argv);
  RequireBpf("agent_bench");
  EnterNetworkNamespace();
  AddLocalAddress(kVip4);
  AddLocalAddress(kClient4);
  const LiveConnection connection({kVip4, kVipPort}, kClient4);
  AgentProgram agent(Config());
  agent.SetVip({kVip4, kVipPort}, {.row_mask = 1023});
  agent.SetVip({kPlainVip4, kVipPort},
               {.row_mask = 1023, .flags = FL_VIP_PLAIN});
  AddPeer(agent, kSelf, kNode4, FL_PEER_SELF);
  AddPeer(agent, kPeer, kPeer4, FL_PEER_NEXT_HOP);
  agent.SetSource(kLb4);
  Trampoline trampoline;
  for (const Case& c : Cases(connection))
    if (options.Wants(c.name)) RunCase(trampoline, agent, c, options);
  return 0;
}
