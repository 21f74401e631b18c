#include "datapath/flow_scan.h"

#include <catch2/catch.hpp>
#include <random>
#include <vector>

#include "lib/flow_slot.h"

namespace fairlead::datapath {
namespace {

// Free, embryonic, young, established, closing.
constexpr fl_timeouts kTimeouts = {{0, 10, 20, 1000, 50, 0, 0, 0}};
constexpr uint32_t kNow = 5000;
constexpr uint32_t kAll = 1u << 20;

struct Table {
  std::vector<fl_bucket> flows = std::vector<fl_bucket>(64);
  std::vector<fl_load> load = std::vector<fl_load>(8);

  fl_slot& SlotAt(size_t position) {
    return flows[position / FL_BUCKET_SLOTS].slots[position % FL_BUCKET_SLOTS];
  }
  // A slot as a packet `age` ticks ago left it, counted.
  fl_slot& Add(size_t position, unsigned int state, uint16_t backend,
               uint32_t age, uint16_t flags = 0) {
    fl_slot& slot = SlotAt(position);
    const uint64_t tag = uint64_t{position + 1} << 40;
    slot.word0 = fl_slot_word0(tag, state, backend);
    slot.word1 = fl_slot_word1(kNow - age, kNow - age, flags);
    ++(fl_slot_is_pending(state) ? load[backend].pending : load[backend].live);
    return slot;
  }
  // Whether each counter is the number of slots that count in it.
  bool Adds() const {
    std::vector<fl_load> sums(load.size());
    for (const fl_bucket& bucket : flows) {
      for (const fl_slot& slot : bucket.slots) {
        const unsigned int state = fl_slot_state(slot.word0);
        if (state == FL_SLOT_FREE) continue;
        fl_load& sum = sums[fl_slot_backend(slot.word0)];
        ++(fl_slot_is_pending(state) ? sum.pending : sum.live);
      }
    }
    for (size_t i = 0; i < load.size(); ++i) {
      if (load[i].live != sums[i].live || load[i].pending != sums[i].pending) {
        return false;
      }
    }
    return true;
  }
};

unsigned int StateOf(const fl_slot& slot) { return fl_slot_state(slot.word0); }

}  // namespace

TEST_CASE("a flow is confirmed once its client was heard more than 10 s apart",
          "[datapath][flows]") {
  Table table;
  table.load[3].begun = 77;
  const auto add = [&](size_t position, unsigned int state, uint32_t born,
                       uint32_t heard, uint16_t flags = 0) {
    fl_slot& slot = table.Add(position, state, 3, 0, flags);
    slot.word1 = fl_slot_word1(kNow - born, kNow - heard, flags);
  };
  add(0, FL_SLOT_ESTABLISHED, 11, 0);
  add(1, FL_SLOT_ESTABLISHED, 500, 480);
  add(2, FL_SLOT_ESTABLISHED, 10, 0);
  add(3, FL_SLOT_YOUNG, 0, 0);
  add(4, FL_SLOT_YOUNG, 4, 4);
  add(5, FL_SLOT_YOUNG, 11, 1);
  add(6, FL_SLOT_ESTABLISHED, 400, 390);
  // No connections, whatever they were.
  add(7, FL_SLOT_EMBRYONIC, 2, 2);
  add(8, FL_SLOT_CLOSING, 400, 0);
  add(9, FL_SLOT_YOUNG, 12, 0, FL_SLOT_FIN);
  FlowScan scan(table.flows, table.load, kTimeouts);
  const auto sweep = scan.Step(kAll, kNow);
  REQUIRE(sweep.has_value());
  const core::FlowCounts& counts = sweep->counts[3];
  CHECK(counts.begun == 77);
  CHECK(counts.confirmed == 2);
  CHECK(counts.fresh == 3);
  CHECK(counts.unconfirmed == 2);
  CHECK(counts.settled == 6);
  CHECK(table.Adds());
}

TEST_CASE("a silent flow is freed one step after it was marked",
          "[datapath][flows]") {
  struct Case {
    unsigned int state, expiring;
    uint32_t timeout;
    uint16_t flags;
  };
  const Case test =
      GENERATE(Case{FL_SLOT_EMBRYONIC, FL_SLOT_EXPIRING_PENDING, 10, 0},
               Case{FL_SLOT_YOUNG, FL_SLOT_EXPIRING_PENDING, 20, 0},
               Case{FL_SLOT_YOUNG, FL_SLOT_EXPIRING_PENDING, 10, FL_SLOT_FIN},
               Case{FL_SLOT_ESTABLISHED, FL_SLOT_EXPIRING_ESTABLISHED, 1000, 0},
               Case{FL_SLOT_CLOSING, FL_SLOT_EXPIRING_CLOSING, 50, 0});
  CAPTURE(test.state);
  Table table;
  const fl_slot& due =
      table.Add(5, test.state, 3, test.timeout + 1, test.flags);
  const fl_slot& not_due =
      table.Add(6, test.state, 3, test.timeout, test.flags);
  FlowScan scan(table.flows, table.load, kTimeouts);

  REQUIRE(scan.Step(kAll, kNow).has_value());
  CHECK(StateOf(due) == test.expiring);
  CHECK(StateOf(not_due) == test.state);
  CHECK(table.Adds());

  const auto sweep = scan.Step(kAll, kNow);
  CHECK(due.word0 == 0);
  CHECK(StateOf(not_due) == test.state);
  CHECK(table.Adds());
  REQUIRE(sweep.has_value());
  CHECK(sweep->expired == 1);
}

TEST_CASE("what is recorded for a backend that is empty is freed at once",
          "[datapath][flows]") {
  const unsigned int state =
      GENERATE(FL_SLOT_EMBRYONIC, FL_SLOT_YOUNG, FL_SLOT_ESTABLISHED,
               FL_SLOT_CLOSING, FL_SLOT_EXPIRING_ESTABLISHED);
  CAPTURE(state);
  Table table;
  const fl_slot& gone = table.Add(5, state, 3, 0);
  const fl_slot& other = table.Add(6, FL_SLOT_ESTABLISHED, 2, 0);
  FlowScan scan(table.flows, table.load, kTimeouts);
  const auto sweep = scan.Step(kAll, kNow, {3, 4});
  CHECK(gone.word0 == 0);
  CHECK(StateOf(other) == FL_SLOT_ESTABLISHED);
  CHECK(table.Adds());
  REQUIRE(sweep.has_value());
  CHECK_FALSE(sweep->Saw(3));
  CHECK(sweep->expired == 1);
}

TEST_CASE("a segment between mark and end saves its flow",
          "[datapath][flows]") {
  Table table;
  fl_slot& slot = table.Add(5, FL_SLOT_ESTABLISHED, 3, 2000);
  FlowScan scan(table.flows, table.load, kTimeouts);
  scan.Step(kAll, kNow);
  REQUIRE(StateOf(slot) == FL_SLOT_EXPIRING_ESTABLISHED);
  SECTION("whole") { fl_slot_touch(&slot, slot.word0, FL_TCP_ACK, kNow); }
  SECTION("seen after its first store") {
    slot.word1 = fl_slot_word1(fl_slot_born(slot.word1), kNow, 0);
  }
  const auto sweep = scan.Step(kAll, kNow);
  CHECK(StateOf(slot) == FL_SLOT_ESTABLISHED);
  CHECK(table.Adds());
  REQUIRE(sweep.has_value());
  CHECK(sweep->returned == 1);
  CHECK(sweep->expired == 0);
}

TEST_CASE("expiring slots that a killed daemon left go back to their states",
          "[datapath][flows]") {
  Table table;
  const fl_slot& pending = table.Add(5, FL_SLOT_EXPIRING_PENDING, 1, 0);
  const fl_slot& established = table.Add(6, FL_SLOT_EXPIRING_ESTABLISHED, 2, 0);
  const fl_slot& closing = table.Add(7, FL_SLOT_EXPIRING_CLOSING, 3, 0);
  FlowScan scan(table.flows, table.load, kTimeouts);
  const auto sweep = scan.Step(kAll, kNow);
  CHECK(StateOf(pending) == FL_SLOT_YOUNG);
  CHECK(StateOf(established) == FL_SLOT_ESTABLISHED);
  CHECK(StateOf(closing) == FL_SLOT_CLOSING);
  CHECK(table.Adds());
  REQUIRE(sweep.has_value());
  CHECK(sweep->reverted == 3);
}

TEST_CASE("a step looks at as many buckets as it is told to",
          "[datapath][flows]") {
  Table table;
  const fl_slot& first = table.Add(0, FL_SLOT_EMBRYONIC, 1, 100);
  const fl_slot& last =
      table.Add(64 * FL_BUCKET_SLOTS - 1, FL_SLOT_EMBRYONIC, 2, 100);
  FlowScan scan(table.flows, table.load, kTimeouts);
  CHECK_FALSE(scan.Step(40, kNow).has_value());
  CHECK(StateOf(first) == FL_SLOT_EXPIRING_PENDING);
  CHECK(StateOf(last) == FL_SLOT_EMBRYONIC);
  const auto sweep = scan.Step(40, kNow);
  CHECK(first.word0 == 0);
  CHECK(StateOf(last) == FL_SLOT_EXPIRING_PENDING);
  REQUIRE(sweep.has_value());
  CHECK(sweep->number == 1);
  CHECK_FALSE(scan.Step(0, kNow).has_value());
  CHECK(last.word0 == 0);
}

TEST_CASE("a sweep counts slots by state and by backend", "[datapath][flows]") {
  Table table;
  table.Add(0, FL_SLOT_EMBRYONIC, 1, 0);
  table.Add(1, FL_SLOT_YOUNG, 1, 0);
  table.Add(9, FL_SLOT_ESTABLISHED, 1, 0);
  table.Add(17, FL_SLOT_CLOSING, 2, 0);
  FlowScan scan(table.flows, table.load, kTimeouts);
  scan.Step(kAll, kNow);
  const auto sweep = scan.Step(kAll, kNow);
  REQUIRE(sweep.has_value());
  CHECK(sweep->number == 2);
  CHECK(sweep->slots[FL_SLOT_FREE] == 64 * FL_BUCKET_SLOTS - 4);
  CHECK(sweep->slots[FL_SLOT_EMBRYONIC] == 1);
  CHECK(sweep->slots[FL_SLOT_YOUNG] == 1);
  CHECK(sweep->slots[FL_SLOT_ESTABLISHED] == 1);
  CHECK(sweep->slots[FL_SLOT_CLOSING] == 1);
  CHECK(sweep->backends[1].pending == 2);
  CHECK(sweep->backends[1].live == 1);
  CHECK(sweep->backends[2].live == 1);
  CHECK(sweep->Saw(1));
  CHECK(sweep->Saw(2));
  CHECK_FALSE(sweep->Saw(3));
  CHECK_FALSE(sweep->Saw(60000));
}

TEST_CASE("a slot with a backend past the table is freed like any other",
          "[datapath][flows]") {
  Table table;
  fl_slot& slot = table.SlotAt(3);
  slot.word0 = fl_slot_word0(1ull << 40, FL_SLOT_ESTABLISHED, 9999);
  slot.word1 = fl_slot_word1(1, 1, 0);
  FlowScan scan(table.flows, table.load, kTimeouts);
  scan.Step(kAll, kNow);
  scan.Step(0, kNow);
  CHECK(slot.word0 == 0);
  CHECK(table.Adds());
}

TEST_CASE("a flow is looked up in both of its buckets", "[datapath][flows]") {
  Table table;
  const uint64_t hash = 0x123456789abcdef0;
  const FlowScan scan(table.flows, table.load, kTimeouts);
  CHECK_FALSE(scan.Lookup(hash).has_value());
  const uint32_t bucket =
      GENERATE_COPY(fl_bucket_first(hash, 63), fl_bucket_second(hash, 63));
  fl_slot& slot = table.flows[bucket].slots[2];
  slot.word0 = fl_slot_word0(hash, FL_SLOT_CLOSING, 5);
  slot.word1 = fl_slot_word1(100, 200, 0);
  const auto flow = scan.Lookup(hash);
  REQUIRE(flow.has_value());
  CHECK(flow->state == FL_SLOT_CLOSING);
  CHECK(flow->backend == 5);
  CHECK(flow->born == 100);
  CHECK(flow->last_seen == 200);
}

TEST_CASE("random tables stay counted through many sweeps",
          "[datapath][flows]") {
  std::mt19937 generator(1);
  const auto random = [&] { return static_cast<uint32_t>(generator()); };
  for (int round = 0; round < 50; ++round) {
    Table table;
    for (size_t i = 0; i < 64 * FL_BUCKET_SLOTS; ++i) {
      const unsigned int state = random() % 8;
      if (state == FL_SLOT_FREE) continue;
      table.Add(i, state, static_cast<uint16_t>(random() % 8), random() % 2000,
                random() % 2);
    }
    FlowScan scan(table.flows, table.load, kTimeouts);
    for (uint32_t step = 0; step < 40; ++step) {
      scan.Step(random() % 30, kNow + step * 50);
      REQUIRE(table.Adds());
    }
  }
}

TEST_CASE("a flow that an agent tells of is recorded as established",
          "[datapath][flows]") {
  Table table;
  FlowScan scan(table.flows, table.load, kTimeouts);
  constexpr uint64_t kHash = 0x123456789abcdef0;
  CHECK(scan.Record(kHash, 3, kNow));
  REQUIRE(scan.Lookup(kHash).has_value());
  CHECK(scan.Lookup(kHash)->state == FL_SLOT_ESTABLISHED);
  CHECK(scan.Lookup(kHash)->backend == 3);
  CHECK(scan.Lookup(kHash)->last_seen == kNow);
  CHECK(table.load[3].live == 1);
  CHECK(table.Adds());
  // Said again, and by another backend.
  CHECK(scan.Record(kHash, 3, kNow + 1));
  CHECK(table.load[3].live == 1);
  CHECK(scan.Record(kHash, 4, kNow + 1));
  CHECK(scan.Lookup(kHash)->backend == 4);
  CHECK(table.load[3].live == 0);
  CHECK(table.load[4].live == 1);
  CHECK(table.Adds());
}

TEST_CASE("a record keeps its state but for a pending one",
          "[datapath][flows]") {
  struct Case {
    unsigned int before, after;
  };
  const Case test = GENERATE(Case{FL_SLOT_EMBRYONIC, FL_SLOT_ESTABLISHED},
                             Case{FL_SLOT_YOUNG, FL_SLOT_ESTABLISHED},
                             Case{FL_SLOT_ESTABLISHED, FL_SLOT_ESTABLISHED},
                             Case{FL_SLOT_CLOSING, FL_SLOT_CLOSING});
  CAPTURE(test.before);
  Table table;
  FlowScan scan(table.flows, table.load, kTimeouts);
  constexpr uint64_t kHash = 0x123456789abcdef0;
  REQUIRE(scan.Record(kHash, 3, kNow));
  for (fl_bucket& bucket : table.flows) {
    for (fl_slot& slot : bucket.slots) {
      if (slot.word0 == 0) continue;
      slot.word0 = fl_slot_word0(slot.word0, test.before, 3);
      table.load[3] = {};
      ++(fl_slot_is_pending(test.before) ? table.load[3].pending
                                         : table.load[3].live);
    }
  }
  REQUIRE(table.Adds());
  CHECK(scan.Record(kHash, 5, kNow));
  CHECK(scan.Lookup(kHash)->state == test.after);
  CHECK(scan.Lookup(kHash)->backend == 5);
  CHECK(table.Adds());
}

TEST_CASE("two buckets of established flows take no more",
          "[datapath][flows]") {
  Table table;
  FlowScan scan(table.flows, table.load, kTimeouts);
  std::mt19937_64 random(4);
  int refused = 0;
  for (int i = 0; i < 2000; ++i)
    refused += scan.Record(random(), 2, kNow) ? 0 : 1;
  CHECK(refused > 1000);
  CHECK(table.Adds());
}

}  // namespace fairlead::datapath
