#include "core/candidates.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "core/log2_table.h"

namespace fairlead::core {
namespace {

using base::IpAddress;
using Members = std::vector<WeightedMember>;
using Table = std::vector<CandidateWord>;

constexpr uint64_t kSeed = 0x0123456789abcdef;

// 192.0.2.0/24, then 198.51.100.0/24, then 203.0.113.0/24.
IpAddress V4(uint32_t i) {
  constexpr uint32_t kNets[] = {0xc0000200, 0xc6336400, 0xcb007100};
  return IpAddress::FromIpv4(kNets[i / 256] + i % 256);
}

// 2001:db8::/32
IpAddress V6(uint32_t i) {
  std::array<uint8_t, 16> bytes = {0x20, 0x01, 0x0d, 0xb8};
  bytes[6] = static_cast<uint8_t>(i >> 8);
  bytes[15] = static_cast<uint8_t>(i);
  return IpAddress(bytes);
}

Members Make(uint32_t count, IpAddress (*address)(uint32_t),
             uint16_t weights = 1) {
  Members members;
  for (uint32_t i = 0; i < count; ++i)
    members.push_back({address(i), static_cast<uint16_t>(i + 1),
                       static_cast<uint16_t>(1 + i % weights)});
  return members;
}

Members Shuffled(Members members) {
  uint64_t state = 7;
  for (size_t i = members.size(); i > 1; --i) {
    state = state * 6364136223846793005 + 1442695040888963407;
    std::swap(members[i - 1], members[(state >> 33) % i]);
  }
  return members;
}

// The definition, written down a second time and as plainly as possible: every
// member's score is computed, all are sorted, the first four are taken. Shares
// nothing with the code under test but the logarithm.
uint64_t NaiveMix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9;
  x ^= x >> 27;
  x *= 0x94d049bb133111eb;
  x ^= x >> 31;
  return x;
}

uint64_t NaiveHash(uint32_t row, const IpAddress& address, uint64_t seed) {
  constexpr uint64_t kStep = 0x9e3779b97f4a7c15;
  uint64_t half[2] = {0, 0};
  for (size_t i = 0; i < 16; ++i)
    half[i / 8] = half[i / 8] * 256 + address.bytes()[i];
  uint64_t key = NaiveMix(seed + kStep);
  key = NaiveMix(key ^ half[0]);
  key = NaiveMix(key ^ half[1]);
  return NaiveMix(key ^ NaiveMix(kStep * (uint64_t{row} + 1)));
}

std::vector<uint16_t> NaiveOrder(const Members& members, uint32_t row,
                                 uint64_t seed) {
  struct Entry {
    uint64_t score;
    IpAddress address;
    uint16_t id;
  };
  std::vector<Entry> entries;
  entries.reserve(members.size());
  for (const WeightedMember& m : members)
    entries.push_back({NegLog2(NaiveHash(row, m.address, seed)) *
                           ((uint64_t{1} << 24) / m.weight),
                       m.address, m.id});
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.score != b.score ? a.score < b.score : a.address < b.address;
  });
  std::vector<uint16_t> ids;
  ids.reserve(entries.size());
  for (const Entry& entry : entries) ids.push_back(entry.id);
  return ids;
}

// True if `word` is the naive first four but for the order of the first two.
bool IsOrientationOf(const CandidateWord& word,
                     const std::vector<uint16_t>& order) {
  CandidateWord naive = {};
  std::copy_n(order.begin(), std::min<size_t>(order.size(), 4), naive.begin());
  CandidateWord swapped = naive;
  if (order.size() >= 2) std::swap(swapped[0], swapped[1]);
  return word == naive || word == swapped;
}

void RequireNaive(const Members& members, uint32_t rows, uint64_t seed) {
  const Table table = BuildCandidates(members, rows, seed);
  REQUIRE(table.size() == rows);
  for (uint32_t row = 0; row < rows; ++row) {
    if (!IsOrientationOf(table[row], NaiveOrder(members, row, seed)))
      FAIL("row " << row << " of " << rows << " with " << members.size()
                  << " members");
  }
}

