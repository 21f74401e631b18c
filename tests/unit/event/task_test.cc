#include "event/task.h"

#include <catch2/catch.hpp>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status_macros.h"
#include "tests/unit/event/run_on_loop.h"

namespace fairlead::event {
namespace {

Task<std::unique_ptr<int>> MakeBox(int value) {
  co_return std::make_unique<int>(value);
}

Task<absl::StatusOr<std::string>> Greet(bool works) {
  if (!works) co_return absl::NotFoundError("nobody");
  co_return "hello";
}

Task<absl::Status> GreetTwice(bool works) {
  FL_CO_ASSIGN_OR_RETURN(const std::string first, co_await Greet(true));
  FL_CO_ASSIGN_OR_RETURN(const std::string second, co_await Greet(works),
                         "greet after ", first);
  co_return absl::OkStatus();
}

Task<int> One() { co_return 1; }

Task<int> OneLater(Loop& loop) {
  co_await loop.Yield();
  co_return 1;
}

Task<int> Depth(Loop& loop, int levels) {
  if (levels == 0) {
    co_await loop.Yield();
    co_return 0;
  }
  co_return 1 + co_await Depth(loop, levels - 1);
}

TEST_CASE("a task starts when it is awaited, not before", "[event][task]") {
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    bool started = false;
    auto body = [&]() -> Task<void> {
      started = true;
      co_return;
    };
    Task<void> task = body();
    CHECK_FALSE(started);
    co_await std::move(task);
    CHECK(started);
  });
}

TEST_CASE("a task gives values that only move", "[event][task]") {
  auto loop = MakeLoop();
  RunOn(*loop, []() -> Task<void> {
    const std::unique_ptr<int> box = co_await MakeBox(7);
    CHECK(*box == 7);
  });
}

TEST_CASE("an error leaves a task with its context", "[event][task]") {
  auto loop = MakeLoop();
  RunOn(*loop, []() -> Task<void> {
    ExpectOk(co_await GreetTwice(true));
    const absl::Status status = co_await GreetTwice(false);
    CHECK(status == absl::NotFoundError("greet after hello: nobody"));
  });
}

TEST_CASE("a task that is never awaited drops what it was given",
          "[event][task]") {
  auto shared = std::make_shared<int>(1);
  auto hold = [](std::shared_ptr<int> value) -> Task<int> { co_return *value; };
  {
    Task<int> task = hold(shared);
    CHECK(shared.use_count() == 2);
  }
  CHECK(shared.use_count() == 1);
}

TEST_CASE("a million tasks with an answer at once do not fill the stack",
          "[event][task]") {
  constexpr int kRounds = 1'000'000;
  auto loop = MakeLoop();
  int sum = 0;
  RunOn(*loop, [&]() -> Task<void> {
    for (int i = 0; i < kRounds; ++i) sum += co_await One();
  });
  CHECK(sum == kRounds);
}

TEST_CASE("tasks that suspend do not fill the stack", "[event][task]") {
  constexpr int kRounds = 20'000;
  auto loop = MakeLoop();
  int sum = 0;
  RunOn(*loop, [&]() -> Task<void> {
    for (int i = 0; i < kRounds; ++i) sum += co_await OneLater(*loop);
  });
  CHECK(sum == kRounds);
}

TEST_CASE("tasks nest deeply", "[event][task]") {
  auto loop = MakeLoop();
  int depth = 0;
  RunOn(*loop, [&]() -> Task<void> { depth = co_await Depth(*loop, 500); });
  CHECK(depth == 500);
}

}  // namespace
}  // namespace fairlead::event
