// One flow table under three parties at once: packets on two CPUs and the
// daemon's expiry, with few flows and fewer slots, so that they meet all the
// time. The flow_slot model proves the rules; this proves that the loaded
// program keeps them.
#include <sched.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "lib/flow_slot.h"
#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

constexpr uint16_t kFlows = 40;
constexpr uint32_t kBuckets = 8;
constexpr int kRounds = 10;
constexpr int kPacketsPerRound = 4000;

// SYN, ACK, FIN and RST of every flow, half of them IPv6.
std::vector<Bytes> AllFrames() {
  std::vector<Bytes> frames;
  for (uint16_t flow = 0; flow < kFlows; flow++) {
    const Tcp segments[] = {
        {.sport = uint16_t(1000 + flow), .syn = true},
        {.sport = uint16_t(1000 + flow), .ack = true},
        {.sport = uint16_t(1000 + flow), .fin = true, .ack = true},
        {.sport = uint16_t(1000 + flow), .rst = true},
    };
    for (const Tcp& tcp : segments) {
      frames.push_back(flow % 2 == 0 ? (Eth{} / Ipv4{} / tcp).Wire()
                                     : (Eth{} / Ipv6{} / tcp).Wire());
    }
  }
  return frames;
}

// Best effort: on one CPU the threads still take turns in the midst of packets.
void PinTo(size_t cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  (void)sched_setaffinity(0, sizeof(cpus), &cpus);
}

// What the threads share besides the table.
struct Progress {
  std::atomic<int> packets = 0;
  std::atomic<int> failed = 0;
  std::atomic<unsigned int> states = 0;  // bit n: a slot was in state n
  std::atomic<bool> stop = false;
};

void SendPackets(int program_fd, const std::vector<Bytes>& frames, size_t cpu,
                 uint32_t seed, Progress& progress) {
  PinTo(cpu);
  std::minstd_rand random(seed);
  for (int i = 0; i < kPacketsPerRound; i++) {
    const size_t dice = random();
    // ACKs and SYNs more often than FINs and RSTs.
    const size_t kind =
        std::array<size_t, 8>{0, 0, 0, 1, 1, 1, 2, 3}[dice / 64 % 8];
    const Bytes& frame = frames[dice / 1024 % kFlows * 4 + kind];
    if (TestRun(program_fd, frame).error != 0) progress.failed++;
    progress.packets++;
  }
}

void Count(LbProgram& lb, uint64_t word0, uint64_t amount) {
  const unsigned int state = fl_slot_state(word0);
  if (state == FL_SLOT_FREE) return;
  fl_load& load = lb.load()[fl_slot_backend(word0)];
  __sync_fetch_and_add(fl_slot_is_pending(state) ? &load.pending : &load.live,
                       amount);
}

// For every other packet, moves a slot into the past, so that flows become
// established (word 1 is a hint, anybody may be late with it); now and then
// expires one as if nobody had been seen for a day.
void Expire(LbProgram& lb, uint32_t seed, Progress& progress) {
  std::minstd_rand random(seed);
  for (int done = 0; !progress.stop;) {
    if (done >= progress.packets.load()) continue;
    done += 2;
    const size_t dice = random();
    fl_slot& slot =
        lb.flows()[dice % kBuckets].slots[dice / 64 % FL_BUCKET_SLOTS];
    progress.states |= 1u << fl_slot_state(fl_load64(&slot.word0));
    __u64 word1 = 0;
    if (dice / 1024 % 16 != 0) {
      const uint32_t past = NowTick() - 1;
      fl_store64(&slot.word1, fl_slot_word1(past, past, 0));
    } else if (fl_slot_expire_begin(&slot, NowTick() + 60000, &kTimeouts,
                                    &word1)) {
      const fl_slot_change change = fl_slot_expire_end(&slot, word1);
      if (change.before != change.after) {
        Count(lb, change.before, ~uint64_t{0});
        Count(lb, change.after, 1);
      }
    }
  }
}

TEST_CASE("two CPUs and the daemon leave counters and slots in agreement",
          "[packet][lb][hammer]") {
  LbWorld world({.flow_buckets = kBuckets});
  world.service().policy = FL_POLICY_LEAST_CONN;
  world.service().choices = 4;
  world.StoreService();
  LbProgram& lb = world.lb();
  const std::vector<Bytes> frames = AllFrames();
  const LbVerdicts before = lb.verdicts();
  int failed = 0;
  unsigned int states = 0;

  for (uint32_t round = 0; round < kRounds; round++) {
    // A drained backend makes SYNs move their flows.
    world.SetState(1, round % 2 == 0 ? kReady : kDraining);
    Progress progress;
    std::thread daemon([&] { Expire(lb, round, progress); });
    std::thread cpus[2];
    for (uint32_t cpu = 0; cpu < 2; cpu++) {
      cpus[cpu] = std::thread([&, cpu] {
        SendPackets(lb.program_fd(), frames, cpu, round * 2 + cpu, progress);
      });
    }
    for (std::thread& cpu : cpus) cpu.join();
    progress.stop = true;
    daemon.join();
    failed += progress.failed;
    states |= progress.states;

    INFO("round " << round);
    world.CheckLoad();
    std::set<uint64_t> tags;
    for (const fl_bucket& bucket : lb.flows()) {
      for (const fl_slot& slot : bucket.slots) {
        if (slot.word0 == 0) continue;
        CHECK(tags.insert(fl_slot_tag(slot.word0)).second);
      }
    }
  }

  CHECK(failed == 0);
  // Every packet has one verdict, and all kinds of rests were met.
  const LbVerdicts after = lb.verdicts();
  uint64_t counted = 0;
  for (size_t i = 0; i < after.size(); i++) counted += after[i] - before[i];
  CHECK(counted == 2ull * kRounds * kPacketsPerRound);
  for (const unsigned int state : {FL_SLOT_EMBRYONIC, FL_SLOT_YOUNG,
                                   FL_SLOT_ESTABLISHED, FL_SLOT_CLOSING}) {
    INFO("state " << state);
    CHECK((states >> state & 1) == 1);
  }
  for (const fl_lb_verdict verdict :
       {FL_LB_TX_HIT, FL_LB_TX_SYN_NEW, FL_LB_TX_SYN_AGAIN, FL_LB_TX_SYN_CLAIM,
        FL_LB_TX_SYN_UNRECORDED, FL_LB_TX_MISS}) {
    INFO(VerdictName(verdict));
    CHECK(after[verdict] > before[verdict]);
  }
}

}  // namespace
}  // namespace fairlead::test
