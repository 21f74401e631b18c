// The agent's pinned tables as values: what they should hold for the documents
// of all LB hosts, and the ordered writes from what they hold to that.
//
// Pure: no I/O. agent_maps.h reads and writes the real ones.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/status/statusor.h"
#include "agent/peer_document.h"
#include "base/ip_address.h"

namespace fairlead::agent {

using MacAddress = std::array<uint8_t, 6>;

// LB hosts number backends each for itself.
struct PeerKey {
  uint16_t lb_id = 0;
  uint16_t backend = 0;

  friend auto operator<=>(const PeerKey&, const PeerKey&) = default;
};

// How a packet reaches an address from here.
struct NextHopLine {
  MacAddress destination_mac = {};
  MacAddress source_mac = {};
  uint32_t egress = 0;
  std::optional<uint16_t> vlan;

  friend bool operator==(const NextHopLine&, const NextHopLine&) = default;
};

struct PeerLine {
  base::IpAddress address;
  bool self = false;
  std::optional<NextHopLine> next_hop;

  friend bool operator==(const PeerLine&, const PeerLine&) = default;
};

// A service, and how its flows fall into rows.
struct VipLine {
  uint32_t index = 0;  // into fl_sockets
  uint32_t rows = 1;   // a power of two
  bool by_source = false;
  bool disputed = false;  // LB hosts differ about its table
  bool plain = false;     // an LB host sends its packets without a hop list

  friend bool operator==(const VipLine&, const VipLine&) = default;
};

enum class SourceKind : uint8_t { kLb, kBackend };

struct Tables {
  absl::btree_map<base::Endpoint, VipLine> vips;
  absl::btree_map<PeerKey, PeerLine> peers;
  absl::btree_map<base::IpAddress, SourceKind> sources;

  friend bool operator==(const Tables&, const Tables&) = default;
};

using Documents = absl::btree_map<uint16_t, PeerDocument>;  // by LB id
using NextHops = absl::btree_map<base::IpAddress, NextHopLine>;

// Who this host is and whom it listens to, from its config.
struct Identity {
  absl::btree_set<base::IpAddress> own_addresses;
  std::vector<base::IpAddress> lbs;
};

struct Wanted {
  const Documents& documents;
  const Identity& identity;
  const NextHops& next_hops;
  // LB hosts whose document is lost while their peers stand in the tables:
  // what they said is kept until they say it again.
  const absl::btree_set<uint16_t>& orphans;
  // LB hosts that have not asked for so long that they cannot be sure of any
  // table: their packets are taken, their word is not.
  const absl::btree_set<uint16_t>& silent;
};

// The LB ids of `tables` without a document.
absl::btree_set<uint16_t> FindOrphans(const Tables& tables,
                                      const Documents& documents);

// What the tables should hold. A VIP that is in `current` keeps its index.
// RESOURCE_EXHAUSTED, with the table and its limit, if it does not fit.
absl::StatusOr<Tables> DesiredTables(const Wanted& wanted,
                                     const Tables& current);

struct PutSource {
  base::IpAddress address;
  SourceKind kind;
};
struct PutPeer {
  PeerKey key;
  PeerLine line;
};
struct PutVip {
  base::Endpoint vip;
  VipLine line;
};
struct RemoveVip {
  base::Endpoint vip;
};
struct RemovePeer {
  PeerKey key;
};
struct RemoveSource {
  base::IpAddress address;
};
using Step = std::variant<PutSource, PutPeer, PutVip, RemoveVip, RemovePeer,
                          RemoveSource>;

// Each write is atomic, and after every prefix of them the tables hold at least
// what `current` and `desired` share. What is new comes first and what leaves
// goes last, unless a table is too full to hold both.
std::vector<Step> PlanSteps(const Tables& current, const Tables& desired);

// The same step on the value.
void ApplyStep(const Step& step, Tables& tables);

}  // namespace fairlead::agent
