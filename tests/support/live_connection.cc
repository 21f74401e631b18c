#include "tests/support/live_connection.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"

namespace fairlead::test {
namespace {

void Must(bool done, const char* what) {
  if (done) return;
  std::perror(what);
  std::abort();
}

// One kind of socket for both families: what has a mapped address is IPv4.
sockaddr_in6 SocketAddress(const base::IpAddress& address, uint16_t port) {
  sockaddr_in6 result = {};
  result.sin6_family = AF_INET6;
  std::memcpy(&result.sin6_addr, address.bytes().data(), 16);
  result.sin6_port = htons(port);
  return result;
}

base::UniqueFd BoundSocket(const sockaddr_in6& address) {
  base::UniqueFd fd(socket(AF_INET6, SOCK_STREAM, 0));
  Must(fd.valid(), "socket");
  Must(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
            sizeof(address)) == 0,
       "bind");
  return fd;
}

int Get(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof(value);
  Must(getsockopt(fd, IPPROTO_TCP, option, &value, &size) == 0, "getsockopt");
  return value;
}

void Set(int fd, int option, int value) {
  Must(setsockopt(fd, IPPROTO_TCP, option, &value, sizeof(value)) == 0,
       "setsockopt");
}

uint32_t SequenceOf(int fd, int queue) {
  Set(fd, TCP_REPAIR_QUEUE, queue);
  return static_cast<uint32_t>(Get(fd, TCP_QUEUE_SEQ));
}

}  // namespace

void EnterNetworkNamespace() {
  Must(unshare(CLONE_NEWNET) == 0, "unshare");
  const base::UniqueFd fd(socket(AF_INET, SOCK_DGRAM, 0));
  ifreq up = {};
  up.ifr_name[0] = 'l';
  up.ifr_name[1] = 'o';
  up.ifr_flags = IFF_UP;
  Must(ioctl(fd.get(), SIOCSIFFLAGS, &up) == 0, "lo up");
}

void AddLocalAddress(const base::IpAddress& address) {
  const std::string command =
      absl::StrCat("ip address add ", address.ToString(), " dev lo");
  Must(std::system(command.c_str()) == 0, "ip address");
}

base::UniqueFd ListenAt(const base::Endpoint& service) {
  base::UniqueFd fd = BoundSocket(SocketAddress(service.address, service.port));
  Must(listen(fd.get(), 1) == 0, "listen");
  return fd;
}

LiveConnection::LiveConnection(const base::Endpoint& service,
                               const base::IpAddress& client)
    : listener_(ListenAt(service)),
      client_(BoundSocket(SocketAddress(client, 0))) {
  const sockaddr_in6 here = SocketAddress(service.address, service.port);
  Must(connect(client_.get(), reinterpret_cast<const sockaddr*>(&here),
               sizeof(here)) == 0,
       "connect");
  sockaddr_in6 peer = {};
  socklen_t size = sizeof(peer);
  server_ = base::UniqueFd(
      accept(listener_.get(), reinterpret_cast<sockaddr*>(&peer), &size));
  Must(server_.valid(), "accept");
  client_port_ = ntohs(peer.sin6_port);
  // Only a socket under repair tells its sequence numbers.
  Set(client_.get(), TCP_REPAIR, TCP_REPAIR_ON);
  next_sequence_ = SequenceOf(client_.get(), TCP_SEND_QUEUE);
  acknowledged_ = SequenceOf(client_.get(), TCP_RECV_QUEUE);
  Set(client_.get(), TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
}

}  // namespace fairlead::test
