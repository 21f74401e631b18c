#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstdint>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "lib/compat.h"

namespace {

// Called behind each load of the reader, which so lets a writer in.
std::function<void()> after_load;

__u64 LoadAndLetIn(const __u64* address) {
  const __u64 value = fl_load64(address);
  if (after_load) after_load();
  return value;
}

}  // namespace

#define fl_load64 LoadAndLetIn
#include "lib/row.h"
#undef fl_load64

namespace fairlead::test {
namespace {

using Ids = std::array<uint16_t, 4>;

uint64_t WordOf(const Ids& ids) {
  uint64_t word = 0;
  for (size_t i = 0; i < ids.size(); i++) word |= uint64_t{ids[i]} << 16 * i;
  return word;
}

std::vector<uint16_t> ListOf(const fl_hop_ids& hops) {
  std::vector<uint16_t> ids;
  for (unsigned int i = 0; i < fl_hop_count(&hops); i++)
    ids.push_back(fl_hop(&hops, i));
  return ids;
}

std::vector<uint16_t> MembersOf(const fl_row& row) {
  return ListOf(fl_row_hops(row));
}

bool Lists(const fl_row& row, uint16_t id) {
  for (const uint64_t word : {row.candidates, row.owners}) {
    for (unsigned int i = 0; i < 4; i++) {
      if (fl_row_id(word, i) == id) return true;
    }
  }
  return false;
}

TEST_CASE("a row's members are its candidates, then its owners", "[bpf][row]") {
  using List = std::vector<uint16_t>;
  const uint64_t owners = WordOf({5, 6, 0xffff, 0});
  CHECK(MembersOf({WordOf({1, 2, 3, 4}), owners}) ==
        List{1, 2, 3, 4, 5, 6, 0xffff});
  CHECK(MembersOf({WordOf({1, 0x8000, 3, 0}), owners}) ==
        List{1, 0x8000, 3, 5, 6, 0xffff});
  CHECK(MembersOf({WordOf({1, 2, 0, 0}), owners}) == List{1, 2, 5, 6, 0xffff});
  CHECK(MembersOf({WordOf({1, 0, 0, 0}), owners}) == List{1, 5, 6, 0xffff});
  CHECK(MembersOf({0, owners}) == List{5, 6, 0xffff});
  CHECK(MembersOf({WordOf({0x100, 2, 3, 4}), 0}) == List{0x100, 2, 3, 4});
  CHECK(MembersOf({0, 0}).empty());

  const fl_row row = {WordOf({1, 2, 3, 4}), owners};
  const fl_row read = fl_row_read(&row);
  CHECK(read.candidates == row.candidates);
  CHECK(read.owners == row.owners);
}

// `id` and then `others` without it.
std::vector<uint16_t> FirstOf(uint16_t id, std::vector<uint16_t> others) {
  std::erase(others, id);
  others.insert(others.begin(), id);
  return others;
}

TEST_CASE("any backend can be put first in any row's hop list", "[bpf][row]") {
  // Ids that differ in one bit, or are another one's in a neighbouring lane's
  // carry, if there were one.
  const std::vector<uint16_t> ids = {1,      0x8000, 0x8001, 0xffff, 0x7fff,
                                     0x0100, 0xff00, 2,      3};
  std::minstd_rand random(7);
  for (int round = 0; round < 100'000; round++) {
    std::vector<uint16_t> members = ids;
    std::ranges::shuffle(members, random);
    const size_t candidates = random() % 5, owners = random() % 4;
    members.resize(candidates + owners);
    Ids first = {}, second = {};
    for (size_t i = 0; i < members.size(); i++)
      (i < candidates ? first[i] : second[i - candidates]) = members[i];
    const fl_hop_ids hops = fl_row_hops({WordOf(first), WordOf(second)});
    REQUIRE(ListOf(hops) == members);

    const uint16_t id = ids[random() % ids.size()];
    const fl_hop_ids once = fl_hops_from(id, hops);
    REQUIRE(ListOf(once) == FirstOf(id, members));
    // A full list has no place for a ninth.
    const std::vector<uint16_t> known = ListOf(once);
    const uint16_t again = known.size() < FL_WIRE_HOPS
                               ? ids[random() % ids.size()]
                               : known[random() % known.size()];
    REQUIRE(ListOf(fl_hops_from(again, once)) ==
            FirstOf(again, FirstOf(id, members)));
  }
}

// The row of an order in which two members stand among the candidates or, else,
// among the owners.
fl_row RowWith(bool first_offers, bool second_offers, uint16_t other) {
  return {WordOf({other, first_offers ? uint16_t{1} : uint16_t{30},
                  second_offers ? uint16_t{2} : uint16_t{31}, 32}),
          WordOf({first_offers ? uint16_t{33} : uint16_t{1},
                  second_offers ? uint16_t{34} : uint16_t{2}, 0, 0})};
}

TEST_CASE("a read lists who is in both rows, however it meets the change",
          "[bpf][row]") {
  constexpr int kLoads = 9;  // One more than a reader has that starts over.
  for (int orders = 0; orders < 16; orders++) {
    const fl_row old_row = RowWith(orders & 1, orders & 2, 10);
    const fl_row new_row = RowWith(orders & 4, orders & 8, 20);
    // Before the reader's load of that number each store is done.
    for (int first = 0; first <= kLoads; first++) {
      for (int second = first; second <= kLoads; second++) {
        for (int third = second; third <= kLoads; third++) {
          fl_row row = old_row;
          int loads = 0;
          const auto write = [&] {
            if (loads == first) row.owners = WordOf({1, 2, 35, 0});
            if (loads == second) row.candidates = new_row.candidates;
            if (loads == third) row.owners = new_row.owners;
            loads++;
          };
          write();
          after_load = write;
          const fl_row read = fl_row_read(&row);
          after_load = nullptr;
          INFO("orders " << orders << ", stores before loads " << first << ' '
                         << second << ' ' << third);
          REQUIRE(Lists(read, 1));
          REQUIRE(Lists(read, 2));
        }
      }
    }
  }
}

// One row, one writer, one reader. Two members are in every state of the row
// but wander between its words; all others come and go and never come back, so
// that no value of word 0 is seen twice. The writer stores in the planner's
// order: whoever leaves the candidates and stays is an owner first, and leaves
// the owners only after word 0 has it again.
class RowModel {
 public:
  static constexpr uint16_t kFirst = 1, kSecond = 2;

