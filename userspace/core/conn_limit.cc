#include "core/conn_limit.h"

#include <algorithm>

#include "core/tier_share.h"

namespace fairlead::core {
namespace {

// Of a share of so few flows, nothing is concluded.
constexpr uint64_t kFew = 16;
// An agent's scan that is older says nothing of the last walk's flows.
constexpr absl::Duration kScanAge = absl::Seconds(2);
constexpr size_t kSamples = 16;

uint64_t Less(uint64_t a, uint64_t b) { return a - std::min(a, b); }

uint64_t Confirmed(const AgentReport& report) {
  return Less(report.live_sockets, report.handshakes);
}

}  // namespace

void ConnLimit::OnFlows(const FlowCounts& counts, const LoadReport& load,
                        const AgentReport& agent, base::MonoTime now) {
  settled_ = counts.settled;
  AddSample(load.begun, now);
  if (agent.presence == AgentReport::Presence::kPresent) return;
  has_counted_ = true;
  counted_all_ = agent.scan != 0;
  // What an agent that is silent now has counted elsewhere is the best that is
  // known.
  confirmed_ = counts.confirmed + Less(Confirmed(agent), agent.recorded);
  reference_ = counts.begun;
  fresh_ = counts.fresh;
  real_ = counts.confirmed;
  judged_ = counts.confirmed + counts.unconfirmed;
}

void ConnLimit::OnAgent(const AgentReport& report, const LoadReport& load,
                        base::MonoTime now) {
  AddSample(load.begun, now);
  has_counted_ = true;
  counted_all_ = true;
  confirmed_ = Confirmed(report);
  reference_ = BegunBy(report.begun);
  fresh_ = 0;
  real_ = confirmed_;
  judged_ = now - report.begun <= kScanAge ? std::max(confirmed_, settled_)
                                           : confirmed_;
}

uint64_t ConnLimit::Bound(uint64_t max_conn, size_t lb_hosts) const {
  const uint64_t room = counted_all_
                            ? ShareOf(Less(max_conn, confirmed_), lb_hosts)
                            : Less(ShareOf(max_conn, lb_hosts), confirmed_);
  const uint64_t flows = room * (judged_ + kFew) / (real_ + kFew);
  return reference_ + Less(flows, fresh_);
}

uint64_t ConnLimit::Estimate(uint64_t begun) const {
  const uint64_t since = Less(begun, reference_) + fresh_;
  return confirmed_ + since * (real_ + kFew) / (judged_ + kFew);
}

uint64_t ConnLimit::BegunBy(base::MonoTime when) const {
  const auto later =
      std::find_if(samples_.begin(), samples_.end(),
                   [&](const Sample& sample) { return sample.at > when; });
  // There is one at least, and the first is the best there is.
  return later == samples_.begin() ? samples_.front().begun
                                   : std::prev(later)->begun;
}

void ConnLimit::AddSample(uint64_t begun, base::MonoTime now) {
  samples_.push_back({.at = now, .begun = begun});
  if (samples_.size() > kSamples) samples_.pop_front();
}

}  // namespace fairlead::core
