#include "event/signals.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/errors.h"
#include "base/status_macros.h"

namespace fairlead::event {

absl::StatusOr<Signals> Signals::Block(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0)
    return base::SyscallError("sigprocmask");
  base::UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return base::SyscallError("signalfd");
  return Signals(std::move(fd));
}

Task<absl::StatusOr<int>> Signals::Next(Loop& loop) {
  while (true) {
    FL_CO_RETURN_IF_ERROR((co_await loop.Poll(fd_.get(), POLLIN)).status());
    // Read here and not by the ring: a worker thread of the kernel has another
    // set of pending signals.
    signalfd_siginfo info = {};
    const ssize_t size = read(fd_.get(), &info, sizeof(info));
    if (size == static_cast<ssize_t>(sizeof(info)))
      co_return static_cast<int>(info.ssi_signo);
    if (errno != EAGAIN && errno != EINTR)
      co_return base::SyscallError("read signalfd");
  }
}

}  // namespace fairlead::event
