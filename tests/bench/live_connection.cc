#include "tests/bench/live_connection.h"

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

sockaddr_in SocketAddress(const base::IpAddress& address, uint16_t port) {
  sockaddr_in result = {};
  result.sin_family = AF_INET;
  std::memcpy(&result.sin_addr, address.bytes().data() + 12, 4);
  result.sin_port = htons(port);
  return result;
}

const sockaddr* Raw(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
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

LiveConnection::LiveConnection(const base::Endpoint& service,
                               const base::IpAddress& client) {
  EnterNetworkNamespace();
  for (const base::IpAddress& address : {service.address, client}) {
    const std::string command =
        absl::StrCat("ip route add local ", address.ToString(), " dev lo");
    Must(std::system(command.c_str()) == 0, "ip route");
  }
  const sockaddr_in here = SocketAddress(service.address, service.port);
  const sockaddr_in there = SocketAddress(client, 0);
  listener_ = base::UniqueFd(socket(AF_INET, SOCK_STREAM, 0));
  client_ = base::UniqueFd(socket(AF_INET, SOCK_STREAM, 0));
  Must(bind(listener_.get(), Raw(here), sizeof(here)) == 0, "bind VIP");
  Must(listen(listener_.get(), 1) == 0, "listen");
  Must(bind(client_.get(), Raw(there), sizeof(there)) == 0, "bind client");
  Must(connect(client_.get(), Raw(here), sizeof(here)) == 0, "connect");
  sockaddr_in peer = {};
  socklen_t size = sizeof(peer);
  server_ = base::UniqueFd(
      accept(listener_.get(), reinterpret_cast<sockaddr*>(&peer), &size));
  Must(server_.valid(), "accept");
  client_port_ = ntohs(peer.sin_port);
  // Only a socket under repair tells its sequence numbers.
  Set(client_.get(), TCP_REPAIR, TCP_REPAIR_ON);
  next_sequence_ = SequenceOf(client_.get(), TCP_SEND_QUEUE);
  acknowledged_ = SequenceOf(client_.get(), TCP_RECV_QUEUE);
  Set(client_.get(), TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
}

}  // namespace fairlead::test
