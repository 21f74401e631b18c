#include "core/row_plan.h"

#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "core/mix.h"

namespace fairlead::core {
namespace {

using Ids = std::array<uint16_t, 4>;

// A set of ids up to 15, one bit each.
using Set = uint32_t;

Set SetOf(uint64_t word) {
  Set set = 0;
  for (const uint16_t id : UnpackWord(word)) set |= 1u << id;
  return set & ~1u;
}

bool Has(Set set, uint16_t id) { return (set >> id & 1) != 0; }

size_t CountIn(uint64_t word) {
  const auto ids = UnpackWord(word);
  return static_cast<size_t>(std::count_if(
      ids.begin(), ids.end(), [](uint16_t id) { return id != 0; }));
}

RowWords Row(Ids candidates, Ids owners = {}) {
  return {PackWord(candidates), PackWord(owners)};
}

RowPlan Plan(const RowWords& now, const Ids& wanted, Set owning) {
  return PlanRow(now, wanted, [&](uint16_t id) { return Has(owning, id); });
}

// All states of the row from `now` on, one per store.
std::vector<RowWords> States(RowWords now, const RowPlan& plan) {
  std::vector<RowWords> states = {now};
  for (const RowStore& store : plan.steps()) {
    uint64_t& word =
        store.word == RowWord::kCandidates ? now.candidates : now.owners;
    word = store.value;
    states.push_back(now);
  }
  return states;
}

std::string Text(const RowWords& row) {
  std::string text;
  for (const uint16_t id : UnpackWord(row.candidates))
    text += std::to_string(id) + " ";
  text += "|";
  for (const uint16_t id : UnpackWord(row.owners))
    text += " " + std::to_string(id);
  return text;
}

// What a reader can take: word 1 between two equal reads of word 0.
bool ReaderMisses(const std::vector<RowWords>& states, Set needed) {
  for (size_t i = 0; i < states.size(); ++i) {
    for (size_t k = i; k < states.size(); ++k) {
      if (states[i].candidates != states[k].candidates) continue;
      for (size_t j = i; j <= k; ++j) {
        const Set seen = SetOf(states[i].candidates) | SetOf(states[j].owners);
        if ((needed & ~seen) != 0) return true;
      }
    }
  }
  return false;
}

// Says what is wrong with the states of one plan, or nothing.
std::string Complaint(const std::vector<RowWords>& states, const RowPlan& plan,
                      const Ids& wanted, Set owning) {
  const RowWords& last = states.back();
  const Set before =
      SetOf(states.front().candidates) | SetOf(states.front().owners);
  const Set candidates = SetOf(last.candidates);
  const Set owners = SetOf(last.owners);
  const Set after = candidates | owners;
  const Set wanted_set = SetOf(PackWord(wanted));
  if (ReaderMisses(states, (before & after) | (before & owning)))
    return "a reader misses a member";
  for (const RowWords& state : states) {
    if (UnpackWord(state.owners)[3] != 0) return "the reserved u16 is set";
    if (CountIn(state.candidates) !=
        static_cast<size_t>(std::popcount(SetOf(state.candidates))))
      return "a candidate is listed twice";
  }
  if ((owners & ~owning) != 0) return "an owner that may not own is left";
  if ((owners & candidates) != 0) return "a member is listed in both words";
  if ((after & ~(before | wanted_set)) != 0) return "an intruder is listed";
  if (plan.overflow != (last.candidates != PackWord(wanted)))
    return "overflow is not what happened";
  if ((candidates & ~wanted_set & ~owning) != 0)
    return "a candidate stays without a reason";
  return "";
}

// Applies plan after plan until one has no stores, checking each of them.
// Returns the complaint, and counts the rows that stay in overflow.
std::string Settle(RowWords now, const Ids& wanted, Set owning,
                   int* overflows) {
  const Set needed = (SetOf(now.candidates) | SetOf(now.owners)) & owning;
  std::vector<RowWords> all;
  for (int round = 0; round < 6; ++round) {
    const RowPlan plan = Plan(now, wanted, owning);
    const auto states = States(now, plan);
    std::string complaint = Complaint(states, plan, wanted, owning);
    if (!complaint.empty()) return complaint;
    all.insert(all.end(), states.begin(), states.end());
    now = states.back();
    if (plan.count != 0) continue;
    if (ReaderMisses(all, needed)) return "a slow reader misses a member";
    if (!plan.overflow) return "";
    ++*overflows;
    return CountIn(now.owners) < kRowOwners ? "refused with a place left" : "";
  }
  return "the plans do not come to an end";
}

void RequireSettles(const RowWords& now, const Ids& wanted, Set owning,
                    int* overflows) {
  const std::string complaint = Settle(now, wanted, owning, overflows);
  if (!complaint.empty())
    FAIL(complaint << ": " << Text(now) << " -> " << Text(Row(wanted))
                   << " owning " << owning);
}

// Ids in rising order.
Ids Rising(Set set) {
  Ids ids = {};
  size_t size = 0;
  for (uint16_t id = 1; id < 16; ++id) {
    if (Has(set, id)) ids[size++] = id;
  }
  return ids;
}

Ids Falling(Set set) {
  Ids ids = Rising(set);
  std::reverse(ids.begin(), ids.begin() + std::popcount(set));
  return ids;
}

std::vector<Set> SetsOfUpTo(int size, int ids) {
  std::vector<Set> sets;
  for (Set set = 0; set < 2u << ids; set += 2) {
    if (std::popcount(set) <= size) sets.push_back(set);
  }
  return sets;
}

TEST_CASE("ids stand in a word in the order of a little-endian array",
          "[core][row]") {
  CHECK(PackWord({1, 2, 3, 4}) == 0x0004000300020001);
  CHECK(PackWord({0xffff, 0, 0, 0}) == 0xffff);
  CHECK(UnpackWord(PackWord({1, 0, 65535, 7})) == Ids{1, 0, 65535, 7});
}

TEST_CASE("a row that is right needs no store", "[core][row]") {
  CHECK(Plan(Row({1, 2, 3, 4}, {5}), {1, 2, 3, 4}, 1u << 5).count == 0);
  CHECK(Plan(Row({}), {}, 0).count == 0);
}

TEST_CASE("an empty row and a new order take one store", "[core][row]") {
  const RowPlan fill = Plan(Row({}), {1, 2, 0, 0}, 0);
  CHECK(fill.count == 1);
  CHECK(States(Row({}), fill).back() == Row({1, 2}));
  const RowPlan swap = Plan(Row({1, 2, 3, 4}), {2, 1, 3, 4}, 0xffff);
  CHECK(swap.count == 1);
  CHECK(States(Row({1, 2, 3, 4}), swap).back() == Row({2, 1, 3, 4}));
}

TEST_CASE("a candidate that leaves becomes an owner before it leaves",
          "[core][row]") {
  const RowWords now = Row({1, 2, 3, 4});
  const auto states = States(now, Plan(now, {1, 2, 3, 5}, 1u << 4));
  REQUIRE(states.size() == 3);
  CHECK(states[1] == Row({1, 2, 3, 4}, {4}));
  CHECK(states[2] == Row({1, 2, 3, 5}, {4}));
  const auto without = States(now, Plan(now, {1, 2, 3, 5}, 0));
  REQUIRE(without.size() == 2);
  CHECK(without[1] == Row({1, 2, 3, 5}));
}

TEST_CASE("an owner that is a candidate again leaves after it is one",
          "[core][row]") {
  const RowWords now = Row({1, 2, 3, 5}, {4});
  const auto states = States(now, Plan(now, {1, 2, 3, 4}, 1u << 4 | 1u << 5));
  REQUIRE(states.size() == 4);
  CHECK(states[1] == Row({1, 2, 3, 5}, {4, 5}));
  CHECK(states[2] == Row({1, 2, 3, 4}, {4, 5}));
  CHECK(states[3] == Row({1, 2, 3, 4}, {5}));
}

TEST_CASE("an owner that may not own any more is dropped last", "[core][row]") {
  const RowWords now = Row({1, 2, 3, 4}, {6});
  const auto states = States(now, Plan(now, {1, 2, 3, 5}, 1u << 4));
  REQUIRE(states.size() == 4);
  CHECK(states[1] == Row({1, 2, 3, 4}, {6, 4}));
  CHECK(states[2] == Row({1, 2, 3, 5}, {6, 4}));
  CHECK(states[3] == Row({1, 2, 3, 5}, {4}));
  const RowWords idle = Row({1, 2, 3, 4}, {6, 7});
  const auto dropped = States(idle, Plan(idle, {1, 2, 3, 4}, 1u << 7));
  REQUIRE(dropped.size() == 2);
  CHECK(dropped[1] == Row({1, 2, 3, 4}, {7}));
}

TEST_CASE("a full row refuses the new candidate and keeps the order it can",
          "[core][row]") {
  const RowWords now = Row({1, 2, 3, 4}, {5, 6, 7});
  const RowPlan plan = Plan(now, {8, 2, 1, 3}, 0xffff);
  CHECK(plan.overflow);
  CHECK(States(now, plan).back() == Row({2, 1, 3, 4}, {5, 6, 7}));
  // Once an owner has gone, the new one comes in.
  const RowPlan later = Plan(now, {8, 2, 1, 3}, 0xffff & ~(1u << 6));
  CHECK_FALSE(later.overflow);
  CHECK(States(now, later).back() == Row({8, 2, 1, 3}, {5, 7, 4}));
}

TEST_CASE("of four that leave at once the first stays until there is a place",
          "[core][row]") {
  const RowWords now = Row({1, 2, 3, 4});
  const RowPlan plan = Plan(now, {5, 6, 7, 8}, 0xffff);
  CHECK(plan.overflow);
  CHECK(States(now, plan).back() == Row({5, 6, 7, 1}, {4, 3, 2}));
}

TEST_CASE("a row left by a writer that was killed is finished", "[core][row]") {
  // Between the last two stores: 4 is in both words.
  const RowWords now = Row({1, 2, 3, 4}, {4, 5, 0, 9});
  const auto states = States(now, Plan(now, {1, 2, 3, 4}, 0xffff));
  REQUIRE(states.size() == 2);
  CHECK(states[1] == Row({1, 2, 3, 4}, {5}));
}

// All rows with ids 1 to 6. Renaming the ids changes nothing, so the
// candidates may be 1, 2, ... without loss; owners are any, also such as are
// candidates at the same time, as after a crash.
TEST_CASE("every state of every plan lists all it must", "[core][row]") {
  int overflows = 0;
  const auto owner_sets = SetsOfUpTo(3, 6);
  const auto wanted_sets = SetsOfUpTo(4, 6);
  for (int count = 0; count <= 4; ++count) {
    const Ids candidates = Rising(((1u << count) - 1) << 1);
    for (const Set owners : owner_sets) {
      const RowWords now = Row(candidates, Rising(owners));
      for (const Set wanted : wanted_sets) {
        for (Set owning = 0; owning < 1u << 7; owning += 2) {
          RequireSettles(now, Rising(wanted), owning, &overflows);
          RequireSettles(now, Falling(wanted), owning, &overflows);
        }
      }
    }
  }
  CHECK(overflows > 1000);
}

// Deterministic random rows.
class Dice {
 public:
  uint64_t Next() { return Mix64(state_ += kGolden); }
  // `size` different ids up to `limit`.
  Ids Draw(size_t size, uint64_t limit) {
    Ids drawn = {};
    Set used = 1;
    for (size_t i = 0; i < size;) {
      const auto id = static_cast<uint16_t>(Next() % (limit + 1));
      if (Has(used, id)) continue;
      used |= 1u << id;
      drawn[i++] = id;
    }
    return drawn;
  }

 private:
  uint64_t state_ = 4;
};

// Full rows need more ids than can be enumerated.
TEST_CASE("full rows keep every owner through any change", "[core][row]") {
  int overflows = 0;
  Dice dice;
  for (int round = 0; round < 200000; ++round) {
    const Ids candidates = dice.Draw(4, 11);
    const Ids owners = dice.Draw(dice.Next() % 4, 11);
    const Ids wanted = dice.Draw(4, 11);
    // Most members own.
    uint64_t owning = dice.Next();
    owning |= dice.Next();
    RequireSettles(Row(candidates, owners), wanted,
                   static_cast<Set>(owning & 0xfffe), &overflows);
  }
  CHECK(overflows > 1000);
}

}  // namespace
}  // namespace fairlead::core
