// PinFolder: the folder on the BPF file system where maps and links outlive the
// daemon, and the lock that makes one daemon its owner.
//
//   <path>/v<FL_ABI_VERSION>/fl_rows ...    all maps of one layout
//   <path>/v<FL_ABI_VERSION>/link_<index>   one link per interface
//   <path>/new, <path>/old                  not there while a daemon runs
//
// Maps come and go as a whole: they are pinned in `new`, which is then renamed
// to the layout's folder, and leave by the other way round. So a daemon may be
// killed at any point: either all maps are there or none counts.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace fairlead::datapath {

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

  // An error naming a folder with the tables of another layout, if there is
  // one.
  absl::Status RefuseOtherLayouts() const;
  // Removes what a daemon that was killed left of `new` and `old`.
  absl::Status RemoveLeftovers() const;
  absl::StatusOr<bool> HasLayout() const;
  absl::Status MakeStaging() const;
  // Makes what was pinned in staging() the layout.
  absl::Status CommitStaging() const;
  // Takes the layout away, in one moment, before it is removed file by file.
  absl::Status RetireLayout() const;
  // Removes the folder itself if nothing is in it. The lock stays.
  void RemoveIfEmpty() const;

 private:
  PinFolder(std::string path, base::UniqueFd lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

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
