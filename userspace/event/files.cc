#include "event/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace fairlead::event {
namespace {

constexpr size_t kReadChunkBytes = size_t{64} << 10;

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Task<absl::Status> SyncFolderOf(Loop& loop, const std::string& path) {
  const std::string folder = FolderOf(path);
  FL_CO_ASSIGN_OR_RETURN(const base::UniqueFd fd,
                         co_await loop.Open(folder, O_RDONLY | O_DIRECTORY));
  FL_CO_RETURN_IF_ERROR(co_await loop.Fsync(fd.get()), folder);
  co_return absl::OkStatus();
}

Task<absl::Status> WriteAll(Loop& loop, int fd, absl::string_view data,
                            uint64_t offset) {
  while (!data.empty()) {
    FL_CO_ASSIGN_OR_RETURN(const size_t written,
                           co_await loop.Write(fd, data, offset));
    if (written == 0) co_return absl::DataLossError("write: nothing written");
    data.remove_prefix(written);
    offset += written;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> WriteTemporary(Loop& loop, const std::string& path,
                                  absl::string_view data, mode_t mode) {
  // What a crash has left there is overwritten; a link is not followed.
  FL_CO_ASSIGN_OR_RETURN(
      const base::UniqueFd fd,
      co_await loop.Open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW,
                         mode));
  // An older file keeps its mode at open, a new one loses the umask's bits.
  if (fchmod(fd.get(), mode) != 0)
    co_return base::SyscallError(absl::StrCat("chmod ", path));
  FL_CO_RETURN_IF_ERROR(co_await WriteAll(loop, fd.get(), data, 0), path);
  FL_CO_RETURN_IF_ERROR(co_await loop.Fsync(fd.get()), path);
  co_return absl::OkStatus();
}

struct OpenedFile {
  base::UniqueFd fd;
  bool created = false;
};

Task<absl::StatusOr<OpenedFile>> OpenOrCreate(Loop& loop,
                                              const std::string& path,
                                              mode_t mode) {
  absl::StatusOr<base::UniqueFd> fd = co_await loop.Open(path, O_WRONLY);
  if (fd.ok()) co_return OpenedFile{std::move(*fd), false};
  if (!absl::IsNotFound(fd.status())) co_return fd.status();
  FL_CO_ASSIGN_OR_RETURN(
      base::UniqueFd created,
      co_await loop.Open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  if (fchmod(created.get(), mode) != 0)
    co_return base::SyscallError(absl::StrCat("chmod ", path));
  co_return OpenedFile{std::move(created), true};
}

}  // namespace

Task<absl::Status> WriteFileDurably(Loop& loop, std::string path,
                                    absl::string_view data, mode_t mode) {
  const std::string temporary = absl::StrCat(path, ".tmp");
  absl::Status status = co_await WriteTemporary(loop, temporary, data, mode);
  if (status.ok()) status = co_await loop.Rename(temporary, path);
  if (!status.ok()) {
    // The temporary file holds nothing of value, and the next write would
    // replace it; so it does not matter if this fails as well.
    (void)co_await loop.Unlink(temporary);
    co_return status;
  }
  co_return co_await SyncFolderOf(loop, path);
}

Task<absl::Status> AppendDurably(Loop& loop, std::string path,
                                 absl::string_view data, mode_t mode) {
  FL_CO_ASSIGN_OR_RETURN(const OpenedFile file,
                         co_await OpenOrCreate(loop, path, mode));
  struct stat info = {};
  if (fstat(file.fd.get(), &info) != 0)
    co_return base::SyscallError(absl::StrCat("stat ", path));
  absl::Status status = co_await WriteAll(loop, file.fd.get(), data,
                                          static_cast<uint64_t>(info.st_size));
  if (status.ok()) status = co_await loop.FdataSync(file.fd.get());
  if (status.ok() && file.created) status = co_await SyncFolderOf(loop, path);
  // A half-written record would spoil the next one. If this fails too, the
  // first error is still the one to report.
  if (!status.ok()) (void)!ftruncate(file.fd.get(), info.st_size);
  co_return base::Annotate(status, "append to ", path);
}

Task<absl::StatusOr<std::string>> ReadFile(Loop& loop, std::string path) {
  FL_CO_ASSIGN_OR_RETURN(const base::UniqueFd fd,
                         co_await loop.Open(path, O_RDONLY));
  std::string content;
  while (true) {
    const size_t size = content.size();
    if (size > kMaxReadFileBytes) {
      co_return absl::ResourceExhaustedError(absl::StrCat(
          "read ", path, ": more than ", kMaxReadFileBytes, " bytes"));
    }
    content.resize(size + kReadChunkBytes);
    FL_CO_ASSIGN_OR_RETURN(
        const size_t got,
        co_await loop.Read(fd.get(), std::span(content).subspan(size), size),
        path);
    content.resize(size + got);
    if (got == 0) co_return content;
  }
}

}  // namespace fairlead::event
