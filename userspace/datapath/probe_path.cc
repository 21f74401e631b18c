#include "datapath/probe_path.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "datapath/libbpf_log.h"
#include "datapath/map_shape.h"
#include "datapath/pin_folder.h"
#include "datapath/stats.h"
#include "fairlead/abi/probe.h"
#include "fairlead/abi/verdict.h"
#include "probe.skel.h"

namespace fairlead::datapath {
namespace {

constexpr char kProgramName[] = "fl_probe";
constexpr size_t kVerifierLines = 4;
constexpr mode_t kFolderMode = 0700;

struct CloseSkeleton {
  void operator()(struct probe* skeleton) const { probe__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<struct probe, CloseSkeleton>;

std::string FolderOf(const std::string& pin_path) {
  return absl::StrCat(pin_path, "/probe");
}

std::string FlowsPin(const std::string& folder) {
  return absl::StrCat(folder, "/fl_prb_flows");
}

absl::StatusOr<base::UniqueFd> Duplicate(int fd, absl::string_view what) {
  base::UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) return base::SyscallError(absl::StrCat("duplicate ", what));
  return copy;
}

// The connections of an earlier daemon are remembered, unless there is room for
// another number of them.
absl::Status AdoptFlows(bpf_map* flows, const std::string& folder) {
  const absl::StatusOr<std::optional<OpenMap>> pinned =
      OpenPinnedMap(FlowsPin(folder));
  if (!pinned.ok() || !pinned->has_value() ||
      (*pinned)->shape.type != bpf_map__type(flows) ||
      (*pinned)->shape.key_size != bpf_map__key_size(flows) ||
      (*pinned)->shape.value_size != bpf_map__value_size(flows) ||
      (*pinned)->shape.entries != bpf_map__max_entries(flows))
    return RemoveFile(FlowsPin(folder));
  const int result = bpf_map__reuse_fd(flows, (*pinned)->fd.get());
  if (result == 0) return absl::OkStatus();
  return base::BpfError(result, "use the pinned fl_prb_flows");
}

absl::Status PinFlows(int flows, const std::string& folder) {
  if (mkdir(folder.c_str(), kFolderMode) != 0 && errno != EEXIST)
    return base::SyscallError(absl::StrCat("mkdir ", folder));
  const int result = bpf_obj_pin(flows, FlowsPin(folder).c_str());
  if (result == 0 || result == -EEXIST) return absl::OkStatus();
  return base::BpfError(result, absl::StrCat("pin ", FlowsPin(folder)));
}

absl::Status Reuse(bpf_map* map, int fd) {
  const int result = bpf_map__reuse_fd(map, fd);
  if (result == 0) return absl::OkStatus();
  return base::BpfError(result, absl::StrCat("use ", bpf_map__name(map)));
}

absl::StatusOr<Skeleton> Load(const ProbePathOptions& options,
                              const std::string& folder) {
  const LibbpfLog log;
  const std::string what = "load the program of health checks";
  Skeleton skeleton(probe__open());
  if (skeleton == nullptr) return base::BpfError(-errno, what);
  skeleton->rodata->fl_config = options.config;
  FL_RETURN_IF_ERROR(Reuse(skeleton->maps.fl_services, options.maps.services));
  FL_RETURN_IF_ERROR(Reuse(skeleton->maps.fl_backends, options.maps.backends));
  bpf_map__set_max_entries(skeleton->maps.fl_prb_sent, options.sizes.backends);
  bpf_map__set_max_entries(skeleton->maps.fl_prb_flows,
                           options.sizes.backends * FL_PROBE_FLOWS_PER_BACKEND);
  FL_RETURN_IF_ERROR(AdoptFlows(skeleton->maps.fl_prb_flows, folder));
  const int result = probe__load(skeleton.get());
  if (result == 0) return skeleton;
  return base::BpfError(result,
                        absl::StrCat(what, ": ", log.Tail(kVerifierLines)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ProbePath>> ProbePath::Open(
    const ProbePathOptions& options) {
  EgressHooks hooks(FolderOf(options.pin_path), kProgramName, options.kind);
  FL_ASSIGN_OR_RETURN(const Skeleton skeleton, Load(options, hooks.folder()));
  FL_ASSIGN_OR_RETURN(
      base::UniqueFd program,
      Duplicate(bpf_program__fd(skeleton->progs.fl_probe), kProgramName));
  FL_ASSIGN_OR_RETURN(base::UniqueFd verdicts,
                      Duplicate(bpf_map__fd(skeleton->maps.fl_prb_verdicts),
                                "fl_prb_verdicts"));
  FL_ASSIGN_OR_RETURN(auto sent, MappedArray<uint64_t>::Map(
                                     bpf_map__fd(skeleton->maps.fl_prb_sent),
                                     options.sizes.backends, "fl_prb_sent"));
  FL_RETURN_IF_ERROR(
      PinFlows(bpf_map__fd(skeleton->maps.fl_prb_flows), hooks.folder()));
  FL_ASSIGN_OR_RETURN(const std::set<uint32_t> found, hooks.Find());
  for (const uint32_t interface : found)
    FL_RETURN_IF_ERROR(
        hooks.Put({InterfaceName(interface), interface}, program.get()));
  std::unique_ptr<ProbePath> path(
      new ProbePath(std::move(hooks), std::move(program), std::move(verdicts),
                    std::move(sent)));
  path->used_ = found;
  return path;
}

absl::Status ProbePath::Remove(const std::string& pin_path) {
  const EgressHooks hooks(FolderOf(pin_path), kProgramName);
  FL_RETURN_IF_ERROR(hooks.RemoveAll());
  return RemoveFolder(hooks.folder());
}

uint32_t ProbePath::MarkOf(core::BackendId backend) {
  return FL_PROBE_MARK | backend;
}

absl::Status ProbePath::Use(const std::string& interface) {
  FL_ASSIGN_OR_RETURN(const Interface found, FindInterface(interface));
  FL_RETURN_IF_ERROR(hooks_.Put(found, program_.get()));
  used_.insert(found.index);
  return absl::OkStatus();
}

absl::Status ProbePath::KeepOnly(const std::set<std::string>& interfaces) {
  std::set<uint32_t> kept;
  for (const std::string& name : interfaces) {
    const absl::StatusOr<Interface> found = FindInterface(name);
    if (found.ok()) kept.insert(found->index);
  }
  const std::set<uint32_t> used = used_;
  for (const uint32_t interface : used) {
    if (kept.count(interface) != 0) continue;
    FL_RETURN_IF_ERROR(hooks_.Remove(interface));
    used_.erase(interface);
  }
  return absl::OkStatus();
}

uint64_t ProbePath::Sent(core::BackendId backend) const {
  if (backend >= sent_.elements().size()) return 0;
  return *static_cast<const volatile uint64_t*>(&sent_.elements()[backend]);
}

absl::StatusOr<std::vector<uint64_t>> ProbePath::Verdicts() const {
  return SumPerCpu(verdicts_.get(), FL_PROBE_VERDICT_COUNT, "fl_prb_verdicts");
}

}  // namespace fairlead::datapath
