#include "datapath/pin_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "datapath/xdp_link.h"
#include "fairlead/abi/limits.h"

namespace fairlead::datapath {
namespace {

constexpr mode_t kFolderMode = 0700;

constexpr absl::string_view kMovedPrefix = "from_";

std::string LayoutName() { return absl::StrCat("v", FL_ABI_VERSION); }

// The folder that `path` is or will be made in.
std::string ExistingAncestor(std::string path) {
  struct stat ignored;
  while (stat(path.c_str(), &ignored) != 0) {
    const size_t slash = path.find_last_of('/');
    if (slash == std::string::npos || slash == 0) return "/";
    path.resize(slash);
  }
  return path;
}

absl::Status CheckIsBpfFs(const std::string& path) {
  const std::string where = ExistingAncestor(path);
  struct statfs fs;
  if (statfs(where.c_str(), &fs) != 0) {
    return base::SyscallError(absl::StrCat("statfs ", where));
  }
  if (fs.f_type == BPF_FS_MAGIC) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("pin folder ", path,
                   " is not on a BPF file system; mount one with: mount -t bpf "
                   "bpf /sys/fs/bpf"));
}

absl::Status MakeFolders(const std::string& path) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (mkdir(part.c_str(), kFolderMode) != 0 && errno != EEXIST) {
      return base::SyscallError(absl::StrCat("mkdir ", part));
    }
    if (slash == std::string::npos) return absl::OkStatus();
  }
}

// "(pid 123) " of the process that holds the flock on `file`, or nothing if it
// cannot be told: it may live in another PID namespace.
std::string HolderOf(const struct stat& file) {
  const std::string wanted = absl::StrFormat("%02x:%02x:%d", major(file.st_dev),
                                             minor(file.st_dev), file.st_ino);
  std::ifstream locks("/proc/locks");
  std::string line;
  while (std::getline(locks, line)) {
    const std::vector<std::string> fields =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (fields.size() > 5 && fields[1] == "FLOCK" && fields[5] == wanted &&
        fields[4] != "0" && fields[4] != "-1") {
      return absl::StrCat("(pid ", fields[4], ") ");
    }
  }
  return "";
}

bool IsLayoutName(absl::string_view name) {
  return name.size() >= 2 && name[0] == 'v' &&
         std::all_of(name.begin() + 1, name.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

absl::Status Rename(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return base::SyscallError(absl::StrCat("rename ", from, " to ", to));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path.c_str()),
                                                   closedir);
  std::vector<std::string> names;
  if (folder == nullptr) {
    if (errno == ENOENT) return names;
    return base::SyscallError(absl::StrCat("open ", path));
  }
  while (const dirent* entry = readdir(folder.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return base::SyscallError(absl::StrCat("remove ", path));
}

absl::Status RemoveFolder(const std::string& path) {
  FL_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(path));
  for (const std::string& name : names) {
    FL_RETURN_IF_ERROR(RemoveFile(absl::StrCat(path, "/", name)));
  }
  if (rmdir(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return base::SyscallError(absl::StrCat("remove ", path));
}

// A daemon that detaches removes the folder while it holds the lock; whoever
// waited for the lock then has that of a folder that is not there any more, and
// tries again.
absl::StatusOr<PinFolder> PinFolder::Lock(const std::string& path) {
  FL_RETURN_IF_ERROR(CheckIsBpfFs(path));
  for (;;) {
    FL_RETURN_IF_ERROR(MakeFolders(path));
    base::UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd && errno == ENOENT) continue;
    if (!fd) return base::SyscallError(absl::StrCat("open ", path));
    struct stat locked;
    if (fstat(fd.get(), &locked) != 0) {
      return base::SyscallError(absl::StrCat("stat ", path));
    }
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) {
        return base::SyscallError(absl::StrCat("flock ", path));
      }
      return absl::FailedPreconditionError(
          absl::StrCat("another fairleadd ", HolderOf(locked), "holds ", path));
    }
    struct stat present;
    if (stat(path.c_str(), &present) == 0 && present.st_ino == locked.st_ino &&
        present.st_dev == locked.st_dev) {
      return PinFolder(path, std::move(fd));
    }
  }
}

std::string PinFolder::layout() const {
  return absl::StrCat(path_, "/", LayoutName());
}

std::string PinFolder::staging() const { return absl::StrCat(path_, "/new"); }

