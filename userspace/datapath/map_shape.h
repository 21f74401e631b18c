// The shapes of pinned maps, and how they follow from the sizes of the node
// config.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "core/model.h"

namespace fairlead::datapath {

// All pinned maps; each is pinned under its name.
inline constexpr std::array<absl::string_view, 13> kMapNames = {
    "fl_services",    "fl_rows",     "fl_backends",  "fl_load",
    "fl_flows",       "fl_verdicts", "fl_svc_stats", "fl_bkd_stats",
    "fl_leases",      "fl_prefixes", "fl_src_stats", "fl_source_conns",
    "fl_flow_sources"};

// Made anew with each program, for what is in them may be forgotten.
inline constexpr std::array<absl::string_view, 2> kUnpinnedNames = {"fl_limits",
                                                                    "fl_rates"};

struct MapShape {
  uint32_t type = 0;
  uint32_t key_size = 0;
  uint32_t value_size = 0;
  uint32_t entries = 0;
  uint32_t flags = 0;

  friend bool operator==(const MapShape&, const MapShape&) = default;

  bool DiffersInEntriesAlone(const MapShape& other) const;
  std::string ToString() const;
};

// How many entries of a map one unit of its setting in the node config makes.
struct MapSize {
  const char* setting = nullptr;  // null: the map's size is fixed
  uint32_t entries = 0;
  uint32_t entries_per_unit = 1;
  uint32_t units_per_entry = 1;

  uint64_t Units(uint32_t found) const {
    return uint64_t{found} * units_per_entry / entries_per_unit;
  }
};

MapSize SizeOf(absl::string_view map, const core::TableSizes& sizes);

struct OpenMap {
  base::UniqueFd fd;
  MapShape shape;
  uint32_t id = 0;  // the kernel's
};

// `what` names the map in errors.
absl::StatusOr<OpenMap> Describe(base::UniqueFd fd, absl::string_view what);

// nullopt: nothing is pinned there.
absl::StatusOr<std::optional<OpenMap>> OpenPinnedMap(const std::string& pin);

// The sizes of the tables that are pinned in `folder`; of those that a daemon
// before this one did not know, as in `wanted`. Errors: another is missing.
absl::StatusOr<core::TableSizes> PinnedSizes(const std::string& folder,
                                             const core::TableSizes& wanted);

}  // namespace fairlead::datapath
