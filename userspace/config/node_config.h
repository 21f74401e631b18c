// The config file of one LB host: interfaces, keys, paths, sizes of the tables
// and who may call the control socket. What is balanced is not in it: that is
// the daemon's own, changed through the API alone.
//
// A pure parse of given text; nothing is opened or looked up.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/ip_address.h"
#include "config/fields.h"

namespace fairlead::config {

inline constexpr absl::string_view kDefaultControlSocket =
    "/run/fairlead/fairleadd.sock";
inline constexpr uint16_t kDefaultGuePort = 6080;
inline constexpr uint16_t kDefaultTierPort = 6083;

struct NodeTables {
  // A power of two of buckets, four slots each.
  uint32_t flow_slots = 1u << 20;
  uint32_t rows = 1u << 20;
  uint32_t backends = 4096;
  uint32_t services = 512;
  uint32_t prefixes = 4096;  // of who may open connections
  // Whose rate is known, in sets of four; a power of two.
  uint32_t sources = 1u << 16;

  // Whose live connections are counted, in sets of eight; a power of two. 0:
  // nobody's.
  uint32_t counted_sources = 0;

  uint32_t conn_sets() const {
    return counted_sources == 0 ? 1 : counted_sources / 8;
  }
  uint32_t rate_sets() const { return sources / 4; }

  uint32_t flow_buckets() const { return flow_slots / 4; }
};

// Groups whose members have a role; empty: nobody by group.
struct NodeAccess {
  std::string viewer_group;
  std::string operator_group;
  std::string admin_group;
};

// How long a flow of each state may be silent before its slot is free.
struct FlowTimeouts {
  absl::Duration established = absl::Seconds(8000);
  absl::Duration closing = absl::Seconds(120);
  absl::Duration young = absl::Seconds(120);
  absl::Duration embryonic = absl::Seconds(64);
};

// The other LB hosts of the tier.
struct NodeTier {
  std::vector<base::Endpoint> peers;
  uint16_t port = kDefaultTierPort;  // of this host, and of peers without one
};

struct NodeConfig {
  std::string name;
  uint16_t id = 0;
  std::vector<std::string> interfaces;
  XdpMode xdp_mode = XdpMode::kNative;
  HostAddresses addresses;  // outer source; one at least
  std::string key_file;
  std::string state_dir = "/var/lib/fairlead";
  std::string socket = std::string(kDefaultControlSocket);
  std::string pin_path = "/sys/fs/bpf/fairlead";
  uint16_t gue_port = kDefaultGuePort;
  NodeTables tables;
  NodeAccess access;
  FlowTimeouts timeouts;
  NodeTier tier;
};

// `file` is named in every problem. `hostname` is the default of the node's
// name. INVALID_ARGUMENT with one problem per line.
absl::StatusOr<NodeConfig> ParseNodeConfig(absl::string_view text,
                                           absl::string_view file,
                                           absl::string_view hostname);

}  // namespace fairlead::config
