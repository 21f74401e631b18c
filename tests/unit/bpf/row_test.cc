#include "lib/row.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

namespace fairlead::test {
namespace {

using Ids = std::array<uint16_t, 4>;

uint64_t WordOf(const Ids& ids) {
  uint64_t word = 0;
  for (size_t i = 0; i < ids.size(); i++) word |= uint64_t{ids[i]} << 16 * i;
  return word;
}

bool Lists(const fl_row& row, uint16_t id) {
  for (unsigned int i = 0; i < FL_ROW_MEMBERS; i++) {
    if (fl_row_member(row, i) == id) return true;
  }
  return false;
}

TEST_CASE("a row's members are its candidates, then its owners", "[bpf][row]") {
  const fl_row row = {WordOf({1, 2, 3, 4}), WordOf({5, 6, 7, 0})};
  for (unsigned int i = 0; i < FL_ROW_MEMBERS; i++)
    CHECK(fl_row_member(row, i) == i + 1);
  const fl_row read = fl_row_read(&row);
  CHECK(read.candidates == row.candidates);
  CHECK(read.owners == row.owners);
}

std::vector<uint16_t> Listed(std::initializer_list<uint16_t> ids) {
  fl_hop_ids hops = {};
  for (const uint16_t id : ids) fl_hop_append(&hops, id, 1);
  return {hops.id, hops.id + hops.count};
}

TEST_CASE("a hop list leaves out none, and the first two a second time",
          "[bpf][row]") {
  CHECK(Listed({}).empty());
  CHECK(Listed({0, 0, 0}).empty());
  CHECK(Listed({0, 7, 0, 8}) == std::vector<uint16_t>{7, 8});
  CHECK(Listed({7, 7, 8, 7, 8, 9}) == std::vector<uint16_t>{7, 8, 9});
  fl_hop_ids hops = {};
  fl_hop_append(&hops, 5, 0);
  CHECK(hops.count == 0);
  fl_hop_append(&hops, 5, 1);
  CHECK(hops.count == 1);
  CHECK(hops.id[0] == 5);
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
