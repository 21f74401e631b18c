#include "datapath/recount.h"

#include <catch2/catch.hpp>
#include <random>
#include <vector>

#include "lib/flow_slot.h"

namespace fairlead::datapath {
namespace {

constexpr size_t kBackends = 32;

std::vector<fl_bucket> RandomFlows(std::mt19937& random) {
  std::vector<fl_bucket> flows(128);
  for (fl_bucket& bucket : flows) {
    for (fl_slot& slot : bucket.slots) {
      const uint64_t tag = (uint64_t{random()} << 32) | random();
      slot.word0 = fl_slot_word0(tag, random() % 8,
                                 static_cast<uint16_t>(random() % kBackends));
    }
  }
  return flows;
}

std::vector<fl_load> Count(const std::vector<fl_bucket>& flows) {
  std::vector<fl_load> load(kBackends);
  for (const fl_bucket& bucket : flows) {
    for (const fl_slot& slot : bucket.slots) {
      const unsigned int state = fl_slot_state(slot.word0);
      if (state == FL_SLOT_FREE) continue;
      fl_load& counts = load[fl_slot_backend(slot.word0)];
      ++(fl_slot_is_pending(state) ? counts.pending : counts.live);
    }
  }
  return load;
}

bool Equal(const std::vector<fl_load>& a, const std::vector<fl_load>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].live != b[i].live || a[i].pending != b[i].pending) return false;
  }
  return true;
}

int RoundsOf(Recount& recount) {
  int rounds = 1;
  while (!recount.Round()) ++rounds;
  return rounds;
}

}  // namespace

TEST_CASE("a recount of right counters changes nothing",
          "[datapath][recount]") {
  std::mt19937 random(1);
  const auto flows = RandomFlows(random);
  auto load = Count(flows);
  Recount recount(flows, load);
  CHECK(RoundsOf(recount) == Recount::kAgreeing);
  CHECK(recount.corrected() == 0);
  CHECK(Equal(load, Count(flows)));
}

TEST_CASE("a recount puts every wrong counter right", "[datapath][recount]") {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    const auto flows = RandomFlows(random);
    auto load = Count(flows);
    int wrong = 0;
    for (fl_load& counts : load) {
      const int64_t error = static_cast<int64_t>(random() % 5) - 2;
      counts.live += static_cast<uint64_t>(error);
      wrong += error != 0;
    }
    load[3].pending += 1000;
    Recount recount(flows, load);
    CHECK(RoundsOf(recount) == Recount::kAgreeing);
    CHECK(recount.corrected() == wrong + 1);
    REQUIRE(Equal(load, Count(flows)));
  }
}

TEST_CASE("a recount fills counters that were lost", "[datapath][recount]") {
  std::mt19937 random(3);
  const auto flows = RandomFlows(random);
  std::vector<fl_load> load(kBackends);
  Recount recount(flows, load);
  RoundsOf(recount);
  CHECK(Equal(load, Count(flows)));
}

// A transition that is counted late looks wrong in one round, and right in the
// next.
TEST_CASE("a recount does not correct what one round alone says",
          "[datapath][recount]") {
  std::mt19937 random(4);
  const auto flows = RandomFlows(random);
  auto load = Count(flows);
  load[5].live -= 1;
  load[6].live += 1;
  Recount recount(flows, load);
  CHECK_FALSE(recount.Round());
  load[5].live += 1;
  RoundsOf(recount);
  CHECK(recount.corrected() == 1);
  CHECK(Equal(load, Count(flows)));
}

TEST_CASE("a counter that never agrees is left alone", "[datapath][recount]") {
  std::mt19937 random(5);
  const auto flows = RandomFlows(random);
  auto load = Count(flows);
  Recount recount(flows, load);
  int rounds = 0;
  do {
    load[5].live += 1;
    ++rounds;
  } while (!recount.Round());
  CHECK(rounds == Recount::kMaxRounds);
  CHECK(recount.corrected() == 0);
}

}  // namespace fairlead::datapath
