// Nanoseconds per packet of the LB host's program, by path.
//
//   packet_bench [--rounds N] [--repeat N] [--large] [--only TEXT]
//
// Each case runs BPF_PROG_TEST_RUN with the restoring trampoline, `repeat`
// times in each of `rounds` rounds, and the floor (the trampoline before a
// program that only says TX) in the same rounds. It prints one JSON line per
// case: minimum and median of both, and the difference. The path's own verdict
// counter is asserted, so no case can measure another path than it says.
// --large adds 10 M flows.
//
// Numbers mean nothing without the load average and the CPU beside them.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "lib/flow_slot.h"
#include "lib/siphash.h"
#include "tests/bench/trampoline.h"
#include "tests/support/bpf_fixture.h"
#include "trampoline.skel.h"

namespace fairlead::test {
namespace {

constexpr uint16_t kServiceId = 1;
constexpr uint32_t kRowCount = 65536;

struct Options {
  int rounds = 9;
  uint32_t repeat = 1'000'000;
  bool large = false;
  std::string only;
};

enum class Fill { kEmpty, kFlows, kHandshakes, kEstablished };

struct Case {
  std::string name;
  Packet packet;
  fl_lb_verdict verdict;
  fl_bench_order order = FL_BENCH_FIXED;
  uint32_t flows = 1;
  uint32_t buckets = 1u << 16;
  Fill fill = Fill::kEmpty;
  // Empties and fills the table again before each round.
  bool refill = false;
};

class Trampoline {
 public:
  Trampoline() : object_(trampoline::open_and_load()) {
    FL_CHECK(object_ != nullptr);
    state_ =
        SharedMemory(bpf_map__fd(object_->maps.fl_bench), sizeof(fl_bench));
  }
  Trampoline(const Trampoline&) = delete;
  Trampoline& operator=(const Trampoline&) = delete;
  ~Trampoline() { trampoline::destroy(object_); }

  void Aim(int program_fd) {
    const uint32_t key = 0;
    FL_CHECK(bpf_map_update_elem(bpf_map__fd(object_->maps.fl_targets), &key,
                                 &program_fd, BPF_ANY) == 0);
  }
  void AimAtFloor() { Aim(bpf_program__fd(object_->progs.fl_floor)); }

  // Nanoseconds per packet.
  uint32_t Run(const Case& c, uint32_t repeat) {
    const Bytes frame = c.packet.Wire();
    fl_bench& state = state_.as<fl_bench>()[0];
    state.length = static_cast<uint32_t>(frame.size());
    state.is_ipv6 = c.packet.Find<Ipv6>() != nullptr;
    state.order = c.order;
    state.first = 0;
    state.flows = c.flows;
    state.packets = 0;
    std::copy_n(frame.begin(), sizeof(state.ethernet), state.ethernet);
    const TestRunResult result =
        TestRun(bpf_program__fd(object_->progs.fl_trampoline), frame,
                {.repeat = repeat});
    FL_CHECK(result.error == 0);
    FL_CHECK(result.action != XDP_ABORTED);
    return result.nanoseconds;
  }

