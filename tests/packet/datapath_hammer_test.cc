#include <atomic>
#include <catch2/catch.hpp>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "datapath/flow_scan.h"
#include "datapath/recount.h"
#include "tests/support/bpf_fixture.h"
#include "tests/support/bpf_run.h"

namespace fairlead::test {
namespace {

constexpr uint16_t kBackends = 4;
constexpr int kForever = std::numeric_limits<int>::max();

// A service whose rows list the same few backends.
void FillTables(LbProgram& lb) {
  uint64_t candidates = 0;
  for (uint16_t id = 1; id <= kBackends; ++id) {
    candidates |= uint64_t{id} << (16 * (id - 1));
    fl_backend& line = lb.backends()[id];
    line.state = FL_BACKEND_USED | FL_BACKEND_ELIGIBLE | FL_BACKEND_NEXT_HOP;
    std::memcpy(line.address, Ip("192.0.2.7").bytes().data(), 16);
    line.next_hop = uint64_t{1500} << 48;
    line.weight = 100;
    line.service = 1;
  }
  for (fl_row& row : lb.rows()) row.candidates = candidates;
  fl_service service = {};
  service.id = 1;
  service.policy = FL_POLICY_LEAST_CONN;
  service.choices = kBackends;
  service.row_mask = 255;
  lb.SetService({kVip4, kVipPort}, service);
}

// Segments of random flows and states, made beforehand: building one takes
// longer than the program does.
std::vector<Bytes> RandomSegments(uint32_t seed, uint16_t flows, size_t count) {
  std::mt19937 random(seed);
  std::vector<Bytes> segments;
  for (size_t i = 0; i < count; ++i) {
    Tcp tcp;
    tcp.sport = static_cast<uint16_t>(1024 + random() % flows);
    const uint32_t kind = random() % 8;
    tcp.syn = kind < 3;
    tcp.fin = kind == 3;
    tcp.rst = kind == 4;
    tcp.ack = !tcp.syn;
    segments.push_back((Eth{} / Ipv4{} / tcp).Wire());
  }
  return segments;
}

// A CPU that runs the program `runs` times, or until Stop(). `turn`, if given,
// is the daemon's turn of its loop: called on this CPU after every
// kPacketsPerTurn packets, so that the pace does not depend on the scheduler.
class Hammer {
 public:
  static constexpr int kPacketsPerTurn = 128;

  Hammer(int program, uint32_t seed, uint16_t flows, int runs,
         const std::function<void()>& turn = nullptr)
      : thread_([=, this, segments = RandomSegments(seed, flows, 4096)] {
          for (int i = 0; i < runs && !stopped_; ++i) {
            const size_t at = static_cast<size_t>(i) % segments.size();
            if (TestRun(program, segments[at], {}).error != 0) ++errors_;
            if (turn && i % kPacketsPerTurn == 0) turn();
          }
        }) {}
  ~Hammer() { Join(); }

  void Join() {
    if (thread_.joinable()) thread_.join();
  }
  void Stop() {
    stopped_ = true;
    Join();
  }
  int errors() const { return errors_; }

 private:
  std::atomic<bool> stopped_ = false;
  std::atomic<int> errors_ = 0;
  std::thread thread_;  // last: it uses the others
};

struct Census {
  std::map<uint16_t, core::LoadReport> backends;
  std::set<uint64_t> tags;
  int slots = 0;
  int expiring = 0;
};

Census CountSlots(const LbProgram& lb) {
  Census census;
  for (const fl_bucket& bucket : lb.flows()) {
    for (const fl_slot& slot : bucket.slots) {
      const unsigned int state = fl_slot_state(slot.word0);
      if (state == FL_SLOT_FREE) continue;
      ++census.slots;
      census.expiring += state >= FL_SLOT_EXPIRING_PENDING;
      census.tags.insert(fl_slot_tag(slot.word0));
      auto& count = census.backends[fl_slot_backend(slot.word0)];
      ++(fl_slot_is_pending(state) ? count.pending : count.live);
    }
  }
  return census;
}

void CheckCountersEqualSlots(const LbProgram& lb, const Census& census) {
  for (uint16_t id = 0; id < lb.load().size(); ++id) {
    CAPTURE(id);
    const auto found = census.backends.find(id);
    const core::LoadReport expected =
        found == census.backends.end() ? core::LoadReport() : found->second;
    CHECK(lb.load()[id].live == expected.live);
    CHECK(lb.load()[id].pending == expected.pending);
  }
}

}  // namespace

// Two CPUs run the shipped program on segments of more flows than the table
// has slots, while the daemon expires what it can. The scan is told a time far
// ahead, so that every slot is expired unless it is hit before the next turn.
TEST_CASE("counters equal slots after packets and expiry raced",
          "[datapath][flows][hammer]") {
  LbProgram lb({.flow_buckets = 64});
  FillTables(lb);
  datapath::FlowScan scan(lb.flows(), lb.load(), kTimeouts);
  const uint32_t ahead = 60000;
  uint64_t expired = 0;
  uint64_t returned = 0;
  {
    Hammer first(lb.program_fd(), 1, 600, 150000, [&] {
      const auto sweep = scan.Step(16, NowTick() + ahead);
      if (!sweep) return;
      expired += sweep->expired;
      returned += sweep->returned;
    });
    Hammer second(lb.program_fd(), 2, 600, kForever);
    first.Join();
    second.Stop();
    CHECK(first.errors() + second.errors() == 0);
  }
  scan.Step(0, NowTick());
  CHECK(expired > 1000);
  CHECK(returned > 1000);
  const Census census = CountSlots(lb);
  CHECK(census.slots > 0);
  CHECK(census.expiring == 0);
  CHECK(census.tags.size() == static_cast<size_t>(census.slots));
  CheckCountersEqualSlots(lb, census);
}

TEST_CASE("a recount under traffic finds exactly what is wrong",
          "[datapath][flows][hammer]") {
  LbProgram lb({.flow_buckets = 4096});
  FillTables(lb);
  datapath::FlowScan scan(lb.flows(), lb.load(), kTimeouts);
  datapath::Recount recount(lb.flows(), lb.load());
  {
    Hammer second(lb.program_fd(), 2, 20000, kForever);
    int turn = 0;
    bool finished = false;
    const auto daemon = [&] {
      scan.Step(64, NowTick() + 60000);
      if (++turn < 50 || finished) return;
      if (turn == 50) {
        __sync_fetch_and_add(&lb.load()[2].live, 1);
        __sync_fetch_and_sub(&lb.load()[3].pending, 1);
        __sync_fetch_and_add(&lb.load()[4].pending, 1000);
        __sync_fetch_and_add(&lb.load()[9].live, 7);
      }
      finished = recount.Round();
    };
    Hammer first(lb.program_fd(), 1, 20000, 60000, daemon);
    first.Join();
    second.Stop();
    CHECK(first.errors() + second.errors() == 0);
    CHECK(finished);
  }
  scan.Step(0, NowTick());
  CHECK(recount.corrected() == 4);
  CheckCountersEqualSlots(lb, CountSlots(lb));
}

}  // namespace fairlead::test
