#include "datapath/loader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "datapath/libbpf_log.h"
#include "datapath/skeleton.h"
#include "fairlead/abi/flow_slot.h"

namespace fairlead::datapath {
namespace {

constexpr int kMinKernelMajor = 5;
constexpr int kMinKernelMinor = 15;
constexpr size_t kVerifierLines = 4;

struct CloseSkeleton {
  void operator()(fairlead_skeleton* skeleton) const {
    fairlead__destroy(skeleton);
  }
};
using Skeleton = std::unique_ptr<fairlead_skeleton, CloseSkeleton>;

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

MapSize SizeOf(absl::string_view map, const core::TableSizes& sizes) {
  if (map == "fl_services") {
    // Each service may have an address of its own, which is an entry, too.
    return {.setting = "services",
            .entries = 2 * sizes.services,
            .entries_per_unit = 2};
  }
  if (map == "fl_svc_stats" || map == "fl_leases") {
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

struct MapShape {
  uint32_t type = 0;
  uint32_t key_size = 0;
  uint32_t value_size = 0;
  uint32_t entries = 0;
  uint32_t flags = 0;

  friend bool operator==(const MapShape&, const MapShape&) = default;

  std::string ToString() const {
    const char* name = libbpf_bpf_map_type_str(static_cast<bpf_map_type>(type));
    return absl::StrFormat(
        "%s map, keys of %d and values of %d bytes, %d entries, flags 0x%x",
        name == nullptr ? "unknown" : name, key_size, value_size, entries,
        flags);
  }
};

MapShape WantedShape(const bpf_map* map) {
  return {.type = bpf_map__type(map),
          .key_size = bpf_map__key_size(map),
          .value_size = bpf_map__value_size(map),
          .entries = bpf_map__max_entries(map),
          .flags = bpf_map__map_flags(map)};
}

// `pin` is of this layout, or so its folder says, but not what is wanted now.
absl::Status ShapeError(const std::string& pin, const MapShape& found,
                        const MapShape& wanted, const MapSize& size) {
  const std::string folder = pin.substr(0, pin.find_last_of('/'));
  const std::string remedy = absl::StrCat(
      "run `fairlead node detach --force` with the daemon that "
      "made it, or remove the folder, which takes the program off "
      "the interfaces and forgets all flows: rm -r ",
      folder);
  MapShape resized = found;
  resized.entries = wanted.entries;
  if (size.setting != nullptr && resized == wanted) {
    return absl::FailedPreconditionError(
        absl::StrCat("pinned map ", pin, " was made for ", size.setting, " = ",
                     size.Units(found.entries), ", the node config says ",
                     size.Units(wanted.entries), "; set it back, or ", remedy));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("pinned map ", pin, " is a ", found.ToString(),
                   "; wanted is a ", wanted.ToString(), "; ", remedy));
}

// Has `map` use what is pinned at `pin`; false if nothing is.
absl::StatusOr<bool> Adopt(bpf_map* map, const std::string& pin,
                           const MapSize& size) {
  const base::UniqueFd fd(bpf_obj_get(pin.c_str()));
  if (!fd) {
    if (errno == ENOENT) return false;
    return base::SyscallError(absl::StrCat("open pinned map ", pin));
  }
  bpf_map_info info = {};
  __u32 length = sizeof(info);
  int result = bpf_obj_get_info_by_fd(fd.get(), &info, &length);
  if (result != 0) {
    return base::BpfError(result, absl::StrCat("read pinned map ", pin));
  }
  const MapShape found = {.type = info.type,
                          .key_size = info.key_size,
                          .value_size = info.value_size,
                          .entries = info.max_entries,
                          .flags = info.map_flags};
  const MapShape wanted = WantedShape(map);
  if (!(found == wanted)) return ShapeError(pin, found, wanted, size);
  result = bpf_map__reuse_fd(map, fd.get());
  if (result != 0) {
    return base::BpfError(result, absl::StrCat("use pinned map ", pin));
  }
  return true;
}

absl::Status CheckKernel() {
  utsname name;
  int major = 0;
  int minor = 0;
  if (uname(&name) != 0 ||
      std::sscanf(name.release, "%d.%d", &major, &minor) != 2) {
    return absl::OkStatus();  // let the load decide
  }
  if (std::pair(major, minor) >= std::pair(kMinKernelMajor, kMinKernelMinor)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("kernel ", name.release,
                   " is too old for the packet path; it needs Linux ",
                   kMinKernelMajor, ".", kMinKernelMinor));
}

std::string LoadHint() {
  if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_XDP, nullptr) == 0) {
    return "this kernel has no XDP; it needs CONFIG_BPF_SYSCALL and CONFIG_NET";
  }
  if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_ktime_get_coarse_ns,
                              nullptr) == 0) {
    return "this kernel lacks bpf_ktime_get_coarse_ns; it needs Linux 5.11";
  }
  if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) {
    return "this kernel has no BTF; it needs CONFIG_DEBUG_INFO_BTF";
  }
  return "";
}