 private:
  trampoline* object_;
  SharedMemory state_;
};

// Four backends, IPv4 outside, in every row; both VIPs.
void SetUp(LbProgram& lb) {
  for (uint16_t id = 1; id <= 4; id++) {
    fl_backend& line = lb.backends()[id];
    const base::IpAddress address = base::IpAddress::FromIpv4(0xc0000200u + id);
    std::memcpy(line.address, address.bytes().data(), sizeof(line.address));
    line.next_hop = uint64_t{1500} << 48 | 0x010000000002 | uint64_t{id} << 16;
    line.source = 0x020000000002;
    line.weight = 100;
    line.service = kServiceId;
    line.state = FL_BACKEND_USED | FL_BACKEND_ELIGIBLE | FL_BACKEND_FAIL_OPEN |
                 FL_BACKEND_NEXT_HOP | FL_BACKEND_AGENT;
  }
  std::ranges::fill(lb.rows(), fl_row{0x0004000300020001, 0});
  fl_service service = {};
  service.id = kServiceId;
  service.choices = 1;
  service.row_mask = kRowCount - 1;
  lb.SetService({kVip4, kVipPort}, service);
  lb.SetService({kVip6, kVipPort}, service);
}

uint64_t HashOf(uint32_t flow, const base::IpAddress& vip) {
  const base::IpAddress client4 =
      base::IpAddress::FromIpv4(FL_BENCH_NETWORK4 | (flow >> 16 & 0xff));
  std::array<uint8_t, 16> client = client4.bytes();
  if (!vip.is_ipv4()) {
    client = kClient6.bytes();
    const uint32_t high = htonl(flow >> 16);
    std::memcpy(&client[12], &high, sizeof(high));
  }
  __u32 client_words[4], vip_words[4];
  std::memcpy(client_words, client.data(), sizeof(client_words));
  std::memcpy(vip_words, vip.bytes().data(), sizeof(vip_words));
  const __u64 key[2] = {kHashKey[0], kHashKey[1]};
  return fl_hash_tuple(key, client_words, vip_words,
                       htons(static_cast<uint16_t>(flow)), htons(kVipPort));
}

// Records flows 0 to `count` - 1 as established, where the program would; gives
// how many found no slot.
uint32_t RecordFlows(LbProgram& lb, uint32_t count,
                     const base::IpAddress& vip) {
  const uint32_t now = NowTick();
  uint32_t unrecorded = 0;
  for (uint32_t flow = 0; flow < count; flow++) {
    const uint64_t hash = HashOf(flow, vip);
    const fl_buckets buckets = {
        &lb.flows()[fl_bucket_first(hash, lb.bucket_mask())],
        &lb.flows()[fl_bucket_second(hash, lb.bucket_mask())]};
    const uint32_t position = fl_slot_victim(&buckets, now, &kTimeouts);
    if (position >= FL_POSITIONS) {
      unrecorded++;
      continue;
    }
    *fl_slot_at(&buckets, position) = {
        fl_slot_word0(hash, FL_SLOT_ESTABLISHED, 1),
        fl_slot_word1(now, now, 0)};
  }
  return unrecorded;
}

// Every slot belongs to some flow that no packet has.
void FillWithStrangers(LbProgram& lb, unsigned int state) {
  const uint32_t now = NowTick();
  uint64_t tag = 0;
  for (fl_bucket& bucket : lb.flows()) {
    for (fl_slot& slot : bucket.slots) {
      slot = {fl_slot_word0(++tag << 19, state, 1), fl_slot_word1(now, now, 0)};
    }
  }
}

uint32_t FillTable(LbProgram& lb, const Case& c) {
  std::ranges::fill(lb.flows(), fl_bucket{});
  switch (c.fill) {
    case Fill::kEmpty:
      return 0;
    case Fill::kFlows:
      return RecordFlows(lb, c.flows,
                         c.packet.Find<Ipv6>() != nullptr ? kVip6 : kVip4);
    case Fill::kHandshakes:
      FillWithStrangers(lb, FL_SLOT_EMBRYONIC);
      return 0;
    case Fill::kEstablished:
      FillWithStrangers(lb, FL_SLOT_ESTABLISHED);
      return 0;
  }
  return 0;
}

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

uint32_t Median(std::vector<uint32_t> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

std::string FirstLine(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  FL_CHECK(pipe != nullptr);
  char line[256] = "";
  const bool read = std::fgets(line, sizeof(line), pipe) != nullptr;
  pclose(pipe);
  return read ? std::string(absl::StripSuffix(line, "\n")) : "unknown";
}

// The machine, for every line.
std::string Machine() {
  utsname system = {};
  uname(&system);
  return absl::StrFormat(
      R"("cpu":"%s","kernel":"%s","commit":"%s")",
      FirstLine("sed -n 's/^model name.*: //p' /proc/cpuinfo"),
      static_cast<const char*>(system.release),
      FirstLine("git -C " FL_SOURCE_FOLDER
                " describe --always --dirty 2>/dev/null"));
}

void RunCase(Trampoline& trampoline, const Case& c, const Options& options,
             const std::string& machine) {
  LbProgram lb({.flow_buckets = c.buckets, .rows = kRowCount});
  SetUp(lb);
  const uint32_t unrecorded = FillTable(lb, c);
  const double unrecorded_share = double{1} * unrecorded / c.flows;
  const uint32_t repeat = c.order == FL_BENCH_SERIAL
                              ? std::min(options.repeat, c.flows)
                              : options.repeat;
  std::vector<uint32_t> gross, floor;
  for (int round = 0; round < options.rounds; round++) {
    if (c.refill && round > 0) FillTable(lb, c);
    trampoline.AimAtFloor();
    floor.push_back(trampoline.Run(c, repeat));
    trampoline.Aim(lb.program_fd());
    const LbVerdicts before = lb.verdicts();
    gross.push_back(trampoline.Run(c, repeat));
    AssertPath(c, before, lb.verdicts(), repeat, unrecorded_share);
  }
  double load = 0;
  FL_CHECK(getloadavg(&load, 1) == 1);
  const uint32_t gross_min = std::ranges::min(gross);
  const uint32_t floor_min = std::ranges::min(floor);
  std::cout << absl::StrFormat(
                   R"({"bench":"packet","case":"%s","verdict":"%s",)"
                   R"("net_min_ns":%d,"net_median_ns":%d,"gross_min_ns":%d,)"
                   R"("gross_median_ns":%d,"floor_min_ns":%d,)"
                   R"("floor_median_ns":%d,"rounds":%d,"repeat":%d,)"
                   R"("flows":%d,"slots":%d,"unrecorded":%d,"load1":%.2f,%s})",
                   c.name, VerdictName(c.verdict),
                   static_cast<int>(gross_min - floor_min),
                   static_cast<int>(Median(gross) - Median(floor)), gross_min,
                   Median(gross), floor_min, Median(floor), options.rounds,
                   repeat, c.flows, c.buckets * FL_BUCKET_SLOTS, unrecorded,
                   load, machine)
            << std::endl;
}

std::vector<Case> Cases(const Options& options) {
  const Packet ack4 = Eth{} / Ipv4{} / Tcp{.ack = true};
  const Packet ack6 = Eth{} / Ipv6{} / Tcp{.ack = true};
  const Packet syn4 = Eth{} / Ipv4{} / Tcp{.syn = true};
  const Packet udp4 = Eth{} / Ipv4{.proto = 17} / Tcp{};
  const Packet other4 =
      Eth{} / Ipv4{.dst = Ip("192.0.2.200")} / Tcp{.ack = true};
  constexpr uint32_t k64k = 1u << 16, k1M = 1u << 20;
  constexpr auto kRandom = FL_BENCH_RANDOM;
  std::vector<Case> cases = {
      {"not TCP", udp4, FL_LB_PASS_NOT_TCP},
      {"not a service", other4, FL_LB_PASS_NOT_SERVICE},
      {"DROP, TCP flags", Eth{} / Ipv4{} / Tcp{}, FL_LB_DROP_TCP_FLAGS},
      {"hit, one hot flow, IPv4", ack4, FL_LB_TX_HIT, FL_BENCH_FIXED, 1, k64k,
       Fill::kFlows},
      {"hit, one hot flow, IPv6", ack6, FL_LB_TX_HIT, FL_BENCH_FIXED, 1, k64k,
       Fill::kFlows},
      {"hit, 64 k random flows, IPv4", ack4, FL_LB_TX_HIT, kRandom, k64k,
       1u << 15, Fill::kFlows},
      {"hit, 64 k random flows, IPv6", ack6, FL_LB_TX_HIT, kRandom, k64k,
       1u << 15, Fill::kFlows},
      {"hit, 1 M random flows, IPv4", ack4, FL_LB_TX_HIT, kRandom, k1M,
       1u << 19, Fill::kFlows},
      {"hit, 1 M random flows, IPv6", ack6, FL_LB_TX_HIT, kRandom, k1M,
       1u << 19, Fill::kFlows},
      {"new flow, table filling", syn4, FL_LB_TX_SYN_NEW, FL_BENCH_SERIAL, k1M,
       1u << 19, Fill::kEmpty, true},
      {"new flow, table full of handshakes", syn4, FL_LB_TX_SYN_NEW,
       FL_BENCH_SERIAL, k1M, 1u << 19, Fill::kHandshakes, true},
      {"new flow, table full of established flows", syn4,
       FL_LB_TX_SYN_UNRECORDED, FL_BENCH_SERIAL, k1M, 1u << 19,
       Fill::kEstablished, true},
      {"miss, one flow", ack4, FL_LB_TX_MISS},
      {"miss, 1 M random flows, full table", ack4, FL_LB_TX_MISS, kRandom, k1M,
       1u << 19, Fill::kEstablished},
  };
  if (options.large) {
    cases.push_back({"hit, 10 M random flows, IPv4", ack4, FL_LB_TX_HIT,
                     kRandom, 10'000'000, 1u << 22, Fill::kFlows});
  }
  return cases;
}

Options ParseOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i++) {
    const std::string argument = argv[i];
    const bool more = i + 1 < argc;
    if (argument == "--large") {
      options.large = true;
    } else if (argument == "--rounds" && more) {
      options.rounds = std::max(1, std::atoi(argv[++i]));
    } else if (argument == "--repeat" && more) {
      options.repeat = static_cast<uint32_t>(std::atoi(argv[++i]));
    } else if (argument == "--only" && more) {
      options.only = argv[++i];
    } else {
      std::fprintf(stderr,
                   "usage: %s [--rounds N] [--repeat N] [--large] "
                   "[--only TEXT]\n",
                   argv[0]);
      std::exit(2);
    }
  }
  return options;
}

}  // namespace
}  // namespace fairlead::test

int main(int argc, char** argv) {
  using namespace fairlead::test;  // NOLINT: main is the program's root
  const Options options = ParseOptions(argc, argv);
  const std::string why = WhyNoBpf();
  if (!why.empty()) {
    std::fprintf(stderr, "packet_bench: %s\n", why.c_str());
    return 1;
  }
  Trampoline trampoline;
  const std::string machine = Machine();
  for (const Case& c : Cases(options)) {
    if (c.name.find(options.only) != std::string::npos)
      RunCase(trampoline, c, options, machine);
  }
  return 0;
}
