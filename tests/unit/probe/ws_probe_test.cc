// WebSocket probes against scripted servers on loopback.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "core/health.h"
#include "tests/unit/probe/fixture.h"

namespace fairlead::probe {
namespace {

using Catch::Matchers::Contains;
using core::CheckConfig;
using core::CheckKind;
using core::ProbeOutcome;
using core::ProbeResult;
using core::ProbeStep;

constexpr CheckKind kBoth[] = {CheckKind::kWs, CheckKind::kWss};

TEST_CASE("a WebSocket is opened, pinged and closed politely", "[probe][ws]") {
  for (const CheckKind kind : kBoth) {
    World world;
    CheckConfig check = CheckOf(kind);
    check.headers = {{"origin", "http://x"}};
    std::string request;
    std::string farewell;
    const ProbeResult result =
        world.Probe(check, [&](ServerEnd& end) -> Task<void> {
          request = co_await end.Request();
          co_await end.Send(ServerEnd::AgreeTo(request));
          const std::string ping = co_await end.Receive();
          co_await end.Send(ServerFrame(Opcode::kPong, Unmasked(ping)));
          farewell = co_await end.Receive();
          co_await end.Send(ServerFrame(Opcode::kClose, Unmasked(farewell)));
        });
    CHECK(result.detail == "HTTP 101");
    CHECK(result.outcome == ProbeOutcome::kSuccess);
    CHECK(result.http_status == 101);
    CHECK(result.steps.size() == (kind == CheckKind::kWs ? 4 : 5));
    CHECK(result.step == ProbeStep::kClose);
    CHECK_THAT(request, Catch::StartsWith("GET /health?full=1 HTTP/1.1\r\n"));
    CHECK_THAT(request, Contains("upgrade: websocket\r\n"));
    CHECK_THAT(request, Contains("connection: upgrade\r\n"));
    CHECK_THAT(request, Contains("sec-websocket-version: 13\r\n"));
    CHECK_THAT(request, Contains("origin: http://x\r\n"));
    CHECK(CloseText(Unmasked(farewell)) == "1000");
  }
}

TEST_CASE("who does not answer the close has answered the ping",
          "[probe][ws]") {
  World world;
  const ProbeResult result =
      world.Probe(CheckOf(CheckKind::kWs), [](ServerEnd& end) -> Task<void> {
        const std::string ping = co_await end.Upgraded();
        co_await end.Send(ServerFrame(Opcode::kPong, Unmasked(ping)));
        co_await end.Silence();
      });
  CHECK(result.outcome == ProbeOutcome::kSuccess);
  CHECK(result.duration < absl::Milliseconds(900));
}

TEST_CASE("what a server says before its pong is read past, its pings answered",
          "[probe][ws]") {
  World world;
  std::string answer;
  const ProbeResult result =
      world.Probe(CheckOf(CheckKind::kWs), [&](ServerEnd& end) -> Task<void> {
        const std::string request = co_await end.Request();
        // The first of it in the very same piece as the handshake.
        co_await end.Send(ServerEnd::AgreeTo(request) +
                          ServerFrame(Opcode::kText, "hello") +
                          ServerFrame(Opcode::kPing, "mine"));
        const std::string ping = co_await end.Receive();
        answer = co_await end.Receive();
        std::string frames = ServerFrame(Opcode::kBinary, "data") +
                             ServerFrame(Opcode::kPong, "unasked") +
                             ServerFrame(Opcode::kPong, Unmasked(ping));
        for (const char c : frames) co_await end.Send(std::string(1, c));
        co_await end.Silence();
      });
  CHECK(result.detail == "HTTP 101");
  CHECK(result.outcome == ProbeOutcome::kSuccess);
  CHECK(Unmasked(answer) == "mine");
}

TEST_CASE("a subprotocol is asked for, and must be agreed to", "[probe][ws]") {
  for (const std::string agreed : {"chat", "other", ""}) {
    World world;
    CheckConfig check = CheckOf(CheckKind::kWs);
    check.subprotocol = "chat";
    std::string request;
    const ProbeResult result =
        world.Probe(check, [&](ServerEnd& end) -> Task<void> {
          request = co_await end.Request();
          std::string answer = ServerEnd::AgreeTo(request);
          if (!agreed.empty())
            answer.insert(answer.size() - 2,
                          "Sec-WebSocket-Protocol: " + agreed + "\r\n");
          co_await end.Send(answer);
          const std::string ping = co_await end.Receive();
          co_await end.Send(ServerFrame(Opcode::kPong, Unmasked(ping)));
        });
    CHECK_THAT(request, Contains("sec-websocket-protocol: chat\r\n"));
    CHECK(result.outcome == (agreed == "chat" ? ProbeOutcome::kSuccess
                                              : ProbeOutcome::kWsAccept));
  }
}

TEST_CASE("another answer than 101 is told with its status", "[probe][ws]") {
  for (const int status : {200, 503, 426}) {
    World world;
    const ProbeResult result =
        world.Probe(CheckOf(CheckKind::kWs),
                    Answer(HttpAnswer(status, "no", "Retry-After: 5\r\n")));
    CHECK(core::FailureReason(result) ==
          absl::StrCat("check.ws-handshake(", status, ")"));
    CHECK(result.detail ==
          absl::StrCat("HTTP ", status, ", Retry-After 5, expected 101"));
  }
}

TEST_CASE("a 101 without the proof is none", "[probe][ws]") {
  struct Case {
    const char* name;
    std::string from, to;
  };
  for (const Case& c :
       {Case{"another key", "Accept: ", "Accept: A"},
        Case{"no Upgrade", "Upgrade: websocket", "Upgrade: h2c"},
        Case{"no Connection", "Connection: Upgrade", "Connection: close"},
        Case{"an extension", "Connection: Upgrade",
             "Connection: Upgrade\r\nSec-WebSocket-Extensions: x"},
        Case{"a subprotocol", "Connection: Upgrade",
             "Connection: Upgrade\r\nSec-WebSocket-Protocol: x"}}) {
    World world;
    const ProbeResult result =
        world.Probe(CheckOf(CheckKind::kWs), [&](ServerEnd& end) -> Task<void> {
          const std::string request = co_await end.Request();
          std::string answer = ServerEnd::AgreeTo(request);
          answer.replace(answer.find(c.from), c.from.size(), c.to);
          co_await end.Send(answer);
          co_await end.Silence();
        });
    CAPTURE(c.name, result.detail);
    CHECK(result.outcome == ProbeOutcome::kWsAccept);
  }
}

TEST_CASE("a ping must come back as it was", "[probe][ws]") {
  const auto probe = [](Script script) {
    World world;
    CheckConfig check = CheckOf(CheckKind::kWs);
    check.timeout = kShort;
    return world.Probe(check, std::move(script));
  };
  const auto after_ping = [](std::string frame) {
    return [frame](ServerEnd& end) -> Task<void> {
      (void)co_await end.Upgraded();
      co_await end.Send(frame);
      co_await end.Silence();
    };
  };
  ProbeResult result = probe(after_ping(ServerFrame(Opcode::kPong, "else")));
  CHECK(result.outcome == ProbeOutcome::kWsPong);
  CHECK(result.detail == "no pong within 200ms, one with another payload came");
  result = probe(after_ping(""));
  CHECK(result.outcome == ProbeOutcome::kWsPong);
  CHECK(result.detail == "no pong within 200ms");
  result = probe(after_ping(ServerFrame(Opcode::kClose, ClosePayload(1001))));
  CHECK(result.outcome == ProbeOutcome::kWsPong);
  CHECK(result.detail == "closed with 1001 instead of a pong");
  result = probe(after_ping(ServerFrame(Opcode::kClose, "")));
  CHECK(result.detail == "closed with no code instead of a pong");
  for (const std::string& garbage :
       {std::string("\x8a\x81", 2) + "aaaa" + "b",  // masked
        std::string("\xca\x01z", 3),                // a reserved bit
        std::string("\x83\x01z", 3),                // a reserved kind
        std::string("\x0a\x01z", 3),                // a control frame in parts
        std::string("\x8a\x7e\x00\x7e", 4)}) {      // one that is too long
    result = probe(after_ping(garbage));
    CAPTURE(result.detail);
    CHECK(result.outcome == ProbeOutcome::kProtocol);
  }
}

TEST_CASE("a server that talks without end is not listened to for ever",
          "[probe][ws]") {
  World world;
  const ProbeResult result =
      world.Probe(CheckOf(CheckKind::kWs), [](ServerEnd& end) -> Task<void> {
        (void)co_await end.Upgraded();
        const std::string frame =
            std::string("\x82\x7e\x80\x00", 4) + std::string(0x8000, 'x');
        for (size_t sent = 0; sent < 4 * kMaxProbeBodyBytes;
             sent += frame.size())
          co_await end.Send(frame);
      });
  CHECK(result.outcome == ProbeOutcome::kWsPong);
  CHECK_THAT(result.detail, Contains("more than 262144 bytes"));
}

}  // namespace
}  // namespace fairlead::probe
