#include "event/socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/status_macros.h"

namespace fairlead::event {
namespace {

absl::StatusOr<base::UniqueFd> StreamSocket(int family) {
  base::UniqueFd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return base::SyscallError("socket");
  return fd;
}

absl::Status SetNumber(int fd, int level, int option, int value,
                       absl::string_view name) {
  if (setsockopt(fd, level, option, &value, sizeof(value)) != 0)
    return base::SyscallError(absl::StrCat("setsockopt ", name));
  return absl::OkStatus();
}

absl::Status SetFlag(int fd, int level, int option, absl::string_view name) {
  const int on = 1;
  if (setsockopt(fd, level, option, &on, sizeof(on)) != 0)
    return base::SyscallError(absl::StrCat("setsockopt ", name));
  return absl::OkStatus();
}

absl::StatusOr<base::Endpoint> ToEndpoint(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_INET) {
    sockaddr_in v4 = {};
    std::memcpy(&v4, &storage, sizeof(v4));
    return base::Endpoint{base::IpAddress::FromIpv4(ntohl(v4.sin_addr.s_addr)),
                          ntohs(v4.sin_port)};
  }
  if (storage.ss_family == AF_INET6) {
    sockaddr_in6 v6 = {};
    std::memcpy(&v6, &storage, sizeof(v6));
    std::array<uint8_t, 16> bytes = {};
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return base::Endpoint{base::IpAddress(bytes), ntohs(v6.sin6_port)};
  }
  return absl::InvalidArgumentError("not a TCP socket");
}

// Frees `path` for a new socket, or says why that must not be.
absl::Status RemoveStaleSocket(const SocketAddress& address) {
  const std::string path = address.ToString();
  struct stat info = {};
  if (lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return base::SyscallError(absl::StrCat("stat ", path));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " exists and is not a socket"));
  }
  // Not blocking, so that a full queue is an answer too: somebody listens.
  FL_ASSIGN_OR_RETURN(const base::UniqueFd probe, UnixSocket());
  if (fcntl(probe.get(), F_SETFL, O_NONBLOCK) != 0)
    return base::SyscallError("fcntl");
  if (connect(probe.get(), address.data(), address.size()) != 0 &&
      errno == ECONNREFUSED) {
    if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
    return base::SyscallError(absl::StrCat("unlink ", path));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("another process is listening on ", path));
}

absl::Status StartListening(int fd, const SocketAddress& address) {
  if (listen(fd, kListenBacklog) == 0) return absl::OkStatus();
  return base::SyscallError(absl::StrCat("listen on ", address.ToString()));
}

// The sockets of a process that was killed live on until the kernel has taken
// its ring apart, which whoever is started in its place may outrun.
absl::Status BindAfterOthers(int fd, const SocketAddress& address) {
  constexpr absl::Duration kPatience = absl::Seconds(1);
  constexpr absl::Duration kPause = absl::Milliseconds(10);
  absl::Duration waited;
  while (bind(fd, address.data(), address.size()) != 0) {
    if (errno != EADDRINUSE || waited >= kPatience)
      return base::SyscallError(absl::StrCat("bind to ", address.ToString()));
    absl::SleepFor(kPause);
    waited += kPause;
  }
  return absl::OkStatus();
}

}  // namespace

SocketAddress::SocketAddress(const base::Endpoint& endpoint) {
  if (endpoint.address.is_ipv4()) {
    sockaddr_in v4 = {};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    v4.sin_addr.s_addr = htonl(endpoint.address.ipv4());
    std::memcpy(&storage_, &v4, sizeof(v4));
    size_ = sizeof(v4);
    return;
  }
  sockaddr_in6 v6 = {};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(endpoint.port);
  std::memcpy(&v6.sin6_addr, endpoint.address.bytes().data(),
              sizeof(v6.sin6_addr));
  std::memcpy(&storage_, &v6, sizeof(v6));
  size_ = sizeof(v6);
}

absl::StatusOr<SocketAddress> SocketAddress::FromUnixPath(
    absl::string_view path) {
  sockaddr_un un = {};
  // One byte stays for the NUL.
  if (path.empty() || path.size() >= sizeof(un.sun_path) ||
      path.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("socket path \"", path, "\" must have 1 to ",
                     sizeof(un.sun_path) - 1, " characters"));
  }
  un.sun_family = AF_UNIX;
  std::memcpy(un.sun_path, path.data(), path.size());
  SocketAddress address;
  std::memcpy(&address.storage_, &un, sizeof(un));
  address.size_ =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

std::string SocketAddress::ToString() const {
  if (family() == AF_UNIX) {
    sockaddr_un un = {};
    std::memcpy(&un, &storage_, sizeof(un));
    return un.sun_path;
  }
  absl::StatusOr<base::Endpoint> endpoint = ToEndpoint(storage_);
  FL_CHECK(endpoint.ok());
  return endpoint->ToString();
}