// `said` is what libbpf had to say.
absl::Status LoadError(int result, const std::string& said) {
  const std::string what = "load the XDP program";
  absl::Status status =
      result == -E2BIG || result == -EINVAL || result == -EACCES
          ? absl::FailedPreconditionError(
                absl::StrCat(what, ": the kernel refuses it"))
          : base::BpfError(result, what);
  const std::string hint = LoadHint();
  for (const std::string* part : {&hint, &said}) {
    if (part->empty()) continue;
    status = absl::Status(status.code(),
                          absl::StrCat(status.message(), ": ", *part));
  }
  return status;
}

absl::StatusOr<base::UniqueFd> Duplicate(int fd, absl::string_view what) {
  base::UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) return base::SyscallError(absl::StrCat("duplicate ", what));
  return copy;
}

}  // namespace

absl::Status CheckSizes(const core::TableSizes& sizes) {
  const auto in_range = [](absl::string_view name, uint32_t value, uint32_t low,
                           uint32_t high) {
    if (value >= low && value <= high) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        "table size ", name, " = ", value, " is not in ", low, "..", high));
  };
  FL_RETURN_IF_ERROR(in_range("services", sizes.services, 2, FL_MAX_SERVICES));
  FL_RETURN_IF_ERROR(in_range("backends", sizes.backends, 2, FL_MAX_BACKENDS));
  FL_RETURN_IF_ERROR(in_range("rows", sizes.rows, 1, FL_MAX_ROWS));
  FL_RETURN_IF_ERROR(
      in_range("flow_buckets", sizes.flow_buckets, 2, FL_MAX_FLOW_BUCKETS));
  if (std::has_single_bit(sizes.flow_buckets)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "table size flow_buckets = ", sizes.flow_buckets, " is no power of two"));
}

absl::StatusOr<LoadedProgram> LoadProgram(const fl_config& config,
                                          const core::TableSizes& sizes,
                                          const std::string& pins) {
  FL_RETURN_IF_ERROR(CheckKernel());
  const LibbpfLog log;
  const Skeleton skeleton(fairlead__open());
  if (skeleton == nullptr) return LoadError(-errno, log.Tail(kVerifierLines));
  skeleton->rodata->fl_config = config;
  LoadedProgram loaded;
  std::array<bpf_map*, kMapNames.size()> maps;
  for (size_t i = 0; i < kMapNames.size(); ++i) {
    const char* name = kMapNames[i].data();
    maps[i] = bpf_object__find_map_by_name(skeleton->obj, name);
    if (maps[i] == nullptr) {
      return absl::InternalError(absl::StrCat("the object has no map ", name));
    }
    const MapSize size = SizeOf(name, sizes);
    if (size.setting != nullptr) {
      bpf_map__set_max_entries(maps[i], size.entries);
    }
    FL_ASSIGN_OR_RETURN(loaded.maps[i].adopted,
                        Adopt(maps[i], absl::StrCat(pins, "/", name), size));
  }
  const int result = fairlead__load(skeleton.get());
  if (result != 0) return LoadError(result, log.Tail(kVerifierLines));
  for (size_t i = 0; i < kMapNames.size(); ++i) {
    FL_ASSIGN_OR_RETURN(loaded.maps[i].fd,
                        Duplicate(bpf_map__fd(maps[i]), kMapNames[i]));
  }
  FL_ASSIGN_OR_RETURN(
      loaded.trace,
      Duplicate(bpf_map__fd(skeleton->maps.fl_trace), "fl_trace"));
  FL_ASSIGN_OR_RETURN(
      loaded.traced,
      Duplicate(bpf_map__fd(skeleton->maps.fl_traced), "fl_traced"));
  FL_ASSIGN_OR_RETURN(
      loaded.program,
      Duplicate(bpf_program__fd(skeleton->progs.fl_lb), "fl_lb"));
  return loaded;
}

}  // namespace fairlead::datapath
