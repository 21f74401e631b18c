// What the tables take of the kernel's memory, and whether that is there. The
// kernel would rather end other processes than refuse a table, so it is asked
// for none that does not fit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/model.h"

namespace fairlead::datapath {

// The maps of one setting of the section [tables].
struct TableBytes {
  absl::string_view setting;  // "flows"
  uint64_t value = 0;         // as the node config has it
  uint64_t bytes = 0;
  std::string arithmetic;  // "flows = 1024 slots x 16 bytes = 16.0 KiB"
};

// CPUs that the kernel keeps per-CPU counters for.
int PossibleCpus();

// Of the maps that `wanted` names, a table for each setting that has some, in a
// fixed order.
std::vector<TableBytes> BytesOf(const core::TableSizes& sizes, int cpus,
                                const std::vector<absl::string_view>& maps);
// Of all maps.
std::vector<TableBytes> BytesOf(const core::TableSizes& sizes, int cpus);

// Memory that may still be taken, and who says so.
struct MemoryRoom {
  uint64_t bytes = 0;
  std::string source;  // "MemAvailable of /proc/meminfo"
};

// The least of what is available on the host and what the cgroups of this
// process have left. The folders are those of the host but in tests.
absl::StatusOr<MemoryRoom> FindMemoryRoom(
    const std::string& proc = "/proc",
    const std::string& cgroups = "/sys/fs/cgroup");

// RESOURCE_EXHAUSTED, with the arithmetic and what would fit, if `tables` would
// take more than seven eighths of the room: the host lives on the rest.
absl::Status CheckMemory(const std::vector<TableBytes>& tables,
                         const MemoryRoom& room);

// "32.0 MiB"
std::string FormatBytes(uint64_t bytes);

}  // namespace fairlead::datapath
