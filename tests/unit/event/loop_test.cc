#include "event/loop.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "event/sync.h"
#include "tests/unit/event/run_on_loop.h"
#include "tests/unit/event/socket_pair.h"
#include "tests/unit/event/temp_folder.h"

namespace fairlead::event {
namespace {

using base::Endpoint;
using Catch::Matchers::Contains;

size_t OpenDescriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<size_t>(
      std::distance(begin(all), std::filesystem::directory_iterator()));
}

// As kernel.io_uring_disabled=2 does: the system call is there and refuses.
void ForbidIoUring() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {.len = std::size(filter), .filter = filter};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

TEST_CASE("a kernel that forbids io_uring is reported with the remedy",
          "[event][loop]") {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ForbidIoUring();
    const absl::Status status = Loop::Create().status();
    const bool good =
        absl::IsPermissionDenied(status) &&
        absl::StrContains(status.message(), "kernel.io_uring_disabled");
    _exit(good ? 0 : 1);
  }
  int result = 0;
  REQUIRE(waitpid(child, &result, 0) == child);
  CHECK(WIFEXITED(result));
  CHECK(WEXITSTATUS(result) == 0);
}

TEST_CASE("a ring without room for an operation and its deadline is refused",
          "[event][loop]") {
  CHECK(absl::IsInvalidArgument(
      Loop::Create({.submission_entries = 1}).status()));
}

TEST_CASE("Run returns when no task is left", "[event][loop]") {
  auto loop = MakeLoop();
  loop->Run();
  bool ran = false;
  RunOn(*loop, [&]() -> Task<void> {
    ran = true;
    co_return;
  });
  CHECK(ran);
}

TEST_CASE("Stop cancels everything and Run returns", "[event][loop]") {
  auto loop = MakeLoop();
  absl::Status status;
  RunOn(*loop, [&]() -> Task<void> {
    Scope& scope = co_await CurrentScope();
    auto wait = [&]() -> Task<void> {
      status = co_await loop->SleepFor(absl::Hours(1));
    };
    auto stop = [&]() -> Task<void> {
      loop->Stop();
      co_return;
    };
    scope.Spawn(wait());
    co_await loop->Yield();
    Scope inner(scope);
    inner.Spawn(stop());
    co_await inner.Join();
    co_await loop->Yield();
    CHECK(absl::IsCancelled(status));
  });
}

TEST_CASE("sleeping tasks wake in the order of their deadlines",
          "[event][loop]") {
  auto loop = MakeLoop();
  std::vector<int> order;
  const base::MonoTime start = loop->Now();
  RunOn(*loop, [&]() -> Task<void> {
    auto sleep = [&](int ms) -> Task<void> {
      ExpectOk(co_await loop->SleepUntil(start + absl::Milliseconds(ms)));
      CHECK(loop->Now() >= start + absl::Milliseconds(ms));
      order.push_back(ms);
    };
    Scope scope(co_await CurrentScope());
    for (const int ms : {9, 3, 6, 1}) scope.Spawn(sleep(ms));
    co_await scope.Join();
  });
  CHECK(order == std::vector<int>{1, 3, 6, 9});
}

TEST_CASE("thousands of tasks sleep at the same time", "[event][loop]") {
  constexpr int kTasks = 10'000;
  auto loop = MakeLoop();
  int woken = 0;
  const base::MonoTime start = loop->Now();
  RunOn(*loop, [&]() -> Task<void> {
    auto sleep = [&](int i) -> Task<void> {
      const auto until = start + absl::Microseconds(i % 1000 * 20);
      const absl::Status status = co_await loop->SleepUntil(until);
      if (status.ok()) ++woken;
    };
    Scope scope(co_await CurrentScope());
    for (int i = 0; i < kTasks; ++i) scope.Spawn(sleep(i));
    co_await scope.Join();
  });
  CHECK(woken == kTasks);
}

TEST_CASE("Yield lets the other tasks run first", "[event][loop]") {
  auto loop = MakeLoop();
  std::string order;
  RunOn(*loop, [&]() -> Task<void> {
    auto write = [&](char c) -> Task<void> {
      for (int i = 0; i < 3; ++i) {
        order += c;
        co_await loop->Yield();
      }
    };
    Scope scope(co_await CurrentScope());
    scope.Spawn(write('a'));
    scope.Spawn(write('b'));
    co_await scope.Join();
  });
  CHECK(order == "ababab");
}

