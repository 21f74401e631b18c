#include "datapath/layouts.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "datapath/mapped_array.h"
#include "datapath/table_memory.h"
#include "fairlead/abi/maps.h"

namespace fairlead::datapath {
namespace {

absl::Status ForEachService(
    int map,
    const std::function<absl::Status(const fl_service_key&, const fl_service&)>&
        visit) {
  fl_service_key key = {};
  fl_service value = {};
  int result = bpf_map_get_next_key(map, nullptr, &key);
  for (; result == 0; result = bpf_map_get_next_key(map, &key, &key)) {
    if (bpf_map_lookup_elem(map, &key, &value) != 0) continue;
    FL_RETURN_IF_ERROR(visit(key, value));
  }
  if (result == -ENOENT) return absl::OkStatus();
  return base::BpfError(result, "list fl_services");
}

absl::Status TooSmall(absl::string_view setting, uint64_t value,
                      absl::string_view user, uint64_t needed) {
  return absl::FailedPreconditionError(absl::StrCat(
      "table size ", setting, " = ", value, " is too small: ", user, " needs ",
      needed, " at least; raise ", setting,
      " in section [tables] of the node config, or delete what "
      "needs them before the restart"));
}

absl::Status CheckService(const fl_service& service,
                          const core::TableSizes& sizes) {
  if (service.flags & FL_SERVICE_ADDRESS) return absl::OkStatus();
  const std::string user = absl::StrCat("service id ", service.id);
  if (service.id >= sizes.services) {
    return TooSmall("services", sizes.services, user, service.id + 1u);
  }
  if (service.flags & FL_SERVICE_TOMBSTONE) return absl::OkStatus();
  const uint64_t end = uint64_t{service.rows_base} + service.row_mask + 1;
  if (end > sizes.rows) return TooSmall("rows", sizes.rows, user, end);
  return absl::OkStatus();
}

// Lists that were in force a moment ago count, too: so much has to be copied.
absl::Status CheckPrefixes(const std::string& folder,
                           const core::TableSizes& sizes) {
  FL_ASSIGN_OR_RETURN(const std::optional<OpenMap> prefixes,
                      OpenPinnedMap(absl::StrCat(folder, "/fl_prefixes")));
  if (!prefixes.has_value()) return absl::OkStatus();
  const int map = prefixes->fd.get();
  uint64_t used = 0;
  fl_prefix_key key = {};
  int result = bpf_map_get_next_key(map, nullptr, &key);
  for (; result == 0; result = bpf_map_get_next_key(map, &key, &key)) ++used;
  if (result != -ENOENT) return base::BpfError(result, "list fl_prefixes");
  if (used <= uint64_t{FL_PREFIX_LISTS} * sizes.prefixes)
    return absl::OkStatus();
  return TooSmall("prefixes", sizes.prefixes, "who may open connections",
                  (used + FL_PREFIX_LISTS - 1) / FL_PREFIX_LISTS);
}

absl::Status CheckToday(const std::string& folder,
                        const core::TableSizes& sizes) {
  FL_RETURN_IF_ERROR(CheckPrefixes(folder, sizes));
  FL_ASSIGN_OR_RETURN(const std::optional<OpenMap> services,
                      OpenPinnedMap(absl::StrCat(folder, "/fl_services")));
  if (services.has_value()) {
    FL_RETURN_IF_ERROR(
        ForEachService(services->fd.get(),
                       [&](const fl_service_key&, const fl_service& value) {
                         return CheckService(value, sizes);
                       }));
  }
  FL_ASSIGN_OR_RETURN(const std::optional<OpenMap> backends,
                      OpenPinnedMap(absl::StrCat(folder, "/fl_backends")));
  if (!backends.has_value()) return absl::OkStatus();
  FL_ASSIGN_OR_RETURN(
      const auto lines,
      MappedArray<fl_backend>::Map(backends->fd.get(), backends->shape.entries,
                                   "fl_backends"));
  for (size_t id = lines.elements().size(); id-- > sizes.backends;) {
    if ((lines.elements()[id].state & FL_BACKEND_USED) == 0) continue;
    return TooSmall("backends", sizes.backends, absl::StrCat("backend id ", id),
                    id + 1);
  }
  return absl::OkStatus();
}

absl::Status CopyServices(int from, int to) {
  return ForEachService(
      from, [&](const fl_service_key& key, const fl_service& value) {
        const int result = bpf_map_update_elem(to, &key, &value, BPF_ANY);
        if (result == 0) return absl::OkStatus();
        return base::BpfError(result, "copy fl_services");
      });
}

// Values that the daemon writes do not change meanwhile, for there is none but
// this; packets count in fl_load, and a recount follows.
absl::Status CopyArray(absl::string_view name, const OpenMap& from,
                       const OpenMap& to) {
  const uint32_t words = from.shape.value_size / 8;
  FL_ASSIGN_OR_RETURN(const auto source,
                      MappedArray<uint64_t>::Map(
                          from.fd.get(), words * from.shape.entries, name));
  FL_ASSIGN_OR_RETURN(
      const auto target,
      MappedArray<uint64_t>::Map(to.fd.get(), words * to.shape.entries, name));
  const size_t count =
      std::min(source.elements().size(), target.elements().size());
  std::copy_n(source.elements().begin(), count, target.elements().begin());
  return absl::OkStatus();
}

// What packets count between this and the switch of the program, some
// milliseconds later, is not in the new sums.
absl::Status CopyPerCpu(absl::string_view name, const OpenMap& from,
                        const OpenMap& to) {
  const size_t bytes =
      from.shape.value_size * static_cast<size_t>(PossibleCpus());
  std::vector<uint64_t> values(bytes / sizeof(uint64_t));
  const uint32_t count = std::min(from.shape.entries, to.shape.entries);
  for (uint32_t key = 0; key < count; ++key) {
    int result = bpf_map_lookup_elem(from.fd.get(), &key, values.data());
    const bool counted = std::any_of(values.begin(), values.end(),
                                     [](uint64_t value) { return value != 0; });
    if (result == 0 && counted) {
      result = bpf_map_update_elem(to.fd.get(), &key, values.data(), BPF_ANY);
    }
    if (result != 0) return base::BpfError(result, absl::StrCat("copy ", name));
  }
  return absl::OkStatus();
}

// An entry that cannot be there for want of room has been refused by
// CheckToday().
absl::Status CopyPrefixes(int from, int to) {
  fl_prefix_key key = {};
  uint32_t value = 0;
  int result = bpf_map_get_next_key(from, nullptr, &key);
  for (; result == 0; result = bpf_map_get_next_key(from, &key, &key)) {
    if (bpf_map_lookup_elem(from, &key, &value) != 0) continue;
    const int put = bpf_map_update_elem(to, &key, &value, BPF_ANY);
    if (put != 0) return base::BpfError(put, "copy fl_prefixes");
  }
  if (result == -ENOENT) return absl::OkStatus();
  return base::BpfError(result, "list fl_prefixes");
}

absl::Status FillToday(absl::string_view name, const OpenMap& from,
                       const OpenMap& to) {
  // Flows are moved by FlowMove, with what they are charged to; which entry
  // that is follows from the number of sets.
  if (name == "fl_flows" || name == "fl_source_conns" ||
      name == "fl_flow_sources")
    return absl::OkStatus();
  if (name == "fl_prefixes") return CopyPrefixes(from.fd.get(), to.fd.get());
  if (from.shape.type == BPF_MAP_TYPE_PERCPU_ARRAY) {
    return CopyPerCpu(name, from, to);
  }
  if (from.shape.type == BPF_MAP_TYPE_ARRAY) return CopyArray(name, from, to);
  return CopyServices(from.fd.get(), to.fd.get());
}

// 5 has room for more verdicts, and marks addresses of which all services are
// gone, which SharedTables makes up for.
constexpr Layout kLayouts[] = {{4, CheckToday, FillToday},
                               {5, CheckToday, FillToday}};
static_assert(kLayouts[std::size(kLayouts) - 1].version == FL_ABI_VERSION,
              "the layout of today is the last");

}  // namespace

std::span<const Layout> KnownLayouts() { return kLayouts; }

absl::StatusOr<std::vector<bool>> FindTableOnly(const OpenMap& services,
                                                const OpenMap& backends) {
  std::vector<bool> plain(FL_MAX_SERVICES, false);
  FL_RETURN_IF_ERROR(ForEachService(
      services.fd.get(), [&](const fl_service_key&, const fl_service& value) {
        if ((value.flags & (FL_SERVICE_ADDRESS | FL_SERVICE_TOMBSTONE)) == 0)
          plain[value.id] = value.encap != FL_ENCAP_GUE;
        return absl::OkStatus();
      }));
  FL_ASSIGN_OR_RETURN(
      const auto lines,
      MappedArray<fl_backend>::Map(backends.fd.get(), backends.shape.entries,
                                   "fl_backends"));
  std::vector<bool> table_only;
  for (const fl_backend& line : lines.elements())
    table_only.push_back((line.state & FL_BACKEND_USED) != 0 &&
                         plain[line.service]);
  return table_only;
}

}  // namespace fairlead::datapath
