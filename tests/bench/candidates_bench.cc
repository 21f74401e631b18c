// Time to build a candidate table and its digest: one JSON line per case.
//
//   candidates_bench [ROUNDS]
#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "core/candidates.h"

namespace fairlead {
namespace {

struct Case {
  uint32_t members;
  uint32_t rows;
  uint16_t weights;  // 1..weights in turn
};

std::vector<core::WeightedMember> MakeMembers(const Case& c) {
  std::vector<core::WeightedMember> members;
  for (uint32_t i = 0; i < c.members; ++i) {
    std::array<uint8_t, 16> bytes = {0x20, 0x01, 0x0d, 0xb8};
    bytes[14] = static_cast<uint8_t>(i >> 8);
    bytes[15] = static_cast<uint8_t>(i);
    members.push_back({base::IpAddress(bytes), static_cast<uint16_t>(i + 1),
                       static_cast<uint16_t>(1 + i % c.weights)});
  }
  return members;
}

void Run(const Case& c, int rounds, const utsname& system) {
  const auto members = MakeMembers(c);
  std::vector<double> build_ms;
  uint64_t digest = 0;
  for (int round = 0; round < rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    const auto table = core::BuildCandidates(members, c.rows, 1);
    const auto end = std::chrono::steady_clock::now();
    build_ms.push_back(
        std::chrono::duration<double, std::milli>(end - start).count());
    digest = core::CandidateDigest(table, members);
  }
  std::sort(build_ms.begin(), build_ms.end());
  double load[1] = {-1};
  (void)!getloadavg(load, 1);
  std::printf(
      "{\"bench\":\"build_candidates\",\"members\":%u,\"rows\":%u,"
      "\"weights\":%u,\"rounds\":%d,\"min_ms\":%.2f,\"median_ms\":%.2f,"
      "\"min_ns_per_score\":%.2f,\"digest\":\"%016llx\",\"load1\":%.2f,"
      "\"machine\":\"%s\",\"kernel\":\"%s\",\"compiler\":\"%s\"}\n",
      c.members, c.rows, c.weights, rounds, build_ms.front(),
      build_ms[build_ms.size() / 2],
      build_ms.front() * 1e6 / c.members / c.rows,
      static_cast<unsigned long long>(digest), load[0], system.machine,
      system.release, __VERSION__);
}

}  // namespace
}  // namespace fairlead

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 7;
  utsname system = {};
  uname(&system);
  for (const fairlead::Case& c :
       {fairlead::Case{10, 1024, 1}, fairlead::Case{100, 8192, 1},
        fairlead::Case{100, 8192, 10}, fairlead::Case{1000, 65536, 1},
        fairlead::Case{1000, 65536, 10}, fairlead::Case{1000, 65536, 256}})
    fairlead::Run(c, rounds, system);
  return 0;
}
