// Asks the kernel for the socket of one connection, exactly, by sock_diag(7).
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ip_address.h"

namespace fairlead::agent {

// The state of the connection from `client` to `service` on this host, by its
// name in ss(8): "established", "time-wait"; "none" if there is no socket, or a
// listener only. Does not wait: the kernel answers at once.
absl::StatusOr<absl::string_view> SocketState(const base::Endpoint& client,
                                              const base::Endpoint& service);

}  // namespace fairlead::agent
