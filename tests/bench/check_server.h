// What the checks of checks_bench meet: a server in a process of its own, on a
// CPU of its own, that takes every connection at any address of the host and
// says "ok" to every HTTP request.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace fairlead::test {

enum class Speech { kNone, kHttp };

class CheckServer {
 public:
  // Forks. Ends the program with a message if it cannot.
  explicit CheckServer(Speech speech);
  CheckServer(const CheckServer&) = delete;
  CheckServer& operator=(const CheckServer&) = delete;
  ~CheckServer();

  uint16_t port() const { return port_; }
  // Its own CPU time.
  double CpuSeconds() const;

 private:
  uint16_t port_ = 0;
  pid_t process_ = -1;
};

// Of any process; ends the program with a message if there is none.
double CpuSecondsOf(pid_t process);
void PinTo(int cpu);

}  // namespace fairlead::test
