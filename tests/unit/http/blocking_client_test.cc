#include "http/blocking_client.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <future>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "tests/unit/http/fixture.h"

namespace fairlead::http {
namespace {

// The server side, on a thread and loop of its own; GET /stop ends it.
class BackgroundServer {
 public:
  BackgroundServer() {
    std::promise<std::string> path;
    std::future<std::string> ready = path.get_future();
    thread_ = std::thread([this, &path] { Run(path); });
    path_ = ready.get();
  }
  ~BackgroundServer() {
    // Its only purpose is to make the server end.
    (void)Call(path_, {.path = "/stop"});
    thread_.join();
  }

  const std::string& path() const { return path_; }

 private:
  void Run(std::promise<std::string>& path) {
    const event::TempFolder folder;
    auto loop = event::MakeLoop();
    event::Loop& the_loop = *loop;
    Server server(the_loop, [&](Request request) -> Task<Response> {
      return Answer(the_loop, std::move(request));
    });
    const std::string socket = folder.File("s");
    absl::StatusOr<base::UniqueFd> listener = event::ListenUnix(socket, 0600);
    FL_CHECK(listener.ok());
    loop->root().Spawn(server.Serve(*std::move(listener)));
    path.set_value(socket);
    loop->Run();
  }

  static Task<Response> Answer(event::Loop& loop, Request request) {
    Response response;
    if (request.path == "/stop") loop.Stop();
    if (request.path == "/silent") {
      // The client gives up first, or the server stops.
      (void)co_await loop.SleepFor(absl::Hours(1));
    }
    if (request.path == "/missing")
      co_return ErrorResponse(404, "not_found", "no such thing");
    if (request.path == "/stream" || request.path == "/cut") {
      response.stream = [&loop, path = request.path](
                            BodyWriter& writer) -> Task<absl::Status> {
        return Lines(loop, writer, path);
      };
    }
    response.body = request.body;
    co_return response;
  }

  static Task<absl::Status> Lines(event::Loop& loop, BodyWriter& writer,
                                  std::string path) {
    for (int i = 0; i < 5; ++i) {
      FL_CO_RETURN_IF_ERROR(co_await writer.Write("line\n"));
      co_await loop.Yield();
    }
    if (path == "/cut") co_return absl::InternalError("cut");
    co_return absl::OkStatus();
  }

  std::thread thread_;
  std::string path_;
};

TEST_CASE("a call gives the daemon's answer", "[http][blocking]") {
  const BackgroundServer server;
  const std::string large(1'000'000, 'x');
  absl::StatusOr<Response> response =
      Call(server.path(), {.method = "POST", .path = "/echo", .body = large});
  REQUIRE(response.ok());
  CHECK(response->status == 200);
  CHECK((response->body == large));
  response = Call(server.path(), {.path = "/missing"});
  REQUIRE(response.ok());
  CHECK(response->status == 404);
}

TEST_CASE("a stream is given out as it arrives and can be left",
          "[http][blocking]") {
  const BackgroundServer server;
  std::string all;
  absl::StatusOr<Response> response =
      Stream(server.path(), {.path = "/stream"}, [&](absl::string_view chunk) {
        absl::StrAppend(&all, chunk);
        return true;
      });
  REQUIRE(response.ok());
  CHECK(all == "line\nline\nline\nline\nline\n");
  int chunks = 0;
  response = Stream(server.path(), {.path = "/stream"}, [&](absl::string_view) {
    ++chunks;
    return false;
  });
  CHECK(response.ok());
  CHECK(chunks == 1);
}

TEST_CASE("a stream that is cut is an error", "[http][blocking]") {
  const BackgroundServer server;
  absl::StatusOr<Response> response = Stream(
      server.path(), {.path = "/cut"}, [](absl::string_view) { return true; });
  CHECK(absl::IsDataLoss(response.status()));
}

TEST_CASE("an error instead of a stream is given back whole",
          "[http][blocking]") {
  const BackgroundServer server;
  absl::StatusOr<Response> response =
      Stream(server.path(), {.path = "/missing"}, [](absl::string_view) {
        FAIL("an error is no chunk");
        return true;
      });
  REQUIRE(response.ok());
  CHECK(response->status == 404);
  CHECK(response->body ==
        ErrorResponse(404, "not_found", "no such thing").body);
}

TEST_CASE("a daemon that is silent for too long is reported",
          "[http][blocking]") {
  const BackgroundServer server;
  absl::StatusOr<Response> response =
      Call(server.path(), {.path = "/silent"}, absl::Milliseconds(20));
  CHECK(absl::IsDeadlineExceeded(response.status()));
}

TEST_CASE("a daemon that is not there is unavailable", "[http][blocking]") {
  const event::TempFolder folder;
  const std::string path = folder.File("s");
  CHECK(absl::IsUnavailable(Call(path, Request()).status()));
  {
    absl::StatusOr<base::UniqueFd> dead = event::ListenUnix(path, 0600);
    REQUIRE(dead.ok());
  }
  CHECK(absl::IsUnavailable(Call(path, Request()).status()));
}

// For the superuser every socket is.
bool IsRefusedToOthers(const std::string& path) {
  constexpr uid_t kNobody = 65534;
  if (geteuid() == 0 && setuid(kNobody) != 0) return false;
  return absl::IsPermissionDenied(Call(path, Request()).status());
}

TEST_CASE("a socket that is not for us is permission denied",
          "[http][blocking]") {
  const event::TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  const std::string path = folder.File("s");
  absl::StatusOr<base::UniqueFd> listener = event::ListenUnix(path, 0000);
  REQUIRE(listener.ok());
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(IsRefusedToOthers(path) ? 0 : 1);
  int result = 0;
  REQUIRE(waitpid(child, &result, 0) == child);
  CHECK(WIFEXITED(result));
  CHECK(WEXITSTATUS(result) == 0);
}

}  // namespace
}  // namespace fairlead::http
