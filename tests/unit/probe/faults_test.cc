// Servers that misbehave, in the clear and in TLS: each probe ends in time,
// with its reason, and leaves no descriptor behind (the fixture looks).
#include <catch2/catch.hpp>
#include <string>

#include "core/health.h"
#include "tests/unit/probe/fixture.h"

namespace fairlead::probe {
namespace {

using core::CheckConfig;
using core::CheckKind;
using core::ProbeResult;

std::string ReasonOf(CheckKind kind, Script script,
                     bool server_in_the_clear = false) {
  World world;
  world.server_in_the_clear = server_in_the_clear;
  CheckConfig check = CheckOf(kind);
  check.timeout = kShort;
  const ProbeResult result = world.Probe(check, std::move(script));
  INFO(result.detail);
  REQUIRE(!core::IsAnswer(result.outcome));
  REQUIRE(result.outcome != core::ProbeOutcome::kLate);
  return core::FailureReason(result);
}

Task<void> Silent(ServerEnd& end) { co_await end.Silence(); }

Task<void> SilentAfterRequest(ServerEnd& end) {
  (void)co_await end.Request();
  co_await end.Silence();
}

Task<void> Drips(ServerEnd& end) {
  (void)co_await end.Request();
  const std::string answer = HttpAnswer(200, std::string(1000, 'x'));
  for (const char c : answer) {
    co_await end.Send(std::string(1, c));
    const absl::Status slept =
        co_await end.loop().SleepFor(absl::Milliseconds(20));
    if (!slept.ok()) co_return;
  }
}

Task<void> EndlessHeader(ServerEnd& end) {
  (void)co_await end.Request();
  co_await end.Send("HTTP/1.1 200 OK\r\n");
  for (int i = 0; i < 10'000; ++i)
    co_await end.Send("x-a: " + std::string(1000, 'a') + "\r\n");
}

Task<void> HugeBody(ServerEnd& end) {
  (void)co_await end.Request();
  co_await end.Send("HTTP/1.1 200 OK\r\n\r\n");
  for (size_t sent = 0; sent < 4 * kMaxProbeBodyBytes; sent += 16'000)
    co_await end.Send(std::string(16'000, 'b'));
}

Task<void> ResetsAtOnce(ServerEnd& end) {
  // What is there is read, so that the probe has sent it.
  (void)co_await end.ReceiveRaw();
  end.Reset();
}

Task<void> ResetsAfterRequest(ServerEnd& end) {
  (void)co_await end.Request();
  end.Reset();
}

Task<void> ClosesAfterRequest(ServerEnd& end) {
  (void)co_await end.Request();
  end.Close();
}

Task<void> CutsItsAnswer(ServerEnd& end) {
  (void)co_await end.Request();
  co_await end.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  end.Close();
}

Task<void> ResetsBeforePong(ServerEnd& end) {
  (void)co_await end.Upgraded();
  end.Reset();
}

Task<void> ClosesBeforePong(ServerEnd& end) {
  (void)co_await end.Upgraded();
  end.Close();
}

// Instead of TLS.
Script SendsRaw(std::string data) {
  return [data](ServerEnd& end) -> Task<void> {
    (void)co_await end.ReceiveRaw();
    co_await end.SendRaw(data);
    co_await end.Silence();
  };
}

Task<void> NonsenseInTls(ServerEnd& end) {
  (void)co_await end.Request();
  co_await end.SendRaw(std::string("\x17\x03\x03\x00\x20", 5) +
                       std::string(32, 'z'));
  co_await end.Silence();
}

TEST_CASE("servers that say nothing, too little, or too much",
          "[probe][fault]") {
  for (const CheckKind kind : {CheckKind::kHttp, CheckKind::kHttps}) {
    INFO(core::ToString(kind));
    CHECK(ReasonOf(kind, SilentAfterRequest) == "check.timeout");
    CHECK(ReasonOf(kind, Drips) == "check.timeout");
    CHECK(ReasonOf(kind, EndlessHeader) == "check.protocol");
    CHECK(ReasonOf(kind, HugeBody) == "check.protocol");
    CHECK(ReasonOf(kind, Answer(std::string(300, '\x01'))) == "check.protocol");
    CHECK(ReasonOf(kind, ResetsAfterRequest) == "check.closed(response)");
    CHECK(ReasonOf(kind, ClosesAfterRequest) == "check.closed(response)");
    CHECK(ReasonOf(kind, CutsItsAnswer) == "check.closed(response)");
  }
  for (const CheckKind kind : {CheckKind::kWs, CheckKind::kWss}) {
    INFO(core::ToString(kind));
    CHECK(ReasonOf(kind, SilentAfterRequest) == "check.timeout");
    CHECK(ReasonOf(kind, Drips) == "check.timeout");
    CHECK(ReasonOf(kind, EndlessHeader) == "check.protocol");
    CHECK(ReasonOf(kind, Answer(std::string(300, '\x01'))) == "check.protocol");
    CHECK(ReasonOf(kind, ResetsAfterRequest) == "check.closed(upgrade)");
    CHECK(ReasonOf(kind, ClosesAfterRequest) == "check.closed(upgrade)");
    CHECK(ReasonOf(kind, ResetsBeforePong) == "check.closed(pong)");
    CHECK(ReasonOf(kind, ClosesBeforePong) == "check.closed(pong)");
  }
}

TEST_CASE("servers that speak no TLS, or speak it badly", "[probe][fault]") {
  // A fatal handshake_failure; a handshake message of no known kind.
  const std::string alert("\x15\x03\x03\x00\x02\x02\x28", 7);
  const std::string unknown("\x16\x03\x03\x00\x04\xfe\x00\x00\x00", 9);
  for (const CheckKind kind : {CheckKind::kHttps, CheckKind::kWss}) {
    INFO(core::ToString(kind));
    CHECK(ReasonOf(kind, Silent, true) == "check.timeout");
    CHECK(ReasonOf(kind, ResetsAtOnce, true) == "check.closed(tls)");
    CHECK(ReasonOf(kind, SendsRaw(HttpAnswer(400)), true) ==
          "check.tls(not-tls)");
    CHECK(ReasonOf(kind, SendsRaw(alert), true) == "check.tls(alert)");
    CHECK(ReasonOf(kind, SendsRaw(unknown), true) == "check.tls(handshake)");
    CHECK(ReasonOf(kind, NonsenseInTls) == "check.tls(handshake)");
  }
}

}  // namespace
}  // namespace fairlead::probe