absl::StatusOr<base::UniqueFd> TcpSocket(const base::IpAddress& family_of) {
  FL_ASSIGN_OR_RETURN(base::UniqueFd fd,
                      StreamSocket(family_of.is_ipv4() ? AF_INET : AF_INET6));
  FL_RETURN_IF_ERROR(
      SetFlag(fd.get(), IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY"));
  return fd;
}

absl::StatusOr<base::UniqueFd> UnixSocket() { return StreamSocket(AF_UNIX); }

absl::StatusOr<base::UniqueFd> SocketFor(const SocketAddress& address) {
  FL_ASSIGN_OR_RETURN(base::UniqueFd fd, StreamSocket(address.family()));
  if (address.family() != AF_UNIX) {
    FL_RETURN_IF_ERROR(
        SetFlag(fd.get(), IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY"));
  }
  return fd;
}

absl::Status Bind(int fd, const SocketAddress& address) {
  if (bind(fd, address.data(), address.size()) == 0) return absl::OkStatus();
  return base::SyscallError(absl::StrCat("bind to ", address.ToString()));
}

absl::Status TakeRoad(int fd, const SocketRoad& road) {
  FL_RETURN_IF_ERROR(SetNumber(fd, SOL_SOCKET, SO_MARK,
                               static_cast<int>(road.mark), "SO_MARK"));
  if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, road.device.c_str(),
                 static_cast<socklen_t>(road.device.size())) != 0)
    return base::SyscallError(absl::StrCat("bind to ", road.device));
  if (road.largest_segment != 0)
    FL_RETURN_IF_ERROR(SetNumber(fd, IPPROTO_TCP, TCP_MAXSEG,
                                 road.largest_segment, "TCP_MAXSEG"));
  if (!road.source.has_value()) return absl::OkStatus();
  // The port is chosen when it is known who it is for.
  FL_RETURN_IF_ERROR(SetFlag(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT,
                             "IP_BIND_ADDRESS_NO_PORT"));
  return Bind(fd, SocketAddress(*road.source));
}

absl::StatusOr<base::UniqueFd> ListenTcp(const base::Endpoint& endpoint) {
  const SocketAddress address(endpoint);
  // Accepted sockets inherit TCP_NODELAY.
  FL_ASSIGN_OR_RETURN(base::UniqueFd fd, TcpSocket(endpoint.address));
  FL_RETURN_IF_ERROR(
      SetFlag(fd.get(), SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR"));
  if (address.family() == AF_INET6) {
    FL_RETURN_IF_ERROR(
        SetFlag(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY"));
  }
  FL_RETURN_IF_ERROR(BindAfterOthers(fd.get(), address));
  FL_RETURN_IF_ERROR(StartListening(fd.get(), address));
  return fd;
}

absl::StatusOr<base::UniqueFd> ListenUnix(absl::string_view path, mode_t mode) {
  FL_ASSIGN_OR_RETURN(const SocketAddress address,
                      SocketAddress::FromUnixPath(path));
  FL_RETURN_IF_ERROR(RemoveStaleSocket(address));
  FL_ASSIGN_OR_RETURN(base::UniqueFd fd, UnixSocket());
  FL_RETURN_IF_ERROR(Bind(fd.get(), address));
  // Nobody can connect before listen(), so the umask's mode is never in use.
  if (chmod(std::string(path).c_str(), mode) != 0)
    return base::SyscallError(absl::StrCat("chmod ", path));
  FL_RETURN_IF_ERROR(StartListening(fd.get(), address));
  return fd;
}

absl::StatusOr<PeerCredentials> ReadPeerCredentials(int fd) {
  ucred credentials = {};
  socklen_t size = sizeof(credentials);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return base::SyscallError("getsockopt SO_PEERCRED");
  PeerCredentials peer = {.pid = credentials.pid,
                          .uid = credentials.uid,
                          .gid = credentials.gid,
                          .groups = std::vector<gid_t>(32)};
  while (true) {
    size = static_cast<socklen_t>(peer.groups.size() * sizeof(gid_t));
    const int result =
        getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer.groups.data(), &size);
    if (result != 0 && errno != ERANGE)
      return base::SyscallError("getsockopt SO_PEERGROUPS");
    // On ERANGE `size` is what it takes.
    peer.groups.resize(size / sizeof(gid_t));
    if (result == 0) return peer;
  }
}

absl::StatusOr<base::Endpoint> PeerEndpoint(int fd) {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0)
    return base::SyscallError("getpeername");
  return ToEndpoint(storage);
}

absl::StatusOr<base::Endpoint> LocalEndpoint(int fd) {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0)
    return base::SyscallError("getsockname");
  return ToEndpoint(storage);
}

}  // namespace fairlead::event
