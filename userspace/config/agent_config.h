// The config file of fairlead-agent on one backend.
//
// A pure parse of given text; nothing is opened or looked up.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ip_address.h"
#include "config/fields.h"

namespace fairlead::config {

struct AgentConfig {
  std::string interface;
  HostAddresses addresses;  // outer destination; one at least
  std::vector<base::Endpoint> listen;
  // The LB hosts that may encapsulate to us and call us.
  std::vector<base::IpAddress> lbs;
  // The tier's secret, the same file as on the LB hosts.
  std::string key_file;
  XdpMode xdp_mode = XdpMode::kNative;
  std::string pin_path = "/sys/fs/bpf/fairlead-agent";
  std::string state_dir = "/var/lib/fairlead-agent";
  uint16_t gue_port = 6080;
};

// `file` is named in every problem. INVALID_ARGUMENT with one problem per line.
absl::StatusOr<AgentConfig> ParseAgentConfig(absl::string_view text,
                                             absl::string_view file);

}  // namespace fairlead::config
