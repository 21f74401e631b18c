// Bytes of every map of an LB host, as the kernel accounts them.
//
//   memory_bench [--only TEXT]
//
// The maps are sized as the daemon sizes them: two slots for each flow, as many
// rows as the backends of a service ask for. A thousand services of a hundred
// backends are more backends than there are ids: it has the most there can be.
#include <arpa/inet.h>

#include <bit>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "datapath/loader.h"
#include "fairlead/abi/flow_slot.h"
#include "tests/bench/report.h"
#include "tests/support/bpf_fixture.h"
#include "tests/support/bpf_run.h"

namespace fairlead::test {
namespace {

constexpr uint32_t kFlows = 1u << 20;

struct Fleet {
  uint32_t services;
  uint32_t backends;  // of each
};

struct MapMemory {
  uint64_t bytes = 0;
  uint64_t entries = 0;
};

MapMemory MemoryOf(int map_fd) {
  std::ifstream file(absl::StrCat("/proc/self/fdinfo/", map_fd));
  MapMemory memory;
  std::string word;
  while (file >> word) {
    if (word == "memlock:") file >> memory.bytes;
    if (word == "max_entries:") file >> memory.entries;
  }
  FL_CHECK(memory.entries > 0);
  return memory;
}

// Ids and rows are bounded: what cannot be configured is cut.
core::TableSizes SizesFor(const Fleet& fleet) {
  const uint32_t rows =
      std::bit_ceil(fleet.backends * uint32_t{FL_ROWS_PER_BACKEND});
  const uint32_t backends = fleet.services * fleet.backends + 1;
  return {.services = fleet.services + 1,
          .backends = std::min<uint32_t>(backends, FL_MAX_BACKENDS),
          .rows = std::min<uint32_t>(fleet.services * rows, FL_MAX_ROWS),
          .flow_buckets = 2 * kFlows / FL_BUCKET_SLOTS};
}

fl_config ConfigFor(const core::TableSizes& sizes) {
  fl_config config = {};
  config.flow_bucket_mask = sizes.flow_buckets - 1;
  config.lb_id = kLbId;
  config.gue_port = htons(FL_GUE_PORT);
  config.timeouts = kTimeouts;
  config.services = sizes.services;
  config.backends = sizes.backends;
  config.rows = sizes.rows;
  return config;
}

void Report(const std::string& name, const MapMemory& memory) {
  JsonLine("memory", name)
      .Count("bytes", memory.bytes)
      .Count("entries", memory.entries);
}

void RunFleet(const Fleet& fleet, const BenchOptions& options) {
  const std::string fleet_name = absl::StrCat(
      fleet.services, " services x ", fleet.backends, " backends, 1 M flows: ");
  if (!options.Wants(fleet_name)) return;
  const core::TableSizes sizes = SizesFor(fleet);
  const auto loaded =
      datapath::LoadProgram({.config = ConfigFor(sizes),
                             .sizes = sizes,
                             .pins = "/sys/fs/bpf/fl_memory_bench",
                             .unfinished = {},
                             .room = std::nullopt});
  if (!loaded.ok())
    std::fprintf(stderr, "%s\n", loaded.status().ToString().c_str());
  FL_CHECK(loaded.ok());
  uint64_t bytes = 0;
  for (size_t i = 0; i < loaded->maps.size(); ++i) {
    const MapMemory memory = MemoryOf(loaded->maps[i].now.fd.get());
    bytes += memory.bytes;
    Report(absl::StrCat(fleet_name, std::string(datapath::kMapNames[i])),
           memory);
  }
  JsonLine("memory", fleet_name + "all of them").Count("bytes", bytes);
}

}  // namespace
}  // namespace fairlead::test

int main(int argc, char** argv) {
  using namespace fairlead::test;  // NOLINT: main is the program's root
  const BenchOptions options = ParseBenchOptions(argc, argv);
  const std::string why = WhyNoBpf();
  if (!why.empty()) {
    std::fprintf(stderr, "memory_bench: %s\n", why.c_str());
    return 1;
  }
  for (const Fleet& fleet : {Fleet{100, 10}, Fleet{1000, 100}})
    RunFleet(fleet, options);
  return 0;
}
