#include "datapath/program.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "datapath/loader.h"

namespace fairlead::datapath {
namespace {

absl::Status Stopped(absl::string_view step) {
  return absl::CancelledError(absl::StrCat("stopped after: ", step));
}

absl::Status Pin(int fd, const std::string& path) {
  const int result = bpf_obj_pin(fd, path.c_str());
  if (result == 0) return absl::OkStatus();
  return base::BpfError(result, absl::StrCat("pin ", path));
}

// The links first: without them no packet meets the tables. Then the tables as
// a whole.
absl::Status RemovePins(const PinFolder& folder, const StopAfter& stop_after) {
  const auto stop = [&](absl::string_view step) {
    return stop_after && stop_after(step);
  };
  FL_RETURN_IF_ERROR(folder.RemoveLeftovers());
  FL_ASSIGN_OR_RETURN(const std::vector<PinnedLink> links,
                      FindPinnedLinks(folder.layout()));
  for (const PinnedLink& link : links) {
    FL_RETURN_IF_ERROR(RemoveLink(link));
    if (stop("remove a link")) return Stopped("remove a link");
  }
  FL_ASSIGN_OR_RETURN(const bool has_layout, folder.HasLayout());
  if (has_layout) FL_RETURN_IF_ERROR(folder.RetireLayout());
  if (stop("retire the maps")) return Stopped("retire the maps");
  FL_RETURN_IF_ERROR(folder.RemoveLeftovers());
  if (stop("remove the maps")) return Stopped("remove the maps");
  folder.RemoveIfEmpty();
  return absl::OkStatus();
}

}  // namespace

// One Open(). Up to Load() nothing is changed but leftovers; from there on what
// was made is taken back on an error, and left as it is when stopped.
class ProgramOpener {
 public:
  ProgramOpener(ProgramOptions options, PinFolder folder)
      : options_(std::move(options)),
        result_(new Program(std::move(folder))),
        folder_(result_->folder_) {}

  absl::StatusOr<std::unique_ptr<Program>> Run() {
    const absl::Status status = Open();
    if (status.ok()) return std::move(result_);
    if (!stopped_) TakeBack();
    return status;
  }

 private:
  absl::Status Open();
  absl::Status CheckInterfaces();
  absl::Status CheckInterface(const Interface& interface);
  absl::Status Load();
  absl::Status PinMaps();
  absl::Status Attach(const Interface& interface);
  absl::Status Replace(const Interface& interface, const PinnedLink& link);
  absl::Status RemoveStaleLinks();
  // Best effort: what remains is taken over or removed by the next Open().
  void TakeBack();

  // Of `interface`, or null.
  const PinnedLink* LinkOf(uint32_t interface) const;
  absl::Status After(absl::string_view step);

  const ProgramOptions options_;
  std::unique_ptr<Program> result_;
  PinFolder& folder_;
  std::vector<Interface> interfaces_;
  std::vector<PinnedLink> links_;  // as found
  LoadedProgram loaded_;

