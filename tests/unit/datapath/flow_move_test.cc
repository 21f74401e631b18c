#include "datapath/flow_move.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <vector>

#include "lib/flow_slot.h"

namespace fairlead::datapath {
namespace {

// Free, embryonic, young, established, closing, and the expiring ones.
constexpr fl_timeouts kTimeouts = {{0, 10, 20, 1000, 50, 20, 1000, 50}};
constexpr uint32_t kNow = 5000;
// The services of the backends from this one on have no hop lists.
constexpr uint16_t kFirstTableOnly = 30;
constexpr uint16_t kBackends = 40;

using Table = std::vector<fl_bucket>;

fl_buckets BucketsOf(Table& table, uint64_t hash) {
  const uint32_t mask = static_cast<uint32_t>(table.size()) - 1;
  return {.first = &table[fl_bucket_first(hash, mask)],
          .second = &table[fl_bucket_second(hash, mask)]};
}

// As the packet path would find it; null: not recorded.
fl_slot* Find(Table& table, uint64_t hash) {
  const fl_buckets buckets = BucketsOf(table, hash);
  __u64 word0 = 0;
  return fl_slot_find(&buckets, hash, &word0);
}

// Into a free slot; false: there is none.
bool Put(Table& table, uint64_t hash, unsigned int state, uint16_t backend,
         uint32_t age = 0, uint16_t flags = 0) {
  const fl_buckets buckets = BucketsOf(table, hash);
  for (uint32_t i = 0; i < FL_POSITIONS; ++i) {
    fl_slot* const slot = fl_slot_at(&buckets, i);
    if (slot->word0 != 0) continue;
    slot->word0 = fl_slot_word0(hash, state, backend);
    slot->word1 = fl_slot_word1(kNow - age - 7, kNow - age, flags);
    return true;
  }
  return false;
}

FlowMoveOptions Options() {
  FlowMoveOptions options = {.timeouts = kTimeouts,
                             .now_tick = kNow,
                             .backends = kBackends,
                             .table_only = std::vector<bool>(kBackends)};
  for (uint16_t id = kFirstTableOnly; id < kBackends; ++id)
    options.table_only[id] = true;
  return options;
}

// Fills the table with flows of random states to about `load` of its slots.
Table RandomTable(std::mt19937_64& random, size_t buckets, double load) {
  Table table(buckets);
  const auto flows =
      static_cast<size_t>(load * static_cast<double>(4 * buckets));
  for (size_t i = 0; i < flows; ++i)
    Put(table, random(), 1 + static_cast<unsigned int>(random() % 7),
        static_cast<uint16_t>(1 + random() % (kBackends - 1)),
        static_cast<uint32_t>(random() % 9),
        random() % 2 == 0 ? FL_SLOT_FIN : 0);
  return table;
}

std::map<uint64_t, fl_slot> SlotsOf(const Table& table) {
  std::map<uint64_t, fl_slot> slots;
  for (const fl_bucket& bucket : table) {
    for (const fl_slot& slot : bucket.slots) {
      if (slot.word0 == 0) continue;
      INFO("a tag stands in one slot");
      REQUIRE(slots.emplace(fl_slot_tag(slot.word0), slot).second);
    }
  }
  return slots;
}

}  // namespace

TEST_CASE("every flow is found after a move, with all that was known of it",
          "[datapath][move]") {
  std::mt19937_64 random(1);
  const size_t from_size = GENERATE(2, 64, 1024);
  const size_t to_size = GENERATE(64, 512, 4096);
  // As full as the packet path lets it become, and no fuller than the new one
  // may be without leaving one out.
  const double load = std::min(
      0.7, 0.5 * static_cast<double>(to_size) / static_cast<double>(from_size));
  Table from = RandomTable(random, from_size, load);
  Table to(to_size);
  FlowMove move(from, to, Options());
  const auto before = SlotsOf(from);
  CHECK(move.Pass() == before.size());
  CHECK(move.CountLeft().sum() == 0);
  CHECK(SlotsOf(to).size() == before.size());
  for (const auto& [tag, slot] : before) {
    const fl_slot* moved = Find(to, tag);
    REQUIRE(moved != nullptr);
    const unsigned int state = fl_slot_state(slot.word0);
    // What a killed daemon was about to expire is as it was before.
    CHECK(fl_slot_state(moved->word0) ==
          (state < FL_SLOT_EXPIRING_PENDING ? state : state - 3));
    CHECK(fl_slot_backend(moved->word0) == fl_slot_backend(slot.word0));
    CHECK(moved->word1 == slot.word1);
  }
}

TEST_CASE(
    "a move may be repeated and cut short, and takes over what came since",
    "[datapath][move]") {
  std::mt19937_64 random(2);
  Table from = RandomTable(random, 256, 0.5);
  Table to(1024);
  // A pass that was cut short: the first half only.
  Table half = from;
  std::fill(half.begin() + 128, half.end(), fl_bucket{});
  const uint64_t first = FlowMove(half, to, Options()).Pass();
  FlowMove move(from, to, Options());
  CHECK(move.Pass() == SlotsOf(from).size() - first);
  CHECK(move.Pass() == 0);
  while (!Put(from, random(), FL_SLOT_YOUNG, 3)) {
  }
  CHECK(move.Pass() == 1);
  CHECK(SlotsOf(to).size() == SlotsOf(from).size());
}

TEST_CASE("what packets did to the new table stays", "[datapath][move]") {
  Table from(64);
  Table to(256);
  const uint64_t hash = 0x123456789abcdef0;
  REQUIRE(Put(from, hash, FL_SLOT_ESTABLISHED, 3));
  REQUIRE(Put(to, hash, FL_SLOT_EMBRYONIC, 4));
  FlowMove move(from, to, Options());
  CHECK(move.Pass() == 0);
  CHECK(fl_slot_backend(Find(to, hash)->word0) == 4);
  CHECK(move.CountLeft().sum() == 0);
}

TEST_CASE("where room is short, what is worth more is kept",
          "[datapath][move]") {
  struct Kind {
    const char* name;
    unsigned int state;
    uint16_t backend;
    uint32_t age;
  };
  // Each worth less than the one before it.
  const Kind kinds[] = {
      {"established, known here alone", FL_SLOT_ESTABLISHED, kFirstTableOnly,
       0},
      {"closing, known here alone", FL_SLOT_CLOSING, kFirstTableOnly, 0},
      {"established", FL_SLOT_EXPIRING_ESTABLISHED, 3, 900},
      {"closing", FL_SLOT_CLOSING, 3, 0},
      {"young, known here alone", FL_SLOT_YOUNG, kFirstTableOnly, 0},
      {"embryonic", FL_SLOT_EMBRYONIC, 3, 0},
      {"expired", FL_SLOT_ESTABLISHED, 3, 1001},
  };
  const size_t better = GENERATE(range(0, 6));
  const Kind& kept = kinds[better];
  const Kind& left = kinds[better + 1];
  CAPTURE(kept.name, left.name);
  std::mt19937_64 random(3);
  // Two buckets: eight slots for eight of each kind, in whatever order.
  for (int round = 0; round < 50; ++round) {
    Table from(64);
    std::vector<uint64_t> hashes;
    for (int i = 0; i < 16; ++i) {
      const Kind& kind = i % 2 == 0 ? kept : left;
      hashes.push_back(random());
      while (!Put(from, hashes.back(), kind.state, kind.backend, kind.age))
        hashes.back() = random();
    }
    Table to(2);
    FlowMove move(from, to, Options());
    move.Pass();
    for (int i = 0; i < 16; ++i)
      CHECK((Find(to, hashes[static_cast<size_t>(i)]) != nullptr) ==
            (i % 2 == 0));
  }
}

TEST_CASE("what found no room is counted by what it is", "[datapath][move]") {
  std::mt19937_64 random(4);
  Table from(64);
  const auto put = [&](int count, unsigned int state, uint16_t backend,
                       uint32_t age) {
    for (int i = 0; i < count; ++i) {
      while (!Put(from, random(), state, backend, age)) {
      }
    }
  };
  put(5, FL_SLOT_ESTABLISHED, kFirstTableOnly, 0);
  put(6, FL_SLOT_ESTABLISHED, 3, 0);
  put(7, FL_SLOT_YOUNG, 3, 0);
  put(9, FL_SLOT_YOUNG, 3, 21);  // expired: nobody misses them
  Table to(2);
  FlowMove move(from, to, Options());
  move.Pass();
  const FlowsLeft left = move.CountLeft();
  CHECK(left.live == 3);
  CHECK(left.table_only == 0);
  CHECK(left.pending == 7);
  put(7, FL_SLOT_ESTABLISHED, kFirstTableOnly, 0);
  move.Pass();
  CHECK(move.CountLeft().table_only == 4);
  CHECK(move.CountLeft().live == 10);
}

TEST_CASE("flows of ids past the table are not moved", "[datapath][move]") {
  Table from(64);
  Table to(64);
  REQUIRE(Put(from, 1ull << 40, FL_SLOT_ESTABLISHED, kBackends));
  REQUIRE(Put(from, 1ull << 41, FL_SLOT_ESTABLISHED, kBackends - 1));
  FlowMove move(from, to, Options());
  CHECK(move.Pass() == 1);
  CHECK(Find(to, 1ull << 40) == nullptr);
}

// Of 16,384 slots: one flow is left out at 55 %, 43 at 70 %, 600 at 90 %.
TEST_CASE("a table that is half full has left no flow out",
          "[datapath][move]") {
  std::mt19937_64 random(5);
  Table from(16384);
  for (int i = 0; i < 8192; ++i) {
    while (!Put(from, random(), FL_SLOT_ESTABLISHED, 3)) {
    }
  }
  Table to(4096);
  FlowMove move(from, to, Options());
  move.Pass();
  CHECK(move.CountLeft().sum() == 0);
}

}  // namespace fairlead::datapath
