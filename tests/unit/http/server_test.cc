#include "http/server.h"

#include <netinet/in.h>
#include <sys/resource.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "event/sync.h"
#include "http/client.h"
#include "tests/unit/http/fixture.h"

namespace fairlead::http {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
using event::ExpectOk;
using event::ValueOf;

constexpr absl::string_view kGet = "GET /one HTTP/1.1\r\nhost: x\r\n\r\n";

TEST_CASE("a handler gets the request decoded, with its peer",
          "[http][server]") {
  Echo echo;
  ServerFixture fixture(echo.handler());
  fixture.Run([&]() -> Task<void> {
    const std::string answer = co_await fixture.Exchange(
        "POST /v1/a%20b?x=1%2B1&y=a+b&flag HTTP/1.1\r\nHost: x\r\n"
        "X-Thing: 1\r\nx-thing: 2\r\nConnection: close\r\n"
        "Content-Length: 4\r\n\r\nbody");
    CHECK_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
    CHECK_THAT(answer, EndsWith("\r\n\r\nPOST /v1/a b body"));
    CHECK_THAT(answer, Contains("connection: close\r\n"));
  });
  CHECK(echo.last.query == StringMap{{"x", "1+1"}, {"y", "a b"}, {"flag", ""}});
  CHECK(echo.last.header("x-thing") == "1, 2");
  REQUIRE(echo.last.peer_credentials.has_value());
  CHECK(echo.last.peer_credentials->pid == getpid());
  CHECK_FALSE(echo.last.peer_address.has_value());
}

TEST_CASE("a connection serves one request after the other", "[http][server]") {
  Echo echo;
  ServerFixture fixture(echo.handler());
  fixture.Run([&]() -> Task<void> {
    RawClient client = fixture.Connect();
    for (int i = 0; i < 3; ++i) {
      ExpectOk(co_await client.Send(kGet));
      const Response response = ValueOf(co_await client.Next());
      CHECK(response.status == 200);
      CHECK(response.body == "GET /one ");
      CHECK(response.header("connection") == "keep-alive");
    }
    CHECK(fixture.server().connections() == 1);
  });
  CHECK(echo.requests == 3);
}

TEST_CASE("pipelined requests are answered in order", "[http][server]") {
  Echo echo;
  ServerFixture fixture(echo.handler());
  fixture.Run([&]() -> Task<void> {
    std::string requests;
    for (int i = 0; i < 50; ++i) {
      absl::StrAppend(&requests, "PUT /", i,
                      " HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc");
    }
    RawClient client = fixture.Connect();
    ExpectOk(co_await client.Send(requests));
    for (int i = 0; i < 50; ++i) {
      const Response response = ValueOf(co_await client.Next());
      CHECK(response.body == absl::StrCat("PUT /", i, " abc"));
    }
  });
}

TEST_CASE("a request may come byte by byte", "[http][server]") {
  Echo echo;
  ServerFixture fixture(echo.handler());
  fixture.Run([&]() -> Task<void> {
    RawClient client = fixture.Connect();
    const std::string request =
        "POST /slow HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\n\r\n";
    for (const char c : request) {
      CHECK(echo.requests == 0);
      ExpectOk(co_await client.Send(absl::string_view(&c, 1)));
      co_await fixture.loop().Yield();
    }
    const Response response = ValueOf(co_await client.Next());
    CHECK(response.body == "POST /slow abcdefg");
  });
}

TEST_CASE("an old client gets its answer and the close", "[http][server]") {
  Echo echo;
  ServerFixture fixture(echo.handler());
  fixture.Run([&]() -> Task<void> {
    const std::string answer =
        co_await fixture.Exchange("GET / HTTP/1.0\r\n\r\n");
    CHECK_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  });
}

TEST_CASE("a malformed request is refused and never handled",
          "[http][server]") {
  const std::vector<std::string> requests = {
      "nonsense\r\n\r\n",
      "GET / HTTP/9.9\r\n\r\n",
      "GET relative HTTP/1.1\r\nhost: x\r\n\r\n",
      "GET /%zz HTTP/1.1\r\nhost: x\r\n\r\n",
      "GET /%00 HTTP/1.1\r\nhost: x\r\n\r\n",
      "GET /?a=1&a=2 HTTP/1.1\r\nhost: x\r\n\r\n",
      "GET / HTTP/1.1\r\nbad header: x\r\n\r\n",
      "POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
      "POST / HTTP/1.1\r\ncontent-length: 3\r\n"
      "transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
      std::string("GET /\0 HTTP/1.1\r\n\r\n", 20),
  };
  Echo echo;
  ServerFixture fixture(echo.handler());
  fixture.Run([&]() -> Task<void> {
    for (const std::string& request : requests) {
      INFO(request);
      RawClient client = fixture.Connect();
      ExpectOk(co_await client.Send(request));
      const Response response = ValueOf(co_await client.Next());
      CHECK(response.status == 400);
      CHECK(response.content_type == "application/json");
      CHECK_THAT(response.body,
                 StartsWith("{\"error\":{\"code\":\"invalid_argument\","
                            "\"message\":\"malformed request: "));
      const std::string rest = ValueOf(co_await client.Rest());
      CHECK(rest.empty());
    }
  });
  CHECK(echo.requests == 0);
}

TEST_CASE("a header that is too large is refused", "[http][server]") {
  Echo echo;
  ServerFixture fixture(echo.handler());
  fixture.Run([&]() -> Task<void> {
    const std::string answer = co_await fixture.Exchange(
        "GET / HTTP/1.1\r\nx: " + std::string(20'000, 'a') + "\r\n\r\n");
    CHECK_THAT(answer, StartsWith("HTTP/1.1 431 "));
    CHECK_THAT(answer, Contains("the request's header is too large"));
  });
  CHECK(echo.requests == 0);
}

// The client sends it all before it reads: the server must take what it
// refuses, or the answer would be lost in a reset.
TEST_CASE("a body that is too large is refused, announced or not",
          "[http][server]") {
  Echo echo;
  ServerFixture fixture(echo.handler(), {.message = {.body_bytes = 1000}});
  fixture.Run([&]() -> Task<void> {
    const std::string body(500'000, 'x');
    for (const std::string& request :
         {"PUT / HTTP/1.1\r\ncontent-length: 500000\r\n\r\n" + body,
          "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n7a120\r\n" +
              body + "\r\n0\r\n\r\n"}) {
      RawClient client = fixture.Connect();
      ExpectOk(co_await client.Send(request));
      const Response response = ValueOf(co_await client.Next());
      CHECK(response.status == 413);
    }
    const std::string answer = co_await fixture.Exchange(
        "PUT / HTTP/1.1\r\nconnection: close\r\ncontent-length: 1000\r\n\r\n" +
        body.substr(0, 1000));
    CHECK_THAT(answer, StartsWith("HTTP/1.1 200 "));
  });
  CHECK(echo.requests == 1);
}

TEST_CASE("a client that is too slow with its request is told so",
          "[http][server]") {
  Echo echo;
  ServerFixture fixture(echo.handler(),
                        {.request_timeout = absl::Milliseconds(5)});
  fixture.Run([&]() -> Task<void> {
    const std::string answer =
        co_await fixture.Exchange("GET / HTTP/1.1\r\nhos");
    CHECK_THAT(answer, StartsWith("HTTP/1.1 408 "));
  });
  CHECK(echo.requests == 0);
}

TEST_CASE("an idle connection is closed without a word", "[http][server]") {
  Echo echo;
  ServerFixture fixture(echo.handler(),
                        {.idle_timeout = absl::Milliseconds(5)});
  fixture.Run([&]() -> Task<void> {
    RawClient client = fixture.Connect();
    ExpectOk(co_await client.Send(kGet));
    const Response response = ValueOf(co_await client.Next());
    CHECK(response.status == 200);
    const std::string rest = ValueOf(co_await client.Rest());
    CHECK(rest.empty());
  });
}

TEST_CASE("a client that disappears is nobody's error", "[http][server]") {
  Echo echo;
  ServerFixture fixture(echo.handler());
  fixture.Run([&]() -> Task<void> {
    for (const char* part :
         {"", "GET", "PUT / HTTP/1.1\r\n\r",
          "PUT / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc"}) {
      RawClient client = fixture.Connect();
      ExpectOk(co_await client.Send(part));
      co_await fixture.loop().Yield();
      client.Close();
    }
    const std::string answer = co_await fixture.Exchange(
        "GET / HTTP/1.1\r\nconnection: close\r\n\r\n");
    CHECK_THAT(answer, StartsWith("HTTP/1.1 200 "));
    while (fixture.server().connections() > 0) co_await fixture.loop().Yield();
  });
  CHECK(echo.requests == 1);
}

TEST_CASE("a body is asked for when the client waits to be asked",
          "[http][server]") {
  Echo echo;
  ServerFixture fixture(echo.handler());
  fixture.Run([&]() -> Task<void> {
    RawClient client = fixture.Connect();
    ExpectOk(
        co_await client.Send("PUT /x HTTP/1.1\r\ncontent-length: 2\r\n"
                             "expect: 100-continue\r\n\r\n"));
    ExpectOk(co_await client.WaitFor("HTTP/1.1 100 Continue\r\n\r\n"));
    ExpectOk(co_await client.Send("ok"));
    const Response response = ValueOf(co_await client.Next());
    CHECK(response.body == "PUT /x ok");
  });
}

TEST_CASE("the answer to HEAD has the length and no body", "[http][server]") {
  Echo echo;
  ServerFixture fixture(echo.handler());
  fixture.Run([&]() -> Task<void> {
    const std::string answer = co_await fixture.Exchange(
        "HEAD /one HTTP/1.1\r\nconnection: close\r\n\r\n");
    CHECK_THAT(answer, Contains("content-length: 10\r\n"));
    CHECK_THAT(answer, EndsWith("\r\n\r\n"));
  });
}

TEST_CASE("a connection beyond the limit is told so", "[http][server]") {
  Echo echo;
  ServerFixture fixture(echo.handler(), {.connections = 2});
  fixture.Run([&]() -> Task<void> {
    std::vector<RawClient> clients;
    for (int i = 0; i < 2; ++i) {
      clients.push_back(fixture.Connect());
      ExpectOk(co_await clients.back().Send(kGet));
      ExpectOk((co_await clients.back().Next()).status());
    }
    RawClient third = fixture.Connect();
    const std::string answer = ValueOf(co_await third.Rest());
    CHECK_THAT(answer, StartsWith("HTTP/1.1 503 "));
    CHECK_THAT(answer, Contains("resource_exhausted"));
    third.Close();
    clients.clear();
    while (fixture.server().connections() > 0) co_await fixture.loop().Yield();
    const std::string again = co_await fixture.Exchange(
        "GET / HTTP/1.1\r\nconnection: close\r\n\r\n");
    CHECK_THAT(again, StartsWith("HTTP/1.1 200 "));
  });
}

// More clients than the server serves or refuses: they wait, and all get an
// answer in the end.
TEST_CASE("clients beyond the refusals wait for their turn", "[http][server]") {
  Echo echo;
  ServerFixture fixture(echo.handler(), {.connections = 1});
  int answered = 0;
  fixture.Run([&]() -> Task<void> {
    auto ask = [&]() -> Task<void> {
      const std::string answer = co_await fixture.Exchange(
          "GET / HTTP/1.1\r\nconnection: close\r\n\r\n");
      if (absl::StartsWith(answer, "HTTP/1.1 ")) ++answered;
    };
    Scope scope(co_await event::CurrentScope());
    for (int i = 0; i < 100; ++i) scope.Spawn(ask());
    co_await scope.Join();
  });
  CHECK(answered == 100);
}

TEST_CASE("a client over tcp is known by its address", "[http][server]") {
  Echo echo;
  ServerFixture fixture(echo.handler());
  const base::IpAddress here = base::IpAddress::FromIpv4(INADDR_LOOPBACK);
  fixture.Run([&]() -> Task<void> {
    base::UniqueFd listener = ValueOf(event::ListenTcp({here, 0}));
    const event::SocketAddress address(
        ValueOf(event::LocalEndpoint(listener.get())));
    fixture.serving().Spawn(fixture.server().Serve(std::move(listener)));
    const Response response = ValueOf(co_await Fetch(
        fixture.loop(), address, Request(),
        FetchOptions{.deadline = fixture.loop().Now() + kPatience,
                     .bind_address = here}));
    CHECK(response.status == 200);
  });
  CHECK(echo.last.peer_address == here);
  CHECK_FALSE(echo.last.peer_credentials.has_value());
}

// Writes `count` lines, one per turn of the loop.
Response LinesResponse(event::Loop& loop, int count) {
  Response response;
  response.stream = [&loop, count](BodyWriter& writer) -> Task<absl::Status> {
    for (int i = 0; i < count; ++i) {
      const std::string line = absl::StrCat("line ", i, "\n");
      FL_CO_RETURN_IF_ERROR(co_await writer.Write(line));
      co_await loop.Yield();
    }
    co_return absl::OkStatus();
  };
  return response;
}

TEST_CASE("a stream arrives in chunks and the connection goes on",
          "[http][server]") {
  event::Loop* loop = nullptr;
  ServerFixture fixture(
      [&](Request) -> Task<Response> { co_return LinesResponse(*loop, 3); });
  loop = &fixture.loop();
  fixture.Run([&]() -> Task<void> {
    RawClient client = fixture.Connect();
    // The second request comes while the first answer streams.
    ExpectOk(co_await client.Send(absl::StrCat(kGet, kGet)));
    for (int i = 0; i < 2; ++i) {
      const Response response = ValueOf(co_await client.Next());
      CHECK(response.header("transfer-encoding") == "chunked");
      CHECK(response.body == "line 0\nline 1\nline 2\n");
    }
    const std::string old = co_await fixture.Exchange("GET / HTTP/1.0\r\n\r\n");
    CHECK_THAT(old, EndsWith("\r\n\r\nline 0\nline 1\nline 2\n"));
  });
}

TEST_CASE("a silent stream ends when the client goes away", "[http][server]") {
  event::Loop* loop = nullptr;
  absl::Status ended;
  ServerFixture fixture([&](Request) -> Task<Response> {
    Response response;
    response.stream = [&](BodyWriter& writer) -> Task<absl::Status> {
      FL_CO_RETURN_IF_ERROR(co_await writer.Write("hello\n"));
      ended = co_await loop->SleepFor(absl::Hours(1));
      co_return ended;
    };
    co_return response;
  });
  loop = &fixture.loop();
  fixture.Run([&]() -> Task<void> {
    RawClient client = fixture.Connect();
    ExpectOk(co_await client.Send(kGet));
    ExpectOk(co_await client.WaitFor("hello\n"));
    client.Close();
    while (fixture.server().connections() > 0) co_await fixture.loop().Yield();
    CHECK(absl::IsCancelled(ended));
  });
}

TEST_CASE("a stream that fails leaves the body visibly incomplete",
          "[http][server]") {
  ServerFixture fixture([](Request) -> Task<Response> {
    Response response;
    response.stream = [](BodyWriter& writer) -> Task<absl::Status> {
      FL_CO_RETURN_IF_ERROR(co_await writer.Write("half"));
      co_return absl::InternalError("no more");
    };
    co_return response;
  });
  fixture.Run([&]() -> Task<void> {
    RawClient client = fixture.Connect();
    ExpectOk(co_await client.Send(kGet));
    const std::string answer = ValueOf(co_await client.Rest());
    CHECK_THAT(answer, EndsWith("4\r\nhalf\r\n"));
  });
}

TEST_CASE("Serve returns when it is cancelled, whatever is going on",
          "[http][server]") {
  event::Loop* loop = nullptr;
  bool handler_ended = false;
  ServerFixture fixture([&](Request request) -> Task<Response> {
    if (request.path == "/stream") co_return LinesResponse(*loop, 1 << 30);
    if (request.path == "/wait") {
      const absl::Status status = co_await loop->SleepFor(absl::Hours(1));
      handler_ended = absl::IsCancelled(status);
    }
    co_return Response();
  });
  loop = &fixture.loop();
  fixture.Run([&]() -> Task<void> {
    RawClient idle = fixture.Connect();
    RawClient half = fixture.Connect();
    RawClient waits = fixture.Connect();
    RawClient streams = fixture.Connect();
    ExpectOk(co_await half.Send("GET / HT"));
    ExpectOk(co_await waits.Send("GET /wait HTTP/1.1\r\n\r\n"));
    ExpectOk(co_await streams.Send("GET /stream HTTP/1.1\r\n\r\n"));
    ExpectOk(co_await streams.WaitFor("line 3\n"));
    fixture.serving().Cancel();
    co_await fixture.serving().Join();
    CHECK(handler_ended);
  });
}

TEST_CASE("a server that runs out of descriptors goes on later",
          "[http][server]") {
  Echo echo;
  ServerFixture fixture(echo.handler());
  fixture.Run([&]() -> Task<void> {
    RawClient client = fixture.Connect();
    const base::UniqueFd next(dup(client.fd()));
    rlimit old = {};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &old) == 0);
    const rlimit none = {.rlim_cur = static_cast<rlim_t>(next.get()),
                         .rlim_max = old.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    ExpectOk(co_await client.Send(kGet));
    for (int i = 0; i < 10; ++i) co_await fixture.loop().Yield();
    CHECK(echo.requests == 0);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &old) == 0);
    const Response response = ValueOf(co_await client.Next());
    CHECK(response.status == 200);
  });
}

}  // namespace
}  // namespace fairlead::http
