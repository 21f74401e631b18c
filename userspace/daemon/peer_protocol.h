// What LB hosts of a tier tell each other: GET /v1/tables, as docs/WIRE.md
// says. Pure text.
#pragma once

#include <cstdint>
#include <string>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ip_address.h"
#include "core/model.h"

namespace fairlead::daemon {

struct PeerTables {
  std::string node;
  uint16_t lb_id = 0;
  // VIP -> TableDigest(), of every service.
  absl::btree_map<std::string, std::string> digests;
  // VIP -> whom rows there list among the candidates only for want of another
  // place; of services that have such rows.
  absl::btree_map<std::string, absl::btree_set<base::IpAddress>> stuck = {};

  friend bool operator==(const PeerTables&, const PeerTables&) = default;
};

PeerTables TablesOf(const core::DesiredState& desired, absl::string_view node,
                    uint16_t lb_id);
std::string EncodeTables(const PeerTables& tables);
// INVALID_ARGUMENT naming the field. Unknown fields are ignored: a newer host
// may say more.
absl::StatusOr<PeerTables> DecodeTables(absl::string_view json);

}  // namespace fairlead::daemon
