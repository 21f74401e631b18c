#include "base/sd_notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/unique_fd.h"

namespace fairlead::base {
namespace {

absl::string_view Environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? absl::string_view() : absl::string_view(value);
}

}  // namespace

absl::Status SdNotify(absl::string_view state) {
  const absl::string_view name = Environment("NOTIFY_SOCKET");
  return name.empty() ? absl::OkStatus() : SdNotifyTo(name, state);
}

absl::Status SdNotifyTo(absl::string_view socket_name,
                        absl::string_view state) {
  sockaddr_un address = {};
  if (socket_name.empty() || socket_name.size() >= sizeof(address.sun_path) ||
      (socket_name[0] != '/' && socket_name[0] != '@')) {
    return absl::InvalidArgumentError(
        absl::StrCat("notify socket \"", socket_name,
                     "\" is neither an absolute path nor an @name"));
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_name.data(), socket_name.size());
  // An abstract name begins with a NUL and ends where its length says.
  if (socket_name[0] == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) +
                                           socket_name.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return SyscallError("socket");
  // A manager that does not read must not stop this process.
  const ssize_t sent =
      sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
             reinterpret_cast<const sockaddr*>(&address), size);
  if (sent < 0) return SyscallError(absl::StrCat("notify ", socket_name));
  return absl::OkStatus();
}

std::optional<absl::Duration> SdWatchdogInterval() {
  int64_t microseconds = 0;
  if (!absl::SimpleAtoi(Environment("WATCHDOG_USEC"), &microseconds) ||
      microseconds <= 0) {
    return std::nullopt;
  }
  const absl::string_view pid_text = Environment("WATCHDOG_PID");
  int64_t pid = 0;
  if (!pid_text.empty() &&
      (!absl::SimpleAtoi(pid_text, &pid) || pid != getpid())) {
    return std::nullopt;
  }
  return absl::Microseconds(microseconds) / 2;
}

}  // namespace fairlead::base