TEST_CASE("data that comes before the deadline is received", "[event][loop]") {
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    SocketPair pair;
    char buffer[8];
    REQUIRE(send(pair.far.get(), "hi", 2, 0) == 2);
    absl::StatusOr<size_t> got = co_await loop->Recv(
        pair.near.get(), buffer, loop->Now() + absl::Hours(1));
    REQUIRE(got.ok());
    CHECK(std::string(buffer, *got) == "hi");
    pair.far.reset();
    got = co_await loop->Recv(pair.near.get(), buffer,
                              loop->Now() + absl::Hours(1));
    REQUIRE(got.ok());
    CHECK(*got == 0);
  });
}

TEST_CASE("an operation ends at its deadline", "[event][loop]") {
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    SocketPair pair;
    char buffer[8];
    const base::MonoTime deadline = loop->Now() + absl::Milliseconds(2);
    absl::StatusOr<size_t> got =
        co_await loop->Recv(pair.near.get(), buffer, deadline);
    CHECK(absl::IsDeadlineExceeded(got.status()));
    CHECK(loop->Now() >= deadline);
    // One that has passed already, too.
    got = co_await loop->Recv(pair.near.get(), buffer, deadline);
    CHECK(absl::IsDeadlineExceeded(got.status()));
  });
}

TEST_CASE("cancelled before the deadline is cancelled, not late",
          "[event][loop]") {
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    SocketPair pair;
    absl::Status status;
    auto receive = [&]() -> Task<void> {
      char byte = 0;
      status = (co_await loop->Recv(pair.near.get(), {&byte, 1},
                                    loop->Now() + absl::Hours(1)))
                   .status();
    };
    Scope scope(co_await CurrentScope());
    scope.Spawn(receive());
    co_await loop->Yield();
    scope.Cancel();
    co_await scope.Join();
    CHECK(absl::IsCancelled(status));
  });
}

// The byte is sent around the moment of the deadline. Whoever wins, it is
// received exactly once.
TEST_CASE("a deadline that races with data loses no byte", "[event][loop]") {
  constexpr int kRounds = 400;
  auto loop = MakeLoop();
  int late = 0;
  RunOn(*loop, [&]() -> Task<void> {
    for (int i = 0; i < kRounds; ++i) {
      SocketPair pair;
      const base::MonoTime deadline = loop->Now() + absl::Microseconds(200);
      auto send_byte = [&]() -> Task<void> {
        const auto when = deadline + absl::Microseconds(i % 40 * 5 - 100);
        ExpectOk(co_await loop->SleepUntil(when));
        ExpectOk(co_await loop->SendAll(pair.far.get(), "x"));
      };
      Scope scope(co_await CurrentScope());
      scope.Spawn(send_byte());
      char byte = 0;
      absl::StatusOr<size_t> got =
          co_await loop->Recv(pair.near.get(), {&byte, 1}, deadline);
      if (!got.ok()) {
        ++late;
        CHECK(absl::IsDeadlineExceeded(got.status()));
        got = co_await loop->Recv(pair.near.get(), {&byte, 1});
      }
      CHECK((got.ok() && *got == 1 && byte == 'x'));
      co_await scope.Join();
    }
  });
  CHECK(late > 0);
}

struct Crowd {
  int done = 0;
  int cancelled = 0;
};

// `count` tasks wait for a byte, every other one with a deadline.
Task<void> Receivers(Loop& loop, std::vector<SocketPair>& pairs, Scope& scope,
                     Crowd& crowd) {
  auto receive = [](Loop& the_loop, int fd, base::MonoTime deadline,
                    Crowd& result) -> Task<void> {
    char byte = 0;
    absl::StatusOr<size_t> got =
        co_await the_loop.Recv(fd, {&byte, 1}, deadline);
    if (got.ok() && *got == 1) ++result.done;
    if (absl::IsCancelled(got.status())) ++result.cancelled;
  };
  bool limited = false;
  for (SocketPair& pair : pairs) {
    const auto deadline = limited ? loop.Now() + absl::Hours(1) : kNoDeadline;
    limited = !limited;
    scope.Spawn(receive(loop, pair.near.get(), deadline, crowd));
  }
  co_await loop.Yield();
}

