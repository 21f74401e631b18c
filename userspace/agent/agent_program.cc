#include "agent/agent_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "datapath/libbpf_log.h"
#include "fairlead/abi/limits.h"
// The skeleton names the types of the ABI.
#include "agent.skel.h"

namespace fairlead::agent {
namespace {

constexpr size_t kLogLines = 3;
constexpr std::array<const char*, kAgentMaps> kMapNames = {
    "fl_vips",      "fl_peers",   "fl_sources",
    "fl_averdicts", "fl_learned", "fl_state"};

struct SkeletonDeleter {
  void operator()(::agent* skeleton) const { agent__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<::agent, SkeletonDeleter>;

// PinFolder speaks of the daemon; here it guards the agent.
absl::Status OfAgent(const absl::Status& status) {
  return absl::Status(
      status.code(),
      absl::StrReplaceAll(status.message(), {{"fairleadd", "fairlead-agent"}}));
}

absl::StatusOr<datapath::PinFolder> LockFolder(const std::string& path) {
  absl::StatusOr<datapath::PinFolder> folder = datapath::PinFolder::Lock(path);
  if (!folder.ok()) return OfAgent(folder.status());
  return folder;
}

std::array<bpf_map*, kAgentMaps> MapsOf(const ::agent& skeleton) {
  return {skeleton.maps.fl_vips,    skeleton.maps.fl_peers,
          skeleton.maps.fl_sources, skeleton.maps.fl_averdicts,
          skeleton.maps.fl_learned, skeleton.maps.fl_state};
}

absl::StatusOr<Skeleton> OpenSkeleton() {
  Skeleton skeleton(agent__open());
  if (skeleton == nullptr)
    return base::BpfError(errno, "open the agent's program");
  return skeleton;
}

absl::Status LoadSkeleton(::agent& skeleton) {
  const datapath::LibbpfLog log;
  const int error = agent__load(&skeleton);
  if (error == 0) return absl::OkStatus();
  return base::BpfError(
      error, absl::StrCat("load the agent's program: ", log.Tail(kLogLines)));
}

absl::Status CheckShape(int fd, const bpf_map* wanted,
                        absl::string_view folder) {
  bpf_map_info info = {};
  __u32 size = sizeof(info);
  const char* const name = bpf_map__name(wanted);
  if (const int error = bpf_obj_get_info_by_fd(fd, &info, &size))
    return base::BpfError(error, absl::StrCat("read ", name));
  if (info.type == bpf_map__type(wanted) &&
      info.key_size == bpf_map__key_size(wanted) &&
      info.value_size == bpf_map__value_size(wanted) &&
      info.max_entries == bpf_map__max_entries(wanted)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      folder, "/", name, " has the shape of another fairlead-agent (",
      info.key_size, " + ", info.value_size, " bytes, ", info.max_entries,
      " entries; here ", bpf_map__key_size(wanted), " + ",
      bpf_map__value_size(wanted), " bytes, ", bpf_map__max_entries(wanted),
      " entries); this takes the program off and lets the next start make new "
      "ones: fairlead-agent detach"));
}

absl::Status ReuseMaps(const AgentMapFds& fds, const ::agent& skeleton,
                       absl::string_view folder) {
  const std::array<int, kAgentMaps> by_order = {
      fds.vips, fds.peers, fds.sources, fds.verdicts, fds.learned, fds.state};
  const std::array<bpf_map*, kAgentMaps> maps = MapsOf(skeleton);
  for (size_t i = 0; i < kAgentMaps; ++i) {
    FL_RETURN_IF_ERROR(CheckShape(by_order[i], maps[i], folder));
    if (const int error = bpf_map__reuse_fd(maps[i], by_order[i]))
      return base::BpfError(error, absl::StrCat("reuse ", kMapNames[i]));
  }
  return absl::OkStatus();
}

// New maps, pinned all or none.
absl::StatusOr<AgentMapSet> PinMaps(const datapath::PinFolder& folder,
                                    const ::agent& skeleton) {
  FL_RETURN_IF_ERROR(folder.MakeStaging());
  const std::array<bpf_map*, kAgentMaps> maps = MapsOf(skeleton);
  for (size_t i = 0; i < kAgentMaps; ++i) {
    const std::string path = absl::StrCat(folder.staging(), "/", kMapNames[i]);
    if (const int error = bpf_obj_pin(bpf_map__fd(maps[i]), path.c_str()))
      return base::BpfError(error, absl::StrCat("pin ", path));
  }
  FL_RETURN_IF_ERROR(folder.CommitStaging());
  return AgentMapSet::OpenPinned(folder.layout());
}

// An empty slot or our own program; anything else is named and left alone.
absl::Status RefuseForeignProgram(
    const datapath::Interface& interface,
    const std::vector<datapath::PinnedLink>& links) {
  FL_ASSIGN_OR_RETURN(const std::optional<datapath::AttachedProgram> attached,
                      datapath::QueryXdp(interface));
  if (!attached.has_value()) return absl::OkStatus();
  for (const datapath::PinnedLink& link : links)
    if (link.interface == interface.index && link.program == attached->id)
      return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      interface.name, " has another XDP program, \"",
      datapath::ProgramName(attached->id), "\" (id ", attached->id, ", ",
      datapath::ToString(attached->mode),
      " mode); if nobody needs it, remove it with: ip link set dev ",
      interface.name,
      attached->mode == datapath::XdpMode::kNative ? " xdpdrv off"
                                                   : " xdpgeneric off"));
}

absl::StatusOr<std::string> TagOf(int program) {
  bpf_prog_info info = {};
  __u32 size = sizeof(info);
  if (const int error = bpf_obj_get_info_by_fd(program, &info, &size))
    return base::BpfError(error, "read the program's tag");
  return absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(info.tag), sizeof(info.tag)));
}

}  // namespace

