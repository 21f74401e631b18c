#include "core/health.h"

#include <catch2/catch.hpp>
#include <set>
#include <vector>

namespace fairlead::core {
namespace {

using enum ProbeOutcome;

constexpr base::MonoTime kStart = base::MonoTime::FromNanoseconds(1'000'000);

CheckConfig Config() {
  CheckConfig config;
  config.kind = CheckKind::kHttp;
  config.interval = absl::Seconds(2);
  config.timeout = absl::Seconds(1);
  config.rise = 2;
  config.fall = 3;
  return config;
}

// Answers the probes of a check one after the other.
class Prober {
 public:
  explicit Prober(HealthCheck& check) : check_(check) {}

  // Answers the next probe `delay` after it is due.
  void Answer(ProbeOutcome outcome, absl::Duration delay = absl::Seconds(0),
              double random = 0.5) {
    now_ = *check_.deadline();
    REQUIRE(check_.StartProbe(++number_, now_));
    now_ = now_ + delay;
    REQUIRE(check_.OnResult(number_, {.outcome = outcome, .http_status = 500},
                            now_, random));
  }
  std::vector<Health> AnswerAll(const std::vector<ProbeOutcome>& outcomes) {
    std::vector<Health> states;
    for (const ProbeOutcome outcome : outcomes) {
      Answer(outcome);
      states.push_back(check_.health());
    }
    return states;
  }
  base::MonoTime now() const { return now_; }
  uint64_t number() const { return number_; }