TEST_CASE("more operations than submission entries all complete",
          "[event][loop]") {
  constexpr int kOperations = 400;
  auto loop = MakeLoop({.submission_entries = 2, .completion_entries = 4});
  Crowd crowd;
  RunOn(*loop, [&]() -> Task<void> {
    std::vector<SocketPair> pairs(kOperations);
    Scope scope(co_await CurrentScope());
    co_await Receivers(*loop, pairs, scope, crowd);
    for (SocketPair& pair : pairs)
      REQUIRE(send(pair.far.get(), "x", 1, 0) == 1);
    co_await scope.Join();
  });
  CHECK(crowd.done == kOperations);
  CHECK(loop->pending_operations() == 0);
}

TEST_CASE("more operations than submission entries can all be cancelled",
          "[event][loop]") {
  constexpr int kOperations = 400;
  auto loop = MakeLoop({.submission_entries = 2, .completion_entries = 4});
  Crowd crowd;
  RunOn(*loop, [&]() -> Task<void> {
    std::vector<SocketPair> pairs(kOperations);
    Scope scope(co_await CurrentScope());
    co_await Receivers(*loop, pairs, scope, crowd);
    scope.Cancel();
    co_await scope.Join();
  });
  CHECK(crowd.cancelled == kOperations);
  CHECK(loop->pending_operations() == 0);
}

TEST_CASE("completions that overflow their queue all arrive", "[event][loop]") {
  constexpr int kTasks = 300;
  auto loop = MakeLoop({.submission_entries = 256, .completion_entries = 256});
  int ready = 0;
  RunOn(*loop, [&]() -> Task<void> {
    SocketPair pair;
    auto poll = [&]() -> Task<void> {
      const absl::StatusOr<int> events =
          co_await loop->Poll(pair.near.get(), POLLIN);
      if (events.ok()) ++ready;
    };
    Scope scope(co_await CurrentScope());
    for (int i = 0; i < 4 * kTasks; ++i) scope.Spawn(poll());
    co_await loop->Yield();
    REQUIRE(send(pair.far.get(), "x", 1, 0) == 1);
    co_await scope.Join();
  });
  CHECK(ready == 4 * kTasks);
}

TEST_CASE("SendAll sends what does not fit at once", "[event][loop]") {
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    SocketPair pair;
    std::string data(3'000'000, '\0');
    for (size_t i = 0; i < data.size(); ++i)
      data[i] = static_cast<char>(i * 7 % 251);
    std::string received;
    auto read = [&]() -> Task<void> {
      std::vector<char> buffer(10'000);
      while (true) {
        absl::StatusOr<size_t> got =
            co_await loop->Recv(pair.far.get(), buffer);
        if (!got.ok() || *got == 0) co_return;
        received.append(buffer.data(), *got);
      }
    };
    Scope scope(co_await CurrentScope());
    scope.Spawn(read());
    ExpectOk(co_await loop->SendAll(pair.near.get(), data));
    pair.near.reset();
    co_await scope.Join();
    CHECK((received == data));
  });
}

TEST_CASE("sending to a peer that is gone is an error, not a signal",
          "[event][loop]") {
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    SocketPair pair;
    pair.far.reset();
    const absl::Status failed = co_await loop->SendAll(pair.near.get(), "x");
    CHECK_FALSE(failed.ok());
  });
}

TEST_CASE("a tcp connection is made, accepted and used", "[event][loop]") {
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    absl::StatusOr<base::UniqueFd> listener =
        ListenTcp({base::IpAddress::FromIpv4(INADDR_LOOPBACK), 0});
    REQUIRE(listener.ok());
    const SocketAddress address(LocalEndpoint(listener->get()).value());
    auto serve = [&]() -> Task<void> {
      absl::StatusOr<base::UniqueFd> peer =
          co_await loop->Accept(listener->get());
      REQUIRE(peer.ok());
      CHECK((fcntl(peer->get(), F_GETFD) & FD_CLOEXEC) != 0);
      ExpectOk(co_await loop->SendAll(peer->get(), "hello"));
    };
    Scope scope(co_await CurrentScope());
    scope.Spawn(serve());
    absl::StatusOr<base::UniqueFd> client = SocketFor(address);
    REQUIRE(client.ok());
    ExpectOk(co_await loop->Connect(client->get(), address,
                                    loop->Now() + absl::Seconds(5)));
    char buffer[16];
    absl::StatusOr<size_t> got = co_await loop->Recv(client->get(), buffer);
    REQUIRE(got.ok());
    CHECK(std::string(buffer, *got) == "hello");
    co_await scope.Join();
  });
}

