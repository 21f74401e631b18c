// Two connected stream sockets.
#pragma once

#include <sys/socket.h>

#include "base/check.h"
#include "base/unique_fd.h"

namespace fairlead::event {

struct SocketPair {
  SocketPair() {
    int fds[2];
    FL_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    near.reset(fds[0]);
    far.reset(fds[1]);
  }
  base::UniqueFd near;
  base::UniqueFd far;
};

}  // namespace fairlead::event
