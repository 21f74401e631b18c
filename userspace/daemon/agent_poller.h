// AgentPoller: asks every backend's agent for its report once a second, gives
// agents the peer map of this LB host when theirs is another, and tells the
// controller what it heard; flows that this host did not know go into its flow
// table.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "base/ip_address.h"
#include "base/mono_time.h"
#include "control/host.h"
#include "core/controller.h"
#include "daemon/agent_protocol.h"
#include "daemon/flow_sweeper.h"
#include "event/loop.h"
#include "event/sync.h"
#include "event/task.h"
#include "http/message.h"
#include "tier/keys.h"
#include "tier/message_auth.h"

namespace fairlead::daemon {

inline constexpr absl::Duration kAgentPollInterval = absl::Seconds(1);
inline constexpr absl::Duration kAgentTimeout = absl::Seconds(1);
// A million sockets take an agent well under a second to count. Its answer has
// a digit for four rows, and 19 bytes for each flow that was learned.
inline constexpr size_t kMaxAgentReportBytes = size_t{64} << 20;

class AgentPoller {
 public:
  struct Options {
    uint16_t lb_id = 0;
    tier::MacKey mac_key = {};
  };
  // All borrowed. `on_report` is notified after each report.
  AgentPoller(event::Loop& loop, core::Controller& controller,
              FlowSweeper& flows, event::Event& on_report, Options options)
      : loop_(loop),
        controller_(controller),
        flows_(flows),
        on_report_(on_report),
        options_(options),
        kick_(loop) {}

  // Until cancelled.
  event::Task<void> Run();
  // What the agents know of one flow, asked now and all at once.
  event::Task<control::SocketAnswers> AskSockets(
      control::SocketQuestion question);
  // The desired state changed: polls at once, so that agents know new services
  // and backends before their first packet.
  void Kick() { kick_.NotifyAll(); }

 private:
  // The (service, backend) pairs whose agent answers at one endpoint.
  struct User {
    std::string service;
    std::string backend;
    uint64_t recorded = 0;  // flows, when the agent was asked
  };
  using Users = std::vector<User>;

  struct Agent {
    explicit Agent(tier::Caller signer) : caller(std::move(signer)) {}

    tier::Caller caller;
    bool answered = false;         // since this daemon started
    std::optional<uint32_t> tick;  // of the last answer that was used
  };

  event::Task<void> AskSocket(base::Endpoint agent, const control::Flow& flow,
                              std::string& answer);
  event::Task<void> PollOne(base::Endpoint agent, Users users,
                            const PeerMap& peers);
  Agent& AgentAt(const base::Endpoint& endpoint);
  event::Task<absl::StatusOr<AgentState>> Ask(base::Endpoint agent);
  void NoteRecorded(Users& users) const;
  event::Task<absl::Status> Push(base::Endpoint agent, const PeerMap& peers);
  // The body of a signed answer of status 200.
  event::Task<absl::StatusOr<std::string>> Send(base::Endpoint agent,
                                                http::Request request,
                                                tier::Caller& caller);
  void Report(const base::Endpoint& agent, const Users& users,
              const absl::StatusOr<AgentState>& state, bool current,
              base::MonoTime asked_at);
  core::AgentReport MakeReport(const AgentState& state,
                               const core::Service& service, bool current,
                               base::MonoTime asked_at) const;

  event::Loop& loop_;
  core::Controller& controller_;
  FlowSweeper& flows_;
  event::Event& on_report_;
  const Options options_;
  event::Event kick_;
  absl::btree_map<base::Endpoint, std::unique_ptr<Agent>> agents_;
};

}  // namespace fairlead::daemon
