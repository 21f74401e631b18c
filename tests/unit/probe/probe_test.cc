// Probes against real servers on loopback, on the real loop.
#include "probe/probe.h"

#include <catch2/catch.hpp>
#include <string>
#include <utility>
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

Task<void> Nothing(ServerEnd&) { co_return; }

std::vector<ProbeStep> StepsOf(const ProbeResult& result) {
  std::vector<ProbeStep> steps;
  for (const core::ProbeStepTime& step : result.steps)
    steps.push_back(step.step);
  return steps;
}

// A port on which nobody listens: bound, so that nobody else gets it.
std::pair<base::UniqueFd, uint16_t> DeadPort() {
  base::UniqueFd fd = event::TcpSocket(Loopback()).value();
  REQUIRE(event::Bind(fd.get(), event::SocketAddress(Loopback())).ok());
  const uint16_t port = event::LocalEndpoint(fd.get())->port;
  return {std::move(fd), port};
}

TEST_CASE("a tcp probe succeeds when somebody listens", "[probe][tcp]") {
  World world;
  const ProbeResult result = world.Probe(CheckOf(CheckKind::kTcp), Nothing);
  CHECK(result.outcome == ProbeOutcome::kSuccess);
  CHECK(result.duration > absl::ZeroDuration());
  CHECK(StepsOf(result) == std::vector{ProbeStep::kConnect});
  CHECK(result.steps[0].duration > absl::ZeroDuration());
}

TEST_CASE("a refused connect is told from silence", "[probe][tcp]") {
  World world;
  const auto [holder, port] = DeadPort();
  for (const CheckKind kind :
       {CheckKind::kTcp, CheckKind::kHttps, CheckKind::kWs}) {
    const ProbeResult result = world.Probe(CheckOf(kind), Nothing, port);
    CHECK(result.outcome == ProbeOutcome::kRefused);
    CHECK(result.step == ProbeStep::kConnect);
  }
}

TEST_CASE("an answer's status is judged by the check's map", "[probe][http]") {
  struct Case {
    int status;
    ProbeOutcome outcome;
    const char* map = "200-299";
  };
  for (const Case& c :
       {Case{200, ProbeOutcome::kSuccess}, Case{204, ProbeOutcome::kSuccess},
        Case{301, ProbeOutcome::kStatusMismatch},
        Case{500, ProbeOutcome::kStatusMismatch},
        Case{429, ProbeOutcome::kHoldStatus},
        Case{503, ProbeOutcome::kDrainStatus},
        Case{503, ProbeOutcome::kSuccess, "503"},
        Case{503, ProbeOutcome::kStatusMismatch, "503=fail"},
        Case{404, ProbeOutcome::kSuccess, "200-299,404"},
        Case{500, ProbeOutcome::kDrainStatus, "500=drain"}}) {
    World world;
    CheckConfig check = CheckOf(CheckKind::kHttp);
    check.status = core::StatusMap::Parse(c.map).value();
    const ProbeResult result = world.Probe(check, Answer(HttpAnswer(c.status)));
    CAPTURE(c.status, c.map, result.detail);
    CHECK(result.outcome == c.outcome);
    CHECK(result.http_status == c.status);
  }
}

TEST_CASE("what a 503 says about its return is told", "[probe][http]") {
  World world;
  CHECK(world
            .Probe(CheckOf(CheckKind::kHttp),
                   Answer(HttpAnswer(503, "", "Retry-After: 120\r\n")))
            .detail == "HTTP 503, Retry-After 120");
}

TEST_CASE("a request is what the check asks for, to the letter",
          "[probe][http]") {
  for (const CheckKind kind : {CheckKind::kHttp, CheckKind::kHttps}) {
    World world;
    CheckConfig check = CheckOf(kind);
    check.method = "HEAD";
    check.path = "/a%20b/?x=1&y";
    check.host = "web.example";
    check.headers = {{"x-token", "abc"}, {"user-agent", "mine"}};
    std::string seen;
    const ProbeResult result =
        world.Probe(check, [&](ServerEnd& end) -> Task<void> {
          seen = co_await end.Request();
          co_await end.Send("HTTP/1.1 200 X\r\nContent-Length: 7\r\n\r\n");
        });
    CHECK(result.detail == "HTTP 200");
    CHECK(result.outcome == ProbeOutcome::kSuccess);
    CHECK_THAT(seen, Catch::StartsWith("HEAD /a%20b/?x=1&y HTTP/1.1\r\n"));
    CHECK_THAT(seen, Contains("host: web.example\r\n"));
    CHECK_THAT(seen, Contains("x-token: abc\r\n"));
    CHECK_THAT(seen, Contains("user-agent: mine\r\n"));
    CHECK_THAT(seen, Contains("connection: close\r\n"));
  }
}

