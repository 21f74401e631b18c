// Probes against real servers on loopback, on the real loop.
#include "probe/probe.h"

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <utility>

#include "http/server.h"

namespace fairlead::probe {
namespace {

using core::CheckKind;
using core::ProbeOutcome;

base::IpAddress Loopback() {
  return base::IpAddress::Parse("127.0.0.1").value();
}

// A loop with an HTTP server that answers every request with `status`.
class World {
 public:
  explicit World(int status)
      : loop_(event::Loop::Create().value()),
        server_(*loop_,
                [status](http::Request request) -> event::Task<http::Response> {
                  http::Response response;
                  response.status = request.path == "/health" ? status : 404;
                  co_return response;
                }) {
    base::UniqueFd listener = event::ListenTcp({Loopback(), 0}).value();
    port_ = event::LocalEndpoint(listener.get())->port;
    loop_->root().Spawn(server_.Serve(std::move(listener)));
  }

  uint16_t port() const { return port_; }
  event::Loop& loop() { return *loop_; }

  core::ProbeResult Probe(Target target, absl::Duration late = {}) {
    core::ProbeResult result;
    loop_->root().Spawn(Run(std::move(target), late, result));
    loop_->Run();
    return result;
  }

 private:
  event::Task<void> Run(Target target, absl::Duration late,
                        core::ProbeResult& result) {
    result = co_await RunProbe(*loop_, std::move(target), loop_->Now() - late);
    loop_->Stop();
  }

  std::unique_ptr<event::Loop> loop_;
  http::Server server_;
  uint16_t port_ = 0;
};

Target TargetOf(uint16_t port, CheckKind kind) {
  Target target{Loopback(), port, {}};
  target.check.kind = kind;
  target.check.path = "/health";
  return target;
}

// A port on which nobody listens: bound, so that nobody else gets it.
std::pair<base::UniqueFd, uint16_t> DeadPort() {
  base::UniqueFd fd = event::TcpSocket(Loopback()).value();
  REQUIRE(event::Bind(fd.get(), event::SocketAddress(Loopback())).ok());
  const uint16_t port = event::LocalEndpoint(fd.get())->port;
  return {std::move(fd), port};
}

}  // namespace

TEST_CASE("a tcp probe succeeds when somebody listens", "[probe][tcp]") {
  World world(200);
  const core::ProbeResult result =
      world.Probe(TargetOf(world.port(), CheckKind::kTcp));
  CHECK(result.outcome == ProbeOutcome::kSuccess);
  CHECK(result.duration > absl::ZeroDuration());
}

TEST_CASE("a refused connect is told from silence", "[probe][tcp]") {
  World world(200);
  auto [holder, port] = DeadPort();
  CHECK(world.Probe(TargetOf(port, CheckKind::kTcp)).outcome ==
        ProbeOutcome::kRefused);
}

TEST_CASE("an http probe judges the status", "[probe][http]") {
  struct Case {
    int status;
    ProbeOutcome outcome;
  };
  for (const Case& c :
       {Case{200, ProbeOutcome::kSuccess}, Case{204, ProbeOutcome::kSuccess},
        Case{301, ProbeOutcome::kStatusMismatch},
        Case{500, ProbeOutcome::kStatusMismatch},
        Case{503, ProbeOutcome::kDrainStatus}}) {
    World world(c.status);
    const core::ProbeResult result =
        world.Probe(TargetOf(world.port(), CheckKind::kHttp));
    CAPTURE(c.status, result.detail);
    CHECK(result.outcome == c.outcome);
    CHECK(result.http_status == c.status);
  }
}

TEST_CASE("a status that the check expects is a success even if it is 503",
          "[probe][http]") {
  World world(503);
  Target target = TargetOf(world.port(), CheckKind::kHttp);
  target.check.status_low = target.check.status_high = 503;
  CHECK(world.Probe(target).outcome == ProbeOutcome::kSuccess);
}

TEST_CASE("a server that accepts and stays silent times out", "[probe][http]") {
  World world(200);
  // The kernel completes the handshake; nobody ever answers.
  const base::UniqueFd silent = event::ListenTcp({Loopback(), 0}).value();
  Target target =
      TargetOf(event::LocalEndpoint(silent.get())->port, CheckKind::kHttp);
  target.check.timeout = absl::Milliseconds(50);
  const core::ProbeResult result = world.Probe(target);
  CHECK(result.outcome == ProbeOutcome::kTimeout);
  CHECK(result.duration >= absl::Milliseconds(50));
}

TEST_CASE("a probe that could not start in time says nothing about the backend",
          "[probe]") {
  World world(200);
  auto [holder, port] = DeadPort();
  const core::ProbeResult result =
      world.Probe(TargetOf(port, CheckKind::kTcp), 2 * kLateness);
  CHECK(result.outcome == ProbeOutcome::kLate);
}

}  // namespace fairlead::probe
