// Nanoseconds per packet of the LB host's program, by path.
//
//   packet_bench [--quick] [--rounds N] [--repeat N] [--large] [--only TEXT]
//
// Each case runs BPF_PROG_TEST_RUN with the restoring trampoline, `repeat`
// times in each of `rounds` rounds, and the floor (the trampoline before a
// program that only says TX) in the same rounds. It prints one JSON line per
// case: minimum and median of both, and the difference. The path's own verdict
// counter is asserted, so no case can measure another path than it says.
// --large adds 10 M flows.
//
// Numbers mean nothing without the load average and the CPU beside them.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "tests/bench/lb_tables.h"
#include "tests/bench/report.h"
#include "tests/bench/trampoline_run.h"
#include "tests/support/bpf_fixture.h"

namespace fairlead::test {
namespace {

struct Case {
  std::string name;
  Packet packet;
  fl_lb_verdict verdict;
  LbCase tables = {};
  int target_ns = 0;
  // Empties the table and fills it again before each round.
  bool refill = false;
};

// All packets must have taken the path; where flows found no slot, as many as
// that may have missed.
void AssertPath(const Case& c, const LbVerdicts& before,
                const LbVerdicts& after, uint64_t packets,
                double unrecorded_share) {
  const auto expected = static_cast<size_t>(c.verdict);
  const uint64_t taken = after[expected] - before[expected];
  const uint64_t misses = after[FL_LB_TX_MISS] - before[FL_LB_TX_MISS];
  FL_CHECK(c.verdict == FL_LB_TX_MISS || taken + misses == packets);
  FL_CHECK(static_cast<double>(packets - taken) <=
           static_cast<double>(packets) * unrecorded_share * 1.1 + 1);
}

void RunCase(Trampoline& trampoline, const Case& c,
             const BenchOptions& options) {
  LbProgram lb(SizesOf(c.tables));
  SetUpTables(lb, c.tables);
  const uint32_t unrecorded = FillFlows(lb, c.tables);
  const FlowOrder& order = c.tables.order;
  const double unrecorded_share = double{1} * unrecorded / order.flows;
  const uint32_t repeat = order.order == FL_BENCH_SERIAL
                              ? std::min(options.repeat, order.flows)
                              : options.repeat;
  const Bytes frame = c.packet.Wire();
  PacketCost cost;
  for (int round = 0; round < options.rounds; round++) {
    if (c.refill && round > 0) FillFlows(lb, c.tables);
    const LbVerdicts before = lb.verdicts();
    trampoline.Round(lb.program_fd(), Restores::kFlow, frame, order, repeat,
                     cost);
    AssertPath(c, before, lb.verdicts(), repeat, unrecorded_share);
  }
  JsonLine line("packet", c.name);
  line.Text("verdict", VerdictName(c.verdict));
  ReportCost(line, cost, c.target_ns);
  line.Count("rounds", static_cast<uint64_t>(options.rounds))
      .Count("repeat", repeat)
      .Count("flows", order.flows)
      .Count("slots", uint64_t{c.tables.buckets} * FL_BUCKET_SLOTS)
      .Count("services", c.tables.services)
      .Count("backends", c.tables.backends)
      .Count("unrecorded", unrecorded);
}

constexpr uint32_t k64k = 1u << 16, k1M = 1u << 20;

FlowOrder Random(uint32_t flows, uint32_t services = 1) {
  return {FL_BENCH_RANDOM, flows, services, kVipPort};
}

FlowOrder Serial(uint32_t flows) {
  return {FL_BENCH_SERIAL, flows, 1, kVipPort};
}

constexpr FlowOrder kOneFlow = {FL_BENCH_FIXED, 1, 1, kVipPort};

const Packet kAck4 = Eth{} / Ipv4{} / Tcp{.ack = true};
const Packet kAck6 = Eth{} / Ipv6{} / Tcp{.ack = true};
const Packet kSyn4 = Eth{} / Ipv4{} / Tcp{.syn = true};

Case Hit(const std::string& name, const Packet& packet, uint32_t buckets,
         const FlowOrder& order, int target_ns) {
  return {absl::StrCat("hit, ", name),
          packet,
          FL_LB_TX_HIT,
          {.buckets = buckets,
           .fill = Fill::kFlows,
           .order = order,
           .is_ipv6 = packet.Find<Ipv6>() != nullptr},
          target_ns};
}

std::vector<Case> Hits(const BenchOptions& options) {
  std::vector<Case> cases = {
      Hit("one hot flow, IPv4", kAck4, k64k, kOneFlow, 40),
      Hit("one hot flow, IPv6", kAck6, k64k, kOneFlow, 50),
      Hit("64 k random flows, IPv4", kAck4, 1u << 15, Random(k64k), 90),
      Hit("64 k random flows, IPv6", kAck6, 1u << 15, Random(k64k), 90),
      Hit("1 M random flows, IPv4", kAck4, 1u << 19, Random(k1M), 160),
      Hit("1 M random flows, IPv6", kAck6, 1u << 19, Random(k1M), 160),
  };
  if (options.large)
    cases.push_back(Hit("10 M random flows, IPv4", kAck4, 1u << 22,
                        Random(10'000'000), 320));
  return cases;
}

// One hot flow of a service that is encapsulated otherwise.
std::vector<Case> Encapsulations() {
  std::vector<Case> cases;
  for (const auto& [name, encap] :
       std::initializer_list<std::pair<const char*, uint8_t>>{
           {"plain GUE", FL_ENCAP_GUE_PLAIN},
           {"ipip", FL_ENCAP_IPIP},
           {"l2", FL_ENCAP_L2}}) {
    cases.push_back(Hit(name, kAck4, k64k, kOneFlow, 0));
    cases.back().tables.encap = encap;
  }
  return cases;
}

// How a hit's cost grows with what is configured, while all rows fit in 1 MB:
// 16 k flows, so that it is not their cache misses that are compared.
std::vector<Case> Sizes() {
  constexpr uint32_t kFlows = 1u << 14;
  std::vector<Case> cases;
  for (const uint16_t backends : std::initializer_list<uint16_t>{1, 1000}) {
    cases.push_back(Hit(absl::StrCat("of backends: ", backends), kAck4,
                        1u << 13, Random(kFlows), 0));
    cases.back().tables.backends = backends;
  }
  for (const uint32_t services : {1u, 1024u}) {
    cases.push_back(Hit(absl::StrCat("of services: ", services), kAck4,
                        1u << 13, Random(kFlows, services), 0));
    cases.back().tables.services = services;
  }
  return cases;
}

std::vector<Case> NewFlows() {
  const auto table = [](Fill fill) {
    return LbCase{.buckets = 1u << 19,
                  .fill = fill,
                  .order = Serial(k1M),
                  .syn_fair = (1u << 19) * FL_BUCKET_SLOTS / 256};
  };
  LbCase over_budget = table(Fill::kEmpty);
  over_budget.over_budget = true;
  return {
      {"new flow, table filling", kSyn4, FL_LB_TX_SYN_NEW, table(Fill::kEmpty),
       120, true},
      {"new flow, table full of handshakes", kSyn4, FL_LB_TX_SYN_NEW,
       table(Fill::kHandshakes), 120, true},
      {"new flow, table full of established flows", kSyn4,
       FL_LB_TX_SYN_UNRECORDED, table(Fill::kEstablished), 120, true},
      {"new flow, over the SYN budget", kSyn4, FL_LB_TX_SYN_OVER_BUDGET,
       over_budget, 80},
  };
}

std::vector<Case> Cases(const BenchOptions& options) {
  const Packet udp4 = Eth{} / Ipv4{.proto = 17} / Tcp{};
  const Packet other4 =
      Eth{} / Ipv4{.dst = Ip("192.0.2.200")} / Tcp{.ack = true};
  const LbCase one = {.order = kOneFlow};
  std::vector<Case> cases = {
      {"not TCP", udp4, FL_LB_PASS_NOT_TCP, one},
      {"not a service", other4, FL_LB_PASS_NOT_SERVICE, one, 15},
      {"DROP, TCP flags", Eth{} / Ipv4{} / Tcp{}, FL_LB_DROP_TCP_FLAGS, one},
      {"miss, one flow", kAck4, FL_LB_TX_MISS, one, 80},
      {"miss, 1 M random flows, full table", kAck4, FL_LB_TX_MISS,
       LbCase{.buckets = 1u << 19,
              .fill = Fill::kEstablished,
              .order = Random(k1M)}},
  };
  for (const auto& more :
       {Hits(options), Encapsulations(), Sizes(), NewFlows()})
    cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

}  // namespace
}  // namespace fairlead::test

int main(int argc, char** argv) {
  using namespace fairlead::test;  // NOLINT: main is the program's root
  const BenchOptions options = ParseBenchOptions(argc, argv);
  RequireBpf("packet_bench");
  Trampoline trampoline;
  for (const Case& c : Cases(options))
    if (options.Wants(c.name)) RunCase(trampoline, c, options);
  return 0;
}
