#include "lib/conns.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <random>
#include <thread>
#include <vector>

#include "lib/rate.h"

namespace fairlead::test {
namespace {

__u64 Key(__u64 source) { return source << FL_CONN_COUNT_BITS; }

// In one set.
void Give(fl_conn_set& set, __u32 place) {
  REQUIRE(fl_conns_give(&set.words[place]));
}

TEST_CASE("a source's entry counts its connections", "[bpf][conns]") {
  fl_conn_set set = {};
  const __u32 first = fl_conns_take(&set, Key(7));
  REQUIRE(first < FL_CONN_SET);
  CHECK(fl_conns_take(&set, Key(7)) == first);
  CHECK(fl_conns_of(&set, Key(7)) == 2);
  const __u32 other = fl_conns_take(&set, Key(8));
  CHECK(other != first);
  CHECK(fl_conns_of(&set, Key(8)) == 1);
  Give(set, first);
  CHECK(fl_conns_of(&set, Key(7)) == 1);
  Give(set, first);
  CHECK(fl_conns_of(&set, Key(7)) == 0);
  // Never below.
  Give(set, first);
  CHECK(fl_conn_count(set.words[first]) == 0);
  CHECK(fl_conns_of(&set, Key(8)) == 1);
}

TEST_CASE("an entry that counts is never another's", "[bpf][conns]") {
  fl_conn_set set = {};
  for (__u64 source = 1; source <= FL_CONN_SET; source++)
    REQUIRE(fl_conns_take(&set, Key(source)) < FL_CONN_SET);
  CHECK(fl_conns_take(&set, Key(99)) == FL_CONN_SET);
  for (__u64 source = 1; source <= FL_CONN_SET; source++)
    CHECK(fl_conns_of(&set, Key(source)) == 1);
  Give(set, 3);
  CHECK(fl_conns_take(&set, Key(99)) == 3);
  CHECK(fl_conns_of(&set, Key(99)) == 1);
}

TEST_CASE("a key of zero is a source like others", "[bpf][conns]") {
  fl_conn_set set = {};
  CHECK(fl_conns_of(&set, 0) == 0);
  REQUIRE(fl_conns_take(&set, 0) < FL_CONN_SET);
  CHECK(fl_conns_of(&set, 0) == 1);
}

TEST_CASE("a count does not run over into the check", "[bpf][conns]") {
  fl_conn_set set = {};
  set.words[2] = Key(7) | FL_CONN_COUNT_MASK;
  CHECK(fl_conns_take(&set, Key(7)) == FL_CONN_SET);
  CHECK(set.words[2] == (Key(7) | FL_CONN_COUNT_MASK));
}

TEST_CASE("both entries of a source count", "[bpf][conns]") {
  fl_conn_set set = {};
  set.words[2] = Key(7) | 5;
  set.words[6] = Key(7) | 3;
  CHECK(fl_conns_of(&set, Key(7)) == 8);
  CHECK(fl_conns_take(&set, Key(7)) == 2);
}

TEST_CASE("a source is keyed otherwise than for its rate", "[bpf][conns]") {
  const __u64 hash_key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
  const __u32 client[4] = {0, 0, 0xffff0000, 0x07710dcb};
  CHECK(fl_conn_key(hash_key, 3, client, 128) !=
        fl_rate_key(hash_key, 3, client, 128));
  CHECK(fl_conn_key(hash_key, 3, client, 128) !=
        fl_conn_key(hash_key, 4, client, 128));
  const __u32 neighbour[4] = {0, 0, 0xffff0000, 0x08710dcb};
  CHECK(fl_conn_key(hash_key, 3, client, 120) ==
        fl_conn_key(hash_key, 3, neighbour, 120));
}

TEST_CASE("a charge that comes late takes nothing from the slot's next flow",
          "[bpf][conns]") {
  const __u64 one = 1ull << 19, two = 2ull << 19;
  fl_slot slot = {fl_slot_word0(two, FL_SLOT_EMBRYONIC, 1), 0};
  // The next flow's is there already: it stays.
  __u32 cell = 22;
  CHECK(fl_charge_put(&cell, &slot, one, 11) == 11);
  CHECK(cell == 22);
  // It is not there yet: what was before goes back for it.
  CHECK(fl_charge_put(&cell, &slot, two, 33) == 22);
  CHECK(cell == 33);
  // The slot was freed.
  slot = {};
  cell = 0;
  CHECK(fl_charge_put(&cell, &slot, one, 11) == 11);
  CHECK(cell == 0);
}

TEST_CASE("a charge is cleared only if it is the one that was seen",
          "[bpf][conns]") {
  __u32 cell = 5;
  CHECK_FALSE(fl_charge_clear(&cell, 0));
  CHECK_FALSE(fl_charge_clear(&cell, 4));
  CHECK(cell == 5);
  CHECK(fl_charge_clear(&cell, 5));
  CHECK(cell == 0);
}

// Two CPUs insert flows over each other in a handful of slots, and the daemon
// frees some. Each step is one that the packet path or the daemon makes.
TEST_CASE("whoever races, counts equal charges at rest", "[bpf][conns]") {
  constexpr size_t kSlots = 8;
  constexpr int kSteps = 60000;
  constexpr __u64 kSources = 12;
  fl_slot slots[kSlots] = {};
  __u32 cells[kSlots] = {};
  fl_conn_set set = {};
  std::atomic<int> ready = 0;
  std::atomic<int> lost = 0, uncounted = 0;
  const auto give = [&](__u32 charge) {
    if (charge != 0 && !fl_conns_give(&set.words[charge - 1])) lost++;
  };
  const auto run = [&](uint32_t seed) {
    std::minstd_rand random(seed);
    ready++;
    while (ready < 3) {
    }
    for (int i = 0; i < kSteps; i++) {
      const size_t at = random() / 64 % kSlots;
      const __u64 hash = (__u64{random()} << 20) | 1ull << 63;
      fl_slot& slot = slots[at];
      const __u64 before = fl_load64(&slot.word0);
      if (seed == 0) {
        const __u32 charge = cells[at];
        if (before != 0 && fl_cas64(&slot.word0, before, 0) &&
            fl_charge_clear(&cells[at], charge))
          give(charge);
        continue;
      }
      if (!fl_cas64(&slot.word0, before,
                    fl_slot_word0(hash, FL_SLOT_EMBRYONIC, 1)))
        continue;
      const __u32 place = fl_conns_take(&set, Key(random() / 64 % kSources));
      if (place == FL_CONN_SET) uncounted++;
      give(fl_charge_put(&cells[at], &slot, hash,
                         place < FL_CONN_SET ? place + 1 : 0));
    }
  };
  std::thread daemon(run, 0), one(run, 1), two(run, 2);
  daemon.join();
  one.join();
  two.join();
  CHECK(lost == 0);
  __u64 counts[FL_CONN_SET] = {};
  for (const __u32 cell : cells)
    if (cell != 0) counts[cell - 1]++;
  for (size_t i = 0; i < FL_CONN_SET; i++)
    CHECK(fl_conn_count(set.words[i]) == counts[i]);
}

}  // namespace
}  // namespace fairlead::test
