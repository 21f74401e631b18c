#include "event/files.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "tests/unit/event/run_on_loop.h"
#include "tests/unit/event/temp_folder.h"

namespace fairlead::event {
namespace {

using Catch::Matchers::Contains;

mode_t ModeOf(const std::string& path) {
  struct stat info = {};
  REQUIRE(stat(path.c_str(), &info) == 0);
  return info.st_mode & 0777;
}

// Makes files larger than `bytes` impossible while it lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes)
      : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    REQUIRE(getrlimit(RLIMIT_FSIZE, &old_) == 0);
    const rlimit limit = {.rlim_cur = bytes, .rlim_max = old_.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_ = {};
  void (*old_handler_)(int);
};

TEST_CASE("a durable write gives the file its content and mode",
          "[event][files]") {
  const TempFolder folder;
  const std::string path = folder.File("state.json");
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    const std::string large(300'000, 'x');
    ExpectOk(co_await WriteFileDurably(*loop, path, large, 0640));
    ExpectValue(co_await ReadFile(*loop, path), large);
    CHECK(ModeOf(path) == 0640);
    ExpectOk(co_await WriteFileDurably(*loop, path, "short", 0600));
    ExpectValue(co_await ReadFile(*loop, path), "short");
    CHECK(ModeOf(path) == 0600);
    ExpectOk(co_await WriteFileDurably(*loop, path, "", 0600));
    ExpectValue(co_await ReadFile(*loop, path), "");
  });
  CHECK(access((path + ".tmp").c_str(), F_OK) != 0);
}

TEST_CASE("what a crash left beside the file is no obstacle",
          "[event][files]") {
  const TempFolder folder;
  const std::string path = folder.File("state.json");
  std::ofstream(path + ".tmp") << std::string(1000, 'y');
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    ExpectOk(co_await WriteFileDurably(*loop, path, "new", 0600));
    ExpectValue(co_await ReadFile(*loop, path), "new");
  });
}

TEST_CASE("a failed durable write leaves the old content", "[event][files]") {
  const TempFolder folder;
  const std::string path = folder.File("state.json");
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    ExpectOk(co_await WriteFileDurably(*loop, path, "old", 0600));
    {
      const FileSizeLimit limit(1000);
      const std::string large(5000, 'x');
      const absl::Status status =
          co_await WriteFileDurably(*loop, path, large, 0600);
      CHECK_FALSE(status.ok());
      CHECK_THAT(std::string(status.message()), Contains(path));
    }
    ExpectValue(co_await ReadFile(*loop, path), "old");
  });
  CHECK(access((path + ".tmp").c_str(), F_OK) != 0);
}

TEST_CASE("a reader sees the old or the new content, whole", "[event][files]") {
  const TempFolder folder;
  const std::string path = folder.File("state.json");
  const std::string contents[] = {std::string(70'000, 'a'),
                                  std::string(90'000, 'b')};
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    ExpectOk(co_await WriteFileDurably(*loop, path, contents[0], 0600));
    bool writing = true;
    auto write = [&]() -> Task<void> {
      for (int i = 0; i < 20; ++i) {
        const absl::Status status =
            co_await WriteFileDurably(*loop, path, contents[i % 2], 0600);
        CHECK(status.ok());
      }
      writing = false;
    };
    Scope scope(co_await CurrentScope());
    scope.Spawn(write());
    while (writing) {
      absl::StatusOr<std::string> seen = co_await ReadFile(*loop, path);
      CHECK((seen.ok() && (*seen == contents[0] || *seen == contents[1])));
    }
    co_await scope.Join();
  });
}

TEST_CASE("a durable write into a missing folder says so", "[event][files]") {
  const TempFolder folder;
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    const absl::Status status = co_await WriteFileDurably(
        *loop, folder.File("no/state.json"), "x", 0600);
    CHECK(absl::IsNotFound(status));
    CHECK_THAT(std::string(status.message()), Contains("no/state.json"));
    absl::StatusOr<std::string> nothing =
        co_await ReadFile(*loop, folder.File("nothing"));
    CHECK(absl::IsNotFound(nothing.status()));
  });
}

TEST_CASE("appending creates the file and keeps what is there",
          "[event][files]") {
  const TempFolder folder;
  const std::string path = folder.File("events.log");
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    ExpectOk(co_await AppendDurably(*loop, path, "one\n", 0600));
    ExpectOk(co_await AppendDurably(*loop, path, "two\n", 0600));
    ExpectValue(co_await ReadFile(*loop, path), "one\ntwo\n");
  });
  CHECK(ModeOf(path) == 0600);
}

TEST_CASE("a failed append leaves no half record", "[event][files]") {
  const TempFolder folder;
  const std::string path = folder.File("events.log");
  auto loop = MakeLoop();
  RunOn(*loop, [&]() -> Task<void> {
    ExpectOk(co_await AppendDurably(*loop, path, "one\n", 0600));
    {
      const FileSizeLimit limit(100);
      const std::string large(500, 'x');
      const absl::Status failed =
          co_await AppendDurably(*loop, path, large, 0600);
      CHECK_FALSE(failed.ok());
    }
    ExpectValue(co_await ReadFile(*loop, path), "one\n");
  });
}

}  // namespace
}  // namespace fairlead::event
