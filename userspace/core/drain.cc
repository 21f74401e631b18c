#include "core/drain.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/ownership.h"

namespace fairlead::core {

void DrainWatch::Begin(base::MonoTime now) {
  if (begun_) return;
  *this = DrainWatch();
  begun_ = now;
}

void DrainWatch::End() { *this = DrainWatch(); }

void DrainWatch::OnReport(const AgentReport& report) {
  if (!begun_) return;
  if (report.presence != AgentReport::Presence::kPresent) {
    empty_.reset();
    return;
  }
  if (report.live_sockets > 0) {
    empty_.reset();
    drained_ = false;
    return;
  }
  if (report.begun <= *begun_ + OfferWindow(report, *begun_)) return;
  const bool follows = empty_ && empty_->boot_id == report.boot_id;
  if (follows && empty_->number != report.scan) drained_ = true;
  empty_ = Scan{report.scan, report.boot_id};
}

Connections CountConnections(const AgentReport& agent, const LoadReport& load) {
  if (agent.presence == AgentReport::Presence::kPresent)
    return {.count = agent.live_sockets, .by_agent = true};
  return {.count = load.live + load.pending, .by_agent = false};
}

std::string DrainText(const std::optional<DrainRecord>& record,
                      const Connections& now) {
  if (!now.by_agent && now.count == 0) return "draining, no flows seen here";
  if (!record || record->connections_at_start == 0) return "draining";
  const uint64_t start = record->connections_at_start;
  const uint64_t gone = start - std::min(start, now.count);
  // Rounded down: 100 only when nothing is left.
  return absl::StrCat("draining ",
                      static_cast<uint64_t>(static_cast<double>(gone) * 100.0 /
                                            static_cast<double>(start)),
                      "%");
}

}  // namespace fairlead::core
