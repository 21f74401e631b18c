#include "event/sync.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/unit/event/run_on_loop.h"

namespace fairlead::event {
namespace {

TEST_CASE("an event that is set lets everybody pass until it is reset",
          "[event][sync]") {
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    Event event(*loop);
    event.Set();
    ExpectOk(co_await event.Wait());
    ExpectOk(co_await event.Wait());
    event.Reset();
    const absl::Status status =
        co_await event.Wait(loop->Now() + absl::Milliseconds(1));
    CHECK(absl::IsDeadlineExceeded(status));
  });
}

TEST_CASE("NotifyAll wakes those who wait and nobody later", "[event][sync]") {
  auto loop = MakeLoop();
  int woken = 0;
  RunOn(*loop, [&]() -> Task<void> {
    Event event(*loop);
    Scope scope(co_await CurrentScope());
    auto wait = [&]() -> Task<void> {
      const absl::Status status = co_await event.Wait();
      if (status.ok()) ++woken;
    };
    for (int i = 0; i < 3; ++i) scope.Spawn(wait());
    co_await loop->Yield();
    event.NotifyAll();
    CHECK(woken == 0);  // resumed by the loop, not from here
    co_await scope.Join();
    CHECK(woken == 3);
    scope.Spawn(wait());
    co_await loop->Yield();
    scope.Cancel();
    co_await scope.Join();
    CHECK(woken == 3);
  });
}

TEST_CASE("an event that comes before the deadline leaves no timer behind",
          "[event][sync]") {
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    Event event(*loop);
    absl::Status status = absl::UnknownError("");
    Scope scope(co_await CurrentScope());
    auto wait = [&]() -> Task<void> {
      status = co_await event.Wait(loop->Now() + absl::Hours(1));
    };
    scope.Spawn(wait());
    co_await loop->Yield();
    event.Set();
    co_await scope.Join();
    CHECK(status.ok());
    CHECK(loop->timers().size() == 0);
  });
}

TEST_CASE("a mutex is held by one at a time and given on in order",
          "[event][sync]") {
  auto loop = MakeLoop();
  std::vector<int> order;
  RunOn(*loop, [&]() -> Task<void> {
    Mutex mutex(*loop);
    int inside = 0;
    auto work = [&](int id) -> Task<void> {
      MutexLock lock = co_await mutex.Lock();
      CHECK(++inside == 1);
      co_await loop->Yield();
      co_await loop->Yield();
      --inside;
      order.push_back(id);
    };
    Scope scope(co_await CurrentScope());
    for (int id = 0; id < 5; ++id) scope.Spawn(work(id));
    co_await scope.Join();
    CHECK_FALSE(mutex.locked());
  });
  CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE("nobody overtakes those who wait for a mutex", "[event][sync]") {
  auto loop = MakeLoop();
  std::string order;
  RunOn(*loop, [&]() -> Task<void> {
    Mutex mutex(*loop);
    Scope scope(co_await CurrentScope());
    auto waiter = [&]() -> Task<void> {
      MutexLock lock = co_await mutex.Lock();
      order += 'w';
    };
    {
      MutexLock lock = co_await mutex.Lock();
      scope.Spawn(waiter());
      co_await loop->Yield();
    }
    {
      MutexLock lock = co_await mutex.Lock();
      order += 'l';
    }
    co_await scope.Join();
  });
  CHECK(order == "wl");
}

}  // namespace
}  // namespace fairlead::event
