// What flows are charged to, and the counts of it, under the daemon's hands:
// the scan, a move into another table, a recount.
#include "datapath/source_charges.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <vector>

#include "datapath/flow_move.h"
#include "datapath/flow_scan.h"
#include "datapath/recount.h"
#include "lib/conns.h"

namespace fairlead::datapath {
namespace {

constexpr fl_timeouts kTimeouts = {{0, 10, 20, 1000, 50, 20, 1000, 50}};
constexpr uint32_t kNow = 5000;
constexpr uint32_t kAll = 1u << 20;

// Tables with flows that are charged to entries.
struct Tables {
  explicit Tables(size_t buckets = 8)
      : flows(buckets), load(8), charged(buckets), conns(2) {}

  SourceCharges charges() { return SourceCharges(charged, conns); }
  // A flow of `hash` in that slot, last seen `age` ticks ago.
  fl_slot& Put(size_t number, uint64_t hash, unsigned int state, uint32_t age,
               uint32_t entry, uint16_t flags = 0) {
    fl_slot& slot =
        flows[number / FL_BUCKET_SLOTS].slots[number % FL_BUCKET_SLOTS];
    slot = {.word0 = fl_slot_word0(hash, state, 3),
            .word1 = fl_slot_word1(kNow - age, kNow - age, flags)};
    charged[number / FL_BUCKET_SLOTS].entries[number % FL_BUCKET_SLOTS] =
        entry + 1;
    ++conns[entry / FL_CONN_SET].words[entry % FL_CONN_SET];
    return slot;
  }
  int64_t CountOf(size_t entry) { return charges().EntryCount(entry); }
  // Every count is that of the slots charged to it, and no free slot is.
  bool Adds() {
    std::vector<int64_t> sums(charges().entries());
    for (size_t number = 0; number < charges().slots(); ++number) {
      const uint32_t charge = charges().Of(number);
      if (charge == 0) continue;
      ++sums[charge - 1];
      if (flows[number / FL_BUCKET_SLOTS]
              .slots[number % FL_BUCKET_SLOTS]
              .word0 == 0)
        return false;
    }
    for (size_t entry = 0; entry < sums.size(); ++entry)
      if (CountOf(entry) != sums[entry]) return false;
    return true;
  }

