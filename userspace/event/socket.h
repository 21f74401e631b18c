// Socket addresses and the socket calls that do not wait, as plain system
// calls: creating, binding, listening, and asking who is at the other end.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ip_address.h"
#include "base/unique_fd.h"

namespace fairlead::event {

// Connections that wait for Accept(); the kernel's own bound is
// net.core.somaxconn.
inline constexpr int kListenBacklog = 1024;

// Where a stream socket is bound or connected to: an IP address and port, or
// the path of a Unix socket.
class SocketAddress {
 public:
  explicit SocketAddress(const base::Endpoint& endpoint);
  // For binding: the kernel chooses the port.
  explicit SocketAddress(const base::IpAddress& address)
      : SocketAddress(base::Endpoint{address, 0}) {}
  // INVALID_ARGUMENT if `path` is empty or does not fit a socket address.
  static absl::StatusOr<SocketAddress> FromUnixPath(absl::string_view path);

  // AF_INET, AF_INET6 or AF_UNIX.
  int family() const { return storage_.ss_family; }
  const sockaddr* data() const {
    return reinterpret_cast<const sockaddr*>(&storage_);
  }
  socklen_t size() const { return size_; }
  // "192.0.2.1:443" or the path.
  std::string ToString() const;

 private:
  SocketAddress() = default;

  sockaddr_storage storage_ = {};
  socklen_t size_ = 0;
};

// Sockets have FD_CLOEXEC and block; the ring does not mind.
// TCP_NODELAY is set.
absl::StatusOr<base::UniqueFd> TcpSocket(const base::IpAddress& family_of);
absl::StatusOr<base::UniqueFd> UnixSocket();
// A socket that can connect to `address`.
absl::StatusOr<base::UniqueFd> SocketFor(const SocketAddress& address);
absl::Status Bind(int fd, const SocketAddress& address);

// How what a socket sends leaves the host, if not as the routes alone say.
struct SocketRoad {
  uint32_t mark = 0;
  std::string device;  // that it leaves by, and answers come by
  std::optional<base::IpAddress> source = {};
  int largest_segment = 0;  // 0: as the kernel thinks fit
};
// Before it connects. Errors: no such device or address; not allowed.
absl::Status TakeRoad(int fd, const SocketRoad& road);

// An IPv6 listener takes no IPv4 connections. Port 0: see LocalEndpoint(). An
// address in use gets a second to become free; this blocks.
absl::StatusOr<base::UniqueFd> ListenTcp(const base::Endpoint& endpoint);
// Replaces the socket file of a dead process. FAILED_PRECONDITION if a living
// one listens there, or if the path is something other than a socket.
absl::StatusOr<base::UniqueFd> ListenUnix(absl::string_view path, mode_t mode);

// The process at the other end of a Unix socket, as of its connect(2).
struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups = {};  // supplementary
};

absl::StatusOr<PeerCredentials> ReadPeerCredentials(int fd);
// The two ends of a TCP socket.
absl::StatusOr<base::Endpoint> PeerEndpoint(int fd);
absl::StatusOr<base::Endpoint> LocalEndpoint(int fd);

}  // namespace fairlead::event
