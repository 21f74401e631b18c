// Time of an agent's scan over all TCP sockets of its host.
//
//   scan_bench [--quick] [--rounds N]
//
// Makes half a million connections over loopback (two sockets each; --quick: a
// tenth of that) and runs the agent's own Scanner on its own loop, and in the
// same rounds a walk whose program does nothing, the floor. One JSON line: the
// time of a scan, the longest single read of the walk (what one step takes,
// though the kernel lets others have the CPU in between), the longest that the
// agent's loop had to wait meanwhile, and the floor.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/scanner.h"
#include "base/check.h"
#include "base/unique_fd.h"
#include "event/loop.h"
#include "fairlead/abi/maps.h"
#include "scan_floor.skel.h"
#include "sockets.skel.h"
#include "tests/bench/report.h"
#include "tests/bench/socket_crowd.h"

namespace fairlead::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kRows = 16384;
constexpr uint64_t kMemoryPerSocket = 8192;

double MsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin)
      .count();
}

uint64_t AvailableMemory() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  while (file >> word) {
    if (word != "MemAvailable:") continue;
    uint64_t kilobytes = 0;
    file >> kilobytes;
    return kilobytes << 10;
  }
  return 0;
}

// The pinned map of the agent, as far as the scan needs it.
int MakeVipsMap(const std::vector<base::Endpoint>& services) {
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
  const int map =
      bpf_map_create(BPF_MAP_TYPE_HASH, "fl_vips", sizeof(fl_service_key),
                     sizeof(fl_vip), FL_AGENT_MAX_VIPS, &options);
  FL_CHECK(map >= 0);
  for (uint32_t i = 0; i < services.size(); ++i) {
    fl_service_key key = {};
    std::memcpy(key.address, services[i].address.bytes().data(), 16);
    key.port = htons(services[i].port);
    key.proto = IPPROTO_TCP;
    const fl_vip vip = {.index = i, .row_mask = kRows - 1};
    FL_CHECK(bpf_map_update_elem(map, &key, &vip, BPF_ANY) == 0);
  }
  return map;
}

// Of this thread: what a walk costs, however busy the machine is.
double CpuMs() {
  timespec time = {};
  FL_CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0);
  return static_cast<double>(time.tv_sec) * 1e3 +
         static_cast<double>(time.tv_nsec) * 1e-6;
}

struct Walk {
  double whole_ms = 0;
  double cpu_ms = 0;
  double longest_read_ms = 0;
};

Walk WalkAll(const bpf_link* link) {
  Walk walk;
  const double cpu = CpuMs();
  const Clock::time_point begin = Clock::now();
  const base::UniqueFd fd(bpf_iter_create(bpf_link__fd(link)));
  FL_CHECK(fd.valid());
  std::array<char, 64> nothing;
  while (true) {
    const Clock::time_point step = Clock::now();
    const ssize_t size = read(fd.get(), nothing.data(), nothing.size());
    walk.longest_read_ms = std::max(walk.longest_read_ms, MsSince(step));
    if (size == 0) break;
    FL_CHECK(size > 0 || errno == EAGAIN);
  }
  walk.whole_ms = MsSince(begin);
  walk.cpu_ms = CpuMs() - cpu;
  return walk;
}

struct ScanTime {
  double whole_ms = 0;
  double loop_stall_ms = 0;
  uint64_t counted = 0;
};

// On the agent's loop, beside something else that wants to run.
class Agent {
 public:
  Agent(int vips_map, const std::vector<base::Endpoint>& services)
      : loop_(*event::Loop::Create({})), mutex_(*loop_) {
    for (uint32_t i = 0; i < services.size(); ++i)
      tables_.vips[services[i]] = {.index = i, .rows = kRows};
    auto scanner =
        agent::Scanner::Create(*loop_, {.vips = vips_map}, {}, tables_, mutex_);
    if (!scanner.ok())
      std::fprintf(stderr, "%s\n", scanner.status().ToString().c_str());
    FL_CHECK(scanner.ok());
    scanner_ = std::move(*scanner);
  }

