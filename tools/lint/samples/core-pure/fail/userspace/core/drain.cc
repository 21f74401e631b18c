#include <unistd.h>                             // <- finding
#include <sys/socket.h>                         // <- finding
#include <atomic>                               // <- finding
#include <chrono>                               // <- finding
#include <random>                               // <- finding
#include <thread>                               // <- finding
#include "absl/random/random.h"                 // <- finding
#include "absl/synchronization/mutex.h"         // <- finding
#include "absl/time/clock.h"                    // <- finding
#include "nlohmann/json.hpp"                    // <- finding

namespace fairlead::core {

static int calls = 0;                           // <- finding

int Drain::OnTick() {
  static int ticks;                             // <- finding
  std::atomic<int> shared{0};                   // <- finding
  std::random_device seed;                      // <- finding
  absl::BitGen generator;                       // <- finding
  std::cerr << "tick";                          // <- finding
  printf("tick\n");                             // <- finding
  std::fprintf(stderr, "tick\n");               // <- finding
  if (::close(3) < 0) return errno;             // <- finding
  __sync_fetch_and_add(&ticks, 1);              // <- finding
  return getenv("FL_TICKS") ? rand() : ++calls;  // <- finding
}

}  // namespace fairlead::core
