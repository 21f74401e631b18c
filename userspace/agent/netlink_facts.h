// What only netlink tells: default routes with their options, and the sockets
// of this network namespace. Plain blocking dumps, for the check command.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/facts.h"

namespace fairlead::agent {

// Of the main table, both families.
absl::StatusOr<std::vector<DefaultRoute>> ReadDefaultRoutes();

absl::StatusOr<std::vector<TcpListener>> ReadTcpListeners();

struct UdpSocketInode {
  bool ipv4 = true;
  uint32_t inode = 0;
};
// Bound to this port, on whatever address.
absl::StatusOr<std::vector<UdpSocketInode>> ReadUdpSockets(uint16_t port);

}  // namespace fairlead::agent
