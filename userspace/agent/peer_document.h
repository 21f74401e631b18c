// What one LB host tells this backend: its services and its numbering of the
// backends. Received as JSON, kept as the same JSON in the state folder.
//
// Pure: no I/O.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ip_address.h"
#include "core/model.h"

namespace fairlead::agent {

inline constexpr size_t kMaxDigestLength = 128;
// Ids have 16 bits and 0 is none.
inline constexpr size_t kMaxPeersPerDocument = 65535;

struct Peer {
  uint16_t id = 0;
  base::IpAddress address;

  friend auto operator<=>(const Peer&, const Peer&) = default;
};

// A service, and how its flows fall into rows.
struct PeerVip {
  base::Endpoint vip;
  core::Policy policy = core::Policy::kHash;
  uint32_t rows = 0;  // a power of two
  bool hop_lists = true;
  std::string table;  // digest: LB hosts whose tables agree have the same

  friend bool operator==(const PeerVip&, const PeerVip&) = default;
};

struct PeerDocument {
  uint16_t lb_id = 0;
  // Of the LB host's choice; handed back to it as proof of what is in force.
  std::string digest;
  // Both sorted; no VIP and no id twice.
  std::vector<PeerVip> vips;
  std::vector<Peer> peers;

  friend bool operator==(const PeerDocument&, const PeerDocument&) = default;
};

// INVALID_ARGUMENT with the field and its value; RESOURCE_EXHAUSTED past a
// limit. Strict: unknown, repeated and missing fields are errors.
absl::StatusOr<PeerDocument> ParsePeerDocument(absl::string_view json);

// What ParsePeerDocument() reads.
std::string SerializePeerDocument(const PeerDocument& document);

}  // namespace fairlead::agent
