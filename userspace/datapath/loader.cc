#include "datapath/loader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "datapath/libbpf_log.h"
#include "datapath/skeleton.h"
#include "fairlead/abi/maps.h"

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

MapShape WantedShape(const bpf_map* map) {
  return {.type = bpf_map__type(map),
          .key_size = bpf_map__key_size(map),
          .value_size = bpf_map__value_size(map),
          .entries = bpf_map__max_entries(map),
          .flags = bpf_map__map_flags(map)};
}

// `pin` is of a known layout, or so its folder says, but not what is wanted.
absl::Status ShapeError(const std::string& pin, const MapShape& found,
                        const MapShape& wanted) {
  const std::string folder = pin.substr(0, pin.find_last_of('/'));
  return absl::FailedPreconditionError(absl::StrCat(
      "pinned map ", pin, " is a ", found.ToString(), "; wanted is a ",
      wanted.ToString(),
      "; run `fairlead node detach --force` with the daemon that made it, or "
      "remove the folder, which takes the program off the interfaces and "
      "forgets all flows: rm -r ",
      folder));
}

absl::Status Reuse(bpf_map* map, const OpenMap& pinned, absl::string_view pin) {
  const int result = bpf_map__reuse_fd(map, pinned.fd.get());
  if (result == 0) return absl::OkStatus();
  return base::BpfError(result, absl::StrCat("use pinned map ", pin));
}

// What flows are charged to are entries of fl_source_conns: without those it is
// of no use.
enum class Adoption { kAsItIs, kAnew };

// Has `map` use what is pinned at `pin` if that has the size that is wanted.
absl::Status Adopt(bpf_map* map, const std::string& pin, Adoption adoption,
                   LoadedMap& loaded) {
  FL_ASSIGN_OR_RETURN(std::optional<OpenMap> pinned, OpenPinnedMap(pin));
  if (!pinned.has_value()) return absl::OkStatus();
  const MapShape wanted = WantedShape(map);
  if (pinned->shape == wanted && adoption == Adoption::kAsItIs) {
    FL_RETURN_IF_ERROR(Reuse(map, *pinned, pin));
    loaded.adopted = true;
    return absl::OkStatus();
  }
  if (pinned->shape != wanted && !pinned->shape.DiffersInEntriesAlone(wanted))
    return ShapeError(pin, pinned->shape, wanted);
  loaded.resized_from = *std::move(pinned);
  return absl::OkStatus();
}

// The flow table that flows are to be moved out of: the pinned one of another
// size, or the one that a killed daemon was moving them out of.
absl::StatusOr<std::optional<OpenMap>> FindOldFlows(const LoadRequest& request,
                                                    const LoadedMap& flows) {
  const std::string pin = absl::StrCat(request.pins, "/fl_flows");
  if (flows.resized_from.has_value()) return OpenPinnedMap(pin);
  if (request.unfinished.empty()) return std::nullopt;
  FL_ASSIGN_OR_RETURN(
      std::optional<OpenMap> old,
      OpenPinnedMap(absl::StrCat(request.unfinished, "/fl_flows")));
  FL_ASSIGN_OR_RETURN(const std::optional<OpenMap> now, OpenPinnedMap(pin));
  // The same: it was another table whose size has changed.
  if (old && now && old->id == now->id) return std::nullopt;
  return old;
}

// What the flows of that table are charged to, in entries that still are.
absl::StatusOr<std::optional<OpenMap>> FindOldCharges(
    const LoadRequest& request, const LoadedProgram& loaded) {
  if (!loaded.old_flows.has_value()) return std::nullopt;
  const auto open = [](const std::string& folder, absl::string_view name) {
    return OpenPinnedMap(absl::StrCat(folder, "/", name));
  };
  const bool resized = loaded.map("fl_flows").resized_from.has_value();
  const std::string& folder = resized ? request.pins : request.unfinished;
  if (!loaded.map("fl_source_conns").adopted) return std::nullopt;
  FL_ASSIGN_OR_RETURN(const auto then, open(folder, "fl_source_conns"));
  FL_ASSIGN_OR_RETURN(const auto now, open(request.pins, "fl_source_conns"));
  if (!then || !now || then->id != now->id) return std::nullopt;
  FL_ASSIGN_OR_RETURN(std::optional<OpenMap> old,
                      open(folder, "fl_flow_sources"));
  if (old && old->shape.entries != loaded.old_flows->shape.entries)
    return std::nullopt;
  return old;
}

