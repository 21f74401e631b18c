#include "base/errors.h"

#include <cerrno>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"

namespace fairlead::base {

absl::Status SyscallError(absl::string_view what) {
  return absl::ErrnoToStatus(errno, what);
}

absl::Status BpfError(int err, absl::string_view what) {
  const int code = std::abs(err);
  switch (code) {
    case E2BIG:
      return absl::ResourceExhaustedError(
          absl::StrCat(what, ": the map is full"));
    case EPERM:
      return absl::PermissionDeniedError(absl::StrCat(
          what,
          ": not permitted; needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (run "
          "as root or through the systemd unit)"));
    default:
      return absl::ErrnoToStatus(code, what);
  }
}

absl::Status UringError(int res, absl::string_view what) {
  const int code = std::abs(res);
  switch (code) {
    case ENOSYS:
      return absl::UnimplementedError(absl::StrCat(
          what, ": this kernel has no io_uring; Fairlead needs Linux 6.1"));
    case EPERM:
      return absl::PermissionDeniedError(
          absl::StrCat(what,
                       ": io_uring is not permitted; set sysctl "
                       "kernel.io_uring_disabled=0 and check seccomp filters"));
    default:
      return absl::ErrnoToStatus(code, what);
  }
}

}  // namespace fairlead::base
