// Program: the packet path of an LB host, loaded, pinned and attached.
//
// Maps and one link per interface are pinned below
// <pin_path>/v<FL_ABI_VERSION>/, so that packets flow on when the daemon stops,
// is killed or is replaced; the next Open() takes over what is there and swaps
// the program in place. The pins go by Detach() alone.
//
// Where what is there has another size or an older layout, its contents are
// moved into new maps while packets flow (docs/ARCHITECTURE.md, "Another
// size").
//
// A process that is killed at any point of Open() or Detach() leaves what the
// next Open() can take over.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "core/model.h"
#include "datapath/layouts.h"
#include "datapath/map_fds.h"
#include "datapath/pin_folder.h"
#include "datapath/table_memory.h"
#include "datapath/xdp_link.h"
#include "fairlead/abi/config.h"

namespace fairlead::datapath {

// Asked after each step; true ends the operation there and leaves all as it is,
// as a kill would. For tests.
using StopAfter = std::function<bool(absl::string_view step)>;

struct ProgramOptions {
  std::string pin_path = "/sys/fs/bpf/fairlead";
  std::vector<std::string> interfaces;
  XdpMode mode = XdpMode::kNative;
  core::TableSizes sizes;
  // What follows from `sizes` is filled in: flow_bucket_mask, services,
  // backends, rows, rate_set_mask and conn_set_mask.
  fl_config config = {};
  uint32_t now_tick = 0;           // the packet path's clock
  std::optional<MemoryRoom> room;  // for new tables; nullopt: what the host has
  std::span<const Layout> layouts = KnownLayouts();
  StopAfter stop_after;
};

struct Attachment {
  Interface interface;
  XdpMode mode = XdpMode::kNative;  // as really attached
  bool taken_over = false;          // was attached already
};

class Program {
 public:
  // Errors leave everything as it was: another program on an interface, tables
  // too small for what is in them or too large for the memory, an unknown
  // layout, an interface that does not exist, a program that the kernel
  // refuses, another daemon.
  static absl::StatusOr<std::unique_ptr<Program>> Open(ProgramOptions options);

  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  // Gives up the lock. Packets flow on.
  ~Program() = default;

  // Takes the program off the interfaces and removes all pins. The maps stay
  // usable through maps() while this object lives, but see no packets.
  absl::Status Detach(const StopAfter& stop_after = nullptr);
  // The same without a daemon. Errors: one is running.
  static absl::Status DetachFolder(const std::string& pin_path,
                                   const StopAfter& stop_after = nullptr);

  // Borrowed.
  MapFds maps() const;
  int program_fd() const { return program_.get(); }
  // The tables are those of a daemon before this one, with their contents.
  bool adopted() const { return adopted_; }
  const std::vector<Attachment>& attachments() const { return attachments_; }
  // What an operator should be told besides, one sentence each.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  friend class ProgramOpener;
  static absl::Status FinishMove(ProgramOptions options);
  explicit Program(PinFolder folder) : folder_(std::move(folder)) {}

  PinFolder folder_;
  base::UniqueFd program_;
  std::vector<base::UniqueFd> map_fds_;  // in the order of kMapNames
  base::UniqueFd trace_, traced_, limits_, egress_;
  bool adopted_ = false;
  std::vector<Attachment> attachments_;
  std::vector<std::string> notes_;
};

}  // namespace fairlead::datapath
