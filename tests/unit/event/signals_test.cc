#include "event/signals.h"

#include <catch2/catch.hpp>
#include <csignal>

#include "absl/status/status.h"
#include "tests/unit/event/run_on_loop.h"

namespace fairlead::event {
namespace {

TEST_CASE("a blocked signal reaches the coroutine that waits for it",
          "[event][signals]") {
  absl::StatusOr<Signals> signals = Signals::Block({SIGUSR1, SIGUSR2});
  REQUIRE(signals.ok());
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    std::vector<int> seen;
    auto listen = [&]() -> Task<void> {
      for (int i = 0; i < 2; ++i) {
        absl::StatusOr<int> signal = co_await signals->Next(*loop);
        if (signal.ok()) seen.push_back(*signal);
      }
    };
    Scope scope(co_await CurrentScope());
    scope.Spawn(listen());
    co_await loop->Yield();
    raise(SIGUSR2);
    while (seen.empty()) co_await loop->Yield();
    raise(SIGUSR1);
    co_await scope.Join();
    CHECK(seen == std::vector<int>{SIGUSR2, SIGUSR1});
  });
}

TEST_CASE("waiting for a signal can be cancelled", "[event][signals]") {
  absl::StatusOr<Signals> signals = Signals::Block({SIGUSR1});
  REQUIRE(signals.ok());
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    absl::Status status;
    auto listen = [&]() -> Task<void> {
      status = (co_await signals->Next(*loop)).status();
    };
    Scope scope(co_await CurrentScope());
    scope.Spawn(listen());
    co_await loop->Yield();
    scope.Cancel();
    co_await scope.Join();
    CHECK(absl::IsCancelled(status));
  });
}

}  // namespace
}  // namespace fairlead::event
