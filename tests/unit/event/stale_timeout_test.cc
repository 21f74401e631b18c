// A loop that wakes late: operations whose answers came in time, and whose
// time-outs have passed since as well.
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <vector>

#include "event/loop.h"
#include "event/scope.h"
#include "tests/unit/event/busy.h"
#include "tests/unit/event/run_on_loop.h"
#include "tests/unit/event/socket_pair.h"

namespace fairlead::event {
namespace {

// More than the kernel ends at once.
constexpr size_t kReaders = 300;
constexpr absl::Duration kFirst = absl::Milliseconds(100);
constexpr absl::Duration kSecond = absl::Seconds(5);

// The kernel looks for what a time-out is to end by its tag. When many answers
// and time-outs wait for it, it handles a part of them in each turn, so a
// time-out may come after the operation that follows its own, at the same place
// in the same frame.
TEST_CASE("a time-out that comes late does not end the next operation",
          "[event][loop]") {
  const std::unique_ptr<Loop> loop = MakeLoop();
  std::vector<SocketPair> pairs(kReaders);
  size_t first = 0;
  std::vector<absl::Status> second;
  const auto read = [&](int fd) -> Task<void> {
    char byte = 0;
    for (const absl::Duration patience : {kFirst, kSecond}) {
      const absl::StatusOr<size_t> got =
          co_await loop->Recv(fd, {&byte, 1}, loop->Now() + patience);
      if (patience == kFirst && got.ok()) ++first;
      if (patience == kSecond) second.push_back(got.status());
    }
  };
  const auto send_all = [&] {
    for (const SocketPair& pair : pairs)
      REQUIRE(send(pair.far.get(), "x", 1, 0) == 1);
  };
  RunOn(*loop, [&]() -> Task<void> {
    Scope readers(co_await CurrentScope());
    for (const SocketPair& pair : pairs) readers.Spawn(read(pair.near.get()));
    (void)co_await loop->SleepFor(kFirst / 4);
    send_all();
    KeepBusy(2 * kFirst);
    // The late time-outs have come by then.
    (void)co_await loop->SleepFor(kFirst);
    send_all();
    co_await readers.Join();
  });
  CHECK(first == kReaders);
  REQUIRE(second.size() == kReaders);
  for (const absl::Status& status : second) ExpectOk(status);
}

}  // namespace
}  // namespace fairlead::event
