// The Applier's rows, against plans for every row. What the controller makes of
// it is in controller_tables_test.cc.
#include "core/applier.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <set>
#include <vector>

#include "core/mix.h"
#include "fairlead/abi/maps.h"
#include "tests/support/fake_datapath.h"

namespace fairlead::core {
namespace {

using testing::FakeDatapath;

constexpr TableSizes kSizes = {
    .services = 4, .backends = 512, .rows = 8192, .flow_buckets = 1};
const base::Endpoint kVip = {base::IpAddress::FromIpv4(0xc6336401), 443};

WeightedMember Member(uint16_t id) {
  return {base::IpAddress::FromIpv4(0xc0000200u + id), id, 1};
}

// One service, in all rows but the first half.
Target MakeTarget(const std::vector<WeightedMember>& members) {
  Target target;
  target.services[kVip] = {
      .entry = {.id = 1, .rows_base = kSizes.rows / 2, .rows = kSizes.rows / 2},
      .members = members};
  for (const WeightedMember& member : members)
    target.backends[member.id] = {.state = FL_BACKEND_USED,
                                  .address = member.address,
                                  .weight = member.weight,
                                  .service = 1};
  return target;
}

// What the rows of one service become if every row is planned, and how many
// have no place for all.
class PlannedRows {
 public:
  explicit PlannedRows(uint32_t rows) : rows_(rows) {}

  void Apply(const std::vector<WeightedMember>& members, MayOwn may_own) {
    const auto rows = static_cast<uint32_t>(rows_.size());
    const auto wanted = BuildCandidates(members, rows, TableSeed(kVip));
    overflowed_ = 0;
    for (uint32_t row = 0; row < rows; ++row) {
      RowPlan plan;
      do {
        plan = PlanRow(rows_[row], wanted[row],
                       [&](uint16_t id) { return may_own(id, row); });
        for (const RowStore& step : plan.steps()) {
          if (step.word == RowWord::kCandidates)
            rows_[row].candidates = step.value;
          else
            rows_[row].owners = step.value;
        }
      } while (plan.overflow && plan.count > 0);
      overflowed_ += plan.overflow ? 1 : 0;
    }
  }

  const std::vector<RowWords>& rows() const { return rows_; }
  uint64_t overflowed() const { return overflowed_; }

 private:
  std::vector<RowWords> rows_;
  uint64_t overflowed_ = 0;
};

std::vector<RowWords> RowsOfService(const FakeDatapath& tables) {
  return {tables.rows().begin() + kSizes.rows / 2, tables.rows().end()};
}

std::vector<WeightedMember> RandomMembers(uint64_t& state) {
  std::vector<WeightedMember> members;
  for (uint16_t id = 1; id <= 12; ++id)
    if (Mix64(state += kGolden) % 3 != 0) members.push_back(Member(id));
  return members;
}

// Members come and go while most of them own rows, so that rows are full too.
TEST_CASE("rows are what plans for all of them make", "[core][applier]") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    FakeDatapath tables(kSizes);
    Applier applier(kSizes, tables);
    PlannedRows planned(kSizes.rows / 2);
    uint64_t state = seed;
    uint64_t overflowed = 0;
    for (int step = 0; step < 20; ++step) {
      const std::vector<WeightedMember> members = RandomMembers(state);
      const uint64_t salt = state += kGolden;
      const auto may_own = [&](BackendId id, uint32_t row) {
        return Mix64(salt ^ Mix64(uint64_t{row} << 16 | id)) % 8 != 0;
      };
      REQUIRE(applier.Apply(MakeTarget(members), may_own).ok());
      planned.Apply(members, may_own);
      INFO("seed " << seed << ", step " << step);
      REQUIRE((RowsOfService(tables) == planned.rows()));
      REQUIRE(applier.RowsOverflowed(kVip) == planned.overflowed());
      overflowed += planned.overflowed();
    }
    CHECK(overflowed > 0);
  }
}

TEST_CASE("an owner takes any place that its row has", "[core][applier]") {
  FakeDatapath tables(kSizes);
  Applier applier(kSizes, tables);
  const auto owns = [](BackendId, uint32_t) { return true; };
  const auto members = {Member(1), Member(2)};
  REQUIRE(applier.Apply(MakeTarget(members), owns).ok());
  RowSet rows(kSizes.rows / 2);
  rows.Add(7);
  for (uint16_t id = 3; id <= 8; ++id) applier.AddOwner(kVip, id, rows);
  const auto row = [&] { return RowsOfService(tables)[7]; };
  CHECK(UnpackWord(row().owners) == std::array<uint16_t, 4>{3, 4, 5, 0});
  const auto candidates = UnpackWord(row().candidates);
  CHECK(candidates[0] + candidates[1] == 3);
  CHECK(candidates[2] == 6);
  CHECK(candidates[3] == 7);
  CHECK(applier.OwnersUnlisted(kVip) == 1);
  // They stay as long as they own, and make room afterwards.
  CHECK(applier.Contract({}, owns).empty());
  CHECK(applier.RowsOverflowed(kVip) == 1);
  const auto some = [](BackendId id, uint32_t) { return id >= 6; };
  CHECK(applier.Contract({}, some) == std::vector<base::Endpoint>{kVip});
  CHECK(UnpackWord(row().owners) == std::array<uint16_t, 4>{7, 6, 0, 0});
  CHECK(applier.RowsOverflowed(kVip) == 0);
  applier.AddOwner(kVip, 8, rows);
  CHECK(applier.OwnersUnlisted(kVip) == 0);
}

TEST_CASE("a join plans the rows that it changes and no others",
          "[core][applier]") {
  FakeDatapath tables(kSizes);
  Applier applier(kSizes, tables);
  std::vector<WeightedMember> members;
  for (uint16_t id = 1; id <= 60; ++id) members.push_back(Member(id));
  const auto nobody = [](BackendId, uint32_t) { return false; };
  REQUIRE(applier.Apply(MakeTarget(members), nobody).ok());
  const std::vector<RowWords> before = RowsOfService(tables);
  members.push_back(Member(61));
  std::set<uint32_t> asked;
  const auto asks = [&](BackendId, uint32_t row) {
    asked.insert(row);
    return false;
  };
  REQUIRE(applier.Apply(MakeTarget(members), asks).ok());
  const std::vector<RowWords> after = RowsOfService(tables);
  CHECK(asked.size() > 100);
  for (const uint32_t row : asked) REQUIRE(!(before[row] == after[row]));
}

}  // namespace
}  // namespace fairlead::core
