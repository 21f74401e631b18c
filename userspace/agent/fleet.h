// Fleet: what the LB hosts have told this backend, kept in the state folder and
// in the pinned maps.
//
// Each LB host's document stands alone: a VIP is there while one of them lists
// it. What is not said anew after a restart stays as it was found.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/agent_maps.h"
#include "agent/peer_document.h"
#include "agent/tables.h"
#include "base/ip_address.h"
#include "event/loop.h"
#include "event/sync.h"
#include "event/task.h"

namespace fairlead::agent {

// An LB host that has not asked for this long cannot be sure of any table: its
// leases, which need this agent's answers, have ended long before.
inline constexpr absl::Duration kLbSilence = absl::Seconds(30);

struct FleetOptions {
  Identity identity;
  std::string state_folder;
  AgentMapFds maps;
};

class Fleet {
 public:
  Fleet(event::Loop& loop, FleetOptions options);
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  // Reads the maps as found and the stored documents, and brings the maps to
  // the documents. Blocks; gives what an operator should know about it.
  absl::StatusOr<std::vector<std::string>> Adopt();

  // Makes that LB host's part of the maps equal to `document`, durably. On
  // error the part is as before, or, if the maps refuse a write half-way, its
  // digest is empty until the document comes again.
  event::Task<absl::Status> Put(PeerDocument document);

  // That LB host asks, so it is alive. To be called for each question.
  event::Task<absl::Status> Hear(uint16_t lb_id);

  // How packets reach `address` from now on; nothing: they do not.
  absl::Status SetNextHop(const base::IpAddress& address,
                          const std::optional<NextHopLine>& hop);

  // Of all peers but this host.
  std::set<base::IpAddress> PeerAddresses() const;

  // Empty: that LB host has to send its document.
  std::string DigestOf(uint16_t lb_id) const;
  const Documents& documents() const { return documents_; }
  const Tables& tables() const { return tables_; }
  const AgentMaps& maps() const { return maps_; }
  // Held while the tables change.
  event::Mutex& mutex() { return mutex_; }

 private:
  absl::StatusOr<Tables> Desired(const Documents& documents) const;
  absl::Status BringTo(const Tables& desired);
  absl::Status Write(const Step& step);
  void ForgetUnusedHops();
  absl::btree_set<uint16_t> FindSilent() const;

  // Constant after construction.
  event::Loop& loop_;
  const Identity identity_;
  const std::string state_folder_;

  AgentMaps maps_;
  event::Mutex mutex_;
  Documents documents_;
  // What the maps hold.
  Tables tables_;
  NextHops next_hops_;
  // Found in the maps and not yet confirmed since this process runs.
  absl::btree_set<base::IpAddress> inherited_hops_;
  // When LB hosts with a document asked last.
  absl::btree_map<uint16_t, base::MonoTime> heard_;
  // Those that were silent when the maps were written last.
  absl::btree_set<uint16_t> silent_;
  // LB hosts whose last document is not wholly in the maps.
  absl::btree_set<uint16_t> incomplete_;
};

}  // namespace fairlead::agent
