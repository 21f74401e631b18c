#include "tests/unit/bpf/flow_slot_model.h"

#include <catch2/catch.hpp>

namespace fairlead::test {
namespace {

// 8 million steps; each pause is a point of rest.
TEST_CASE("on threads the counters equal the slots and no tag stands twice",
          "[bpf][flow_slot][model]") {
  FlowSlotModel<ShippedRules> model(1);
  int64_t wrong = 0, duplicates = 0;
  for (int round = 0; round < 400; round++) {
    model.RunThreads(9000);
    wrong += model.WrongCounters();
    duplicates += model.Duplicates();
  }
  CHECK(wrong == 0);
  CHECK(duplicates == 0);
}

// 10 million steps.
TEST_CASE("interleaved the counters equal the slots and no tag stands twice",
          "[bpf][flow_slot][model]") {
  int64_t wrong = 0, duplicates = 0;
  for (uint32_t seed = 0; seed < 10; seed++) {
    FlowSlotModel<ShippedRules> model(seed);
    for (int round = 0; round < 1000; round++) {
      model.RunInterleaved(1000);
      wrong += model.WrongCounters();
      duplicates += model.Duplicates();
    }
  }
  CHECK(wrong == 0);
  CHECK(duplicates == 0);
}

// What a rule's absence leaves behind after a thousand rests.
struct Damage {
  int64_t wrong = 0;
  int64_t duplicates = 0;
};

template <typename Rules>
Damage DamageOf() {
  Damage damage;
  FlowSlotModel<Rules> model(1);
  for (int round = 0; round < 1000; round++) {
    model.RunInterleaved(1000);
    damage.wrong += model.WrongCounters();
    damage.duplicates += model.Duplicates();
  }
  return damage;
}

// Without R2 nobody looks again after an insert.
struct NoRescan : ShippedRules {
  static bool Dedupe(const fl_buckets&, uint64_t, uint32_t, fl_slot_change*) {
    return false;
  }
};

// An R2 that is too weak: an inserter looks for earlier copies only, so an
// earlier slot that becomes free in between makes a second one.
struct EarlierOnly : ShippedRules {
  static bool Dedupe(const fl_buckets& buckets, uint64_t hash, uint32_t mine,
                     fl_slot_change* change) {
    fl_slot* slot = fl_slot_at(&buckets, mine);
    const uint64_t word0 = fl_load64(&slot->word0);
    for (uint32_t i = 0; i < mine; i++) {
      if (fl_slot_matches(fl_slot_at(&buckets, i), hash) &&
          fl_slot_tag(word0) == fl_slot_tag(hash) &&
          fl_cas64(&slot->word0, word0, 0)) {
        *change = {word0, 0};
        return true;
      }
    }
    return false;
  }
};

// Without R1 a transition is a plain store: whoever was held up undoes what
// others did meanwhile, and counts it.
struct PlainTransitions : ShippedRules {
  static fl_slot_change Touch(fl_slot* slot, uint64_t word0, uint8_t flags,
                              uint32_t now) {
    const uint64_t word1 = fl_load64(&slot->word1);
    const unsigned int next = fl_slot_next_state(
        fl_slot_state(word0), flags, fl_slot_last_seen(word1) != now);
    const uint64_t after = fl_slot_word0(word0, next, fl_slot_backend(word0));
    fl_store64(&slot->word1, fl_slot_word1(now, now, 0));
    fl_store64(&slot->word0, after);
    return {word0, after};
  }
};

TEST_CASE("the model notices when a rule is missing",
          "[bpf][flow_slot][model]") {
  const Damage none = DamageOf<ShippedRules>();
  CHECK(none.wrong == 0);
  CHECK(none.duplicates == 0);
  CHECK(DamageOf<NoRescan>().duplicates > 0);
  CHECK(DamageOf<EarlierOnly>().duplicates > 0);
  CHECK(DamageOf<PlainTransitions>().wrong > 0);
}

// The layout that was not taken: tag and backend in word 0, the state in word
// 1, each changed by compare-and-swap. The winner of a transition cannot know
// whose slot it is by then.
struct StateInWord1 {
  uint64_t word0 = 0, state = FL_SLOT_FREE;
  std::array<int64_t, kModelBackends> live = {};

  void Insert(uint16_t backend) {
    if (state == FL_SLOT_ESTABLISHED) live[fl_slot_backend(word0)]--;
    word0 = fl_slot_word0(uint64_t{backend} << 19, 0, backend);
    state = FL_SLOT_EMBRYONIC;
  }
  // `seen` is word 0 as the segment found it.
  void Segment(uint64_t seen) {
    if (state != FL_SLOT_EMBRYONIC) return;
    state = FL_SLOT_ESTABLISHED;
    live[fl_slot_backend(seen)]++;
  }
};

TEST_CASE("with the state in word 1 the counters drift",
          "[bpf][flow_slot][model]") {
  StateInWord1 slot;
  slot.Insert(1);
  const uint64_t seen = slot.word0;
  slot.Insert(2);
  slot.Segment(seen);
  CHECK(fl_slot_backend(slot.word0) == 2);
  CHECK(slot.live[1] == 1);
  CHECK(slot.live[2] == 0);

  // With the state in word 0 the same segment changes nothing.
  fl_slot shipped = {fl_slot_word0(2ull << 19, FL_SLOT_EMBRYONIC, 2), 0};
  const uint64_t stale = fl_slot_word0(1ull << 19, FL_SLOT_EMBRYONIC, 1);
  const fl_slot_change change = fl_slot_touch(&shipped, stale, FL_TCP_ACK, 1);
  CHECK(change.before == change.after);
}

}  // namespace
}  // namespace fairlead::test