TEST_CASE("a body must have in it what the check wants", "[probe][http]") {
  World world;
  CheckConfig check = CheckOf(CheckKind::kHttp);
  check.body = "database: ok";
  CHECK(world.Probe(check, Answer(HttpAnswer(200, "{database: ok}"))).outcome ==
        ProbeOutcome::kSuccess);
  // Without a length, to the end of the connection.
  CHECK(world.Probe(check, Answer("HTTP/1.1 200 X\r\n\r\ndatabase: ok"))
            .outcome == ProbeOutcome::kSuccess);
  const ProbeResult result =
      world.Probe(check, Answer(HttpAnswer(200, "database: gone")));
  CHECK(result.outcome == ProbeOutcome::kBodyMismatch);
  CHECK(result.detail == "HTTP 200, without \"database: ok\" in its 14 bytes");
  // What is no success is not asked for its body.
  CHECK(world.Probe(check, Answer(HttpAnswer(500, "database: ok"))).outcome ==
        ProbeOutcome::kStatusMismatch);
}

TEST_CASE("https is http in TLS, step by step", "[probe][https]") {
  World world;
  const ProbeResult result =
      world.Probe(CheckOf(CheckKind::kHttps), Answer(HttpAnswer(200, "hello")));
  CHECK(result.detail == "HTTP 200");
  CHECK(result.outcome == ProbeOutcome::kSuccess);
  CHECK(StepsOf(result) == std::vector{ProbeStep::kConnect, ProbeStep::kTls,
                                       ProbeStep::kResponse});
  for (const core::ProbeStepTime& step : result.steps)
    CHECK(step.duration > absl::ZeroDuration());
  CHECK(result.certificate_days == 90);
}

TEST_CASE("a certificate must be good, for whom it is asked", "[probe][tls]") {
  struct Case {
    const char* name;
    CertificateOptions options;
    std::string reason;
    std::string host = "";
    std::string server_name = "";
    bool trusted = true;
    bool verify = true;
  };
  const Case cases[] = {
      {"by address", {}, "-"},
      {"by host", {}, "-", "web.example:8443"},
      {"by server name", {}, "-", "other.example", "web.example"},
      {"by an address as host", {}, "-", "[::1]:443"},
      {"wrong host", {}, "check.certificate(wrong-name)", "other.example"},
      {"wrong server name",
       {},
       "check.certificate(wrong-name)",
       "web.example",
       "other.example"},
      {"wrong address",
       {.names = "DNS:web.example"},
       "check.certificate(wrong-name)"},
      {"expired",
       {.from_days = -9, .to_days = -2},
       "check.certificate(expired)"},
      {"not yet valid",
       {.from_days = 2, .to_days = 9},
       "check.certificate(not-yet-valid)"},
      {"signed by nobody else",
       {},
       "check.certificate(self-signed)",
       "",
       "",
       false},
      {"not verified",
       {.names = "DNS:x", .from_days = -9, .to_days = -2},
       "-",
       "",
       "",
       false,
       false},
  };
  for (const Case& c : cases) {
    World world;
    world.certificate = Certificate(c.options);
    CheckConfig check = CheckOf(CheckKind::kHttps);
    check.host = c.host;
    check.server_name = c.server_name;
    check.verify = c.verify;
    if (!c.trusted) {
      check.ca_file = world.folder().File("others.pem");
      std::ofstream(check.ca_file) << Certificate().Pem();
    }
    const ProbeResult result = world.Probe(check, Answer(HttpAnswer(200)));
    CAPTURE(c.name, result.detail);
    CHECK(
        (core::IsAnswer(result.outcome) ? "-" : core::FailureReason(result)) ==
        c.reason);
    if (c.reason != "-") CHECK(result.step == ProbeStep::kTls);
  }
}

TEST_CASE("a CA file that cannot be read is told, one that changes is read",
          "[probe][tls]") {
  World world;
  CheckConfig check = CheckOf(CheckKind::kHttps);
  check.ca_file = world.folder().File("late.pem");
  const ProbeResult missing = world.Probe(check, Answer(HttpAnswer(200)));
  CHECK(core::FailureReason(missing) == "check.certificate(ca-file)");
  CHECK_THAT(missing.detail, Contains(check.ca_file));

  std::ofstream(check.ca_file) << Certificate({.names = "DNS:x"}).Pem();
  CHECK(world.Probe(check, Answer(HttpAnswer(200))).outcome ==
        ProbeOutcome::kCertificate);
  std::ofstream(check.ca_file) << world.certificate.Pem() << "\n";
  CHECK(world.Probe(check, Answer(HttpAnswer(200))).outcome ==
        ProbeOutcome::kSuccess);
  // What was good stays in use.
  std::ofstream(check.ca_file) << "nonsense";
  CHECK(world.Probe(check, Answer(HttpAnswer(200))).outcome ==
        ProbeOutcome::kSuccess);
  std::filesystem::remove(check.ca_file);
  CHECK(world.Probe(check, Answer(HttpAnswer(200))).outcome ==
        ProbeOutcome::kSuccess);
}

}  // namespace
}  // namespace fairlead::probe
