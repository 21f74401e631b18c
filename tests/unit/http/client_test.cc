#include "http/client.h"

#include <catch2/catch.hpp>
#include <string>

#include "absl/status/status.h"
#include "tests/unit/http/fixture.h"

namespace fairlead::http {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using event::ValueOf;

// A listener that says `answer` to the first client and closes if told to.
class Impostor {
 public:
  Impostor(event::Loop& loop, std::string answer)
      : loop_(loop),
        answer_(std::move(answer)),
        listener_(ValueOf(event::ListenUnix(path(), 0600))) {}

  event::SocketAddress address() const {
    return ValueOf(event::SocketAddress::FromUnixPath(path()));
  }

  Task<void> AnswerAndClose() {
    base::UniqueFd fd = ValueOf(co_await loop_.Accept(listener_.get()));
    char buffer[4096];
    event::ExpectOk((co_await loop_.Recv(fd.get(), buffer)).status());
    event::ExpectOk(co_await loop_.SendAll(fd.get(), answer_));
  }

 private:
  std::string path() const { return folder_.File("s"); }

  event::Loop& loop_;
  event::TempFolder folder_;
  std::string answer_;
  base::UniqueFd listener_;
};

absl::StatusOr<Response> FetchFrom(const std::string& answer) {
  auto loop = event::MakeLoop();
  absl::StatusOr<Response> result = absl::UnknownError("");
  event::RunOn(*loop, [&]() -> Task<void> {
    Impostor impostor(*loop, answer);
    Scope scope(co_await event::CurrentScope());
    scope.Spawn(impostor.AnswerAndClose());
    result = co_await Fetch(*loop, impostor.address(), Request(),
                            {.max_body_bytes = 100});
    co_await scope.Join();
  });
  return result;
}

TEST_CASE("a response is fetched, whatever its status", "[http][client]") {
  ServerFixture fixture([](Request request) -> Task<Response> {
    Response response;
    response.status = request.path == "/ok" ? 200 : 503;
    response.body = request.header("x-probe") == "1" ? request.body : "none";
    co_return response;
  });
  fixture.Run([&]() -> Task<void> {
    const event::SocketAddress address =
        ValueOf(event::SocketAddress::FromUnixPath(fixture.path()));
    Request request;
    request.method = "POST";
    request.path = "/ok";
    request.headers["x-probe"] = "1";
    request.body = "hello";
    Response response =
        ValueOf(co_await Fetch(fixture.loop(), address, request));
    CHECK(response.status == 200);
    CHECK(response.body == "hello");
    request.path = "/other";
    response = ValueOf(co_await Fetch(fixture.loop(), address, request));
    CHECK(response.status == 503);
  });
}

TEST_CASE("a fetch that fails names the phase", "[http][client]") {
  const event::TempFolder folder;
  auto loop = event::MakeLoop();
  event::RunOn(*loop, [&]() -> Task<void> {
    const std::string path = folder.File("nobody");
    { base::UniqueFd fd = ValueOf(event::ListenUnix(path, 0600)); }
    const event::SocketAddress address =
        ValueOf(event::SocketAddress::FromUnixPath(path));
    absl::StatusOr<Response> response =
        co_await Fetch(*loop, address, Request());
    CHECK(absl::IsUnavailable(response.status()));
    CHECK_THAT(std::string(response.status().message()),
               StartsWith("connect " + path));
  });
  absl::StatusOr<Response> cut =
      FetchFrom("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc");
  CHECK(absl::IsDataLoss(cut.status()));
  CHECK_THAT(std::string(cut.status().message()),
             StartsWith("receive response from ") && Contains("cut short"));
}

TEST_CASE("a fetch tells silence, noise and too much apart", "[http][client]") {
  CHECK(absl::IsDataLoss(FetchFrom("").status()));
  CHECK(absl::IsDataLoss(FetchFrom("SSH-2.0-x\r\n").status()));
  CHECK(absl::IsResourceExhausted(
      FetchFrom("HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n").status()));
  CHECK(FetchFrom("HTTP/1.1 200 OK\r\n\r\nuntil the close").value().body ==
        "until the close");
}

TEST_CASE("a fetch ends at its deadline", "[http][client]") {
  event::Loop* loop = nullptr;
  ServerFixture fixture([&](Request) -> Task<Response> {
    const absl::Status status = co_await loop->SleepFor(absl::Hours(1));
    CHECK(absl::IsCancelled(status));
    co_return Response();
  });
  loop = &fixture.loop();
  fixture.Run([&]() -> Task<void> {
    absl::StatusOr<Response> response = co_await Fetch(
        fixture.loop(),
        ValueOf(event::SocketAddress::FromUnixPath(fixture.path())), Request(),
        {.deadline = fixture.loop().Now() + absl::Milliseconds(10)});
    CHECK(absl::IsDeadlineExceeded(response.status()));
    CHECK_THAT(std::string(response.status().message()),
               StartsWith("receive response from "));
  });
}

}  // namespace
}  // namespace fairlead::http