 private:
  HealthCheck& check_;
  uint64_t number_ = 0;
  base::MonoTime now_;
};

TEST_CASE("the first result counts at once", "[core][health]") {
  HealthCheck good(Config(), kStart);
  CHECK(good.health() == Health::kInit);
  Prober(good).Answer(kSuccess);
  CHECK(good.health() == Health::kUp);

  HealthCheck bad(Config(), kStart);
  Prober(bad).Answer(kRefused);
  CHECK(bad.health() == Health::kDown);
}

TEST_CASE(
    "it takes `fall` failures in a row to go down and `rise` successes "
    "to come up",
    "[core][health]") {
  HealthCheck check(Config(), kStart);
  using enum Health;
  CHECK(Prober(check).AnswerAll({kSuccess, kTimeout, kTimeout, kSuccess,
                                 kTimeout, kTimeout, kTimeout, kTimeout,
                                 kSuccess, kTimeout, kSuccess, kSuccess}) ==
        std::vector{kUp, kFalling, kFalling, kUp, kFalling, kFalling, kDown,
                    kDown, kRising, kDown, kRising, kUp});
}

TEST_CASE("with rise and fall of one each result decides", "[core][health]") {
  CheckConfig config = Config();
  config.rise = config.fall = 1;
  HealthCheck check(config, kStart);
  using enum Health;
  CHECK(Prober(check).AnswerAll({kSuccess, kTimeout, kSuccess}) ==
        std::vector{kUp, kDown, kUp});
}

TEST_CASE("what is assumed to be up falls like what was seen up",
          "[core][health]") {
  HealthCheck check(Config(), kStart);
  check.AssumeUp();
  using enum Health;
  CHECK(Prober(check).AnswerAll({kRefused, kRefused, kRefused}) ==
        std::vector{kFalling, kFalling, kDown});
}

TEST_CASE("a late probe is repeated soon and never counted", "[core][health]") {
  HealthCheck check(Config(), kStart);
  Prober prober(check);
  prober.Answer(kSuccess);
  for (int i = 0; i < 10; ++i) prober.Answer(kLate);
  CHECK(check.health() == Health::kUp);
  const absl::Duration pause = *check.deadline() - prober.now();
  CHECK(pause > absl::ZeroDuration());
  CHECK(pause < absl::Seconds(1));
}

TEST_CASE("late probes are not all repeated in the same moment",
          "[core][health]") {
  std::set<base::MonoTime> repeated;
  for (const double random : {0.0, 0.5, 0.9}) {
    HealthCheck check(Config(), kStart);
    Prober prober(check);
    prober.Answer(kLate, absl::ZeroDuration(), random);
    repeated.insert(*check.deadline());
  }
  CHECK(repeated.size() == 3);
}

TEST_CASE("an overdue probe is put off to some time within an interval, once",
          "[core][health]") {
  HealthCheck check(Config(), kStart);
  CHECK(!check.IsOverdue(kStart + kOverdue));
  const base::MonoTime woken = kStart + kOverdue + absl::Nanoseconds(1);
  REQUIRE(check.IsOverdue(woken));
  check.PutOff(woken, 0.25);
  CHECK(*check.deadline() == woken + absl::Milliseconds(500));
  // Always late is no reason never to look.
  const base::MonoTime again = *check.deadline() + absl::Seconds(30);
  CHECK(!check.IsOverdue(again));
  CHECK(check.StartProbe(1, again));
  REQUIRE(check.OnResult(1, {.outcome = kSuccess}, again, 0.5));
  CHECK(check.health() == Health::kUp);
  CHECK(check.IsOverdue(*check.deadline() + absl::Seconds(30)));
}

TEST_CASE("what was under way while the host did not run is forgotten",
          "[core][health]") {
  HealthCheck check(Config(), kStart);
  check.AssumeUp();
  REQUIRE(check.StartProbe(1, kStart));
  const base::MonoTime woken = kStart + absl::Seconds(30);
  REQUIRE(check.IsOverdue(woken));
  check.PutOff(woken, 0.5);
  CHECK(!check.OnResult(1, {.outcome = kTimeout}, woken, 0.5));
  CHECK(check.health() == Health::kUp);
}

TEST_CASE("a check that nobody wants is not put off", "[core][health]") {
  HealthCheck check(Config(), kStart);
  check.Pause();
  CHECK(!check.IsOverdue(kStart + absl::Seconds(30)));
  CHECK(!check.deadline().has_value());
}

TEST_CASE(
    "an interval is jittered by ten percent either way and halved while "
    "health is changing",
    "[core][health]") {
  HealthCheck check(Config(), kStart);
  Prober prober(check);
  prober.Answer(kSuccess, absl::ZeroDuration(), 0.0);
  CHECK(*check.deadline() - prober.now() == absl::Milliseconds(1800));
  prober.Answer(kSuccess, absl::Milliseconds(300), 0.5);
  CHECK(*check.deadline() - prober.now() == absl::Milliseconds(1700));
  prober.Answer(kTimeout, absl::Seconds(1), 0.5);
  CHECK(*check.deadline() == prober.now());
  prober.Answer(kTimeout, absl::ZeroDuration(), 0.5);
  CHECK(*check.deadline() - prober.now() == absl::Seconds(1));
}

TEST_CASE("a 503 sets the signal at once and counts as an answer",
          "[core][health]") {
  HealthCheck check(Config(), kStart);
  Prober prober(check);
  prober.Answer(kDrainStatus);
  CHECK(check.health() == Health::kUp);
  CHECK(check.signal() == Signal::kDrain);
  prober.Answer(kSuccess);
  prober.Answer(kTimeout);
  prober.Answer(kSuccess);
  CHECK(check.signal() == Signal::kDrain);
  prober.Answer(kSuccess);
  CHECK(check.signal() == Signal::kNone);
}

TEST_CASE("a 429 holds as long as it is answered, and takes back no drain",
          "[core][health]") {
  HealthCheck check(Config(), kStart);
  Prober prober(check);
  prober.Answer(kHoldStatus);
  CHECK(check.health() == Health::kUp);
  CHECK(check.signal() == Signal::kHold);
  prober.Answer(kSuccess);
  CHECK(check.signal() == Signal::kNone);
  prober.Answer(kDrainStatus);
  prober.Answer(kHoldStatus);
  CHECK(check.signal() == Signal::kDrain);
  prober.Answer(kHoldStatus);
  CHECK(check.signal() == Signal::kHold);
}

TEST_CASE("nothing to check means up and no probes", "[core][health]") {
  CheckConfig config = Config();
  config.kind = CheckKind::kNone;
  HealthCheck check(config, kStart);
  CHECK(check.health() == Health::kUp);
  CHECK(!check.deadline());
  check.Reconfigure(Config(), kStart);
  CHECK(check.health() == Health::kUp);
  CHECK(check.deadline() == kStart);
}

TEST_CASE("a pause forgets the probe under way and what was known",
          "[core][health]") {
  HealthCheck check(Config(), kStart);
  Prober prober(check);
  prober.Answer(kSuccess);
  REQUIRE(check.StartProbe(100, *check.deadline()));
  check.Pause();
  CHECK(!check.deadline());
  CHECK(!check.OnResult(100, {.outcome = kTimeout}, prober.now(), 0.5));
  check.Resume(prober.now());
  CHECK(check.health() == Health::kInit);
  CHECK(check.deadline() == prober.now());
}

TEST_CASE("the answer to a probe of the old configuration is ignored",
          "[core][health]") {
  HealthCheck check(Config(), kStart);
  REQUIRE(check.StartProbe(1, kStart));
  CheckConfig other = Config();
  other.port = 8080;
  check.Reconfigure(other, kStart);
  CHECK(!check.OnResult(1, {.outcome = kSuccess}, kStart, 0.5));
  CHECK(check.health() == Health::kInit);
}

TEST_CASE("a probe that is never answered is replaced", "[core][health]") {
  HealthCheck check(Config(), kStart);
  REQUIRE(check.StartProbe(1, kStart));
  const base::MonoTime deadline = *check.deadline();
  CHECK(deadline > kStart + Config().timeout);
  CHECK(!check.StartProbe(2, deadline - absl::Nanoseconds(1)));
  REQUIRE(check.StartProbe(2, deadline));
  CHECK(!check.OnResult(1, {.outcome = kSuccess}, deadline, 0.5));
  CHECK(check.OnResult(2, {.outcome = kSuccess}, deadline, 0.5));
}

TEST_CASE("each failure has its reason", "[core][health]") {
  const auto reason = [](ProbeOutcome outcome, int status = 0) {
    return FailureReason({.outcome = outcome, .http_status = status});
  };
  CHECK(reason(kRefused) == "check.tcp-refused");
  CHECK(reason(kTimeout) == "check.timeout");
  CHECK(reason(kUnreachable) == "check.unreachable");
  CHECK(reason(kVipRefused) == "check.vip-refused");
  CHECK(reason(kVipTimeout) == "check.vip-timeout");
  CHECK(reason(kProtocol) == "check.protocol");
  CHECK(reason(kStatusMismatch, 500) == "check.status-mismatch(500)");
  CHECK(reason(kBodyMismatch, 200) == "check.body-mismatch");
  CHECK(reason(kWsHandshake, 503) == "check.ws-handshake(503)");
  CHECK(reason(kWsAccept, 101) == "check.ws-accept");
  CHECK(reason(kWsPong, 101) == "check.ws-pong");
  CHECK(FailureReason({.outcome = kTls, .cause = ProbeCause::kNotTls}) ==
        "check.tls(not-tls)");
  CHECK(
      FailureReason({.outcome = kCertificate, .cause = ProbeCause::kExpired}) ==
      "check.certificate(expired)");
  CHECK(FailureReason({.outcome = kClosed, .step = ProbeStep::kUpgrade}) ==
        "check.closed(upgrade)");
}

}  // namespace
}  // namespace fairlead::core