std::set<uint16_t> Listed(const CandidateWord& word) {
  std::set<uint16_t> ids(word.begin(), word.end());
  ids.erase(0);
  return ids;
}

std::set<uint16_t> Minus(const std::set<uint16_t>& a,
                         const std::set<uint16_t>& b) {
  std::set<uint16_t> result;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(),
                      std::inserter(result, result.end()));
  return result;
}

std::map<uint16_t, uint32_t> FirstColumn(const Table& table) {
  std::map<uint16_t, uint32_t> counts;
  for (const CandidateWord& word : table) ++counts[word[0]];
  return counts;
}

double TotalWeight(const Members& members) {
  double total = 0;
  for (const WeightedMember& m : members) total += m.weight;
  return total;
}

uint64_t DigestOf(const Members& members, uint32_t rows) {
  return CandidateDigest(BuildCandidates(members, rows, kSeed), members);
}

TEST_CASE("a row lists the first four of the weighted rendezvous order",
          "[core][candidates]") {
  for (const uint32_t count : {1u, 2u, 3u, 4u, 5u, 17u, 100u}) {
    RequireNaive(Make(count, V4), 512, kSeed);
    RequireNaive(Make(count, V6), 256, kSeed + count);
    RequireNaive(Make(count, V4, 10), 512, kSeed);
    RequireNaive(Make(count, V6, 256), 256, count);
  }
  RequireNaive(Make(700, V4, 256), 512, kSeed);
}

TEST_CASE("the same set in any order gives the same bytes",
          "[core][candidates]") {
  const Members members = Make(100, V4, 10);
  const Members shuffled = Shuffled(members);
  REQUIRE(shuffled[0].address != members[0].address);
  CHECK(BuildCandidates(members, 8192, kSeed) ==
        BuildCandidates(shuffled, 8192, kSeed));
}

// The digests were computed once. A change of any of them means that two
// versions of Fairlead in one tier would disagree about every table.
TEST_CASE("tables are the ones that other hosts compute",
          "[core][candidates]") {
  CHECK(DigestOf(Make(100, V4), 8192) == 0x88dcf965f3787536);
  CHECK(DigestOf(Make(100, V6), 8192) == 0xf98e7e97b32c1e29);
  CHECK(DigestOf(Make(100, V4, 10), 8192) == 0x107d0040a4cce215);
  CHECK(DigestOf(Make(600, V6, 256), 65536) == 0x30cec8516034eb0b);
  CHECK(DigestOf(Make(3, V4), 256) == 0x05c6cb7d47540832);
  const base::Endpoint v4{V4(0), 443};
  const base::Endpoint v6{V6(0), 443};
  CHECK(TableSeed(v4) == 0xbce73e966d579e6c);
  CHECK(TableSeed(v6) == 0xf745f3c89c18ce3c);
}

TEST_CASE("each service has an order of its own", "[core][candidates]") {
  const uint64_t seed = TableSeed({V4(0), 443});
  CHECK(seed != TableSeed({V4(0), 80}));
  CHECK(seed != TableSeed({V4(1), 443}));
  const Members members = Make(100, V4);
  const Table a = BuildCandidates(members, 8192, seed);
  const Table b = BuildCandidates(members, 8192, TableSeed({V4(0), 80}));
  int same = 0;
  for (size_t row = 0; row < a.size(); ++row)
    same += Listed(a[row]) == Listed(b[row]) ? 1 : 0;
  CHECK(same < 4);
}

TEST_CASE("ids have no influence on which addresses a row lists",
          "[core][candidates]") {
  const Members members = Make(50, V4, 10);
  Members renumbered = Shuffled(members);
  for (size_t i = 0; i < renumbered.size(); ++i)
    renumbered[i].id = static_cast<uint16_t>(65535 - 3 * i);
  std::map<uint16_t, IpAddress> address_of = {{0, IpAddress()}};
  for (const WeightedMember& m : members) address_of[m.id] = m.address;
  std::map<uint16_t, IpAddress> renumbered_address_of = {{0, IpAddress()}};
  for (const WeightedMember& m : renumbered)
    renumbered_address_of[m.id] = m.address;
  const Table a = BuildCandidates(members, 1024, kSeed);
  const Table b = BuildCandidates(renumbered, 1024, kSeed);
  for (size_t row = 0; row < a.size(); ++row) {
    for (size_t rank = 0; rank < 4; ++rank)
      REQUIRE(address_of.at(a[row][rank]) ==
              renumbered_address_of.at(b[row][rank]));
  }
  CHECK(CandidateDigest(a, members) == CandidateDigest(b, renumbered));
}

