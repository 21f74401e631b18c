#include "core/allocation.h"

#include <bit>
#include <string>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "core/sources.h"

namespace fairlead::core {
namespace {

// The lowest in [1, size) that is not in `taken`; 0 if there is none.
uint16_t LowestFree(const absl::btree_set<uint16_t>& taken, uint32_t size) {
  uint32_t free = 1;
  for (const uint16_t id : taken) {
    if (id > free) break;
    free = uint32_t{id} + 1;
  }
  return free < size ? static_cast<uint16_t>(free) : uint16_t{0};
}

struct Region {
  uint64_t base = 0;
  uint64_t rows = 0;
  std::string service;

  bool Overlaps(const Region& other) const {
    return base < other.base + other.rows && other.base < base + rows;
  }
};

std::vector<Region> RegionsOf(const DesiredState& desired) {
  std::vector<Region> regions;
  for (const auto& [name, service] : desired.services)
    regions.push_back({service.rows_base, service.rows, name});
  return regions;
}

absl::Status TooSmall(absl::string_view table, uint64_t size,
                      const std::string& user, uint64_t needed) {
  return absl::FailedPreconditionError(
      absl::StrCat(user, " needs a ", table, " table of at least ", needed,
                   ", the node config says ", size));
}

absl::Status Twice(absl::string_view what, uint64_t id,
                   const std::string& who) {
  return absl::FailedPreconditionError(
      absl::StrCat(who, ": ", what, " ", id, " is used twice"));
}

absl::Status CheckServiceIds(const DesiredState& desired, uint32_t size) {
  absl::btree_set<uint16_t> seen = {0};
  const auto check = [&](ServiceId id, const std::string& who) -> absl::Status {
    if (!seen.insert(id).second) return Twice("service id", id, who);
    if (id >= size) return TooSmall("services", size, who, uint64_t{id} + 1);
    return absl::OkStatus();
  };
  for (const auto& [name, service] : desired.services)
    FL_RETURN_IF_ERROR(
        check(service.id, absl::StrCat("service ", base::Quoted(name))));
  for (const auto& [vip, tombstone] : desired.tombstones) {
    FL_RETURN_IF_ERROR(
        check(tombstone.id, absl::StrCat("tombstone ", vip.ToString())));
  }
  return absl::OkStatus();
}

absl::Status CheckBackendIds(const DesiredState& desired, uint32_t size) {
  absl::btree_set<uint16_t> seen = {0};
  const auto check = [&](BackendId id, const std::string& who) -> absl::Status {
    if (!seen.insert(id).second) return Twice("backend id", id, who);
    if (id >= size) return TooSmall("backends", size, who, uint64_t{id} + 1);
    return absl::OkStatus();
  };
  for (const auto& [name, service] : desired.services) {
    for (const auto& [backend_name, backend] : service.backends) {
      FL_RETURN_IF_ERROR(
          check(backend.id, absl::StrCat("backend ", base::Quoted(backend_name),
                                         " of service ", base::Quoted(name))));
    }
  }
  for (const auto& [id, since] : desired.quarantine)
    FL_RETURN_IF_ERROR(check(id, absl::StrCat("deleted backend ", id)));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ServiceId> AllocateServiceId(const DesiredState& desired,
                                            const TableSizes& sizes) {
  absl::btree_set<uint16_t> taken;
  for (const auto& [name, service] : desired.services) taken.insert(service.id);
  for (const auto& [vip, tombstone] : desired.tombstones)
    taken.insert(tombstone.id);
  const uint16_t id = LowestFree(taken, sizes.services);
  if (id != 0) return id;
  return absl::ResourceExhaustedError(
      absl::StrCat("the table of services is full: of ", sizes.services - 1,
                   " ids services have ", desired.services.size(),
                   " and tombstones ", desired.tombstones.size(),
                   "; clear a tombstone or raise services in the node config"));
}

absl::StatusOr<BackendId> AllocateBackendId(const DesiredState& desired,
                                            const TableSizes& sizes) {
  absl::btree_set<uint16_t> taken;
  for (const auto& [name, service] : desired.services)
    for (const auto& [backend_name, backend] : service.backends)
      taken.insert(backend.id);
  const size_t configured = taken.size();
  for (const auto& [id, since] : desired.quarantine) taken.insert(id);
  const uint16_t id = LowestFree(taken, sizes.backends);
  if (id != 0) return id;
  return absl::ResourceExhaustedError(absl::StrCat(
      "the table of backends is full: of ", sizes.backends - 1,
      " ids backends have ", configured, " and backends deleted lately ",
      desired.quarantine.size(), "; raise backends in the node config"));
}

absl::StatusOr<uint32_t> AllocateRows(const DesiredState& desired,
                                      const TableSizes& sizes, uint32_t rows) {
  FL_CHECK(std::has_single_bit(rows));
  const std::vector<Region> taken = RegionsOf(desired);
  uint64_t used = 0;
  for (const Region& region : taken) used += region.rows;
  for (Region wanted{0, rows, ""}; wanted.base + rows <= sizes.rows;
       wanted.base += rows) {
    bool free = true;
    for (const Region& region : taken) free = free && !wanted.Overlaps(region);
    if (free) return static_cast<uint32_t>(wanted.base);
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "no room for ", rows, " rows: ", used, " of ", sizes.rows,
      " rows are taken; ask for fewer or raise rows in the node config"));
}

absl::Status CheckFits(const DesiredState& desired, const TableSizes& sizes) {
  FL_RETURN_IF_ERROR(CheckServiceIds(desired, sizes.services));
  FL_RETURN_IF_ERROR(CheckBackendIds(desired, sizes.backends));
  if (const size_t prefixes = CountPrefixes(desired); prefixes > sizes.prefixes)
    return TooSmall("prefixes", sizes.prefixes, "who may open connections",
                    prefixes);
  for (const auto& [name, service] : desired.services)
    FL_RETURN_IF_ERROR(CheckCounted(service, sizes), "service ",
                       base::Quoted(name));
  const std::vector<Region> regions = RegionsOf(desired);
  for (size_t i = 0; i < regions.size(); ++i) {
    const Region& region = regions[i];
    const std::string who =
        absl::StrCat("service ", base::Quoted(region.service));
    if (region.base + region.rows > sizes.rows)
      return TooSmall("rows", sizes.rows, who, region.base + region.rows);
    for (size_t j = 0; j < i; ++j) {
      if (region.Overlaps(regions[j])) return Twice("row", region.base, who);
    }
  }
  return absl::OkStatus();
}

}  // namespace fairlead::core
