// AgentPoller: asks every backend's agent for its report once a second, gives
// agents the peer map of this LB host when theirs is another, and tells the
// controller what it heard.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "base/ip_address.h"
#include "base/mono_time.h"
#include "core/controller.h"
#include "daemon/agent_protocol.h"
#include "event/loop.h"
#include "event/sync.h"
#include "event/task.h"
#include "http/message.h"

namespace fairlead::daemon {

inline constexpr absl::Duration kAgentPollInterval = absl::Seconds(1);
inline constexpr absl::Duration kAgentTimeout = absl::Seconds(1);
// A million sockets take an agent well under a second to count; its answer is
// small.
inline constexpr size_t kMaxAgentReportBytes = 1024 * 1024;

class AgentPoller {
 public:
  // All borrowed. `on_report` is notified after each report.
  AgentPoller(event::Loop& loop, core::Controller& controller, uint16_t lb_id,
              event::Event& on_report)
      : loop_(loop),
        controller_(controller),
        lb_id_(lb_id),
        on_report_(on_report),
        kick_(loop) {}

  // Until cancelled.
  event::Task<void> Run();
  // The desired state changed: polls at once, so that agents know new services
  // and backends before their first packet.
  void Kick() { kick_.NotifyAll(); }

 private:
  // The (service, backend) pairs whose agent answers at one endpoint.
  using Users = std::vector<std::pair<std::string, std::string>>;

  event::Task<void> PollOne(base::Endpoint agent, Users users,
                            const PeerMap& peers);
  event::Task<absl::StatusOr<AgentState>> Ask(base::Endpoint agent);
  event::Task<absl::Status> Push(base::Endpoint agent, const PeerMap& peers);
  // The body of an answer of status 200.
  event::Task<absl::StatusOr<std::string>> Send(base::Endpoint agent,
                                                http::Request request);
  void Report(const base::Endpoint& agent, const Users& users,
              const absl::StatusOr<AgentState>& state, bool current,
              base::MonoTime asked_at);

  event::Loop& loop_;
  core::Controller& controller_;
  const uint16_t lb_id_;
  event::Event& on_report_;
  event::Event kick_;
  // Agents that have answered since this daemon started.
  absl::btree_map<base::Endpoint, bool> answered_;
};

}  // namespace fairlead::daemon