TEST_CASE("the digest sees every place of every row", "[core][candidates]") {
  const Members members = Make(20, V4);
  Table table = BuildCandidates(members, 256, kSeed);
  const uint64_t digest = CandidateDigest(table, members);
  for (const size_t row : {0u, 100u, 255u}) {
    for (size_t rank = 0; rank < 3; ++rank) {
      std::swap(table[row][rank], table[row][rank + 1]);
      CHECK(CandidateDigest(table, members) != digest);
      std::swap(table[row][rank], table[row][rank + 1]);
    }
    const CandidateWord whole = table[row];
    table[row][3] = 0;
    CHECK(CandidateDigest(table, members) != digest);
    table[row] = whole;
  }
  CHECK(CandidateDigest(table, members) == digest);
  CHECK(CandidateDigest(std::span(table).first(128), members) != digest);
}

TEST_CASE("fewer than four members leave the end of a row empty",
          "[core][candidates]") {
  CHECK(BuildCandidates({}, 256, kSeed) == Table(256));
  CHECK(BuildCandidates(Make(1, V4), 256, kSeed) ==
        Table(256, CandidateWord{1, 0, 0, 0}));
  for (const uint32_t count : {2u, 3u, 4u}) {
    const Table table = BuildCandidates(Make(count, V6), 256, kSeed);
    for (const CandidateWord& word : table) {
      REQUIRE(Listed(word).size() == count);
      for (size_t rank = count; rank < 4; ++rank) REQUIRE(word[rank] == 0);
    }
    for (const auto& [id, rows] : FirstColumn(table)) {
      CHECK(rows >= 256 / count);
      CHECK(rows <= 256 / count + 1);
    }
  }
}

TEST_CASE("a table of twice the rows begins with the same members",
          "[core][candidates]") {
  const Members members = Make(40, V4, 5);
  const Table small = BuildCandidates(members, 256, kSeed);
  const Table large = BuildCandidates(members, 512, kSeed);
  for (size_t row = 0; row < small.size(); ++row)
    REQUIRE(Listed(small[row]) == Listed(large[row]));
}

// Leave, seen forwards, and join, seen backwards: a row without the one is as
// it was; a row with it has lost just that and gained exactly one.
TEST_CASE("a member that leaves or joins moves only its own places",
          "[core][candidates]") {
  const Members with = Make(60, V4, 10);
  const Table before = BuildCandidates(with, 4096, kSeed);
  for (const size_t victim : {0u, 9u, 31u, 59u}) {
    Members without = with;
    const uint16_t id = with[victim].id;
    without.erase(without.begin() + static_cast<std::ptrdiff_t>(victim));
    const Table after = BuildCandidates(without, 4096, kSeed);
    int moved = 0;
    for (size_t row = 0; row < before.size(); ++row) {
      const auto was = Listed(before[row]);
      const auto is = Listed(after[row]);
      if (was.count(id) == 0) {
        REQUIRE(was == is);
        continue;
      }
      ++moved;
      REQUIRE(Minus(was, is) == std::set<uint16_t>{id});
      REQUIRE(Minus(is, was).size() == 1);
      // The one that moves up is the fifth of the definition.
      const auto order = NaiveOrder(with, static_cast<uint32_t>(row), kSeed);
      REQUIRE(Minus(is, was) == std::set<uint16_t>{order[4]});
    }
    CHECK(moved > 0);
  }
}