absl::StatusOr<AgentMapSet> AgentMapSet::OpenPinned(const std::string& folder) {
  std::array<base::UniqueFd, kAgentMaps> fds;
  for (size_t i = 0; i < kAgentMaps; ++i) {
    const std::string path = absl::StrCat(folder, "/", kMapNames[i]);
    fds[i].reset(bpf_obj_get(path.c_str()));
    if (!fds[i].valid())
      return base::BpfError(errno, absl::StrCat("open ", path));
  }
  return AgentMapSet(std::move(fds));
}

AgentMapFds AgentMapSet::fds() const {
  return {.vips = fds_[0].get(),
          .peers = fds_[1].get(),
          .sources = fds_[2].get(),
          .verdicts = fds_[3].get(),
          .learned = fds_[4].get(),
          .state = fds_[5].get()};
}

absl::StatusOr<std::unique_ptr<AgentProgram>> AgentProgram::Load(
    AgentProgramOptions options) {
  FL_ASSIGN_OR_RETURN(datapath::PinFolder folder, LockFolder(options.pin_path));
  absl::StatusOr<std::unique_ptr<AgentProgram>> program =
      LoadIn(folder, std::move(options));
  // On success the lock is the program's, and there is something in the folder.
  if (!program.ok()) folder.RemoveIfEmpty();
  return program;
}

absl::StatusOr<std::unique_ptr<AgentProgram>> AgentProgram::LoadIn(
    datapath::PinFolder& folder, AgentProgramOptions options) {
  FL_ASSIGN_OR_RETURN(const datapath::Interface interface,
                      datapath::FindInterface(options.interface));
  FL_RETURN_IF_ERROR(OfAgent(folder.RefuseOtherLayouts()));
  FL_RETURN_IF_ERROR(folder.RemoveLeftovers());
  FL_ASSIGN_OR_RETURN(const std::vector<datapath::PinnedLink> links,
                      datapath::FindPinnedLinks(folder.layout()));
  FL_RETURN_IF_ERROR(RefuseForeignProgram(interface, links));
  FL_ASSIGN_OR_RETURN(const bool adopted, folder.HasLayout());
  FL_ASSIGN_OR_RETURN(const Skeleton skeleton, OpenSkeleton());
  skeleton->rodata->fl_agent_config = options.config;
  std::optional<AgentMapSet> maps;
  if (adopted) {
    FL_ASSIGN_OR_RETURN(maps, AgentMapSet::OpenPinned(folder.layout()));
    FL_RETURN_IF_ERROR(ReuseMaps(maps->fds(), *skeleton, folder.layout()));
  }
  FL_RETURN_IF_ERROR(LoadSkeleton(*skeleton));
  base::UniqueFd fd(
      fcntl(bpf_program__fd(skeleton->progs.fl_agent), F_DUPFD_CLOEXEC, 0));
  if (!fd.valid()) return base::SyscallError("duplicate a program's fd");
  if (!adopted) {
    FL_ASSIGN_OR_RETURN(maps, PinMaps(folder, *skeleton));
  }
  std::unique_ptr<AgentProgram> program(new AgentProgram(
      std::move(folder), std::move(options), *std::move(maps)));
  program->interface_ = interface;
  program->adopted_ = adopted;
  program->program_ = std::move(fd);
  return program;
}