  bool stopped_ = false;
  bool made_layout_ = false;
  std::vector<PinnedLink> made_links_;
};

absl::Status ProgramOpener::After(absl::string_view step) {
  if (!options_.stop_after || !options_.stop_after(step)) {
    return absl::OkStatus();
  }
  stopped_ = true;
  return Stopped(step);
}

absl::Status ProgramOpener::Open() {
  FL_RETURN_IF_ERROR(folder_.RefuseOtherLayouts());
  FL_RETURN_IF_ERROR(folder_.RemoveLeftovers());
  FL_RETURN_IF_ERROR(After("lock"));
  FL_RETURN_IF_ERROR(CheckInterfaces());
  FL_RETURN_IF_ERROR(Load());
  FL_RETURN_IF_ERROR(After("load"));
  FL_RETURN_IF_ERROR(PinMaps());
  for (const Interface& interface : interfaces_) {
    FL_RETURN_IF_ERROR(Attach(interface));
  }
  return RemoveStaleLinks();
}

absl::Status ProgramOpener::CheckInterfaces() {
  FL_ASSIGN_OR_RETURN(links_, FindPinnedLinks(folder_.layout()));
  if (options_.interfaces.empty()) {
    return absl::InvalidArgumentError("no interface to attach to");
  }
  for (const std::string& name : options_.interfaces) {
    FL_ASSIGN_OR_RETURN(const Interface interface, FindInterface(name));
    const bool listed = std::any_of(
        interfaces_.begin(), interfaces_.end(),
        [&](const Interface& other) { return other.index == interface.index; });
    if (listed) continue;
    FL_RETURN_IF_ERROR(CheckInterface(interface));
    interfaces_.push_back(interface);
  }
  return absl::OkStatus();
}

// A pinned link belongs to the network namespace that it was made in; its
// interface's index alone could mean another interface here.
absl::Status ProgramOpener::CheckInterface(const Interface& interface) {
  FL_ASSIGN_OR_RETURN(const std::optional<AttachedProgram> attached,
                      QueryXdp(interface));
  const PinnedLink* link = LinkOf(interface.index);
  if (link != nullptr && (!attached || attached->id != link->program)) {
    return absl::FailedPreconditionError(
        absl::StrCat(link->path, " is the link of interface ", interface.index,
                     " of another network namespace, not of ", interface.name,
                     "; start fairleadd there, or remove the link, or set "
                     "another pin_path"));
  }
  if (link != nullptr || !attached) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "interface ", interface.name, " has another XDP program: id ",
      attached->id, " name \"", ProgramName(attached->id), "\" (",
      ToString(attached->mode),
      " mode); stop what attached it, or: ip link set dev ", interface.name,
      attached->mode == XdpMode::kNative ? " xdp off" : " xdpgeneric off"));
}

absl::Status ProgramOpener::Load() {
  const core::TableSizes& sizes = options_.sizes;
  FL_RETURN_IF_ERROR(CheckSizes(sizes));
  fl_config config = options_.config;
  config.flow_bucket_mask = sizes.flow_buckets - 1;
  config.services = sizes.services;
  config.backends = sizes.backends;
  config.rows = sizes.rows;
  FL_ASSIGN_OR_RETURN(loaded_, LoadProgram(config, sizes, folder_.layout()));
  return absl::OkStatus();
}

absl::Status ProgramOpener::PinMaps() {
  FL_ASSIGN_OR_RETURN(const bool has_layout, folder_.HasLayout());
  if (!has_layout) FL_RETURN_IF_ERROR(folder_.MakeStaging());
  made_layout_ = !has_layout;
  const std::string where = has_layout ? folder_.layout() : folder_.staging();
  for (size_t i = 0; i < kMapNames.size(); ++i) {
    LoadedMap& map = loaded_.maps[i];
    if (!map.adopted) {
      FL_RETURN_IF_ERROR(
          Pin(map.fd.get(), absl::StrCat(where, "/", kMapNames[i])));
      FL_RETURN_IF_ERROR(After(absl::StrCat("pin ", kMapNames[i])));
    }
    if (has_layout && !map.adopted) {
      result_->notes_.push_back(absl::StrCat("pinned map ", kMapNames[i],
                                             " was missing and begins empty"));
    }
    result_->map_fds_.push_back(std::move(map.fd));
  }
  result_->program_ = std::move(loaded_.program);
  result_->trace_ = std::move(loaded_.trace);
  result_->traced_ = std::move(loaded_.traced);
  result_->adopted_ = has_layout;
  if (has_layout) return absl::OkStatus();
  FL_RETURN_IF_ERROR(folder_.CommitStaging());
  return After("commit the maps");
}

const PinnedLink* ProgramOpener::LinkOf(uint32_t interface) const {
  for (const PinnedLink& link : links_) {
    if (link.interface == interface) return &link;
  }
  return nullptr;
}

absl::Status ProgramOpener::Attach(const Interface& interface) {
  const PinnedLink* found = LinkOf(interface.index);
  if (found != nullptr) return Replace(interface, *found);
  FL_ASSIGN_OR_RETURN(base::UniqueFd link, AttachXdp(interface, options_.mode,
                                                     result_->program_.get()));
  FL_RETURN_IF_ERROR(After(absl::StrCat("attach to ", interface.name)));
  const std::string path = LinkPath(folder_.layout(), interface.index);
  // A link of an interface that is gone may stand at this path.
  FL_RETURN_IF_ERROR(RemoveFile(path));
  FL_RETURN_IF_ERROR(Pin(link.get(), path));
  made_links_.push_back({.fd = std::move(link),
                         .path = path,
                         .interface = interface.index,
                         .program = 0});
  result_->attachments_.push_back(
      {.interface = interface, .mode = options_.mode, .taken_over = false});
  return After(absl::StrCat("pin the link of ", interface.name));
}