TEST_CASE("a change of weight moves members only where the rank crosses four",
          "[core][candidates]") {
  const Members low = Make(60, V6, 10);
  const Table before = BuildCandidates(low, 4096, kSeed);
  for (const size_t changed : {0u, 4u, 59u}) {
    Members high = low;
    high[changed].weight = static_cast<uint16_t>(high[changed].weight * 3);
    const uint16_t id = low[changed].id;
    const Table after = BuildCandidates(high, 4096, kSeed);
    int moved = 0;
    for (uint32_t row = 0; row < before.size(); ++row) {
      const auto was = Listed(before[row]);
      const auto is = Listed(after[row]);
      const auto order = NaiveOrder(high, row, kSeed);
      const bool enters =
          was.count(id) == 0 &&
          std::find(order.begin(), order.begin() + 4, id) != order.begin() + 4;
      if (!enters) {
        REQUIRE(was == is);
        continue;
      }
      ++moved;
      REQUIRE(Minus(is, was) == std::set<uint16_t>{id});
      REQUIRE(Minus(was, is).size() == 1);
    }
    CHECK(moved > 50);
  }
}

TEST_CASE("the first column of equal members is even", "[core][candidates]") {
  for (const uint32_t rows : {8192u, 65536u}) {
    const auto counts = FirstColumn(BuildCandidates(Make(100, V4), rows, 1));
    REQUIRE(counts.size() == 100);
    for (const auto& [id, count] : counts) {
      REQUIRE(count >= rows / 100);
      REQUIRE(count * 100.0 / rows <= 1.01);
    }
  }
}

TEST_CASE("the first column follows the weights", "[core][candidates]") {
  const Members members = Make(100, V4, 10);
  const double total = TotalWeight(members);
  const auto counts = FirstColumn(BuildCandidates(members, 65536, kSeed));
  for (const WeightedMember& m : members) {
    const double share = 65536.0 * m.weight / total;
    INFO("weight " << m.weight);
    REQUIRE(counts.at(m.id) / share <= 1.02);
    REQUIRE(counts.at(m.id) / share >= 0.98);
    REQUIRE(std::abs(counts.at(m.id) - share) < 1);
  }
}

// The share of rows with a member in the first two, against what drawing two
// of them by weight gives: w/W + sum over the others of wj/W * w/(W - wj).
TEST_CASE("members are in the first two as often as their weights say",
          "[core][candidates]") {
  const Members members = Make(100, V4, 10);
  const double total = TotalWeight(members);
  std::map<uint16_t, int> listed;  // by weight, over ten members each
  for (const CandidateWord& word : BuildCandidates(members, 65536, kSeed)) {
    for (size_t rank = 0; rank < 2; ++rank)
      ++listed[members[word[rank] - size_t{1}].weight];
  }
  for (uint16_t weight = 1; weight <= 10; ++weight) {
    double expected = 0;
    for (const WeightedMember& m : members)
      expected += m.weight / total * weight / (total - m.weight);
    expected -= weight / total * weight / (total - weight);
    expected = (expected + weight / total) * 10 * 65536;
    INFO("weight " << weight << ", expected " << expected);
    CHECK(std::abs(listed[weight] - expected) < 4 * std::sqrt(expected));
  }
}

TEST_CASE("the extremes of weight do not overflow", "[core][candidates]") {
  Members members = Make(40, V4);
  for (WeightedMember& m : members) m.weight = m.id % 2 == 0 ? 256 : 1;
  RequireNaive(members, 1024, kSeed);
  members = Make(2, V4);
  members[1].weight = 256;
  const auto counts = FirstColumn(BuildCandidates(members, 65536, kSeed));
  CHECK(counts.at(1) == 255);
  CHECK(counts.at(2) == 65281);
  for (WeightedMember& m : members) m.weight = 256;
  RequireNaive(members, 256, kSeed);
}

TEST_CASE("more members than rows are possible", "[core][candidates]") {
  const Table table = BuildCandidates(Make(2000, V6, 7), 256, kSeed);
  for (const CandidateWord& word : table) REQUIRE(Listed(word).size() == 4);
}

}  // namespace
}  // namespace fairlead::core