// Before the kernel is asked for it.
absl::Status CheckMemoryOf(const LoadedProgram& loaded,
                           const LoadRequest& request) {
  std::vector<absl::string_view> made;
  for (size_t i = 0; i < kMapNames.size(); ++i) {
    if (!loaded.maps[i].adopted) made.push_back(kMapNames[i]);
  }
  if (made.empty()) return absl::OkStatus();
  made.push_back("fl_rates");
  const absl::StatusOr<MemoryRoom> room =
      request.room.has_value() ? *request.room : FindMemoryRoom();
  // Where it cannot be known, the kernel's answer has to do.
  if (!room.ok()) return absl::OkStatus();
  return CheckMemory(BytesOf(request.sizes, PossibleCpus(), made), *room);
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
  FL_RETURN_IF_ERROR(in_range("prefixes", sizes.prefixes, 1, FL_MAX_PREFIXES));
  FL_RETURN_IF_ERROR(
      in_range("flow_buckets", sizes.flow_buckets, 2, FL_MAX_FLOW_BUCKETS));
  FL_RETURN_IF_ERROR(
      in_range("rate_sets", sizes.rate_sets, 1, FL_MAX_SOURCES / FL_RATE_SET));
  FL_RETURN_IF_ERROR(in_range("conn_sets", sizes.conn_sets, 1,
                              FL_MAX_COUNTED_SOURCES / FL_CONN_SET));
  for (const auto& [name, size] :
       {std::pair("flow_buckets", sizes.flow_buckets),
        std::pair("conn_sets", sizes.conn_sets),
        std::pair("rate_sets", sizes.rate_sets)}) {
    if (std::has_single_bit(size)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("table size ", name, " = ", size, " is no power of two"));
  }
  return absl::OkStatus();
}

const LoadedMap& LoadedProgram::map(absl::string_view name) const {
  const auto at = std::find(kMapNames.begin(), kMapNames.end(), name);
  FL_CHECK(at != kMapNames.end());
  return maps[static_cast<size_t>(at - kMapNames.begin())];
}

absl::StatusOr<LoadedProgram> LoadProgram(const LoadRequest& request) {
  FL_RETURN_IF_ERROR(CheckKernel());
  const LibbpfLog log;
  const Skeleton skeleton(fairlead__open());
  if (skeleton == nullptr) return LoadError(-errno, log.Tail(kVerifierLines));
  skeleton->rodata->fl_config = request.config;
  LoadedProgram loaded;
  std::array<bpf_map*, kMapNames.size()> maps;
  for (size_t i = 0; i < kMapNames.size(); ++i) {
    const char* name = kMapNames[i].data();
    maps[i] = bpf_object__find_map_by_name(skeleton->obj, name);
    if (maps[i] == nullptr) {
      return absl::InternalError(absl::StrCat("the object has no map ", name));
    }
    const MapSize size = SizeOf(name, request.sizes);
    if (size.setting != nullptr) {
      bpf_map__set_max_entries(maps[i], size.entries);
    }
    const bool anew = kMapNames[i] == "fl_flow_sources" &&
                      !loaded.map("fl_source_conns").adopted;
    FL_RETURN_IF_ERROR(Adopt(maps[i], absl::StrCat(request.pins, "/", name),
                             anew ? Adoption::kAnew : Adoption::kAsItIs,
                             loaded.maps[i]));
  }
  for (bpf_map* map :
       {skeleton->maps.fl_syn_windows, skeleton->maps.fl_syn_batches})
    bpf_map__set_max_entries(map, request.sizes.services);
  bpf_map__set_max_entries(skeleton->maps.fl_answered,
                           request.sizes.services * FL_ANSWER_KINDS);
  for (const absl::string_view name : kUnpinnedNames) {
    bpf_map* map = bpf_object__find_map_by_name(skeleton->obj, name.data());
    FL_CHECK(map != nullptr);
    bpf_map__set_max_entries(map, SizeOf(name, request.sizes).entries);
  }
  FL_ASSIGN_OR_RETURN(loaded.old_flows,
                      FindOldFlows(request, loaded.map("fl_flows")));
  FL_ASSIGN_OR_RETURN(loaded.old_charges, FindOldCharges(request, loaded));
  if (loaded.old_flows.has_value()) {
    skeleton->rodata->fl_config.old_bucket_mask =
        loaded.old_flows->shape.entries - 1;
    FL_RETURN_IF_ERROR(Reuse(skeleton->maps.fl_old_flows, *loaded.old_flows,
                             "fl_flows of the old size"));
  }
  FL_RETURN_IF_ERROR(CheckMemoryOf(loaded, request));
  const int result = fairlead__load(skeleton.get());
  if (result != 0) return LoadError(result, log.Tail(kVerifierLines));
  for (size_t i = 0; i < kMapNames.size(); ++i) {
    FL_ASSIGN_OR_RETURN(base::UniqueFd fd,
                        Duplicate(bpf_map__fd(maps[i]), kMapNames[i]));
    FL_ASSIGN_OR_RETURN(loaded.maps[i].now,
                        Describe(std::move(fd), kMapNames[i]));
  }
  FL_ASSIGN_OR_RETURN(
      loaded.trace,
      Duplicate(bpf_map__fd(skeleton->maps.fl_trace), "fl_trace"));
  FL_ASSIGN_OR_RETURN(
      loaded.traced,
      Duplicate(bpf_map__fd(skeleton->maps.fl_traced), "fl_traced"));
  FL_ASSIGN_OR_RETURN(
      loaded.limits,
      Duplicate(bpf_map__fd(skeleton->maps.fl_limits), "fl_limits"));
  FL_ASSIGN_OR_RETURN(
      loaded.egress,
      Duplicate(bpf_map__fd(skeleton->maps.fl_egress), "fl_egress"));
  FL_ASSIGN_OR_RETURN(
      loaded.program,
      Duplicate(bpf_program__fd(skeleton->progs.fl_lb), "fl_lb"));
  return loaded;
}

}  // namespace fairlead::datapath
