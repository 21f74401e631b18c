// AgentView: what a backend's agent has said, and what can be concluded from
// its silence. An agent that was there and is silent is lost, not absent: its
// XDP program goes on without it. One that had this host's peer map and is
// about to get a newer one goes on with the old one, unless it was booted anew.
#pragma once

#include <optional>
#include <string>

#include "core/model.h"

namespace fairlead::core {

class AgentView {
 public:
  AgentView() = default;  // kUnknown

  // Before the first report: what the tables told at adoption.
  void AssumeLost();
  void AssumeAbsent();
  // Another port is asked from now on; it was working until now.
  void AskElsewhere();
  // kUnknown says nothing.
  void OnReport(const AgentReport& report);

  const AgentReport& report() const { return report_; }
  // As far as new flows are concerned: kStale only while it has no map at all.
  AgentReport::Presence presence() const;

 private:
  AgentReport report_;
  bool has_map_ = false;                    // of ours, be it an older one
  std::optional<std::string> map_boot_id_;  // nullopt: of the next that answers
};

}  // namespace fairlead::core
