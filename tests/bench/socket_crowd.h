// SocketCrowd: very many TCP connections over the loopback of a network
// namespace of its own. They belong to child processes that die with this one,
// and end by resets, so that nothing is left after a crash.
#pragma once

#include <sys/types.h>

#include <vector>

#include "base/ip_address.h"

namespace fairlead::test {

class SocketCrowd {
 public:
  // Moves this process to a new network namespace, and returns when
  // `connections` stand: two sockets each. Aborts where that fails.
  // Requires: root; no other threads.
  explicit SocketCrowd(int connections);
  SocketCrowd(const SocketCrowd&) = delete;
  SocketCrowd& operator=(const SocketCrowd&) = delete;
  ~SocketCrowd();

  // One for each child.
  const std::vector<base::Endpoint>& services() const { return services_; }

 private:
  std::vector<base::Endpoint> services_;
  std::vector<pid_t> children_;
};

}  // namespace fairlead::test