  // How many of `reads` reads missed a member that was there all the time.
  template <typename Read>
  int64_t Misses(int64_t reads, Read read) {
    row_ = {WordOf({kFirst, kSecond, 10, 11}), 0};
    stop_ = false;
    std::thread writer([this] { Write(); });
    int64_t misses = 0;
    for (int64_t i = 0; i < reads; i++) {
      const fl_row row = read(&row_);
      if (!Lists(row, kFirst) || !Lists(row, kSecond)) misses++;
    }
    stop_ = true;
    writer.join();
    return misses;
  }

 private:
  void Write() {
    std::minstd_rand random(7);
    while (!stop_) {
      const bool first = random() % 2 == 0, second = random() % 2 == 0;
      const Ids candidates = {Filler(), first ? kFirst : Filler(),
                              second ? kSecond : Filler(), Filler()};
      const Ids owners = {first ? uint16_t{0} : kFirst,
                          second ? uint16_t{0} : kSecond, Filler(), 0};
      fl_store64(&row_.owners, WordOf({kFirst, kSecond, owners[2], 0}));
      fl_store64(&row_.candidates, WordOf(candidates));
      fl_store64(&row_.owners, WordOf(owners));
      // Changes of one row are seconds apart; here a reader just has the time
      // to start over.
      for (int i = 0; i < 400; i++) fl_load64(&row_.owners);
    }
  }

  uint16_t Filler() {
    filler_ = static_cast<uint16_t>(filler_ == 60000 ? 100 : filler_ + 1);
    return filler_;
  }

  alignas(64) fl_row row_ = {};
  std::atomic<bool> stop_ = false;
  uint16_t filler_ = 100;
};

TEST_CASE("a read lists every member that the old and the new row share",
          "[bpf][row][model]") {
  RowModel model;
  CHECK(model.Misses(5'000'000, fl_row_read) == 0);
}

// As if the reader's CPU had been taken away between its two words: the writer
// is sure to come in between, on any machine.
void LetWriterIn(const fl_row* shared) {
  std::this_thread::yield();
  for (int i = 0; i < 2000; i++) fl_load64(&shared->owners);
}

// Both words once each: what a writer does in between is not noticed.
fl_row ReadOnce(const fl_row* shared) {
  fl_row row;
  row.candidates = fl_load64(&shared->candidates);
  LetWriterIn(shared);
  row.owners = fl_load64(&shared->owners);
  return row;
}

// The other way round it fails as well.
fl_row ReadOwnersFirst(const fl_row* shared) {
  fl_row row;
  row.owners = fl_load64(&shared->owners);
  LetWriterIn(shared);
  row.candidates = fl_load64(&shared->candidates);
  return row;
}

template <typename Read>
bool IsCaught(Read read) {
  RowModel model;
  for (int i = 0; i < 200; i++) {
    if (model.Misses(2'000, read) != 0) return true;
  }
  return false;
}

TEST_CASE("the model notices a reader that does not read word 0 again",
          "[bpf][row][model]") {
  CHECK(IsCaught(ReadOnce));
  CHECK(IsCaught(ReadOwnersFirst));
}

}  // namespace
}  // namespace fairlead::test
