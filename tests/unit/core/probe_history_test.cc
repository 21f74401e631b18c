#include "core/probe_history.h"

#include <catch2/catch.hpp>
#include <vector>

#include "core/check_set.h"
#include "core/health.h"
#include "tests/support/core_world.h"

namespace fairlead::core {
namespace {

const base::MonoTime kStart = base::MonoTime::FromNanoseconds(1'000'000);

TEST_CASE("the last twenty results are kept, the newest first",
          "[core][probe]") {
  ProbeHistory history;
  CHECK(history.List().empty());
  for (int i = 1; i <= 47; ++i) {
    history.Add({.http_status = 100 + i}, kStart + absl::Seconds(i));
    const std::vector<ProbeRecord> list = history.List();
    REQUIRE(list.size() ==
            std::min(static_cast<size_t>(i), ProbeHistory::kMost));
    for (size_t j = 0; j < list.size(); ++j) {
      CHECK(list[j].http_status == 100 + i - static_cast<int>(j));
      CHECK(list[j].at == kStart + absl::Seconds(i - static_cast<int>(j)));
    }
  }
}

TEST_CASE("a record still has its reason", "[core][probe]") {
  ProbeHistory history;
  history.Add({.outcome = ProbeOutcome::kWsHandshake,
               .step = ProbeStep::kUpgrade,
               .http_status = 503,
               .duration = absl::Microseconds(1234)},
              kStart);
  const ProbeResult result = ResultOf(history.List()[0]);
  CHECK(FailureReason(result) == "check.ws-handshake(503)");
  CHECK(result.duration == absl::Microseconds(1234));
}

TEST_CASE("what is idle of a check takes two kilobytes at most",
          "[core][probe]") {
  // Texts that lie outside are counted in the longest form that is usual.
  CHECK(sizeof(CheckSet::One) + ProbeHistory::kMost * sizeof(ProbeRecord) +
            300 <=
        2048);
}

TEST_CASE("a certificate that expires soon raises an alarm", "[core][probe]") {
  testing::CoreWorld world;
  world.Do(AddService{
      .name = "web",
      .vip = testing::Vip("198.51.100.10:443"),
      .settings = {.rows = 256, .agent_port = 0, .check = CheckKind::kHttps}});
  for (const std::string name : {"web1", "web2"})
    world.Do(
        AddBackend{.service = "web",
                   .name = name,
                   .address = testing::Address("192.0.2." + name.substr(3))});
  world.certificate_days = 15;
  world.AnswerAll(ProbeOutcome::kSuccess);
  CHECK(world.controller().Alarms().empty());
  world.certificate_days = 1;
  world.AnswerAll(ProbeOutcome::kSuccess);
  CHECK(world.controller().Alarms() ==
        std::vector<std::string>{
            "service web: the certificate of web1 expires in 1 day, those of "
            "1 others soon after; checks fail from then on"});
  CHECK(world.View("web1").checks[0].history.size() == 2);
}

}  // namespace
}  // namespace fairlead::core
