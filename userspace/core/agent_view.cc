#include "core/agent_view.h"

namespace fairlead::core {

using Presence = AgentReport::Presence;

void AgentView::AssumeLost() {
  report_.presence = Presence::kLost;
  has_map_ = true;
}

void AgentView::AssumeAbsent() { report_.presence = Presence::kAbsent; }

void AgentView::AskElsewhere() {
  if (report_.presence == Presence::kPresent)
    report_.presence = Presence::kLost;
}

void AgentView::OnReport(const AgentReport& report) {
  if (report.presence == Presence::kUnknown) return;
  const bool answers = report.presence == Presence::kPresent ||
                       report.presence == Presence::kStale;
  const bool was_there = report_.presence != Presence::kUnknown &&
                         report_.presence != Presence::kAbsent;
  if (!answers && was_there) {
    // What it said last stays the best that is known.
    report_.presence = Presence::kLost;
    return;
  }
  report_ = report;
  if (report.presence == Presence::kPresent) {
    has_map_ = true;
    map_boot_id_ = report.boot_id;
  } else if (report.presence == Presence::kStale) {
    if (!map_boot_id_) map_boot_id_ = report.boot_id;
    if (*map_boot_id_ != report.boot_id) has_map_ = false;
  }
}

Presence AgentView::presence() const {
  if (report_.presence == Presence::kStale && has_map_)
    return Presence::kPresent;
  return report_.presence;
}

}  // namespace fairlead::core
