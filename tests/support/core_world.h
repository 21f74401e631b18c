// CoreWorld: one LB host without a kernel and without a network: a controller
// on a FakeDatapath, a clock that the test turns, a disk, and a hand that
// answers probes. And what must be so in its tables whatever has happened.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/controller.h"
#include "tests/support/fake_datapath.h"

namespace fairlead::testing {

// Small, so that tests meet their ends.
inline constexpr core::TableSizes kSmallSizes = {
    .services = 8, .backends = 48, .rows = 2048, .flow_buckets = 1};

base::IpAddress Address(const std::string& text);
base::Endpoint Vip(const std::string& text);

// Jitter without chance: always in the middle.
double NoJitter();

class CoreWorld {
 public:
  explicit CoreWorld(const core::TableSizes& sizes = kSmallSizes,
                     std::function<double()> random = NoJitter);

  // What the daemon does: prepare, make durable, commit.
  absl::Status Try(const core::Command& command);
  // The same, and aborts if it is refused.
  void Do(const core::Command& command);
  // A daemon that was killed and comes back: a new controller on the same
  // tables, with what is on the disk.
  absl::Status Restart();
  // Makes durable what the controller has changed by itself.
  void Persist();

  void Advance(absl::Duration duration);
  // Probes that are due now.
  std::vector<core::ProbeRequest> DueProbes();
  core::ProbeResult ResultOf(core::ProbeOutcome outcome) const;
  // Lets time pass to the next deadline and answers what is due with `outcome`.
  void AnswerNext(core::ProbeOutcome outcome);
  // Until every backend that is checked was probed `times` times or more.
  void AnswerAll(core::ProbeOutcome outcome, int times = 1);
  void Report(const std::string& backend, core::AgentReport::Presence presence,
              uint64_t live_sockets = 0);
  // A whole scan of the flow table, begun and ended now.
  void Scan(const std::vector<core::BackendId>& seen);

  // Of the only service.
  core::BackendView View(const std::string& backend) const;
  core::ServiceView View() const;
  core::BackendId IdOf(const std::string& backend) const;
  uint64_t LineOf(const std::string& backend) const;

  // What probes find from now on.
  std::optional<int> certificate_days;

  FakeDatapath& tables() { return tables_; }
  core::Controller& controller() { return *controller_; }
  const core::Controller& controller() const { return *controller_; }
  base::MonoTime now() const { return now_; }
  absl::Time wall() const { return wall_; }
  const core::DesiredState& disk() const { return disk_; }

 private:
  FakeDatapath tables_;
  std::function<double()> random_;
  std::unique_ptr<core::Controller> controller_;
  core::DesiredState disk_;
  base::MonoTime now_ = base::MonoTime::FromNanoseconds(1'000'000'000);
  absl::Time wall_ = absl::FromUnixSeconds(1'800'000'000);
  uint64_t scan_ = 0;
};

// Few rows and no agents.
core::ServiceSettings SmallSettings();
// A service "web" with backends web1, web2, ... that nothing is known of yet.
void AddWeb(CoreWorld& world, int backends,
            const core::ServiceSettings& settings = SmallSettings());
// The same, and all checks and agents have answered.
void AddHealthyWeb(CoreWorld& world, int backends,
                   const core::ServiceSettings& settings = SmallSettings());

// Each answers what is wrong, or nothing.

// A packet that comes now finds lines in use for all that its row lists, and a
// tombstone or rows of its own for its VIP.
std::string ComplainOfTables(const FakeDatapath& tables);
// The same after one more write, looking only where it was.
std::string ComplainOfWrite(const FakeDatapath& tables,
                            const FakeDatapath::Write& write);
// The tables hold exactly what is desired: to be so when nothing is pending.
std::string ComplainOfDifference(const FakeDatapath& tables,
                                 const core::Controller& controller);

}  // namespace fairlead::testing
