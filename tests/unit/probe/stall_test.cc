// Probes on a loop that does not get to run: stopped, without a CPU, or busy.
// Here it is busy. The server has a thread of its own, so it answers meanwhile.
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <functional>
#include <string>
#include <thread>

#include "probe/probe.h"
#include "tests/unit/event/busy.h"
#include "tests/unit/probe/fixture.h"

namespace fairlead::probe {
namespace {

using Catch::Matchers::Contains;
using core::CheckConfig;
using core::CheckKind;
using core::ProbeOutcome;
using core::ProbeResult;

constexpr absl::Duration kTimeout = absl::Milliseconds(300);

// Serves one connection with `script`, which is given its socket.
class Server {
 public:
  explicit Server(std::function<void(int)> script)
      : listener_(event::ListenTcp({Loopback(), 0}).value()),
        thread_([this, script = std::move(script)] {
          const base::UniqueFd fd(accept(listener_.get(), nullptr, nullptr));
          char request[1024];
          if (fd && recv(fd.get(), request, sizeof(request), 0) > 0)
            script(fd.get());
        }) {}
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() { thread_.join(); }

  Target TargetOf(CheckKind kind) const {
    Target target{Loopback(),
                  event::LocalEndpoint(listener_.get())->port,
                  CheckOf(kind),
                  {}};
    target.check.timeout = kTimeout;
    target.check.interval = kTimeout;
    return target;
  }

 private:
  base::UniqueFd listener_;
  std::thread thread_;
};

struct Seen {
  ProbeResult result;
  std::string alarm;
};

// Blocks the loop for `stall`, once the probe has sent its request.
Seen ProbeStalled(const Target& target, absl::Duration stall,
                  absl::Duration after = absl::Milliseconds(40)) {
  const std::unique_ptr<event::Loop> loop = event::MakeLoop();
  Prober prober(*loop);
  Seen seen;
  event::RunOn(*loop, [&]() -> Task<void> {
    event::Scope scope(co_await event::CurrentScope());
    const auto block = [&]() -> Task<void> {
      if (after > absl::ZeroDuration()) (void)co_await loop->SleepFor(after);
      event::KeepBusy(stall);
    };
    scope.Spawn(block());
    seen.result = co_await prober.Run(target);
    co_await scope.Join();
  });
  seen.alarm = prober.stalls().Alarm();
  return seen;
}

void SendText(int fd, const std::string& text) {
  (void)send(fd, text.data(), text.size(), MSG_NOSIGNAL);
}

TEST_CASE("an answer that came in time while the loop slept is an answer",
          "[probe][stall]") {
  const Server server([](int fd) {
    event::KeepBusy(absl::Milliseconds(100));
    SendText(fd, HttpAnswer(200));
    char more[64];
    (void)recv(fd, more, sizeof(more), 0);
  });
  const Seen seen = ProbeStalled(server.TargetOf(CheckKind::kHttp),
                                 kTimeout + absl::Milliseconds(200));
  CAPTURE(seen.result.detail);
  CHECK(seen.result.outcome == ProbeOutcome::kSuccess);
  CHECK(seen.result.duration > kTimeout);
}

TEST_CASE("a time-out of which the loop slept a part says nothing",
          "[probe][stall]") {
  const Server server([](int fd) {
    char more[64];
    (void)recv(fd, more, sizeof(more), 0);
  });
  for (const absl::Duration stall : {kTimeout / 2, 2 * kTimeout}) {
    // One server for each, which serves one connection.
    const Server silent([](int fd) {
      char more[64];
      (void)recv(fd, more, sizeof(more), 0);
    });
    const Seen seen = ProbeStalled(silent.TargetOf(CheckKind::kHttp), stall);
    CAPTURE(stall, seen.result.detail);
    CHECK(seen.result.outcome == ProbeOutcome::kLate);
    CHECK_THAT(seen.result.detail, Contains("did not get to run"));
  }
  const Seen awake =
      ProbeStalled(server.TargetOf(CheckKind::kHttp), absl::Milliseconds(1));
  CHECK(awake.result.outcome == ProbeOutcome::kTimeout);
  CHECK(awake.alarm.empty());
}

// It had to wait for a request that came late.
TEST_CASE("a server that lost patience with a loop that slept is not failed",
          "[probe][stall]") {
  const Server server([](int) { event::KeepBusy(absl::Milliseconds(60)); });
  const Seen seen =
      ProbeStalled(server.TargetOf(CheckKind::kHttp), kTimeout / 2);
  CAPTURE(seen.result.detail);
  CHECK(seen.result.outcome == ProbeOutcome::kLate);
}

TEST_CASE("a refused connect counts whenever it was tried", "[probe][stall]") {
  base::UniqueFd holder = event::TcpSocket(Loopback()).value();
  REQUIRE(event::Bind(holder.get(), event::SocketAddress(Loopback())).ok());
  Target target{Loopback(),
                event::LocalEndpoint(holder.get())->port,
                CheckOf(CheckKind::kHttp),
                {}};
  target.check.timeout = kTimeout;
  // In the same turn, so before the connect is submitted.
  const Seen seen = ProbeStalled(target, kTimeout / 2, absl::ZeroDuration());
  CHECK(seen.result.outcome == ProbeOutcome::kRefused);
}

TEST_CASE("the operator is told of a long stall, and for how long",
          "[probe][stall]") {
  const Server server([](int fd) {
    char more[64];
    (void)recv(fd, more, sizeof(more), 0);
  });
  const Seen seen =
      ProbeStalled(server.TargetOf(CheckKind::kHttp), 2 * kTimeout);
  CHECK_THAT(seen.alarm, Contains("did not get to run for ") &&
                             Contains("until 0 ago") &&
                             Contains("repeated and not counted"));
}

TEST_CASE("stalls are watched only while a probe runs", "[probe][stall]") {
  const std::unique_ptr<event::Loop> loop = event::MakeLoop();
  StallWatch watch(*loop);
  CHECK(loop->timers().size() == 0);
  {
    const StallWatch::Watching one(watch);
    const StallWatch::Watching two(watch);
    CHECK(loop->timers().size() == 1);
    event::KeepBusy(2 * kBeat + kPunctual);
    CHECK(one.Lost() >= kBeat);
    const StallWatch::Watching three(watch);
    CHECK(three.Lost() < kBeat);
  }
  CHECK(loop->timers().size() == 0);
  const StallWatch::Watching later(watch);
  CHECK(later.Lost() < kBeat);
}

}  // namespace
}  // namespace fairlead::probe
