#include "http/codec.h"

#include <catch2/catch.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"

namespace fairlead::http {
namespace {

using Catch::Matchers::Contains;

Response ParseAll(absl::string_view bytes, absl::string_view method = "GET") {
  ResponseParser parser(method);
  parser.Feed(bytes);
  parser.FeedEnd();
  REQUIRE(parser.state() == ParseState::kComplete);
  return parser.TakeResponse();
}

ParseState StateAfter(absl::string_view bytes, bool closed) {
  ResponseParser parser("GET", {.header_bytes = 200, .body_bytes = 10});
  parser.Feed(bytes);
  if (closed) parser.FeedEnd();
  return parser.state();
}

TEST_CASE("a request survives encoding and parsing", "[http][codec]") {
  Request request;
  request.method = "PUT";
  request.path = "/v1/services/a b\"c";
  request.query = {{"dry run", "1&2=3"}, {"empty", ""}};
  request.headers = {{"x-a", "b"}, {"content-length", "99"}};
  request.body = "{\"x\":1}";
  absl::StatusOr<std::string> bytes = EncodeRequest(request, "localhost");
  REQUIRE(bytes.ok());
  RequestParser parser;
  CHECK(parser.Feed(*bytes) == bytes->size());
  REQUIRE(parser.state() == ParseState::kComplete);
  const Request copy = parser.TakeRequest();
  CHECK(copy.method == request.method);
  CHECK(copy.path == request.path);
  CHECK(copy.query == request.query);
  CHECK(copy.body == request.body);
  CHECK(copy.header("host") == "localhost");
  CHECK(copy.header("x-a") == "b");
}

TEST_CASE("a request that would smuggle another one is not encoded",
          "[http][codec]") {
  Request request;
  request.headers = {{"x", "a\r\ny: b"}};
  CHECK(absl::IsInvalidArgument(EncodeRequest(request, "h").status()));
  request.headers = {{"x y", "a"}};
  CHECK(absl::IsInvalidArgument(EncodeRequest(request, "h").status()));
  request.headers.clear();
  request.method = "GET /";
  CHECK(absl::IsInvalidArgument(EncodeRequest(request, "h").status()));
  request.method = "GET";
  request.path = "x";
  CHECK(absl::IsInvalidArgument(EncodeRequest(request, "h").status()));
}

TEST_CASE("a response header that would start another one is left out",
          "[http][codec]") {
  Response response;
  response.headers = {{"good", "1"}, {"bad", "1\r\nset: 2"}};
  const std::string head = EncodeResponseHead(response, {});
  CHECK_THAT(head, Contains("good: 1\r\n"));
  CHECK_THAT(head, !Contains("set"));
}

TEST_CASE("each framing of a response body is understood", "[http][codec]") {
  CHECK(ParseAll("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").body ==
        "abc");
  CHECK(ParseAll("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                 "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
            .body == "abc");
  CHECK(ParseAll("HTTP/1.0 503 No\r\nx: y\r\n\r\nabc").body == "abc");
  CHECK(ParseAll("HTTP/1.1 204 No Content\r\n\r\n").body.empty());
  CHECK(ParseAll("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD")
            .body.empty());
}

TEST_CASE("an interim response is not the response", "[http][codec]") {
  const Response response = ParseAll(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"
      "HTTP/1.1 201 Created\r\ncontent-length: 1\r\n\r\nx");
  CHECK(response.status == 201);
  CHECK(response.body == "x");
}

TEST_CASE("what is no whole response says so", "[http][codec]") {
  CHECK(StateAfter("", true) == ParseState::kMalformed);
  CHECK(StateAfter("HTTP/1.1 200 OK\r\n", true) == ParseState::kMalformed);
  CHECK(StateAfter("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc", true) ==
        ParseState::kMalformed);
  CHECK(StateAfter("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc", false) ==
        ParseState::kIncomplete);
  CHECK(StateAfter("SSH-2.0-OpenSSH_9.2\r\n", false) == ParseState::kMalformed);
  CHECK(StateAfter("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n", false) ==
        ParseState::kBodyTooLarge);
  CHECK(StateAfter("HTTP/1.0 200 OK\r\n\r\n01234567890", false) ==
        ParseState::kBodyTooLarge);
  CHECK(StateAfter("HTTP/1.1 200 OK\r\nx: " + std::string(300, 'a'), false) ==
        ParseState::kHeaderTooLarge);
}

TEST_CASE("a body can be taken as it arrives", "[http][codec]") {
  ResponseParser parser("GET", {.body_bytes = kUnlimitedBody});
  parser.Feed("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
  REQUIRE(parser.header_complete());
  std::string received, all;
  for (int i = 0; i < 100; ++i) {
    received += EncodeChunk(std::string(1000, 'a'));
    received.erase(0, parser.Feed(received));
    const std::string part = parser.TakeBody();
    CHECK(part.size() == 1000);
    all += part;
  }
  received += std::string(kLastChunk);
  parser.Feed(received);
  CHECK(parser.state() == ParseState::kComplete);
  CHECK((all == std::string(100'000, 'a')));
}

TEST_CASE("bytes after a request are left for the next one", "[http][codec]") {
  const std::string one = "GET /1 HTTP/1.1\r\n\r\n";
  RequestParser parser;
  CHECK(parser.Feed(one + "GET /2") == one.size());
  CHECK(parser.state() == ParseState::kComplete);
  CHECK(parser.Feed("more") == 0);
  CHECK(parser.keep_alive());
}

TEST_CASE("a proxy's form of the path is accepted", "[http][codec]") {
  RequestParser parser;
  parser.Feed("GET http://example.com/a/b?c=d#e HTTP/1.1\r\n\r\n");
  REQUIRE(parser.state() == ParseState::kComplete);
  const Request request = parser.TakeRequest();
  CHECK(request.path == "/a/b");
  CHECK(request.query == StringMap{{"c", "d"}});
}

TEST_CASE("percent escapes are undone once", "[http][codec]") {
  CHECK(PercentDecode("a%20b%2525").value() == "a b%25");
  for (const char* bad : {"%", "%2", "%g0", "%0g", "a%00"})
    CHECK(absl::IsInvalidArgument(PercentDecode(bad).status()));
  std::string all;
  for (int c = 1; c < 256; ++c) all += static_cast<char>(c);
  CHECK(PercentDecode(PercentEncode(all)).value() == all);
}

TEST_CASE("an error response is valid JSON whatever the message",
          "[http][codec]") {
  const Response response = ErrorResponse(404, "not_found", "no \"a\\b\"\n");
  CHECK(response.status == 404);
  CHECK(response.body ==
        "{\"error\":{\"code\":\"not_found\",\"message\":"
        "\"no \\\"a\\\\b\\\"\\u000a\"}}\n");
}

TEST_CASE("a body past the limit is refused however it arrives",
          "[http][codec]") {
  const std::string header = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n";
  ResponseParser at_once("GET", {.body_bytes = 10});
  at_once.Feed(header + "hello world");
  CHECK(at_once.state() == ParseState::kBodyTooLarge);
  ResponseParser in_pieces("GET", {.body_bytes = 10});
  in_pieces.Feed(header);
  CHECK(in_pieces.state() == ParseState::kBodyTooLarge);
  ResponseParser cut("GET", {.body_bytes = 10});
  cut.Feed(header + "hello");
  CHECK(cut.state() == ParseState::kBodyTooLarge);
}

TEST_CASE("an announced length alone takes no memory", "[http][codec]") {
  const std::string header =
      "HTTP/1.1 200 OK\r\ncontent-length: 3000000000\r\n\r\n";
  ResponseParser parser("GET", {.body_bytes = kUnlimitedBody});
  parser.Feed(header + "hello");
  CHECK(parser.state() == ParseState::kIncomplete);
  const std::string body = parser.TakeBody();
  CHECK(body == "hello");
  CHECK(body.capacity() < 1000);
}

}  // namespace
}  // namespace fairlead::http
