// Nanoseconds per packet of the backend's program, by path.
//
//   agent_bench [--quick] [--rounds N] [--repeat N] [--only TEXT]
//
// As packet_bench, with a trampoline that restores all outer headers, in a
// network namespace of its own, in which a connection of the service lives: the
// program looks its socket up. Needs root.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "fairlead/abi/config.h"
#include "fairlead/abi/maps.h"
#include "fairlead/abi/verdict.h"
#include "fairlead/abi/wire.h"
#include "tests/bench/live_connection.h"
#include "tests/bench/report.h"
#include "tests/bench/trampoline_run.h"
#include "tests/support/packet.h"

// Needs the types of abi.
#include "agent.skel.h"

namespace fairlead::test {
namespace {

constexpr uint16_t kLbId = 1;
constexpr uint16_t kSelf = 1, kPeer = 2;
const base::IpAddress kLb4 = Ip("192.0.2.1");
const base::IpAddress kNode4 = Ip("192.0.2.11");
const base::IpAddress kPeer4 = Ip("192.0.2.12");
// Its packets come without a hop list.
const base::IpAddress kPlainVip4 = Ip("198.51.100.11");

constexpr const char* kVerdictNames[] = {
#define FL_NAME(name, action, help) #name,
    FL_AGENT_VERDICTS(FL_NAME)
#undef FL_NAME
};

template <typename Words>
void CopyAddress(Words& words, const base::IpAddress& address) {
  static_assert(sizeof(words) == 16);
  std::memcpy(&words, address.bytes().data(), sizeof(words));
}

class AgentProgram {
 public:
  AgentProgram() : object_(agent::open()) {
    FL_CHECK(object_ != nullptr);
    fl_agent_config& config = object_->rodata->fl_agent_config;
    CopyAddress(config.node_address, kNode4);
    config.gue_port = htons(FL_GUE_PORT);
    FL_CHECK(agent::load(object_) == 0);
    AddVip(kVip4, 0);
    AddVip(kPlainVip4, FL_VIP_PLAIN);
    AddPeer(kSelf, kNode4, FL_PEER_SELF);
    AddPeer(kPeer, kPeer4, FL_PEER_NEXT_HOP);
    const uint32_t kind = FL_SOURCE_LB;
    FL_CHECK(bpf_map_update_elem(bpf_map__fd(object_->maps.fl_sources),
                                 kLb4.bytes().data(), &kind, BPF_ANY) == 0);
  }
  AgentProgram(const AgentProgram&) = delete;
  AgentProgram& operator=(const AgentProgram&) = delete;
  ~AgentProgram() { agent::destroy(object_); }

  int program_fd() const { return bpf_program__fd(object_->progs.fl_agent); }

  // Over all CPUs.
  uint64_t CountOf(fl_agent_verdict verdict) const {
    std::vector<uint64_t> values(
        static_cast<size_t>(libbpf_num_possible_cpus()));
    const auto key = static_cast<uint32_t>(verdict);
    FL_CHECK(bpf_map_lookup_elem(bpf_map__fd(object_->maps.fl_averdicts), &key,
                                 values.data()) == 0);
    uint64_t sum = 0;
    for (const uint64_t value : values) sum += value;
    return sum;
  }

 private:
  void AddVip(const base::IpAddress& vip, uint8_t flags) {
    fl_service_key key = {};
    CopyAddress(key.address, vip);
    key.port = htons(kVipPort);
    key.proto = IPPROTO_TCP;
    const fl_vip value = {.row_mask = 1023, .flags = flags};
    FL_CHECK(bpf_map_update_elem(bpf_map__fd(object_->maps.fl_vips), &key,
                                 &value, BPF_ANY) == 0);
  }
  void AddPeer(uint16_t id, const base::IpAddress& address, uint32_t flags) {
    const fl_peer_key key = {.lb_id = kLbId, .backend = id};
    fl_peer peer = {};
    CopyAddress(peer.address, address);
    peer.flags = flags;
    FL_CHECK(bpf_map_update_elem(bpf_map__fd(object_->maps.fl_peers), &key,
                                 &peer, BPF_ANY) == 0);
  }

  agent* object_;
};

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
  line.Text("verdict", kVerdictNames[c.verdict]);
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
  const LiveConnection connection({kVip4, kVipPort}, kClient4);
  const AgentProgram agent;
  Trampoline trampoline;
  for (const Case& c : Cases(connection))
    if (options.Wants(c.name)) RunCase(trampoline, agent, c, options);
  return 0;
}