  std::vector<fl_bucket> flows;
  std::vector<fl_load> load;
  std::vector<fl_flow_charges> charged;
  std::vector<fl_conn_set> conns;
};

uint64_t Hash(uint64_t number) { return number << 40; }

}  // namespace

TEST_CASE("a flow that expires gives its charge back", "[datapath][conns]") {
  Tables tables;
  tables.Put(1, Hash(1), FL_SLOT_ESTABLISHED, 1001, 5);
  tables.Put(2, Hash(2), FL_SLOT_ESTABLISHED, 1000, 5);
  FlowScan scan(tables.flows, tables.load, kTimeouts, tables.charges());
  scan.Step(kAll, kNow);
  CHECK(tables.CountOf(5) == 2);
  scan.Step(kAll, kNow);
  CHECK(tables.CountOf(5) == 1);
  CHECK(tables.Adds());
}

TEST_CASE("a flow that comes back keeps its charge", "[datapath][conns]") {
  Tables tables;
  fl_slot& slot = tables.Put(1, Hash(1), FL_SLOT_ESTABLISHED, 1001, 5);
  FlowScan scan(tables.flows, tables.load, kTimeouts, tables.charges());
  scan.Step(kAll, kNow);
  slot.word1 = fl_slot_word1(kNow, kNow, 0);
  scan.Step(kAll, kNow);
  CHECK(tables.CountOf(5) == 1);
  CHECK(tables.Adds());
}

TEST_CASE("a flow that has ended counts until it is silent",
          "[datapath][conns]") {
  struct Case {
    unsigned int state;
    uint16_t flags;
    uint32_t age;
    int64_t counted;
  };
  const Case test = GENERATE(
      Case{FL_SLOT_CLOSING, 0, 3, 1}, Case{FL_SLOT_CLOSING, 0, 4, 0},
      Case{FL_SLOT_YOUNG, FL_SLOT_FIN, 3, 1},
      Case{FL_SLOT_YOUNG, FL_SLOT_FIN, 4, 0}, Case{FL_SLOT_YOUNG, 0, 9, 1},
      Case{FL_SLOT_ESTABLISHED, 0, 500, 1});
  CAPTURE(test.state, test.age);
  Tables tables;
  const fl_slot before =
      tables.Put(1, Hash(1), test.state, test.age, 5, test.flags);
  FlowScan scan(tables.flows, tables.load, kTimeouts, tables.charges());
  scan.Step(kAll, kNow);
  CHECK(tables.CountOf(5) == test.counted);
  CHECK(tables.flows[0].slots[1].word0 == before.word0);
  CHECK(tables.Adds());
}

TEST_CASE("a charge that was left in a free slot is given back",
          "[datapath][conns]") {
  Tables tables;
  tables.Put(1, Hash(1), FL_SLOT_YOUNG, 0, 5) = {};
  FlowScan scan(tables.flows, tables.load, kTimeouts, tables.charges());
  scan.Step(kAll, kNow);
  CHECK(tables.CountOf(5) == 0);
  CHECK(tables.Adds());
}

TEST_CASE("flows of a backend without connections give their charges back",
          "[datapath][conns]") {
  Tables tables;
  tables.Put(1, Hash(1), FL_SLOT_ESTABLISHED, 0, 5);
  FlowScan scan(tables.flows, tables.load, kTimeouts, tables.charges());
  scan.Step(kAll, kNow, {3});
  CHECK(tables.CountOf(5) == 0);
  CHECK(tables.Adds());
}

TEST_CASE("a flow that an agent names takes a slot and not its charge",
          "[datapath][conns]") {
  Tables tables(2);
  for (size_t number = 0; number < 8; ++number)
    tables.Put(number, Hash(number + 1), FL_SLOT_EMBRYONIC, 11, 5);
  FlowScan scan(tables.flows, tables.load, kTimeouts, tables.charges());
  REQUIRE(scan.Record(Hash(99), 3, kNow));
  CHECK(tables.CountOf(5) == 7);
  CHECK(tables.Adds());
}

TEST_CASE("flows are moved with what they are charged to",
          "[datapath][conns][move]") {
  std::mt19937_64 random(1);
  Tables from(64);
  Tables to(GENERATE(16, 256));
  std::map<uint64_t, uint32_t> charges;
  for (size_t number = 0; number < 120; ++number) {
    const uint64_t hash = random();
    const auto entry = static_cast<uint32_t>(number % 13);
    if (number % 3 == 0) {
      from.Put(number, hash, FL_SLOT_EMBRYONIC, 11, entry);  // expired
    } else {
      from.Put(number, hash, FL_SLOT_ESTABLISHED, 0, entry);
      charges[fl_slot_tag(hash)] = entry + 1;
    }
  }
  to.conns = from.conns;
  const SourceCharges was(from.charged, to.conns);
  FlowMove move(from.flows, to.flows,
                {.timeouts = kTimeouts,
                 .now_tick = kNow,
                 .backends = 8,
                 .table_only = {},
                 .charges_from = was,
                 .charges_to = to.charges()});
  move.Pass();
  move.Pass();
  move.ReleaseCharges();
  CHECK(to.Adds());
  size_t found = 0;
  for (size_t number = 0; number < to.charges().slots(); ++number) {
    const uint64_t word0 = to.flows[number / 4].slots[number % 4].word0;
    const auto charge = charges.find(fl_slot_tag(word0));
    if (word0 == 0 || charge == charges.end()) continue;
    CHECK(to.charges().Of(number) == charge->second);
    ++found;
  }
  CHECK(found >= 60);
  for (size_t number = 0; number < was.slots(); ++number)
    CHECK(was.Of(number) == 0);
}

TEST_CASE("counts that a killed daemon left wrong are mended",
          "[datapath][conns][recount]") {
  Tables tables;
  for (size_t number = 0; number < 20; ++number)
    tables.Put(number, Hash(number + 1), FL_SLOT_ESTABLISHED, 0,
               static_cast<uint32_t>(number % 6));
  const uint64_t check = 77ull << FL_CONN_COUNT_BITS;
  tables.conns[0].words[2] = (tables.conns[0].words[2] | check) + 3;
  tables.conns[1].words[7] = check | 1;  // of no flow
  tables.conns[0].words[4] -= 1;
  Recount recount(tables.charges());
  while (!recount.Round()) {
  }
  CHECK(recount.corrected() == 3);
  CHECK(tables.Adds());
  CHECK(fl_conn_check(tables.conns[0].words[2]) == check);
}

TEST_CASE("where nothing is counted, nothing is done", "[datapath][conns]") {
  SourceCharges none;
  const fl_slot slot = {};
  CHECK(none.empty());
  CHECK(none.Of(7) == 0);
  none.Release(7, 0);
  none.Put(7, slot, 1, 0);
  CHECK(none.CountOf(1) == 0);
}

}  // namespace fairlead::datapath
