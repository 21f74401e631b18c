#include "datapath/table_memory.h"

#include <bpf/libbpf.h>

#include <algorithm>
#include <bit>
#include <fstream>
#include <optional>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "datapath/map_shape.h"
#include "fairlead/abi/flow_slot.h"
#include "fairlead/abi/maps.h"
#include "fairlead/abi/row.h"
#include "fairlead/abi/stats.h"

namespace fairlead::datapath {
namespace {

// Of a preallocated hash map: the kernel's own part of an element, and the
// bucket that it is found by.
constexpr uint64_t kHashElement = 48 + 24 + 32;
constexpr uint64_t kHashBucket = 16;
// An array's pointer to a per-CPU value.
constexpr uint64_t kPerCpuPointer = 8;

// Of an entry of a trie, at most: its node and one that joins it to the others,
// in the kernel's size class for it. Taken when it is made, not before.
constexpr uint64_t kTrieEntry = 2 * uint64_t{96};

// Of one entry.
uint64_t EntryBytes(absl::string_view map, int cpus) {
  const auto per_cpu = [&](uint64_t bytes) {
    return kPerCpuPointer + bytes * static_cast<uint64_t>(cpus);
  };
  if (map == "fl_services") return kHashElement + kHashBucket;
  if (map == "fl_prefixes") return kTrieEntry;
  if (map == "fl_rows") return sizeof(fl_row);
  if (map == "fl_backends") return sizeof(fl_backend);
  if (map == "fl_load") return sizeof(fl_load);
  if (map == "fl_flows") return sizeof(fl_bucket);
  if (map == "fl_leases" || map == "fl_limits") return sizeof(uint64_t);
  if (map == "fl_source_conns") return sizeof(fl_conn_set);
  if (map == "fl_flow_sources") return sizeof(fl_flow_charges);
  if (map == "fl_rates") return sizeof(fl_rate_set);
  if (map == "fl_src_stats") return per_cpu(sizeof(fl_source_stats));
  // With SYN budgets and the rates of answers, which are not pinned.
  if (map == "fl_svc_stats") {
    return per_cpu(sizeof(fl_service_stats)) + sizeof(fl_syn_window) +
           per_cpu(sizeof(fl_syn_batch)) +
           FL_ANSWER_KINDS * per_cpu(sizeof(fl_answers));
  }
  if (map == "fl_bkd_stats") return per_cpu(sizeof(fl_backend_stats));
  return 0;
}

std::optional<std::string> ReadText(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// "max" and what is no number: nullopt.
std::optional<uint64_t> ReadNumber(const std::string& path) {
  const std::optional<std::string> text = ReadText(path);
  uint64_t number = 0;
  if (!text.has_value() || !absl::SimpleAtoi(*text, &number)) {
    return std::nullopt;
  }
  return number;
}

// The number behind `key` on a line of its own.
std::optional<uint64_t> FindNumber(const std::string& text,
                                   absl::string_view key) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint64_t number = 0;
    if (words.size() >= 2 && words[0] == key &&
        absl::SimpleAtoi(words[1], &number)) {
      return number;
    }
  }
  return std::nullopt;
}

struct CgroupFiles {
  const char* limit;
  const char* used;
  const char* reclaimable;  // of memory.stat: file pages that can be dropped
};
constexpr CgroupFiles kVersion2 = {"memory.max", "memory.current",
                                   "inactive_file"};
constexpr CgroupFiles kVersion1 = {
    "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};

// The limits of a cgroup and of all above it.
void NarrowByCgroups(const std::string& root, std::string path,
                     const CgroupFiles& files, MemoryRoom& room) {
  while (true) {
    const std::string folder = absl::StrCat(root, path == "/" ? "" : path);
    const auto limit = ReadNumber(absl::StrCat(folder, "/", files.limit));
    const auto used = ReadNumber(absl::StrCat(folder, "/", files.used));
    if (limit.has_value() && used.has_value()) {
      const std::string stat =
          ReadText(absl::StrCat(folder, "/memory.stat")).value_or("");
      const uint64_t held =
          *used -
          std::min(*used, FindNumber(stat, files.reclaimable).value_or(0));
      const uint64_t left = *limit - std::min(*limit, held);
      if (left < room.bytes) {
        room = {left, absl::StrCat(folder, "/", files.limit, " of ",
                                   FormatBytes(*limit), ", of which ",
                                   FormatBytes(held), " are used")};
      }
    }
    if (path.empty() || path == "/") return;
    path.resize(path.find_last_of('/'));
  }
}

// The value of the settings whose maps are the largest that would fit instead.
std::string Remedy(const std::vector<TableBytes>& tables, uint64_t needed,
                   uint64_t room) {
  const auto largest = std::max_element(
      tables.begin(), tables.end(),
      [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
  const uint64_t others = needed - largest->bytes;
  uint64_t fits = 0;
  if (others < room && largest->bytes > 0) {
    fits = static_cast<uint64_t>(static_cast<double>(largest->value) *
                                 static_cast<double>(room - others) /
                                 static_cast<double>(largest->bytes));
  }
  if (largest->setting == "flows") fits = std::bit_floor(fits);
  return absl::StrCat("lower ", largest->setting,
                      " in section [tables] of the node config",
                      fits > 0 ? absl::StrCat(" (", fits, " would fit)") : "",
                      ", or give more memory");
}

}  // namespace

int PossibleCpus() {
  const int cpus = libbpf_num_possible_cpus();
  return cpus > 0 ? cpus : 1;
}

std::string FormatBytes(uint64_t bytes) {
  constexpr double kUnit = 1024;
  const double kib = static_cast<double>(bytes) / kUnit;
  if (kib < kUnit) return absl::StrFormat("%.1f KiB", kib);
  return absl::StrFormat("%.1f MiB", kib / kUnit);
}

std::vector<TableBytes> BytesOf(const core::TableSizes& sizes, int cpus,
                                const std::vector<absl::string_view>& maps) {
  struct Setting {
    absl::string_view name;
    uint64_t value;
    std::string unit;
  };
  const std::string counters = absl::StrFormat(" on %d CPUs", cpus);
  const Setting settings[] = {
      {"flows", uint64_t{sizes.flow_buckets} * FL_BUCKET_SLOTS, " slots"},
      {"rows", sizes.rows, ""},
      {"backends", sizes.backends, counters},
      {"services", sizes.services, counters},
      {"prefixes", sizes.prefixes, ""},
      {"sources", uint64_t{sizes.rate_sets} * FL_RATE_SET, ""},
      {"counted_sources", uint64_t{sizes.conn_sets} * FL_CONN_SET, ""}};
  std::vector<TableBytes> tables;
  for (const Setting& setting : settings) {
    uint64_t bytes = 0;
    for (const absl::string_view map : maps) {
      const MapSize size = SizeOf(map, sizes);
      if (size.setting == nullptr || size.setting != setting.name) continue;
      bytes += size.entries * EntryBytes(map, cpus);
    }
    if (bytes == 0) continue;
    tables.push_back(
        {.setting = setting.name,
         .value = setting.value,
         .bytes = bytes,
         .arithmetic = absl::StrCat(setting.name, " = ", setting.value,
                                    setting.unit, " x ", bytes / setting.value,
                                    " bytes = ", FormatBytes(bytes))});
  }
  return tables;
}

std::vector<TableBytes> BytesOf(const core::TableSizes& sizes, int cpus) {
  std::vector<absl::string_view> maps(kMapNames.begin(), kMapNames.end());
  maps.insert(maps.end(), kUnpinnedNames.begin(), kUnpinnedNames.end());
  return BytesOf(sizes, cpus, maps);
}

absl::StatusOr<MemoryRoom> FindMemoryRoom(const std::string& proc,
                                          const std::string& cgroups) {
  const std::string path = absl::StrCat(proc, "/meminfo");
  const auto available =
      FindNumber(ReadText(path).value_or(""), "MemAvailable:");
  if (!available.has_value()) {
    return absl::NotFoundError(absl::StrCat("no MemAvailable in ", path,
                                            ", so that it is not known ",
                                            "whether the tables fit"));
  }
  MemoryRoom room = {*available * 1024, absl::StrCat("MemAvailable of ", path)};
  const std::string own =
      ReadText(absl::StrCat(proc, "/self/cgroup")).value_or("");
  for (const absl::string_view line : absl::StrSplit(own, '\n')) {
    const std::vector<std::string> fields =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3 || !absl::StartsWith(fields[2], "/")) continue;
    if (fields[1].empty()) {
      NarrowByCgroups(cgroups, fields[2], kVersion2, room);
    } else if (fields[1] == "memory") {
      NarrowByCgroups(absl::StrCat(cgroups, "/memory"), fields[2], kVersion1,
                      room);
    }
  }
  return room;
}

absl::Status CheckMemory(const std::vector<TableBytes>& tables,
                         const MemoryRoom& room) {
  uint64_t needed = 0;
  std::vector<std::string> terms;
  for (const TableBytes& table : tables) {
    needed += table.bytes;
    terms.push_back(table.arithmetic);
  }
  const uint64_t usable = room.bytes - room.bytes / 8;
  if (needed <= usable) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "the tables do not fit into memory: ", absl::StrJoin(terms, ", "),
      "; that is ", FormatBytes(needed), " to be taken, and of ",
      FormatBytes(room.bytes), " (", room.source, ") seven eighths are for ",
      "tables, ", FormatBytes(usable), "; ", Remedy(tables, needed, usable)));
}

}  // namespace fairlead::datapath
