// The slot's rules one step at a time; flow_slot_model_test.cc has them all at
// once.
#include "lib/flow_slot.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <string>

namespace fairlead::test {
namespace {

constexpr uint64_t kHash = 0x0123456789abcdef;
constexpr uint64_t kOther = 0xfedcba9876543210;
constexpr fl_timeouts kTimeouts = {{0, 10, 100, 1000, 50, 0, 0, 0}};

constexpr uint8_t kAck = FL_TCP_ACK, kFin = FL_TCP_FIN | FL_TCP_ACK,
                  kRst = FL_TCP_RST, kSyn = FL_TCP_SYN;

fl_newcomer At(uint32_t now, uint16_t mark = 0) {
  return {.timeouts = &kTimeouts, .now = now, .mark = mark};
}

struct Table {
  std::array<fl_bucket, 2> memory = {};
  fl_buckets buckets = {&memory[0], &memory[1]};

  fl_slot& at(uint32_t position) { return *fl_slot_at(&buckets, position); }
  void Put(uint32_t position, uint64_t hash, unsigned int state,
           uint32_t last_seen, uint16_t backend = 1) {
    at(position) = {fl_slot_word0(hash, state, backend),
                    fl_slot_word1(last_seen, last_seen, 0)};
  }
  // Fills every slot but those in use with somebody's established flow.
  void FillUp(uint32_t now) {
    for (uint32_t i = 0; i < FL_POSITIONS; i++) {
      if (at(i).word0 == 0) Put(i, (i + 1ull) << 19, FL_SLOT_ESTABLISHED, now);
    }
  }
};

uint32_t Victim(const Table& table, const fl_newcomer& newcomer) {
  return fl_slot_victim(&table.buckets, &newcomer);
}

fl_slot_change Insert(const Table& table, uint32_t position, uint16_t backend,
                      const fl_newcomer& newcomer) {
  return fl_slot_insert(&table.buckets, position, kHash, backend, &newcomer);
}

TEST_CASE("a word 0 holds tag, state and backend", "[bpf][flow_slot]") {
  const uint64_t word0 = fl_slot_word0(kHash, FL_SLOT_CLOSING, 65535);
  CHECK(fl_slot_tag(word0) == fl_slot_tag(kHash));
  CHECK(fl_slot_state(word0) == FL_SLOT_CLOSING);
  CHECK(fl_slot_backend(word0) == 65535);
  CHECK(fl_slot_tag(~0ull) == ~0ull << 19);
}

TEST_CASE("a word 1 holds birth, last segment and flags", "[bpf][flow_slot]") {
  const uint64_t word1 = fl_slot_word1(0x1abcdef, 0x1fedcba, 0x1234);
  CHECK(fl_slot_born(word1) == 0xabcdef);
  CHECK(fl_slot_last_seen(word1) == 0xfedcba);
  CHECK(fl_slot_flags(word1) == 0x1234);
}

TEST_CASE("ages wrap with the tick, and the near future is now",
          "[bpf][flow_slot]") {
  CHECK(fl_tick_age(5, 5) == 0);
  CHECK(fl_tick_age(7, 5) == 2);
  CHECK(fl_tick_age(1, 0xffffff) == 2);
  CHECK(fl_tick_age(5, 6) == 0);
  CHECK(fl_tick_age(0, 1) == 0);
  CHECK(fl_tick_age(0x7fffff, 0) == 0x7fffff);
}

TEST_CASE("the two buckets of a flow differ, however small the table",
          "[bpf][flow_slot]") {
  for (uint32_t bits = 1; bits <= 26; bits++) {
    const uint32_t mask = (1u << bits) - 1;
    for (uint64_t i = 0; i < 200; i++) {
      const uint64_t hash = i * 0x9e3779b97f4a7c15ull;
      const uint32_t first = fl_bucket_first(hash, mask);
      const uint32_t second = fl_bucket_second(hash, mask);
      REQUIRE(first <= mask);
      REQUIRE(second <= mask);
      REQUIRE(first != second);
      // Both are functions of the tag: a table can be moved without tuples.
      REQUIRE(fl_bucket_first(fl_slot_tag(hash), mask) == first);
      REQUIRE(fl_bucket_second(fl_slot_tag(hash), mask) == second);
    }
  }
}

struct Transition {
  unsigned int from;
  uint8_t flags;
  bool new_tick;
  unsigned int to;
};

TEST_CASE("each segment moves a slot to one state", "[bpf][flow_slot]") {
  constexpr unsigned int kEmbryonic = FL_SLOT_EMBRYONIC, kYoung = FL_SLOT_YOUNG,
                         kEstablished = FL_SLOT_ESTABLISHED,
                         kClosing = FL_SLOT_CLOSING;
  const Transition transitions[] = {
      {kEmbryonic, kSyn, false, kEmbryonic},
      {kEmbryonic, kSyn, true, kEmbryonic},
      {kEmbryonic, kAck, false, kYoung},
      {kEmbryonic, kAck, true, kYoung},
      {kEmbryonic, kRst, true, kYoung},
      {kYoung, kAck, false, kYoung},
      {kYoung, kAck, true, kEstablished},
      {kYoung, kSyn, true, kYoung},
      {kYoung, kFin, true, kYoung},
      {kYoung, kRst, true, kYoung},
      {kEstablished, kAck, true, kEstablished},
      {kEstablished, kSyn, true, kEstablished},
      {kEstablished, kFin, false, kClosing},
      {kEstablished, kRst, false, kClosing},
      {kClosing, kAck, true, kClosing},
      {kClosing, kFin, true, kClosing},
      {FL_SLOT_EXPIRING_PENDING, kAck, true, kEstablished},
      {FL_SLOT_EXPIRING_PENDING, kSyn, true, kYoung},
      {FL_SLOT_EXPIRING_ESTABLISHED, kAck, true, kEstablished},
      {FL_SLOT_EXPIRING_ESTABLISHED, kRst, true, kClosing},
      {FL_SLOT_EXPIRING_CLOSING, kAck, true, kClosing},
  };
  for (const Transition& t : transitions) {
    INFO("from " << t.from << " flags " << int{t.flags} << " new tick "
                 << t.new_tick);
    CHECK(fl_slot_next_state(t.from, t.flags, t.new_tick) == t.to);
  }
}

TEST_CASE("a touch writes word 1 at most once a tick", "[bpf][flow_slot]") {
  Table table;
  table.Put(0, kHash, FL_SLOT_ESTABLISHED, 7);
  fl_slot& slot = table.at(0);
  fl_slot_touch(&slot, slot.word0, kAck, 8);
  CHECK(slot.word1 == fl_slot_word1(7, 8, 0));
  // Whoever lost the race to write it must not be able to tell: a second touch
  // in the tick finds nothing to do.
  const fl_slot before = slot;
  const fl_slot_change change = fl_slot_touch(&slot, slot.word0, kAck, 8);
  CHECK(change.before == change.after);
  CHECK(slot.word0 == before.word0);
  CHECK(slot.word1 == before.word1);
}

TEST_CASE("a touch of a slot that changed meanwhile counts nothing",
          "[bpf][flow_slot]") {
  Table table;
  table.Put(0, kHash, FL_SLOT_ESTABLISHED, 7);
  const uint64_t stale = fl_slot_word0(kHash, FL_SLOT_EMBRYONIC, 1);
  const fl_slot_change change = fl_slot_touch(&table.at(0), stale, kAck, 7);
  CHECK(change.before == change.after);
  CHECK(fl_slot_state(table.at(0).word0) == FL_SLOT_ESTABLISHED);
}

TEST_CASE("a flow is found wherever it stands, the earlier slot first",
          "[bpf][flow_slot]") {
  for (uint32_t position = 0; position < FL_POSITIONS; position++) {
    Table table;
    table.FillUp(1);
    table.Put(position, kHash, FL_SLOT_YOUNG, 1, 9);
    __u64 word0 = 0;
    CHECK(fl_slot_find(&table.buckets, kHash, &word0) == &table.at(position));
    CHECK(fl_slot_backend(word0) == 9);
    CHECK(fl_slot_find(&table.buckets, kOther, &word0) == nullptr);
    for (uint32_t later = position + 1; later < FL_POSITIONS; later++) {
      table.Put(later, kHash, FL_SLOT_YOUNG, 1, 8);
      CHECK(fl_slot_find(&table.buckets, kHash, &word0) == &table.at(position));
    }
  }
}

TEST_CASE("an empty slot is nobody's, not even a tag of zeros'",
          "[bpf][flow_slot]") {
  Table table;
  __u64 word0 = 0;
  CHECK(fl_slot_find(&table.buckets, 0, &word0) == nullptr);
}

TEST_CASE("a full bucket pair has no victim", "[bpf][flow_slot]") {
  Table table;
  table.FillUp(5);
  CHECK(Victim(table, At(5)) == FL_POSITIONS);
  CHECK(Victim(table, At(1005)) == FL_POSITIONS);
  CHECK(Victim(table, At(1006)) == 0);
}

struct YieldCase {
  std::string name;
  unsigned int state;
  uint16_t mark;
  uint32_t idle;
  bool to_crowd, to_fair;
};

// No slot is expired here; whatever is, is anybody's.
TEST_CASE("what is within a fair share gives way to no crowd",
          "[bpf][flow_slot]") {
  const YieldCase cases[] = {
      {"a handshake of the crowd", FL_SLOT_EMBRYONIC, 0, 0, true, true},
      {"a handshake", FL_SLOT_EMBRYONIC, FL_SLOT_FAIR, 0, false, false},
      {"a handshake of 4 s", FL_SLOT_EMBRYONIC, FL_SLOT_FAIR, 4, false, false},
      {"a stale handshake", FL_SLOT_EMBRYONIC, FL_SLOT_FAIR, 5, false, true},
      {"young of the crowd", FL_SLOT_YOUNG, 0, 0, false, true},
      {"young of the crowd, idle", FL_SLOT_YOUNG, 0, 57, true, true},
      {"young", FL_SLOT_YOUNG, FL_SLOT_FAIR, 0, false, false},
      {"young, 60 s", FL_SLOT_YOUNG, FL_SLOT_FAIR, 56, false, false},
      {"young, idle", FL_SLOT_YOUNG, FL_SLOT_FAIR, 57, false, true},
      {"established", FL_SLOT_ESTABLISHED, 0, 900, false, false},
      {"established and marked", FL_SLOT_ESTABLISHED, FL_SLOT_FAIR, 900, false,
       false},
      {"closing", FL_SLOT_CLOSING, 0, 40, false, false},
  };
  for (const YieldCase& c : cases) {
    INFO(c.name);
    Table table;
    table.FillUp(1000);
    table.at(5) = {fl_slot_word0(kOther, c.state, 1),
                   fl_slot_word1(1000 - c.idle, 1000 - c.idle, c.mark)};
    const uint32_t taken = 5, none = FL_POSITIONS;
    CHECK(Victim(table, At(1000)) == (c.to_crowd ? taken : none));
    CHECK(Victim(table, At(1000, FL_SLOT_FAIR)) == (c.to_fair ? taken : none));
  }
}

TEST_CASE("the crowd is displaced before anybody else", "[bpf][flow_slot]") {
  struct Kind {
    unsigned int state;
    uint16_t mark;
    uint32_t idle;
  };
  // Each is taken before all that follow it.
  const Kind order[] = {{FL_SLOT_EMBRYONIC, 0, 0},
                        {FL_SLOT_YOUNG, 0, 57},
                        {FL_SLOT_YOUNG, 0, 0},
                        {FL_SLOT_EMBRYONIC, FL_SLOT_FAIR, 5},
                        {FL_SLOT_YOUNG, FL_SLOT_FAIR, 57}};
  for (size_t i = 0; i + 1 < std::size(order); i++) {
    INFO("kind " << i);
    Table table;
    table.FillUp(1000);
    const auto put = [&](uint32_t position, const Kind& kind) {
      table.at(position) = {
          fl_slot_word0(kOther, kind.state, 1),
          fl_slot_word1(1000 - kind.idle, 1000 - kind.idle, kind.mark)};
    };
    put(6, order[i]);
    for (const uint32_t position : {0u, 3u, 7u}) put(position, order[i + 1]);
    CHECK(Victim(table, At(1000, FL_SLOT_FAIR)) == 6);
  }
}

TEST_CASE("a recorded flow has its newcomer's mark, and keeps it",
          "[bpf][flow_slot]") {
  for (const uint16_t mark : {uint16_t{0}, uint16_t{FL_SLOT_FAIR}}) {
    Table table;
    REQUIRE(Insert(table, 2, 7, At(5, mark)).after != 0);
    fl_slot& slot = table.at(2);
    CHECK(fl_slot_flags(slot.word1) == mark);
    fl_slot_touch(&slot, slot.word0, kAck, 6);
    fl_slot_touch(&slot, slot.word0, kFin, 6);
    CHECK(fl_slot_flags(slot.word1) == (mark | FL_SLOT_FIN));
    CHECK(fl_slot_reused(slot.word1, 9) == fl_slot_word1(9, 9, mark));
  }
}

TEST_CASE("an insert into a slot that came into use meanwhile wins nothing",
          "[bpf][flow_slot]") {
  Table table;
  table.Put(3, kOther, FL_SLOT_ESTABLISHED, 5);
  const fl_slot before = table.at(3);
  const fl_slot_change change = Insert(table, 3, 2, At(5));
  CHECK(change.before == change.after);
  CHECK(table.at(3).word0 == before.word0);
  CHECK(table.at(3).word1 == before.word1);
}

TEST_CASE("an insert takes the slot's old flow out of the counters",
          "[bpf][flow_slot]") {
  Table table;
  table.Put(3, kOther, FL_SLOT_EMBRYONIC, 5, 7);
  const fl_slot_change change = Insert(table, 3, 2, At(6));
  CHECK(change.before == fl_slot_word0(kOther, FL_SLOT_EMBRYONIC, 7));
  CHECK(change.after == fl_slot_word0(kHash, FL_SLOT_EMBRYONIC, 2));
  CHECK(table.at(3).word1 == fl_slot_word1(6, 6, 0));
}

// Two CPUs have the flow's first SYN and did not find it. One took a late slot
// and has looked around; then an earlier slot became free, and the other one
// took that. Whoever looks last must see that there are two.
TEST_CASE("of two copies of a flow the earlier stays, whoever looks",
          "[bpf][flow_slot]") {
  for (uint32_t first = 0; first < FL_POSITIONS; first++) {
    for (uint32_t second = 0; second < FL_POSITIONS; second++) {
      if (first == second) continue;
      INFO(first << " then " << second);
      Table table;
      table.FillUp(5);
      table.at(first) = {};
      fl_slot_change undone = {0, 0};
      Insert(table, first, 1, At(5));
      REQUIRE(fl_slot_dedupe(&table.buckets, kHash, &undone) == 0);
      table.at(second) = {};
      Insert(table, second, 2, At(5));
      REQUIRE(fl_slot_dedupe(&table.buckets, kHash, &undone) == 1);
      CHECK(fl_slot_tag(undone.before) == fl_slot_tag(kHash));
      CHECK(undone.after == 0);
      CHECK(fl_slot_dedupe(&table.buckets, kHash, &undone) == 0);
      __u64 word0 = 0;
      CHECK(fl_slot_find(&table.buckets, kHash, &word0) ==
            &table.at(std::min(first, second)));
      CHECK(table.at(std::max(first, second)).word0 == 0);
    }
  }
}

TEST_CASE("of many copies all but the first go, one by one",
          "[bpf][flow_slot]") {
  Table table;
  for (uint32_t i = 0; i < FL_POSITIONS; i++)
    table.Put(i, kHash, FL_SLOT_EMBRYONIC + i % 4, 5);
  fl_slot_change undone = {0, 0};
  for (uint32_t i = FL_POSITIONS - 1; i > 0; i--) {
    CHECK(fl_slot_dedupe(&table.buckets, kHash, &undone) == 1);
    CHECK(table.at(i).word0 == 0);
  }
  CHECK(fl_slot_dedupe(&table.buckets, kHash, &undone) == 0);
  CHECK(table.at(0).word0 != 0);
}

TEST_CASE("expiry takes two steps and remembers the state",
          "[bpf][flow_slot]") {
  const unsigned int expiring[][2] = {
      {FL_SLOT_EMBRYONIC, FL_SLOT_EXPIRING_PENDING},
      {FL_SLOT_YOUNG, FL_SLOT_EXPIRING_PENDING},
      {FL_SLOT_ESTABLISHED, FL_SLOT_EXPIRING_ESTABLISHED},
      {FL_SLOT_CLOSING, FL_SLOT_EXPIRING_CLOSING},
  };
  for (const auto& [state, expected] : expiring) {
    INFO("state " << state);
    Table table;
    table.Put(0, kHash, state, 5, 3);
    fl_slot& slot = table.at(0);
    __u64 word1 = 0;
    const uint32_t due = 5 + kTimeouts.by_state[state];
    CHECK(fl_slot_expire_begin(&slot, due, &kTimeouts, &word1) == 0);
    CHECK(fl_slot_expire_begin(&slot, due + 1, &kTimeouts, &word1) == 1);
    CHECK(slot.word0 == fl_slot_word0(kHash, expected, 3));
    CHECK(fl_slot_is_pending(expected) == fl_slot_is_pending(state));
    // Not twice.
    CHECK(fl_slot_expire_begin(&slot, due + 1, &kTimeouts, &word1) == 0);
    const fl_slot_change change = fl_slot_expire_end(&slot, word1);
    CHECK(change.before == fl_slot_word0(kHash, expected, 3));
    CHECK(change.after == 0);
    CHECK(slot.word0 == 0);
  }
}

TEST_CASE("a segment between the steps keeps the flow", "[bpf][flow_slot]") {
  Table table;
  table.Put(0, kHash, FL_SLOT_ESTABLISHED, 5, 3);
  fl_slot& slot = table.at(0);
  __u64 word1 = 0;
  REQUIRE(fl_slot_expire_begin(&slot, 2000, &kTimeouts, &word1) == 1);
  SECTION("that brought the slot back") {
    fl_slot_touch(&slot, slot.word0, kAck, 2000);
    const fl_slot_change change = fl_slot_expire_end(&slot, word1);
    CHECK(change.before == change.after);
  }
  // It read word 0 before the first step, so its own CAS fails; but it has
  // written word 1.
  SECTION("that knew nothing of the first step") {
    fl_slot_touch(&slot, fl_slot_word0(kHash, FL_SLOT_ESTABLISHED, 3), kAck,
                  2000);
    const fl_slot_change change = fl_slot_expire_end(&slot, word1);
    CHECK(fl_slot_state(change.after) == FL_SLOT_ESTABLISHED);
  }
  CHECK(slot.word0 == fl_slot_word0(kHash, FL_SLOT_ESTABLISHED, 3));
  CHECK(fl_slot_last_seen(slot.word1) == 2000);
}

TEST_CASE("a free slot does not expire", "[bpf][flow_slot]") {
  fl_slot slot = {};
  __u64 word1 = 0;
  CHECK(fl_slot_expire_begin(&slot, 70000, &kTimeouts, &word1) == 0);
  const fl_slot_change change = fl_slot_expire_end(&slot, 0);
  CHECK(change.before == change.after);
}

}  // namespace
}  // namespace fairlead::test
