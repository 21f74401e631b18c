#include "tier/key_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/unique_fd.h"

namespace fairlead::tier {
namespace {

absl::Status CheckMode(int fd, absl::string_view path) {
  struct stat info = {};
  if (fstat(fd, &info) != 0)
    return base::SyscallError(absl::StrCat("stat key file ", path));
  if (!S_ISREG(info.st_mode))
    return absl::FailedPreconditionError(
        absl::StrCat("key file ", path, " is not a regular file"));
  if ((info.st_mode & 077) != 0)
    return absl::FailedPreconditionError(absl::StrCat(
        "key file ", path, " may be read by others; run: chmod 600 ", path));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadKeyFile(absl::string_view path) {
  const std::string name(path);
  const base::UniqueFd fd(open(name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    if (errno == ENOENT)
      return absl::NotFoundError(absl::StrCat(
          "key file ", path, " does not exist; make one for the tier: (umask ",
          "077; openssl rand -hex 32 > ", path, ")"));
    return base::SyscallError(absl::StrCat("open key file ", path));
  }
  if (absl::Status mode = CheckMode(fd.get(), path); !mode.ok()) return mode;
  std::string content(kMaxSecretBytes, '\0');
  const ssize_t got = read(fd.get(), content.data(), content.size());
  if (got < 0) return base::SyscallError(absl::StrCat("read key file ", path));
  content.resize(static_cast<size_t>(got));
  const absl::string_view secret = absl::StripAsciiWhitespace(content);
  if (secret.size() < kMinSecretBytes)
    return absl::FailedPreconditionError(absl::StrCat(
        "key file ", path, " holds ", secret.size(), " bytes; needs at least ",
        kMinSecretBytes, ": openssl rand -hex 32 > ", path));
  return std::string(secret);
}

}  // namespace fairlead::tier
