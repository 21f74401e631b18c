// BalanceSim: connections come, live and go through some LB hosts to many
// backends, so that one can see how evenly they are spread. Each LB host knows
// what it recorded itself, and what each agent counted between one and ten
// seconds ago.
#pragma once

#include <cstdint>
#include <memory>
#include <queue>
#include <vector>

#include "absl/time/time.h"
#include "base/mono_time.h"
#include "tests/sim/simulated_lb.h"
#include "tests/sim/simulated_random.h"

namespace fairlead::testing {

// How the connections of a backend that is restarted end: the client closes
// after the server did, or hears a reset, which no LB host sees.
enum class Ending { kFin, kReset };

class BalanceSim {
 public:
  struct Options {
    int hosts = 1;
    int backends = 100;
    int connections = 500;  // in the mean of each backend
    absl::Duration lifetime = absl::Hours(1);
    core::Policy policy = core::Policy::kLeastConn;
    uint64_t seed = 1;
  };

  // With all connections, and at rest for a lifetime.
  explicit BalanceSim(const Options& options);
  BalanceSim(const BalanceSim&) = delete;
  BalanceSim& operator=(const BalanceSim&) = delete;

  void RunFor(absl::Duration duration);
  // Answers its number.
  int AddBackend();
  // Drains for a minute, then ends what is left. It is ready again two seconds
  // later; its clients come back within five.
  void Restart(int backend, Ending ending);

  double MaxOverMean() const;
  int backends() const { return static_cast<int>(live_.size()); }
  // New connections so far: of a backend, and of all.
  uint64_t Taken(int backend) const {
    return taken_[static_cast<size_t>(backend)];
  }
  uint64_t Taken() const;
  SimulatedLb& host(int number) { return *hosts_[static_cast<size_t>(number)]; }

 private:
  enum class Kind : uint8_t {
    kArrival,  // the next one of the steady stream
    kReturn,   // of a client whose backend was restarted
    kTalk,     // the segment that makes it established
    kEnd,
    kScan,    // an agent counts
    kAnswer,  // and an LB host hears of it
    kSweep,
  };
  struct Happening {
    base::MonoTime at;
    uint64_t order;  // of those at the same time
    Kind kind;
    size_t subject;  // connection, or host and backend
    friend bool operator>(const Happening& a, const Happening& b) {
      return a.at != b.at ? a.at > b.at : a.order > b.order;
    }
  };
  struct Connection {
    ClientEnd client;
    int host = 0;
    int backend = 0;
    bool lives = false;
  };
  struct Report {
    SimulatedLb::Question question;
    uint64_t live = 0;
  };

  void Schedule(Kind kind, absl::Duration in, size_t subject);
  void Happen(const Happening& happening);
  void Arrive();
  void End(size_t connection, Ending ending);
  void Scan(size_t subject);
  void StartPolls(int backend);
  absl::Duration Exponential(absl::Duration mean);

  const Options options_;
  SimulatedRandom random_;
  base::MonoTime now_ = base::MonoTime::FromNanoseconds(0);
  uint64_t order_ = 0;
  std::priority_queue<Happening, std::vector<Happening>, std::greater<>> queue_;
  std::vector<std::unique_ptr<SimulatedLb>> hosts_;
  std::vector<Connection> connections_;
  std::vector<uint64_t> live_;     // by backend
  std::vector<uint64_t> taken_;    // by backend
  std::vector<Report> under_way_;  // by host and backend
};

}  // namespace fairlead::testing
