// TierWatch: whether this host may say SETTLED. It asks the other LB hosts that
// the node config names for the digests of their tables, answers their
// questions, and holds a lease in shared memory for each service that nobody
// who is alive has another table for, and whose owners this host knows all.
//
// A lease ends by itself: no daemon, no SETTLED. One that is lost ends at once.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "base/ip_address.h"
#include "base/mono_time.h"
#include "control/host.h"
#include "core/controller.h"
#include "daemon/peer_protocol.h"
#include "datapath/shared_tables.h"
#include "event/loop.h"
#include "event/sync.h"
#include "event/task.h"
#include "http/message.h"
#include "tier/message_auth.h"

namespace fairlead::daemon {

inline constexpr absl::Duration kTierInterval = absl::Seconds(1);
inline constexpr absl::Duration kTierTimeout = absl::Milliseconds(800);
inline constexpr absl::Duration kLease = absl::Seconds(3);
// A peer that has not answered for this long is not alive; its own leases have
// ended if its daemon is gone.
inline constexpr absl::Duration kPeerSilence = absl::Seconds(3);
inline constexpr size_t kMaxTablesBytes = 1 << 20;

class TierWatch {
 public:
  struct Options {
    std::string node;
    uint16_t lb_id = 0;
    tier::MacKey mac_key = {};
    std::vector<base::Endpoint> peers;
  };
  // All borrowed.
  TierWatch(event::Loop& loop, core::Controller& controller,
            datapath::SharedTables& tables, Options options);

  // Until cancelled.
  event::Task<void> Run();
  // GET /v1/tables of another LB host.
  event::Task<http::Response> Handle(http::Request request);
  // The desired state has changed.
  void Recheck() { RenewLeases(); }

  // Why packets of the service do not say SETTLED; empty: they do.
  std::string WhyUnsettled(const core::Service& service) const;
  std::vector<control::PeerStatus> Peers() const;
  std::vector<std::string> Alarms() const;

 private:
  enum class State { kUnasked, kAnswers, kSilent, kForeign };
  struct Peer {
    Peer(const base::Endpoint& where, tier::Caller signer)
        : endpoint(where), caller(std::move(signer)) {}

    base::Endpoint endpoint;
    tier::Caller caller;
    State state = State::kUnasked;
    std::string problem;  // of the last question, if it was in vain
    base::MonoTime answered_at;
    PeerTables tables;  // of the last answer
  };

  event::Task<void> Ask(Peer& peer);
  event::Task<absl::StatusOr<std::string>> Fetch(Peer& peer);
  void OnAnswer(Peer& peer, const absl::StatusOr<std::string>& body);
  // Of the desired state as it is; made anew for each generation only.
  const std::string& DigestOf(const core::Service& service) const;
  bool Differs(const Peer& peer, const core::Service& service) const;
  std::string NameOf(const Peer& peer) const;
  // This one and those that answer.
  size_t LiveHosts() const;
  // Tells the controller which services other hosts have another table of.
  void NoteOtherTables();
  void RenewLeases();

  event::Loop& loop_;
  core::Controller& controller_;
  datapath::SharedTables& tables_;
  const Options options_;
  tier::Guard guard_;
  std::vector<std::unique_ptr<Peer>> peers_;
  mutable uint64_t digests_generation_ = 0;
  mutable absl::btree_map<core::ServiceId, std::string> digests_;
};

}  // namespace fairlead::daemon
