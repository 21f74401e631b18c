// What the daemon and the agents say to each other over HTTP, as values and as
// JSON (docs/WIRE.md). Pure.
#pragma once

#include <cstdint>
#include <string>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/ip_address.h"
#include "core/model.h"

namespace fairlead::daemon {

// GET /v1/state
struct AgentState {
  std::string boot_id;
  uint64_t scan = 0;
  absl::Duration scan_begun_age;
  std::string peer_map_digest;  // of what this LB host pushed; empty: nothing
  absl::btree_map<std::string, uint64_t> live_sockets;  // by "ADDRESS:PORT"
};

// INVALID_ARGUMENT naming the field if a known one is missing or of the wrong
// type. Unknown fields are ignored: a newer agent may say more.
absl::StatusOr<AgentState> DecodeAgentState(absl::string_view json);

// PUT /v1/peers
struct PeerMap {
  std::string digest;
  std::string json;
};

// Everything that the agents of this LB host's backends must know.
PeerMap EncodePeerMap(const core::DesiredState& desired, uint16_t lb_id);

}  // namespace fairlead::daemon
