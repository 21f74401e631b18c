#include "tests/sim/balance_sim.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "lib/tcp.h"

namespace fairlead::testing {
namespace {

// What an LB host knows of an agent's count is so old when it hears of it, and
// so old when it hears the next.
constexpr absl::Duration kYoungestReport = absl::Seconds(1);
constexpr absl::Duration kOldestReport = absl::Seconds(10);
constexpr absl::Duration kSweepInterval = absl::Seconds(30);
constexpr absl::Duration kFill = absl::Minutes(1);
constexpr absl::Duration kDrain = absl::Minutes(1);
constexpr absl::Duration kRestart = absl::Seconds(2);
constexpr absl::Duration kReturn = absl::Seconds(5);
constexpr int kSettle = 4;
constexpr int kRest = 1;  // lifetimes
constexpr size_t kMostBackends = 256;

}  // namespace

BalanceSim::BalanceSim(const Options& options)
    : options_(options), random_(options.seed) {
  core::ServiceSettings service;
  service.policy = options.policy;
  service.check = core::CheckKind::kNone;
  const int all = options.backends * options.connections;
  for (int i = 0; i < options.hosts; ++i) {
    // Half of the slots stay free.
    hosts_.push_back(std::make_unique<SimulatedLb>(
        static_cast<uint32_t>(4 * all / options.hosts), service));
    Schedule(Kind::kSweep, kSweepInterval, static_cast<size_t>(i));
  }
  under_way_.resize(hosts_.size() * kMostBackends);
  for (int i = 0; i < options.backends; ++i) AddBackend();
  for (int i = 0; i < kSettle; ++i) {
    now_ = now_ + absl::Minutes(5);
    for (const auto& lb : hosts_) lb->Settle(now_);
  }
  for (int i = 0; i < all; ++i)
    Schedule(Kind::kReturn, kFill * random_.Unit(), 0);
  Schedule(Kind::kArrival, absl::ZeroDuration(), 0);
  RunFor(kRest * options.lifetime);
}

void BalanceSim::Schedule(Kind kind, absl::Duration in, size_t subject) {
  queue_.push(
      {.at = now_ + in, .order = ++order_, .kind = kind, .subject = subject});
}

absl::Duration BalanceSim::Exponential(absl::Duration mean) {
  return mean * -std::log(1 - random_.Unit());
}

void BalanceSim::RunFor(absl::Duration duration) {
  const base::MonoTime end = now_ + duration;
  while (queue_.top().at <= end) {
    const Happening happening = queue_.top();
    queue_.pop();
    now_ = happening.at;
    Happen(happening);
  }
  now_ = end;
}

void BalanceSim::Happen(const Happening& happening) {
  const size_t subject = happening.subject;
  switch (happening.kind) {
    case Kind::kArrival:
      Schedule(Kind::kArrival,
               Exponential(options_.lifetime /
                           (options_.backends * options_.connections)),
               0);
      return Arrive();
    case Kind::kReturn:
      return Arrive();
    case Kind::kTalk:
      if (connections_[subject].lives)
        host(connections_[subject].host)
            .Segment(connections_[subject].client, FL_TCP_ACK, now_);
      return;
    case Kind::kEnd:
      if (connections_[subject].lives) End(subject, Ending::kFin);
      return;
    case Kind::kScan:
      return Scan(subject);
    case Kind::kAnswer:
      host(static_cast<int>(subject / kMostBackends))
          .OnAnswer(static_cast<int>(subject % kMostBackends),
                    under_way_[subject].question, under_way_[subject].live,
                    now_);
      return;
    case Kind::kSweep:
      host(static_cast<int>(subject)).Sweep(now_);
      return Schedule(Kind::kSweep, kSweepInterval, subject);
  }
}

void BalanceSim::Arrive() {
  const uint64_t random = random_.Next();
  const size_t number = connections_.size();
  Connection connection = {
      .client = {.address = static_cast<uint32_t>(random),
                 .port = static_cast<uint16_t>(random >> 32)},
      .host = random_.Below(options_.hosts),
      .lives = true};
  SimulatedLb& lb = host(connection.host);
  connection.backend = lb.Syn(connection.client, now_);
  lb.Segment(connection.client, FL_TCP_ACK, now_);
  connections_.push_back(connection);
  ++live_[static_cast<size_t>(connection.backend)];
  ++taken_[static_cast<size_t>(connection.backend)];
  Schedule(Kind::kTalk, absl::Seconds(2), number);
  Schedule(Kind::kEnd, Exponential(options_.lifetime), number);
}

void BalanceSim::End(size_t number, Ending ending) {
  Connection& connection = connections_[number];
  connection.lives = false;
  --live_[static_cast<size_t>(connection.backend)];
  if (ending == Ending::kFin)
    host(connection.host)
        .Segment(connection.client, FL_TCP_FIN | FL_TCP_ACK, now_);
}

int BalanceSim::AddBackend() {
  FL_CHECK(live_.size() < kMostBackends);
  live_.push_back(0);
  taken_.push_back(0);
  for (const auto& lb : hosts_) lb->AddBackend(now_);
  StartPolls(backends() - 1);
  return backends() - 1;
}

void BalanceSim::StartPolls(int backend) {
  for (size_t i = 0; i < hosts_.size(); ++i)
    Schedule(Kind::kScan, kOldestReport * random_.Unit(),
             i * kMostBackends + static_cast<size_t>(backend));
}

void BalanceSim::Scan(size_t subject) {
  const size_t backend = subject % kMostBackends;
  under_way_[subject] = {
      .question = host(static_cast<int>(subject / kMostBackends))
                      .Ask(static_cast<int>(backend), now_),
      .live = live_[backend]};
  Schedule(Kind::kAnswer, kYoungestReport, subject);
  Schedule(Kind::kScan, kOldestReport - kYoungestReport, subject);
}

void BalanceSim::Restart(int backend, Ending ending) {
  for (const auto& lb : hosts_)
    lb->SetAdmin(backend, core::Admin::kDrain, now_);
  RunFor(kDrain);
  for (size_t i = 0; i < connections_.size(); ++i) {
    if (!connections_[i].lives || connections_[i].backend != backend) continue;
    End(i, ending);
    Schedule(Kind::kReturn, kReturn * random_.Unit(), 0);
  }
  RunFor(kRestart);
  for (const auto& lb : hosts_)
    lb->SetAdmin(backend, core::Admin::kReady, now_);
  RunFor(kReturn - kRestart);
}

double BalanceSim::MaxOverMean() const {
  const uint64_t sum = std::accumulate(live_.begin(), live_.end(), uint64_t{0});
  return static_cast<double>(*std::max_element(live_.begin(), live_.end())) *
         static_cast<double>(live_.size()) / static_cast<double>(sum);
}

uint64_t BalanceSim::Taken() const {
  return std::accumulate(taken_.begin(), taken_.end(), uint64_t{0});
}

}  // namespace fairlead::testing
