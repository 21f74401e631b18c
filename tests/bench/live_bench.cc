// Frames per second on one core, live through a veth pair.
//
//   live_bench [--quick] [--rounds N] [--repeat N] [--only TEXT]
//
// A pair of interfaces in a network namespace of its own. The kernel makes live
// frames (BPF_F_TEST_XDP_LIVE_FRAMES) and sends them out of one end, where
// fl_source has written the next flow into each: frames are used again with
// the bytes that they have. At the other end the program under test runs in the
// driver and sends them back; fl_sink counts and drops them where they came
// from. All of it is softirq work on the one core that this process is pinned
// to. The floor is a program that only says XDP_TX, in the same rounds, and the
// figure is the share of its frames that the shipped program achieves.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "tests/bench/lb_tables.h"
#include "tests/bench/report.h"
#include "tests/bench/trampoline_run.h"
#include "tests/support/bpf_fixture.h"
#include "tests/support/live_connection.h"

namespace fairlead::test {
namespace {

constexpr char kNear[] = "fl_bench_near";  // where frames are made
constexpr char kFar[] = "fl_bench_far";    // where the program runs

struct Case {
  std::string name;
  Packet packet;
  LbCase tables;
};

void RequireCommand(const std::string& command) {
  if (std::system(command.c_str()) == 0) return;
  std::fprintf(stderr, "live_bench: failed: %s\n", command.c_str());
  std::exit(1);
}

void PinToOneCore() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(static_cast<size_t>(sched_getcpu()), &cpus);
  FL_CHECK(sched_setaffinity(0, sizeof(cpus), &cpus) == 0);
}

class Link {
 public:
  explicit Link(const Trampoline& trampoline) {
    EnterNetworkNamespace();
    // The hosts at both ends would say hello to each other.
    std::ofstream("/proc/sys/net/ipv6/conf/default/disable_ipv6") << 1;
    RequireCommand(absl::StrCat("ip link add ", kNear, " type veth peer name ",
                                kFar, " && ip link set ", kNear,
                                " up && ip link set ", kFar, " up"));
    near_ = if_nametoindex(kNear);
    far_ = if_nametoindex(kFar);
    FL_CHECK(near_ != 0 && far_ != 0);
    Attach(near_, trampoline.sink_fd());
  }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  // The namespace goes with the process.
  ~Link() = default;

  uint32_t far() const { return far_; }
  void Run(int program_fd) { Attach(far_, program_fd); }

  // Makes frames and sends them out of the near end.
  void Send(int source_fd, const Bytes& frame, uint32_t frames) const {
    xdp_md context = {};
    context.data_end = static_cast<uint32_t>(frame.size());
    context.ingress_ifindex = near_;
    bpf_test_run_opts run = {};
    run.sz = sizeof(run);
    run.data_in = frame.data();
    run.data_size_in = static_cast<uint32_t>(frame.size());
    run.ctx_in = &context;
    run.ctx_size_in = sizeof(context);
    run.repeat = static_cast<int>(frames);
    run.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    const int error = bpf_prog_test_run_opts(source_fd, &run);
    if (error != 0)
      std::fprintf(stderr, "live_bench: live frames: %s\n",
                   std::strerror(-error));
    FL_CHECK(error == 0);
  }

 private:
  static void Attach(uint32_t interface, int program_fd) {
    FL_CHECK(bpf_xdp_attach(static_cast<int>(interface), program_fd,
                            XDP_FLAGS_DRV_MODE, nullptr) == 0);
  }