absl::Status ProgramOpener::Replace(const Interface& interface,
                                    const PinnedLink& link) {
  const int result =
      bpf_link_update(link.fd.get(), result_->program_.get(), nullptr);
  if (result != 0) {
    return base::BpfError(
        result, absl::StrCat("replace the program of ", interface.name));
  }
  FL_ASSIGN_OR_RETURN(const std::optional<AttachedProgram> attached,
                      QueryXdp(interface));
  const XdpMode mode = attached ? attached->mode : options_.mode;
  if (mode != options_.mode) {
    result_->notes_.push_back(absl::StrCat(
        interface.name, " stays in ", ToString(mode), " mode; ",
        ToString(options_.mode),
        " mode takes effect after fairlead node detach and a restart"));
  }
  result_->attachments_.push_back(
      {.interface = interface, .mode = mode, .taken_over = true});
  return After(absl::StrCat("replace the program of ", interface.name));
}

absl::Status ProgramOpener::RemoveStaleLinks() {
  for (const PinnedLink& link : links_) {
    const auto has_its_index = [&](const Interface& interface) {
      return interface.index == link.interface;
    };
    const auto has_its_path = [&](const PinnedLink& made) {
      return made.path == link.path;
    };
    if (std::any_of(interfaces_.begin(), interfaces_.end(), has_its_index)) {
      continue;
    }
    if (std::none_of(made_links_.begin(), made_links_.end(), has_its_path)) {
      FL_RETURN_IF_ERROR(RemoveLink(link));
    }
    const std::string name = InterfaceName(link.interface);
    result_->notes_.push_back(
        link.interface == 0
            ? absl::StrCat("removed ", link.path, ": its interface is gone")
            : absl::StrCat("detached from ", name,
                           ", which is not configured any more"));
    FL_RETURN_IF_ERROR(After(absl::StrCat("detach from ", name)));
  }
  return absl::OkStatus();
}

void ProgramOpener::TakeBack() {
  absl::Status ignored;
  for (const PinnedLink& link : made_links_) ignored = RemoveLink(link);
  if (made_layout_) {
    ignored = RemoveFolder(folder_.layout());
    ignored = RemoveFolder(folder_.staging());
  }
  folder_.RemoveIfEmpty();
}

absl::StatusOr<std::unique_ptr<Program>> Program::Open(ProgramOptions options) {
  FL_ASSIGN_OR_RETURN(PinFolder folder, PinFolder::Lock(options.pin_path));
  return ProgramOpener(std::move(options), std::move(folder)).Run();
}

absl::Status Program::Detach(const StopAfter& stop_after) {
  return RemovePins(folder_, stop_after);
}

absl::Status Program::DetachFolder(const std::string& pin_path,
                                   const StopAfter& stop_after) {
  FL_ASSIGN_OR_RETURN(const PinFolder folder, PinFolder::Lock(pin_path));
  return RemovePins(folder, stop_after);
}

MapFds Program::maps() const {
  const auto fd = [this](absl::string_view name) {
    const auto at = std::find(kMapNames.begin(), kMapNames.end(), name);
    return map_fds_[static_cast<size_t>(at - kMapNames.begin())].get();
  };
  return {.services = fd("fl_services"),
          .rows = fd("fl_rows"),
          .backends = fd("fl_backends"),
          .load = fd("fl_load"),
          .flows = fd("fl_flows"),
          .verdicts = fd("fl_verdicts"),
          .service_stats = fd("fl_svc_stats"),
          .backend_stats = fd("fl_bkd_stats"),
          .leases = fd("fl_leases"),
          .trace = trace_.get(),
          .traced = traced_.get()};
}

}  // namespace fairlead::datapath
