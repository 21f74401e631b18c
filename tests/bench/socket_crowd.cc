#include "tests/bench/socket_crowd.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "base/check.h"

namespace fairlead::test {
namespace {

// Each child opens two descriptors for a connection, and a limit of twenty
// thousand is there wherever services run.
constexpr int kMostOfChild = 9'000;
constexpr int kPortsOfClient = 20'000;
constexpr int kFirstPort = 20'000;
constexpr uint16_t kServicePort = 443;
constexpr uint32_t kServices = 0xc6336400;  // 198.51.100.0
constexpr uint32_t kClients = 0xc0000200;   // 192.0.2.0

sockaddr_in SocketAddress(uint32_t address, int port) {
  sockaddr_in result = {};
  result.sin_family = AF_INET;
  result.sin_addr.s_addr = htonl(address);
  result.sin_port = htons(static_cast<uint16_t>(port));
  return result;
}

const sockaddr* Raw(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

void Must(bool done, const char* what) {
  if (done) return;
  std::perror(what);
  std::abort();
}

void EnterNamespace() {
  Must(unshare(CLONE_NEWNET) == 0, "unshare");
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  ifreq up = {};
  up.ifr_name[0] = 'l';
  up.ifr_name[1] = 'o';
  up.ifr_flags = IFF_UP;
  Must(ioctl(fd, SIOCSIFFLAGS, &up) == 0, "lo up");
  close(fd);
  // Any address is local.
  Must(std::system("ip route add local 192.0.2.0/24 dev lo && "
                   "ip route add local 198.51.100.0/24 dev lo") == 0,
       "ip route");
}

// Ends only by a signal.
[[noreturn]] void RunChild(int number, int connections, int ready) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  rlimit files = {};
  Must(getrlimit(RLIMIT_NOFILE, &files) == 0, "RLIMIT_NOFILE");
  files.rlim_cur = files.rlim_max;
  Must(setrlimit(RLIMIT_NOFILE, &files) == 0, "RLIMIT_NOFILE");
  const int one = 1;
  const linger reset = {.l_onoff = 1, .l_linger = 0};
  const sockaddr_in service = SocketAddress(
      kServices + 10 + static_cast<uint32_t>(number), kServicePort);
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  Must(bind(listener, Raw(service), sizeof(service)) == 0, "bind VIP");
  Must(listen(listener, 64) == 0, "listen");
  for (int i = 0; i < connections; ++i) {
    const int all = number * kMostOfChild + i;
    const sockaddr_in client = SocketAddress(
        kClients + 1 + static_cast<uint32_t>(all / kPortsOfClient),
        kFirstPort + all % kPortsOfClient);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    Must(bind(fd, Raw(client), sizeof(client)) == 0, "bind client");
    Must(connect(fd, Raw(service), sizeof(service)) == 0, "connect");
    Must(accept(listener, nullptr, nullptr) >= 0, "accept");
  }
  Must(write(ready, "", 1) == 1, "write");
  while (true) pause();
}

}  // namespace

SocketCrowd::SocketCrowd(int connections) {
  EnterNamespace();
  int ready[2];
  Must(pipe(ready) == 0, "pipe");
  for (int number = 0; number * kMostOfChild < connections; ++number) {
    const pid_t child = fork();
    Must(child >= 0, "fork");
    if (child == 0) {
      RunChild(number,
               std::min(kMostOfChild, connections - number * kMostOfChild),
               ready[1]);
    }
    children_.push_back(child);
    services_.push_back(
        {*base::IpAddress::Parse("198.51.100." + std::to_string(10 + number)),
         kServicePort});
  }
  close(ready[1]);
  // One that ends before it is ready closes its end of the pipe.
  for (size_t i = 0; i < children_.size(); ++i) {
    char byte;
    Must(read(ready[0], &byte, 1) == 1, "a child has failed");
  }
  close(ready[0]);
}

SocketCrowd::~SocketCrowd() {
  for (const pid_t child : children_) kill(child, SIGKILL);
  for (const pid_t child : children_) waitpid(child, nullptr, 0);
}

}  // namespace fairlead::test