  uint32_t near_ = 0, far_ = 0;
};

// What came back in one run, beside its cost.
struct LiveRun {
  double ns_per_frame = 0;
  double bytes_per_frame = 0;
};

// By the sink's clock: the kernel needs tens of milliseconds to begin and end a
// run of live frames.
LiveRun RunOnce(Trampoline& trampoline, Link& link, int program_fd,
                const Case& c, uint32_t frames) {
  const Bytes frame = c.packet.Wire();
  link.Run(program_fd);
  trampoline.Prepare(frame, c.tables.order);
  link.Send(trampoline.source_fd(), frame, frames);
  const fl_bench_sink sunk = trampoline.sunk();
  // No frame may be lost on the way, or the figure would be of others.
  FL_CHECK(sunk.frames == frames);
  const uint64_t timed = (frames - 1) / FL_BENCH_STAMP * FL_BENCH_STAMP;
  return {.ns_per_frame = static_cast<double>(sunk.last - sunk.first) /
                          static_cast<double>(timed),
          .bytes_per_frame = static_cast<double>(sunk.bytes) / frames};
}

void RunCase(Trampoline& trampoline, Link& link, const Case& c,
             const BenchOptions& options) {
  LbProgram lb(SizesOf(c.tables));
  SetUpTables(lb, c.tables, link.far());
  FL_CHECK(FillFlows(lb, c.tables) * 50 < c.tables.order.flows);
  Series gross, floor;
  double bytes = 0;
  for (int round = 0; round < options.rounds; round++) {
    floor.Add(
        RunOnce(trampoline, link, trampoline.floor_fd(), c, options.repeat)
            .ns_per_frame);
    const LbVerdicts before = lb.verdicts();
    const LiveRun run =
        RunOnce(trampoline, link, lb.program_fd(), c, options.repeat);
    const LbVerdicts after = lb.verdicts();
    gross.Add(run.ns_per_frame);
    bytes = run.bytes_per_frame;
    const uint64_t hits = after[FL_LB_TX_HIT] - before[FL_LB_TX_HIT];
    const uint64_t misses = after[FL_LB_TX_MISS] - before[FL_LB_TX_MISS];
    FL_CHECK(hits + misses == options.repeat && misses * 50 < hits);
  }
  JsonLine("live", c.name)
      .Number("frames_per_second", 1e9 / gross.Min())
      .Number("floor_frames_per_second", 1e9 / floor.Min())
      .Number("share_of_floor", floor.Min() / gross.Min())
      .Number("target_share", 0.6)
      .Number("net_min_ns", gross.Min() - floor.Min())
      .Number("net_median_ns", gross.Median() - floor.Median())
      .Times("gross", "ns", gross)
      .Times("floor", "ns", floor)
      .Number("bytes_out", bytes)
      .Count("rounds", static_cast<uint64_t>(options.rounds))
      .Count("repeat", options.repeat)
      .Count("flows", c.tables.order.flows);
}

Case Hit(const std::string& name, const Packet& packet, uint32_t buckets,
         uint32_t flows) {
  return {absl::StrCat("hit, ", name),
          packet,
          {.buckets = buckets,
           .fill = Fill::kFlows,
           .order = {flows == 1 ? FL_BENCH_FIXED : FL_BENCH_RANDOM, flows, 1,
                     kVipPort},
           .is_ipv6 = packet.Find<Ipv6>() != nullptr}};
}

std::vector<Case> Cases() {
  const Packet ack4 = Eth{} / Ipv4{} / Tcp{.ack = true};
  const Packet ack6 = Eth{} / Ipv6{} / Tcp{.ack = true};
  return {Hit("one hot flow, IPv4", ack4, 1u << 16, 1),
          Hit("one hot flow, IPv6", ack6, 1u << 16, 1),
          Hit("64 k random flows, IPv4", ack4, 1u << 15, 1u << 16),
          Hit("1 M random flows, IPv4", ack4, 1u << 19, 1u << 20)};
}

}  // namespace
}  // namespace fairlead::test

int main(int argc, char** argv) {
  using namespace fairlead::test;  // NOLINT: main is the program's root
  const BenchOptions options = ParseBenchOptions(argc, argv);
  RequireBpf("live_bench");
  if (options.repeat <= FL_BENCH_STAMP) {
    std::fprintf(stderr, "live_bench: more frames, please\n");
    return 2;
  }
  PinToOneCore();
  Trampoline trampoline;
  Link link(trampoline);
  for (const Case& c : Cases())
    if (options.Wants(c.name)) RunCase(trampoline, link, c, options);
  return 0;
}