  ScanTime Scan() {
    ScanTime time;
    scanning_ = true;
    loop_->root().Spawn(ScanOnce(time));
    loop_->root().Spawn(Watch(time));
    loop_->Run();
    return time;
  }

 private:
  event::Task<void> ScanOnce(ScanTime& time) {
    // Or it answers the scan before. Never cancelled.
    (void)co_await loop_->SleepFor(agent::kScanFreshness);
    const Clock::time_point begin = Clock::now();
    const absl::StatusOr<agent::Scan> scan = co_await scanner_->Latest();
    time.whole_ms = MsSince(begin);
    FL_CHECK(scan.ok());
    for (const agent::ServiceSockets& service : scan->services)
      time.counted += service.live;
    scanning_ = false;
  }

  event::Task<void> Watch(ScanTime& time) {
    while (scanning_) {
      const Clock::time_point begin = Clock::now();
      (void)co_await loop_->SleepFor(
          absl::Milliseconds(1));  // Never cancelled.
      time.loop_stall_ms = std::max(time.loop_stall_ms, MsSince(begin) - 1);
    }
  }

  std::unique_ptr<event::Loop> loop_;
  event::Mutex mutex_;
  agent::Tables tables_;
  std::unique_ptr<agent::Scanner> scanner_;
  bool scanning_ = false;
};

void Run(int connections, int rounds) {
  FL_CHECK(AvailableMemory() >
           kMemoryPerSocket * 2 * static_cast<uint64_t>(connections));
  const SocketCrowd crowd(connections);
  const int vips = MakeVipsMap(crowd.services());
  Agent agent(vips, crowd.services());
  scan_floor* const floor = scan_floor__open_and_load();
  sockets* const walk = sockets__open();
  FL_CHECK(floor != nullptr && walk != nullptr);
  FL_CHECK(bpf_map__reuse_fd(walk->maps.fl_vips, vips) == 0);
  FL_CHECK(sockets__load(walk) == 0);
  bpf_link* const floor_link =
      bpf_program__attach_iter(floor->progs.fl_scan_floor, nullptr);
  bpf_link* const walk_link =
      bpf_program__attach_iter(walk->progs.fl_scan_sockets, nullptr);
  FL_CHECK(floor_link != nullptr && walk_link != nullptr);
  Series scan, stall, step, cpu, floor_scan, floor_step, floor_cpu;
  for (int round = 0; round < rounds; ++round) {
    const ScanTime time = agent.Scan();
    FL_CHECK(time.counted == static_cast<uint64_t>(connections));
    scan.Add(time.whole_ms);
    stall.Add(time.loop_stall_ms);
    const Walk looking = WalkAll(walk_link);
    step.Add(looking.longest_read_ms);
    cpu.Add(looking.cpu_ms);
    const Walk nothing = WalkAll(floor_link);
    floor_scan.Add(nothing.whole_ms);
    floor_step.Add(nothing.longest_read_ms);
    floor_cpu.Add(nothing.cpu_ms);
  }
  JsonLine("socket_scan", absl::StrCat(2 * connections, " sockets"))
      .Times("gross", "ms", scan)
      .Times("floor", "ms", floor_scan)
      .Number("longest_read_ms", step.Max())
      .Number("floor_longest_read_ms", floor_step.Max())
      .Number("loop_stall_median_ms", stall.Median())
      .Number("loop_stall_max_ms", stall.Max())
      .Number("cpu_min_ms", cpu.Min())
      .Number("floor_cpu_min_ms", floor_cpu.Min())
      .Count("sockets", 2 * static_cast<uint64_t>(connections))
      .Count("rounds", static_cast<uint64_t>(rounds));
  bpf_link__destroy(floor_link);
  bpf_link__destroy(walk_link);
  scan_floor__destroy(floor);
  sockets__destroy(walk);
  close(vips);
}

}  // namespace
}  // namespace fairlead::test

int main(int argc, char** argv) {
  using namespace fairlead::test;  // NOLINT: main is the program's root
  const BenchOptions options = ParseBenchOptions(argc, argv);
  const int connections = options.quick ? 50'000 : 500'000;
  if (options.Wants("socket scan")) Run(connections, options.rounds);
  return 0;
}
