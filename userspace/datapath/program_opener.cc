#include "datapath/program_opener.h"

#include <bpf/bpf.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "datapath/egress.h"
#include "datapath/table_move.h"

namespace fairlead::datapath {
namespace {

absl::Status Pin(int fd, const std::string& path) {
  const int result = bpf_obj_pin(fd, path.c_str());
  if (result == 0) return absl::OkStatus();
  return base::BpfError(result, absl::StrCat("pin ", path));
}

absl::Status UpdateLink(const PinnedLink& link, int program) {
  const int result = bpf_link_update(link.fd.get(), program, nullptr);
  if (result == 0) return absl::OkStatus();
  return base::BpfError(result, absl::StrCat("replace the program of ",
                                             InterfaceName(link.interface)));
}

}  // namespace

absl::Status ProgramOpener::After(absl::string_view step) {
  if (!options_.stop_after || !options_.stop_after(step)) {
    return absl::OkStatus();
  }
  stopped_ = true;
  return absl::CancelledError(absl::StrCat("stopped after: ", step));
}

absl::Status ProgramOpener::Open() {
  FL_RETURN_IF_ERROR(FindTables());
  FL_RETURN_IF_ERROR(After("lock"));
  FL_RETURN_IF_ERROR(CheckInterfaces());
  FL_RETURN_IF_ERROR(Load());
  FL_RETURN_IF_ERROR(After("load"));
  if (MustMove()) FL_RETURN_IF_ERROR(Move());
  FL_RETURN_IF_ERROR(PinMaps());
  for (const Interface& interface : interfaces_) {
    FL_RETURN_IF_ERROR(Attach(interface));
  }
  FL_RETURN_IF_ERROR(RemoveStaleLinks());
  return folder_.EndMove();
}

absl::Status ProgramOpener::FindTables() {
  FL_ASSIGN_OR_RETURN(unfinished_, folder_.Recover());
  FL_ASSIGN_OR_RETURN(pinned_, folder_.FindLayout());
  if (!pinned_.has_value()) return absl::OkStatus();
  std::vector<std::string> known;
  for (const Layout& layout : options_.layouts) {
    if (layout.version == pinned_->version) layout_ = &layout;
    known.push_back(absl::StrCat("v", layout.version));
  }
  if (layout_ != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      pinned_->folder, " holds tables of layout v", pinned_->version,
      ", this fairleadd has layout v", FL_ABI_VERSION, " and can take over ",
      absl::StrJoin(known, ", "),
      "; start the fairleadd that made them, or remove the folder (this takes "
      "its program off the interfaces and forgets all flows): rm -r ",
      pinned_->folder));
}

absl::Status ProgramOpener::CheckInterfaces() {
  if (pinned_.has_value()) {
    FL_ASSIGN_OR_RETURN(links_, FindPinnedLinks(pinned_->folder));
  }
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
  config.rate_set_mask = sizes.rate_sets - 1;
  config.conn_set_mask = sizes.conn_sets - 1;
  FL_ASSIGN_OR_RETURN(loaded_, LoadProgram({.config = config,
                                            .sizes = sizes,
                                            .pins = pinned_ ? pinned_->folder
                                                            : folder_.layout(),
                                            .unfinished = unfinished_,
                                            .room = options_.room}));
  return absl::OkStatus();
}

bool ProgramOpener::MustMove() const {
  if (!pinned_.has_value()) return false;
  return !unfinished_.empty() || pinned_->version != FL_ABI_VERSION ||
         std::any_of(
             loaded_.maps.begin(), loaded_.maps.end(),
             [](const LoadedMap& map) { return map.resized_from.has_value(); });
}

