#include "event/scope.h"

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "event/sync.h"
#include "tests/unit/event/run_on_loop.h"
#include "tests/unit/event/socket_pair.h"

namespace fairlead::event {
namespace {

Task<void> SleepLong(Loop& loop, absl::Status& result) {
  result = co_await loop.SleepFor(absl::Hours(1));
}

Task<void> ReceiveOne(Loop& loop, int fd, absl::Status& result) {
  char byte = 0;
  result = (co_await loop.Recv(fd, {&byte, 1})).status();
}

Task<void> WaitFor(Event& event, absl::Status& result) {
  result = co_await event.Wait();
}

TEST_CASE("cancelling a scope ends every kind of pending operation",
          "[event][scope]") {
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    SocketPair pair;
    Event event(*loop);
    absl::Status sleep, receive, wait;
    Scope scope(co_await CurrentScope());
    scope.Spawn(SleepLong(*loop, sleep));
    scope.Spawn(ReceiveOne(*loop, pair.near.get(), receive));
    scope.Spawn(WaitFor(event, wait));
    co_await loop->Yield();
    CHECK(scope.tasks() == 3);
    scope.Cancel();
    CHECK(scope.tasks() == 3);  // a request, not an end
    co_await scope.Join();
    CHECK(absl::IsCancelled(sleep));
    CHECK(absl::IsCancelled(receive));
    CHECK(absl::IsCancelled(wait));
  });
}

TEST_CASE("an operation started in a cancelled scope is cancelled at once",
          "[event][scope]") {
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    SocketPair pair;
    Event event(*loop);
    event.Set();
    absl::Status sleep, receive, wait;
    Scope scope(co_await CurrentScope());
    scope.Cancel();
    scope.Spawn(SleepLong(*loop, sleep));
    scope.Spawn(ReceiveOne(*loop, pair.near.get(), receive));
    scope.Spawn(WaitFor(event, wait));
    co_await scope.Join();
    CHECK(absl::IsCancelled(sleep));
    CHECK(absl::IsCancelled(receive));
    CHECK(absl::IsCancelled(wait));
  });
}

TEST_CASE("a scope is cancelled with its parent and not the other way round",
          "[event][scope]") {
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    absl::Status inner_result, outer_result, alone_result;
    Scope outer(co_await CurrentScope());
    Scope inner(outer);
    Scope alone(*loop);
    inner.Spawn(SleepLong(*loop, inner_result));
    outer.Spawn(SleepLong(*loop, outer_result));
    alone.Spawn(SleepLong(*loop, alone_result));
    co_await loop->Yield();

    Scope sibling(outer);
    sibling.Cancel();
    CHECK_FALSE(outer.cancelled());

    outer.Cancel();
    co_await outer.Join();
    co_await inner.Join();
    CHECK(absl::IsCancelled(inner_result));
    CHECK(absl::IsCancelled(outer_result));
    CHECK(Scope(outer).cancelled());

    CHECK_FALSE(alone.cancelled());
    alone.Cancel();
    co_await alone.Join();
  });
}

TEST_CASE("Join returns after the last task and everything it was given",
          "[event][scope]") {
  auto loop = MakeLoop();
  std::vector<int> order;
  RunOn(*loop, [&]() -> Task<void> {
    auto token = std::make_shared<int>(0);
    auto work = [&](int id, std::shared_ptr<int> held) -> Task<void> {
      for (int i = 0; i < id; ++i) co_await loop->Yield();
      order.push_back(id + *held);
    };
    Scope scope(co_await CurrentScope());
    for (const int id : {5, 1, 3}) scope.Spawn(work(id, token));
    co_await scope.Join();
    order.push_back(100);
    CHECK(token.use_count() == 1);
    CHECK(scope.empty());
  });
  CHECK(order == std::vector<int>{1, 3, 5, 100});
}

TEST_CASE("Join of an empty scope returns at once", "[event][scope]") {
  auto loop = MakeLoop();
  RunOn(*loop, []() -> Task<void> {
    Scope scope(co_await CurrentScope());
    co_await scope.Join();
  });
}

TEST_CASE("Join waits for tasks that the last task spawned", "[event][scope]") {
  auto loop = MakeLoop();
  int done = 0;
  RunOn(*loop, [&]() -> Task<void> {
    Scope scope(co_await CurrentScope());
    auto second = [&]() -> Task<void> {
      co_await loop->Yield();
      ++done;
    };
    auto first = [&]() -> Task<void> {
      scope.Spawn(second());
      ++done;
      co_return;
    };
    scope.Spawn(first());
    co_await scope.Join();
    CHECK(done == 2);
  });
}

TEST_CASE("a task may cancel the scope that it runs in", "[event][scope]") {
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    absl::Status other, own;
    Scope scope(co_await CurrentScope());
    auto quit = [&]() -> Task<void> {
      scope.Cancel();
      own = co_await loop->SleepFor(absl::Hours(1));
    };
    scope.Spawn(SleepLong(*loop, other));
    scope.Spawn(quit());
    co_await scope.Join();
    CHECK(absl::IsCancelled(other));
    CHECK(absl::IsCancelled(own));
  });
}

// Data is there before the request to cancel: whatever the kernel answers, the
// byte is either delivered or still in the socket.
TEST_CASE("cancelling loses no result that came first", "[event][scope]") {
  constexpr int kRounds = 500;
  auto loop = MakeLoop();
  int delivered = 0;
  RunOn(*loop, [&]() -> Task<void> {
    for (int i = 0; i < kRounds; ++i) {
      SocketPair pair;
      absl::Status result;
      Scope scope(co_await CurrentScope());
      scope.Spawn(ReceiveOne(*loop, pair.near.get(), result));
      co_await loop->Yield();
      co_await loop->Yield();
      REQUIRE(send(pair.far.get(), "x", 1, 0) == 1);
      if (i % 2 == 0) co_await loop->Yield();
      scope.Cancel();
      co_await scope.Join();
      char byte = 0;
      const ssize_t left = recv(pair.near.get(), &byte, 1, MSG_DONTWAIT);
      if (result.ok()) {
        ++delivered;
        CHECK(left == -1);
      } else {
        CHECK(absl::IsCancelled(result));
        CHECK(left == 1);
      }
    }
  });
  CHECK(delivered > 0);
}

// Each resumed task destroys what the next one in the same turn might touch.
TEST_CASE("a resumed task may destroy what others of its turn hold",
          "[event][scope]") {
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    for (int round = 0; round < 50; ++round) {
      auto pair = std::make_unique<SocketPair>();
      absl::Status first, second;
      Scope scope(co_await CurrentScope());
      auto taker = [&](absl::Status& result) -> Task<void> {
        char byte = 0;
        result = (co_await loop->Recv(pair->near.get(), {&byte, 1})).status();
        scope.Cancel();
      };
      scope.Spawn(taker(first));
      scope.Spawn(taker(second));
      co_await loop->Yield();
      REQUIRE(send(pair->far.get(), "xy", 2, 0) == 2);
      co_await scope.Join();
      pair.reset();
      CHECK((first.ok() || second.ok()));
    }
  });
}

}  // namespace
}  // namespace fairlead::event
