// What a change of members costs the daemon's loop.
//
//   candidates_bench [--quick] [--rounds N] [--only TEXT]
//
// In each round a table is built anew, then one member leaves, joins again, and
// weighs more and as before; and the same join and leave through the Applier,
// which also brings the shared rows (plain memory here) to it. The floor are
// the hashes that no way to the same table can do without: of everybody in
// every row for a new one, of the newcomer in every row for a join, of
// everybody in the rows that listed the member for a leave.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "core/applier.h"
#include "core/candidates.h"
#include "core/mix.h"
#include "fairlead/abi/maps.h"
#include "tests/bench/report.h"
#include "tests/support/fake_datapath.h"

namespace fairlead::test {
namespace {

using core::WeightedMember;
using Members = std::vector<WeightedMember>;

struct Size {
  uint32_t members;
  uint32_t rows;
  uint16_t weights;  // 1..weights in turn
};

const base::Endpoint kVip = {base::IpAddress::FromIpv4(0xc6336401), 443};

Members MakeMembers(const Size& size) {
  Members members;
  for (uint32_t i = 0; i < size.members; ++i) {
    std::array<uint8_t, 16> bytes = {0x20, 0x01, 0x0d, 0xb8};
    bytes[14] = static_cast<uint8_t>(i >> 8);
    bytes[15] = static_cast<uint8_t>(i);
    members.push_back({base::IpAddress(bytes), static_cast<uint16_t>(i + 1),
                       static_cast<uint16_t>(1 + i % size.weights)});
  }
  return members;
}

template <typename Work>
double MsOf(const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now() - begin)
      .count();
}

// One backend's hash in each of so many rows.
double MsOfHashes(uint64_t hashes) {
  uint64_t sum = 0;
  const double ms = MsOf([&] {
    for (uint64_t i = 0; i < hashes; ++i) sum += core::Mix64(i);
  });
  FL_CHECK(sum != 0);
  return ms;
}

// All members but one, who comes and goes.
struct Others {
  explicit Others(const Members& members)
      : all(members), without(members), heavier(members) {
    const size_t middle = members.size() / 2;
    without.erase(without.begin() + static_cast<std::ptrdiff_t>(middle));
    heavier[middle].weight =
        static_cast<uint16_t>(heavier[middle].weight * 2 + 1);
    heavier[middle].weight =
        std::min(heavier[middle].weight, core::kMaxMemberWeight);
  }

  Members all, without, heavier;
};

std::string CaseName(const std::string& name, const Size& size) {
  const std::string weights =
      size.weights == 1 ? "" : absl::StrCat(", weights 1-", size.weights);
  return absl::StrCat(name, ", ", size.members, " members", weights);
}

bool WantsAny(const BenchOptions& options, const Size& size,
              const std::vector<std::string>& names) {
  return std::ranges::any_of(names, [&](const std::string& name) {
    return options.Wants(CaseName(name, size));
  });
}

void Report(const std::string& name, const Size& size, const Series& series,
            const Series& floor, const BenchOptions& options) {
  if (!options.Wants(CaseName(name, size))) return;
  JsonLine("candidates", CaseName(name, size))
      .Times("gross", "ms", series)
      .Times("floor", "ms", floor)
      .Count("rows", size.rows)
      .Count("rounds", static_cast<uint64_t>(options.rounds));
}

void RunTable(const Size& size, const BenchOptions& options) {
  if (!WantsAny(options, size,
                {"full", "leave", "join", "weight up", "weight down"}))
    return;
  const Others members(MakeMembers(size));
  const uint64_t listed = uint64_t{4} * size.rows;  // for all members together
  Series full, leave, join, heavier, lighter;
  Series floor_full, floor_leave, floor_join, floor_weight;
  for (int round = 0; round < options.rounds; ++round) {
    core::CandidateTable table(size.rows, 1);
    const auto change = [&](const Members& to) {
      return MsOf([&] { table.SetMembers(to); });
    };
    full.Add(change(members.all));
    leave.Add(change(members.without));
    join.Add(change(members.all));
    heavier.Add(change(members.heavier));
    lighter.Add(change(members.all));
    FL_CHECK(table.words() == core::BuildCandidates(members.all, size.rows, 1));
    floor_full.Add(MsOfHashes(uint64_t{size.members} * size.rows));
    floor_leave.Add(MsOfHashes(listed));
    floor_join.Add(MsOfHashes(size.rows));
    floor_weight.Add(MsOfHashes(listed + size.rows));
  }
  Report("full", size, full, floor_full, options);
  Report("leave", size, leave, floor_leave, options);
  Report("join", size, join, floor_join, options);
  Report("weight up", size, heavier, floor_weight, options);
  Report("weight down", size, lighter, floor_weight, options);
}

core::Target MakeTarget(const Members& members, uint32_t rows) {
  core::Target target;
  target.services[kVip] = {.entry = {.id = 1, .rows = rows},
                           .members = members};
  for (const WeightedMember& member : members)
    target.backends[member.id] = {.state = FL_BACKEND_USED,
                                  .address = member.address,
                                  .weight = member.weight,
                                  .service = 1};
  return target;
}

// Every row that a member leaves keeps it as an owner, until the next join.
void RunApplier(const Size& size, const BenchOptions& options) {
  if (!WantsAny(options, size, {"applied leave", "applied join"})) return;
  const Others members(MakeMembers(size));
  const core::Target all = MakeTarget(members.all, size.rows);
  const core::Target without = MakeTarget(members.without, size.rows);
  const core::TableSizes sizes = {.services = 2,
                                  .backends = size.members + 1,
                                  .rows = size.rows,
                                  .flow_buckets = 1};
  testing::FakeDatapath tables(sizes);
  core::Applier applier(sizes, tables);
  const auto apply = [&](const core::Target& target) {
    return MsOf([&] {
      FL_CHECK(
          applier.Apply(target, [](core::BackendId, uint32_t) { return true; })
              .ok());
    });
  };
  (void)apply(all);
  Series leave, join, floor_leave, floor_join;
  for (int round = 0; round < options.rounds; ++round) {
    leave.Add(apply(without));
    join.Add(apply(all));
    floor_leave.Add(MsOfHashes(uint64_t{4} * size.rows));
    floor_join.Add(MsOfHashes(size.rows));
  }
  Report("applied leave", size, leave, floor_leave, options);
  Report("applied join", size, join, floor_join, options);
}

}  // namespace
}  // namespace fairlead::test

int main(int argc, char** argv) {
  using namespace fairlead::test;  // NOLINT: main is the program's root
  const BenchOptions options = ParseBenchOptions(argc, argv);
  for (const Size& size :
       {Size{10, 1024, 1}, Size{100, 8192, 1}, Size{100, 8192, 10},
        Size{1000, 65536, 1}, Size{1000, 65536, 10}, Size{1000, 65536, 256}})
    RunTable(size, options);
  for (const Size& size :
       {Size{10, 1024, 1}, Size{100, 8192, 1}, Size{1000, 65536, 1}})
    RunApplier(size, options);
  return 0;
}
