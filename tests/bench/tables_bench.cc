// What the daemon's walks over the flow table cost: the longest step, which is
// the longest that a turn of its loop takes for them, and a move of all flows
// to a table of another size. The floor is a walk that only reads.
//
//   tables_bench [--rounds N] [--only TEXT] [--quick]
#include <algorithm>
#include <cstdint>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/flow_sweeper.h"
#include "datapath/flow_move.h"
#include "datapath/flow_scan.h"
#include "datapath/recount.h"
#include "tests/bench/report.h"

namespace fairlead::test {
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

// Of one case, in all rounds.
struct Walk {
  Series total_ms, longest_step_ms;
  uint64_t steps = 0;
};

// Of this thread: what others run meanwhile is not in it.
double CpuMs() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 +
         static_cast<double>(now.tv_nsec) / 1e6;
}

// Once more; until `step` answers true.
void Measure(Walk& walk, const std::function<bool()>& step) {
  double total = 0, longest = 0;
  walk.steps = 0;
  for (bool over = false; !over; ++walk.steps) {
    const double start = CpuMs();
    over = step();
    const double ms = CpuMs() - start;
    total += ms;
    longest = std::max(longest, ms);
  }
  walk.total_ms.Add(total);
  walk.longest_step_ms.Add(longest);
}

struct Walks {
  Walk floor, recount, move, second_pass, sweep, expiry;
};

void ReadAll(const Tables& tables) {
  uint64_t sum = 0;
  for (const fl_bucket& bucket : tables.flows)
    for (const fl_slot& slot : bucket.slots) sum += slot.word0 ^ slot.word1;
  volatile uint64_t kept = sum;
  (void)kept;
}

void Round(size_t slots, Walks& walks) {
  Tables tables(slots);
  const auto once = [](const auto& walk) {
    return [&walk] {
      walk();
      return true;
    };
  };
  const auto read = [&] { ReadAll(tables); };
  Measure(walks.floor, once(read));
  {
    datapath::Recount recount(tables.flows, tables.load);
    Measure(walks.recount,
            [&] { return recount.Step(daemon::kBucketsPerStep); });
  }
  {
    std::vector<fl_bucket> bigger(tables.flows.size() * 2);
    datapath::FlowMove move(tables.flows, bigger,
                            {.timeouts = kTimeouts, .now_tick = kNow});
    const auto pass = [&] { move.Pass(); };
    Measure(walks.move, once(pass));
    Measure(walks.second_pass, once(pass));
  }
  datapath::FlowScan scan(tables.flows, tables.load, kTimeouts);
  const auto sweep = [&](Walk& walk, uint32_t now) {
    Measure(walk, [&scan, now] {
      return scan.Step(daemon::kBucketsPerStep, now).has_value();
    });
  };
  sweep(walks.sweep, kNow);
  sweep(walks.expiry, kNow + 50'000);
}

void Report(const std::string& name, uint64_t slots, const Walk& walk,
            const Walk& floor) {
  JsonLine("tables", name)
      .Times("total", "ms", walk.total_ms)
      .Times("longest_step", "ms", walk.longest_step_ms)
      .Times("floor", "ms", floor.total_ms)
      .Count("steps", walk.steps)
      .Count("slots", slots);
}

void Run(size_t millions, const BenchOptions& options) {
  Walks walks;
  const size_t slots = millions << 20;
  for (int round = 0; round < options.rounds; ++round) Round(slots, walks);
  const std::vector<std::pair<const char*, const Walk*>> cases = {
      {"recount", &walks.recount},
      {"move to twice the slots", &walks.move},
      {"second pass of a move", &walks.second_pass},
      {"sweep", &walks.sweep},
      {"sweep that expires all", &walks.expiry}};
  for (const auto& [name, walk] : cases)
    Report(absl::StrCat(name, ", ", millions, " M slots"), slots, *walk,
           walks.floor);
}

}  // namespace
}  // namespace fairlead::test

int main(int argc, char** argv) {
  using namespace fairlead::test;  // NOLINT: main is the program's root
  const BenchOptions options = ParseBenchOptions(argc, argv);
  for (const size_t millions : {1, 2, 16})
    if (options.Wants(absl::StrCat(millions, " M slots")) &&
        (millions < 16 || !options.quick))
      Run(millions, options);
  return 0;
}
