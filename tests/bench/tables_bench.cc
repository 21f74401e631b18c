// What the daemon's walks over the flow table cost: the longest step, which is
// the longest that a turn of its loop takes for them, and a move of all flows
// to a table of another size. One JSON line per case.
//
//   tables_bench [MILLIONS OF SLOTS]...
#include <sys/utsname.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "daemon/flow_sweeper.h"
#include "datapath/flow_move.h"
#include "datapath/flow_scan.h"
#include "datapath/recount.h"

namespace fairlead {
namespace {

constexpr fl_timeouts kTimeouts = {{0, 60, 112, 7450, 112, 112, 7450, 112}};
constexpr uint32_t kNow = 100'000;
constexpr uint16_t kBackends = 1000;

struct Tables {
  std::vector<fl_bucket> flows;
  std::vector<fl_load> load = std::vector<fl_load>(4096);

  explicit Tables(size_t slots) : flows(slots / FL_BUCKET_SLOTS) {
    std::mt19937_64 random(1);
    for (fl_bucket& bucket : flows) {
      for (int i = 0; i < 2; ++i) Fill(bucket.slots[i], random());
    }
  }

  void Fill(fl_slot& slot, uint64_t tag) {
    const auto backend = static_cast<uint16_t>(1 + tag % kBackends);
    slot.word0 = fl_slot_word0(tag, FL_SLOT_ESTABLISHED, backend);
    slot.word1 = fl_slot_word1(kNow, kNow, 0);
    ++load[backend].live;
  }
};

struct Steps {
  int count = 0;
  double longest_ms = 0;
  double total_ms = 0;
};

// Of this thread: what others run meanwhile is not in it.
double CpuMs() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 +
         static_cast<double>(now.tv_nsec) / 1e6;
}

// Until `step` answers true.
Steps Measure(const std::function<bool()>& step) {
  Steps steps;
  for (bool over = false; !over;) {
    const double start = CpuMs();
    over = step();
    const double ms = CpuMs() - start;
    ++steps.count;
    steps.total_ms += ms;
    steps.longest_ms = std::max(steps.longest_ms, ms);
  }
  return steps;
}

void Print(const char* what, size_t slots, const Steps& steps) {
  utsname system = {};
  uname(&system);
  double load[1] = {-1};
  (void)!getloadavg(load, 1);
  std::printf(
      "{\"bench\":\"%s\",\"slots\":%zu,\"steps\":%d,\"longest_cpu_ms\":%.3f,"
      "\"cpu_ms\":%.1f,\"load1\":%.2f,\"machine\":\"%s\",\"kernel\":\"%s\","
      "\"compiler\":\"%s\"}\n",
      what, slots, steps.count, steps.longest_ms, steps.total_ms, load[0],
      system.machine, system.release, __VERSION__);
  std::fflush(stdout);
}

void Run(size_t slots) {
  Tables tables(slots);
  const size_t budget = daemon::kBucketsPerStep;
  {
    datapath::Recount recount(tables.flows, tables.load);
    Print("recount", slots, Measure([&] { return recount.Step(budget); }));
  }
  {
    std::vector<fl_bucket> bigger(tables.flows.size() * 2);
    datapath::FlowMove move(tables.flows, bigger,
                            {.timeouts = kTimeouts, .now_tick = kNow});
    const auto pass = [&] {
      move.Pass();
      return true;
    };
    Print("move to twice the slots", slots, Measure(pass));
    Print("second pass", slots, Measure(pass));
  }
  datapath::FlowScan scan(tables.flows, tables.load, kTimeouts);
  const auto sweep = [&](uint32_t now) {
    return Measure([&scan, now] {
      return scan.Step(daemon::kBucketsPerStep, now).has_value();
    });
  };
  Print("sweep", slots, sweep(kNow));
  Print("sweep that expires all", slots, sweep(kNow + 50'000));
}

}  // namespace
}  // namespace fairlead

int main(int argc, char** argv) {
  std::vector<size_t> millions;
  for (int i = 1; i < argc; ++i)
    millions.push_back(static_cast<size_t>(std::max(1, std::atoi(argv[i]))));
  if (millions.empty()) millions = {1, 2, 16};
  for (const size_t million : millions) fairlead::Run(million << 20);
  return 0;
}
