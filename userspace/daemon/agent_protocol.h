// What the daemon and the agents say to each other over HTTP, as values and as
// JSON (docs/WIRE.md). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/ip_address.h"
#include "core/model.h"
#include "core/row_set.h"

namespace fairlead::daemon {

// What an agent says of one service on its host.
struct AgentService {
  uint64_t live_sockets = 0;
  uint64_t handshakes = 0;  // of them; older agents say none
  bool by_source = false;   // rows are taken from the client's address
  core::RowSet owned;
};

// GET /v1/state
struct AgentState {
  bool draining = false;
  bool hot = false;
  std::string boot_id;
  uint64_t scan = 0;
  absl::Duration scan_begun_age;
  std::string peer_map_digest;  // of what this LB host pushed; empty: nothing
  std::optional<absl::Duration> previous_scan_begun_age;
  std::optional<absl::Duration> syn_cookie_age;
  uint32_t tick = 0;  // the packet path's clock there
  absl::btree_map<std::string, AgentService> services;  // by "ADDRESS:PORT"
  // Hashes of flows that this LB host did not know where to find, by
  // "ADDRESS:PORT".
  absl::btree_map<std::string, std::vector<uint64_t>> learned;
};

// INVALID_ARGUMENT naming the field if a known one is missing or of the wrong
// type. Unknown fields are ignored: a newer agent may say more.
absl::StatusOr<AgentState> DecodeAgentState(absl::string_view json);

// GET /v1/socket: "established", "none". INVALID_ARGUMENT as above.
absl::StatusOr<std::string> DecodeSocketState(absl::string_view json);

// PUT /v1/peers
struct PeerMap {
  std::string digest;
  std::string json;
};

// What LB hosts must agree on: whom they offer flows of which row. Of the VIP,
// the policy, the rows and the backends with their weights; not of health.
std::string TableDigest(const core::Service& service);

// Everything that the agents of this LB host's backends must know.
PeerMap EncodePeerMap(
    const core::DesiredState& desired,
    const absl::btree_map<core::BackendId, base::IpAddress>& peers,
    uint16_t lb_id);

}  // namespace fairlead::daemon