TEST_CASE("a refused connection names the address", "[event][loop]") {
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    // A port that was free a moment ago.
    absl::StatusOr<base::UniqueFd> listener =
        ListenTcp({base::IpAddress::FromIpv4(INADDR_LOOPBACK), 0});
    REQUIRE(listener.ok());
    const Endpoint endpoint = LocalEndpoint(listener->get()).value();
    listener->reset();
    absl::StatusOr<base::UniqueFd> client = TcpSocket(endpoint.address);
    REQUIRE(client.ok());
    const absl::Status status =
        co_await loop->Connect(client->get(), SocketAddress(endpoint));
    CHECK(absl::IsUnavailable(status));
    CHECK_THAT(std::string(status.message()),
               Contains("connect " + endpoint.ToString()));
  });
}

TEST_CASE("an accept that is cancelled leaks no connection", "[event][loop]") {
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    absl::StatusOr<base::UniqueFd> listener =
        ListenTcp({base::IpAddress::FromIpv4(INADDR_LOOPBACK), 0});
    REQUIRE(listener.ok());
    const SocketAddress address(LocalEndpoint(listener->get()).value());
    const size_t before = OpenDescriptors();
    for (int i = 0; i < 100; ++i) {
      auto accept = [&]() -> Task<void> {
        // Accepted or cancelled: the descriptor must not stay.
        (void)co_await loop->Accept(listener->get());
      };
      Scope scope(co_await CurrentScope());
      scope.Spawn(accept());
      co_await loop->Yield();
      absl::StatusOr<base::UniqueFd> client = SocketFor(address);
      REQUIRE(client.ok());
      REQUIRE(connect(client->get(), address.data(), address.size()) == 0);
      if (i % 2 == 0) co_await loop->Yield();
      scope.Cancel();
      co_await scope.Join();
    }
    CHECK(OpenDescriptors() == before);
  });
}

TEST_CASE("files are opened, renamed and removed on the ring",
          "[event][loop]") {
  const TempFolder folder;
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    const std::string from = folder.File("a");
    const std::string to = folder.File("b");
    {
      absl::StatusOr<base::UniqueFd> fd =
          co_await loop->Open(from, O_RDWR | O_CREAT, 0600);
      REQUIRE(fd.ok());
      ExpectValue(co_await loop->Write(fd->get(), "abcdef", 0), size_t{6});
      ExpectOk(co_await loop->Fsync(fd->get()));
      char buffer[3];
      ExpectValue(co_await loop->Read(fd->get(), buffer, 2), size_t{3});
      CHECK(std::string(buffer, 3) == "cde");
    }
    ExpectOk(co_await loop->Rename(from, to));
    ExpectOk(co_await loop->Unlink(to));
    const absl::Status status = (co_await loop->Open(to, O_RDONLY)).status();
    CHECK(absl::IsNotFound(status));
    CHECK_THAT(std::string(status.message()), Contains("open " + to));
  });
}

TEST_CASE("a ready descriptor reports its events", "[event][loop]") {
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    SocketPair pair;
    const absl::Status status =
        (co_await loop->Poll(pair.near.get(), POLLIN,
                             loop->Now() + absl::Milliseconds(1)))
            .status();
    CHECK(absl::IsDeadlineExceeded(status));
    pair.far.reset();
    absl::StatusOr<int> events =
        co_await loop->Poll(pair.near.get(), POLLIN | POLLRDHUP);
    REQUIRE(events.ok());
    CHECK((*events & POLLRDHUP) != 0);
  });
}

}  // namespace
}  // namespace fairlead::event
