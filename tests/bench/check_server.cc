#include "tests/bench/check_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace fairlead::test {
namespace {

constexpr int kServerCpu = 1;
constexpr int kBacklog = 65535;
constexpr char kAnswer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int Listen(uint16_t& port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  sockaddr_in any = {};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_ANY);
  socklen_t size = sizeof(any);
  auto* address = reinterpret_cast<sockaddr*>(&any);
  if (fd < 0 || bind(fd, address, size) != 0 || listen(fd, kBacklog) != 0 ||
      getsockname(fd, address, &size) != 0)
    Die("checks_bench: listen");
  port = ntohs(any.sin_port);
  return fd;
}

// A connection is known by its descriptor alone, and asks once.
class Serving {
 public:
  Serving(int listener, Speech speech)
      : listener_(listener), speech_(speech), epoll_(epoll_create1(0)) {
    Watch(listener_);
  }

  [[noreturn]] void Run() const {
    std::array<epoll_event, 256> events;
    while (true) {
      const int count = epoll_wait(epoll_, events.data(), events.size(), -1);
      for (int i = 0; i < count; ++i) {
        const int fd = events[static_cast<size_t>(i)].data.fd;
        if (fd == listener_)
          AcceptAll();
        else
          Answer(fd);
      }
    }
  }

 private:
  void Watch(int fd) const {
    epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0)
      Die("checks_bench: epoll");
  }

  void AcceptAll() const {
    while (true) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK);
      if (fd < 0) return;
      if (speech_ == Speech::kHttp) {
        Watch(fd);
        continue;
      }
      close(fd);
    }
  }

  void Answer(int fd) const {
    std::array<char, 1024> request;
    if (recv(fd, request.data(), request.size(), 0) > 0) {
      (void)send(fd, kAnswer, sizeof(kAnswer) - 1, MSG_NOSIGNAL);
      return;
    }
    close(fd);
  }

  const int listener_;
  const Speech speech_;
  const int epoll_;
};

}  // namespace

CheckServer::CheckServer(Speech speech) {
  const int listener = Listen(port_);
  process_ = fork();
  if (process_ < 0) Die("checks_bench: fork");
  if (process_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    PinTo(kServerCpu);
    Serving(listener, speech).Run();
  }
  close(listener);
}

CheckServer::~CheckServer() {
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
}

double CheckServer::CpuSeconds() const { return CpuSecondsOf(process_); }

double CpuSecondsOf(pid_t process) {
  std::ifstream file(absl::StrCat("/proc/", process, "/stat"));
  std::string text;
  std::getline(file, text);
  // After the name, which may hold anything: state, then eleven more.
  const size_t name_end = text.rfind(')');
  uint64_t user = 0, system = 0;
  if (name_end == std::string::npos ||
      std::sscanf(text.c_str() + name_end + 2,
                  "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                  &system) != 2)
    Die("checks_bench: /proc/PID/stat");
  return static_cast<double>(user + system) /
         static_cast<double>(sysconf(_SC_CLK_TCK));
}

void PinTo(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  // With one CPU all share it.
  (void)sched_setaffinity(0, sizeof(set), &set);
}

}  // namespace fairlead::test
