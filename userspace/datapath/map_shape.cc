#include "datapath/map_shape.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "fairlead/abi/flow_slot.h"
#include "fairlead/abi/maps.h"

namespace fairlead::datapath {

bool MapShape::DiffersInEntriesAlone(const MapShape& other) const {
  MapShape resized = *this;
  resized.entries = other.entries;
  return resized == other && entries != other.entries;
}

std::string MapShape::ToString() const {
  const char* name = libbpf_bpf_map_type_str(static_cast<bpf_map_type>(type));
  return absl::StrFormat(
      "%s map, keys of %d and values of %d bytes, %d entries, flags 0x%x",
      name == nullptr ? "unknown" : name, key_size, value_size, entries, flags);
}

MapSize SizeOf(absl::string_view map, const core::TableSizes& sizes) {
  if (map == "fl_services") {
    // Each service may have an address of its own, which is an entry, too.
    return {.setting = "services",
            .entries = 2 * sizes.services,
            .entries_per_unit = 2};
  }
  if (map == "fl_prefixes") {
    // While a list is changed, the old and the new one are there.
    return {.setting = "prefixes",
            .entries = FL_PREFIX_LISTS * sizes.prefixes,
            .entries_per_unit = FL_PREFIX_LISTS};
  }
  if (map == "fl_rates") {
    return {.setting = "sources",
            .entries = sizes.rate_sets,
            .units_per_entry = FL_RATE_SET};
  }
  // Without connections of sources there is no room for them.
  if ((map == "fl_source_conns" || map == "fl_flow_sources") &&
      sizes.conn_sets <= 1)
    return {.entries = 1};
  if (map == "fl_source_conns") {
    return {.setting = "counted_sources",
            .entries = sizes.conn_sets,
            .units_per_entry = FL_CONN_SET};
  }
  if (map == "fl_flow_sources") {
    return {.setting = "flows",
            .entries = sizes.flow_buckets,
            .units_per_entry = FL_BUCKET_SLOTS};
  }
  if (map == "fl_svc_stats" || map == "fl_src_stats" || map == "fl_leases" ||
      map == "fl_limits") {
    return {.setting = "services", .entries = sizes.services};
  }
  if (map == "fl_rows") return {.setting = "rows", .entries = sizes.rows};
  if (map == "fl_flows") {
    return {.setting = "flows",
            .entries = sizes.flow_buckets,
            .units_per_entry = FL_BUCKET_SLOTS};
  }
  if (map == "fl_verdicts") return {};
  return {.setting = "backends", .entries = sizes.backends};
}

absl::StatusOr<OpenMap> Describe(base::UniqueFd fd, absl::string_view what) {
  bpf_map_info info = {};
  __u32 length = sizeof(info);
  const int result = bpf_obj_get_info_by_fd(fd.get(), &info, &length);
  if (result != 0) return base::BpfError(result, absl::StrCat("read ", what));
  return OpenMap{.fd = std::move(fd),
                 .shape = {.type = info.type,
                           .key_size = info.key_size,
                           .value_size = info.value_size,
                           .entries = info.max_entries,
                           .flags = info.map_flags},
                 .id = info.id};
}

absl::StatusOr<std::optional<OpenMap>> OpenPinnedMap(const std::string& pin) {
  base::UniqueFd fd(bpf_obj_get(pin.c_str()));
  if (!fd && errno == ENOENT) return std::nullopt;
  if (!fd) return base::SyscallError(absl::StrCat("open pinned map ", pin));
  FL_ASSIGN_OR_RETURN(
      OpenMap map, Describe(std::move(fd), absl::StrCat("pinned map ", pin)));
  return std::optional<OpenMap>(std::move(map));
}

absl::StatusOr<core::TableSizes> PinnedSizes(const std::string& folder,
                                             const core::TableSizes& wanted) {
  const auto entries = [&](absl::string_view name) -> absl::StatusOr<uint32_t> {
    const std::string pin = absl::StrCat(folder, "/", name);
    FL_ASSIGN_OR_RETURN(const std::optional<OpenMap> map, OpenPinnedMap(pin));
    if (map.has_value()) return map->shape.entries;
    return absl::NotFoundError(absl::StrCat(pin, " is missing"));
  };
  core::TableSizes sizes = wanted;
  FL_ASSIGN_OR_RETURN(sizes.services, entries("fl_svc_stats"));
  FL_ASSIGN_OR_RETURN(sizes.backends, entries("fl_backends"));
  FL_ASSIGN_OR_RETURN(sizes.rows, entries("fl_rows"));
  FL_ASSIGN_OR_RETURN(sizes.flow_buckets, entries("fl_flows"));
  const absl::StatusOr<uint32_t> prefixes = entries("fl_prefixes");
  if (prefixes.ok()) {
    sizes.prefixes = *prefixes / FL_PREFIX_LISTS;
  } else if (!absl::IsNotFound(prefixes.status())) {
    return prefixes.status();
  }
  const absl::StatusOr<uint32_t> conn_sets = entries("fl_source_conns");
  if (conn_sets.ok()) {
    sizes.conn_sets = *conn_sets;
  } else if (!absl::IsNotFound(conn_sets.status())) {
    return conn_sets.status();
  }
  return sizes;
}

}  // namespace fairlead::datapath