// The program that is loaded finds flows in the old table too; it is in force
// from the switch until the caller attaches the one that is loaded last, which
// has the new table alone. Packets of different interfaces meet old and new
// program for as long as one switch follows the other; a flow that is recorded
// by one just then and goes on through the other is a miss.
absl::Status ProgramOpener::Move() {
  if (unfinished_.empty()) {
    FL_RETURN_IF_ERROR(layout_->check(pinned_->folder, options_.sizes));
    FL_RETURN_IF_ERROR(TableMove::Fill(*layout_, loaded_));
  }
  FL_ASSIGN_OR_RETURN(
      const std::unique_ptr<TableMove> move,
      TableMove::Prepare(loaded_, options_.sizes, options_.config.timeouts,
                         options_.now_tick));
  if (unfinished_.empty()) FL_RETURN_IF_ERROR(CommitMove());
  FL_ASSIGN_OR_RETURN(links_, FindPinnedLinks(folder_.layout()));
  FL_RETURN_IF_ERROR(
      FillEgress(loaded_.egress.get(), loaded_.map("fl_backends").now));
  for (const PinnedLink& link : links_) {
    if (link.interface == 0) continue;
    FL_RETURN_IF_ERROR(UpdateLink(link, loaded_.program.get()));
    FL_RETURN_IF_ERROR(After("switch to the program that moves"));
  }
  move->Pass();
  FL_RETURN_IF_ERROR(After("move the flows"));
  pinned_ = PinnedLayout{.version = FL_ABI_VERSION, .folder = folder_.layout()};
  unfinished_.clear();
  FL_RETURN_IF_ERROR(Load());
  const std::string told = move->Finish();
  if (!told.empty()) result_->notes_.push_back(told);
  return After("load the program that stays");
}

absl::Status ProgramOpener::CommitMove() {
  FL_RETURN_IF_ERROR(folder_.MakeStaging());
  staged_ = true;
  for (size_t i = 0; i < kMapNames.size(); ++i) {
    const LoadedMap& map = loaded_.maps[i];
    FL_RETURN_IF_ERROR(Pin(map.now.fd.get(),
                           absl::StrCat(folder_.staging(), "/", kMapNames[i])));
    FL_RETURN_IF_ERROR(After(absl::StrCat("stage ", kMapNames[i])));
    if (!map.resized_from.has_value()) continue;
    const uint32_t before = map.resized_from->shape.entries;
    const uint32_t now = map.now.shape.entries;
    result_->notes_.push_back(
        before == now ? absl::StrCat(kMapNames[i], " begins empty")
                      : absl::StrCat(kMapNames[i], ": ", before,
                                     " entries before, ", now, " now"));
  }
  if (pinned_->version != FL_ABI_VERSION) {
    result_->notes_.push_back(absl::StrCat("tables of layout v",
                                           pinned_->version, " are taken over ",
                                           "into layout v", FL_ABI_VERSION));
  }
  // From here on an error does not take back what was staged: the next start
  // goes on.
  staged_ = false;
  FL_RETURN_IF_ERROR(folder_.BeginMove(*pinned_));
  FL_RETURN_IF_ERROR(After("begin the move"));
  FL_RETURN_IF_ERROR(folder_.CommitStaging());
  FL_RETURN_IF_ERROR(After("commit the new maps"));
  FL_RETURN_IF_ERROR(folder_.MoveLinksAlong());
  return After("move the links");
}

absl::Status ProgramOpener::PinMaps() {
  FL_ASSIGN_OR_RETURN(const bool has_layout, folder_.HasLayout());
  if (!has_layout) FL_RETURN_IF_ERROR(folder_.MakeStaging());
  made_layout_ = !has_layout;
  FL_RETURN_IF_ERROR(
      FillEgress(loaded_.egress.get(), loaded_.map("fl_backends").now));
  const std::string where = has_layout ? folder_.layout() : folder_.staging();
  for (size_t i = 0; i < kMapNames.size(); ++i) {
    LoadedMap& map = loaded_.maps[i];
    if (!map.adopted) {
      FL_RETURN_IF_ERROR(
          Pin(map.now.fd.get(), absl::StrCat(where, "/", kMapNames[i])));
      FL_RETURN_IF_ERROR(After(absl::StrCat("pin ", kMapNames[i])));
    }
    if (has_layout && !map.adopted) {
      result_->notes_.push_back(absl::StrCat("pinned map ", kMapNames[i],
                                             " was missing and begins empty"));
    }
    result_->map_fds_.push_back(std::move(map.now.fd));
  }
  result_->program_ = std::move(loaded_.program);
  result_->trace_ = std::move(loaded_.trace);
  result_->traced_ = std::move(loaded_.traced);
  result_->limits_ = std::move(loaded_.limits);
  result_->egress_ = std::move(loaded_.egress);
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
  FL_RETURN_IF_ERROR(UpdateLink(link, result_->program_.get()));
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
  if (staged_) ignored = RemoveFolder(folder_.staging());
  folder_.RemoveIfEmpty();
}

}  // namespace fairlead::datapath