std::string PinFolder::retired() const { return absl::StrCat(path_, "/old"); }

absl::StatusOr<std::optional<PinnedLayout>> PinFolder::FindLayout() const {
  FL_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(path_));
  std::optional<PinnedLayout> found;
  for (const std::string& name : names) {
    PinnedLayout layout = {.folder = absl::StrCat(path_, "/", name)};
    if (!IsLayoutName(name) ||
        !absl::SimpleAtoi(name.substr(1), &layout.version)) {
      continue;
    }
    // An empty one holds nothing back.
    if (name != LayoutName() && rmdir(layout.folder.c_str()) == 0) continue;
    if (found.has_value()) {
      return absl::FailedPreconditionError(absl::StrCat(
          found->folder, " and ", layout.folder, " both hold tables; remove ",
          "the one that no program uses (this would take a program off the ",
          "interfaces): rm -r ", found->folder));
    }
    found = std::move(layout);
  }
  return found;
}

absl::Status PinFolder::RefuseOtherLayouts() const {
  FL_ASSIGN_OR_RETURN(const std::optional<PinnedLayout> found, FindLayout());
  if (!found.has_value() || found->version == FL_ABI_VERSION) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      found->folder, " holds tables of layout v", found->version,
      ", this fairleadd has layout ", LayoutName(),
      "; detach with the fairleadd that made them, or remove the folder (this "
      "takes its program off the interfaces): rm -r ",
      found->folder));
}

absl::StatusOr<std::string> PinFolder::FindMoved() const {
  FL_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(path_));
  for (const std::string& name : names) {
    if (absl::StartsWith(name, kMovedPrefix) &&
        IsLayoutName(name.substr(kMovedPrefix.size()))) {
      return absl::StrCat(path_, "/", name);
    }
  }
  return std::string();
}

// Links are in the folder of the tables that their program came with, until
// they follow those that it is to have.
absl::StatusOr<std::string> PinFolder::Recover() const {
  FL_ASSIGN_OR_RETURN(std::string moved, FindMoved());
  FL_ASSIGN_OR_RETURN(bool has_layout, HasLayout());
  if (!moved.empty() && !has_layout) {
    FL_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        ListFolder(staging()));
    has_layout = !names.empty();
    if (has_layout) FL_RETURN_IF_ERROR(CommitStaging());
  }
  if (!moved.empty() && has_layout)
    FL_RETURN_IF_ERROR(MoveLinks(moved, layout()));
  FL_RETURN_IF_ERROR(RemoveLeftovers());
  if (moved.empty() || has_layout) return moved;
  FL_RETURN_IF_ERROR(EndMove());
  return std::string();
}

absl::Status PinFolder::BeginMove(const PinnedLayout& source) const {
  return Rename(source.folder,
                absl::StrCat(path_, "/", kMovedPrefix, "v", source.version));
}

absl::Status PinFolder::MoveLinksAlong() const {
  FL_ASSIGN_OR_RETURN(const std::string moved, FindMoved());
  return MoveLinks(moved, layout());
}

absl::Status PinFolder::EndMove() const {
  FL_ASSIGN_OR_RETURN(const std::string moved, FindMoved());
  if (moved.empty()) return absl::OkStatus();
  FL_RETURN_IF_ERROR(Rename(moved, retired()));
  return RemoveFolder(retired());
}

absl::Status PinFolder::RemoveLeftovers() const {
  FL_RETURN_IF_ERROR(RemoveFolder(staging()));
  return RemoveFolder(retired());
}

absl::StatusOr<bool> PinFolder::HasLayout() const {
  struct stat ignored;
  if (stat(layout().c_str(), &ignored) == 0) return true;
  if (errno == ENOENT) return false;
  return base::SyscallError(absl::StrCat("stat ", layout()));
}

absl::Status PinFolder::MakeStaging() const {
  if (mkdir(staging().c_str(), kFolderMode) == 0) return absl::OkStatus();
  return base::SyscallError(absl::StrCat("mkdir ", staging()));
}

absl::Status PinFolder::CommitStaging() const {
  return Rename(staging(), layout());
}

absl::Status PinFolder::RetireLayout() const {
  return Rename(layout(), retired());
}

void PinFolder::RemoveIfEmpty() const { rmdir(path_.c_str()); }

}  // namespace fairlead::datapath
