// PinFolder: the folder on the BPF file system where maps and links outlive the
// daemon, and the lock that makes one daemon its owner.
//
//   <path>/v<FL_ABI_VERSION>/fl_rows ...    all maps of one layout
//   <path>/v<FL_ABI_VERSION>/link_<index>   one link per interface
//   <path>/new, <path>/old, <path>/from_v<version>
//                                           not there while a daemon runs
//
// Maps come and go as a whole: they are pinned in `new`, which is then renamed
// to the layout's folder, and leave by the other way round. So a daemon may be
// killed at any point: either all maps are there or none counts.
//
// Where new maps take the place of others, the layout's folder is first renamed
// to from_v<version>: from then on the new ones count, and the others are there
// to be moved out of until EndMove().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace fairlead::datapath {

struct PinnedLayout {
  uint32_t version = 0;
  std::string folder;
};

class PinFolder {
 public:
  // Makes the folder if need be and locks it until destruction. Errors: not on
  // a BPF file system; another process holds it.
  static absl::StatusOr<PinFolder> Lock(const std::string& path);

  PinFolder(PinFolder&&) = default;
  PinFolder& operator=(PinFolder&&) = default;

  const std::string& path() const { return path_; }
  // Of this layout's maps and links.
  std::string layout() const;
  std::string staging() const;

  // The tables that are in force, of whatever version; nullopt: there are none.
  // Errors: there are two.
  absl::StatusOr<std::optional<PinnedLayout>> FindLayout() const;
  // For those that take over no other layout: an error naming a folder with
  // the tables of one, if there is one.
  absl::Status RefuseOtherLayouts() const;
  // Removes what a daemon that was killed left of `new` and `old`. Requires: no
  // move is under way.
  absl::Status RemoveLeftovers() const;
  // Makes up for a daemon that was killed: ends what it had begun to commit,
  // removes what it had not. Returns the folder of the tables that a move out
  // of was under way; empty: of none.
  absl::StatusOr<std::string> Recover() const;
  absl::StatusOr<bool> HasLayout() const;
  absl::Status MakeStaging() const;
  // Makes what was pinned in staging() the layout.
  absl::Status CommitStaging() const;
  // The same where `source` is in force, in three steps: it steps back, the
  // staged maps become the layout (CommitStaging), the links follow. A daemon
  // that is killed before the first leaves the old tables, after it the new.
  absl::Status BeginMove(const PinnedLayout& source) const;
  absl::Status MoveLinksAlong() const;
  // Removes what stepped back.
  absl::Status EndMove() const;
  // Takes the layout away, in one moment, before it is removed file by file.
  absl::Status RetireLayout() const;
  // Removes the folder itself if nothing is in it. The lock stays.
  void RemoveIfEmpty() const;

 private:
  PinFolder(std::string path, base::UniqueFd lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  // from_v<version>, or nothing.
  absl::StatusOr<std::string> FindMoved() const;
  std::string retired() const;

  std::string path_;
  base::UniqueFd lock_;
};

// Names in the folder, sorted; empty if there is no such folder.
absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& path);
// Removes the folder and the files in it; fine if it is not there.
absl::Status RemoveFolder(const std::string& path);
// Fine if it is not there.
absl::Status RemoveFile(const std::string& path);

}  // namespace fairlead::datapath