AgentProgram::~AgentProgram() {
  if (adopted_ || attached_) return;
  // Best effort: the next start takes over what is left.
  (void)datapath::RemoveFolder(folder_.layout());
  folder_.RemoveIfEmpty();
}

absl::Status AgentProgram::Attach() {
  FL_ASSIGN_OR_RETURN(const std::vector<datapath::PinnedLink> links,
                      datapath::FindPinnedLinks(folder_.layout()));
  for (const datapath::PinnedLink& link : links) {
    if (link.interface != interface_.index) continue;
    if (const int error =
            bpf_link_update(link.fd.get(), program_.get(), nullptr))
      return base::BpfError(error, absl::StrCat("update ", link.path));
    attached_ = true;
    FL_ASSIGN_OR_RETURN(const std::optional<datapath::AttachedProgram> now,
                        datapath::QueryXdp(interface_));
    if (now.has_value() && now->mode != options_.mode) {
      notes_.push_back(absl::StrCat(
          "the program stays attached in ", datapath::ToString(now->mode),
          " mode; the configured ", datapath::ToString(options_.mode),
          " mode needs: fairlead-agent detach, then a start"));
    }
    return RemoveOtherLinks(links);
  }
  FL_ASSIGN_OR_RETURN(
      const base::UniqueFd link,
      datapath::AttachXdp(interface_, options_.mode, program_.get()));
  // A pin of an interface that had this index once.
  const std::string path =
      datapath::LinkPath(folder_.layout(), interface_.index);
  FL_RETURN_IF_ERROR(datapath::RemoveFile(path));
  if (const int error = bpf_obj_pin(link.get(), path.c_str()))
    return base::BpfError(error, absl::StrCat("pin ", path));
  attached_ = true;
  return RemoveOtherLinks(links);
}

// The config named another interface before, or the interface is gone.
absl::Status AgentProgram::RemoveOtherLinks(
    const std::vector<datapath::PinnedLink>& links) {
  const std::string own =
      datapath::LinkPath(folder_.layout(), interface_.index);
  for (const datapath::PinnedLink& link : links) {
    if (link.interface == interface_.index || link.path == own) continue;
    FL_RETURN_IF_ERROR(datapath::RemoveLink(link));
    notes_.push_back(
        link.interface == 0
            ? absl::StrCat("removed ", link.path, ": its interface is gone")
            : absl::StrCat("taken off ",
                           datapath::InterfaceName(link.interface),
                           ", which the config no longer names"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Detached> DetachAgent(const std::string& pin_path) {
  struct stat ignored;
  if (stat(pin_path.c_str(), &ignored) != 0 && errno == ENOENT)
    return Detached::kNothingThere;
  FL_ASSIGN_OR_RETURN(datapath::PinFolder folder, LockFolder(pin_path));
  FL_ASSIGN_OR_RETURN(const bool there, folder.HasLayout());
  // The links first: packets stop meeting the program before its maps go.
  FL_ASSIGN_OR_RETURN(const std::vector<datapath::PinnedLink> links,
                      datapath::FindPinnedLinks(folder.layout()));
  for (const datapath::PinnedLink& link : links)
    FL_RETURN_IF_ERROR(datapath::RemoveLink(link));
  if (there) FL_RETURN_IF_ERROR(folder.RetireLayout());
  FL_RETURN_IF_ERROR(folder.RemoveLeftovers());
  folder.RemoveIfEmpty();
  return there ? Detached::kYes : Detached::kNothingThere;
}

std::string LayoutFolder(const std::string& pin_path) {
  return absl::StrCat(pin_path, "/v", FL_ABI_VERSION);
}

absl::StatusOr<std::string> OwnProgramTag() {
  FL_ASSIGN_OR_RETURN(const Skeleton skeleton, OpenSkeleton());
  FL_RETURN_IF_ERROR(LoadSkeleton(*skeleton));
  return TagOf(bpf_program__fd(skeleton->progs.fl_agent));
}

std::string ProgramTag(uint32_t id) {
  const base::UniqueFd fd(bpf_prog_get_fd_by_id(id));
  if (!fd.valid()) return "";
  return TagOf(fd.get()).value_or("");
}

}  // namespace fairlead::agent
