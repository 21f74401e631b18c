// What `fairlead-agent check` looks at: the state of this host, gathered
// without changing anything. judge.h says what it means.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ip_address.h"
#include "datapath/xdp_link.h"

namespace fairlead::agent {

struct LocalAddress {
  base::IpAddress address;
  int prefix_length = 0;
  std::string interface;
};

// A setting of net.ipv4.conf, which the kernel reads as the larger of the two.
struct PairSetting {
  int all = 0;
  int interface = 0;
};

struct NextHopFact {
  std::optional<base::IpAddress> gateway;
  std::string interface;
  int weight = 1;
  bool on_link = false;
};

// A default route of the main table.
struct DefaultRoute {
  bool ipv4 = true;
  std::vector<NextHopFact> next_hops;  // one, or several of a multipath route
  uint32_t next_hop_object = 0;        // `nhid`; the others are then not named
  uint32_t metric = 0;
  uint32_t mtu = 0;     // 0: not set
  uint32_t advmss = 0;  // 0: not set
  std::optional<base::IpAddress> source;
};

// A device that takes IP-in-IP packets of any origin.
struct TunnelDevice {
  std::string name;
  bool up = false;
};

struct UdpSocket {
  bool ipv4 = true;
  std::string process;  // "name (pid 12)"; empty: the kernel's own, as of fou
  uint32_t pid = 0;
};

struct TcpListener {
  base::IpAddress address;  // unspecified: any of its family
  bool ipv4 = true;
  uint16_t port = 0;
  bool ipv6_only = false;
};

struct XdpFacts {
  std::optional<datapath::AttachedProgram> attached;
  std::string attached_name;
  std::string attached_tag;
  // The program that our pinned link of this interface holds; 0: none.
  uint32_t linked_program = 0;
  // Of this executable's program.
  std::string own_tag;
};

struct Facts {
  std::string interface;
  bool interface_exists = false;
  bool interface_up = false;
  uint32_t mtu = 0;
  std::vector<LocalAddress> addresses;
  PairSetting arp_ignore;
  PairSetting arp_announce;
  PairSetting rp_filter;
  std::vector<DefaultRoute> default_routes;
  std::vector<TunnelDevice> tunnels;
  std::vector<UdpSocket> gue_sockets;
  std::vector<TcpListener> listeners;
  XdpFacts xdp;
  // There is a unit of the agent that systemd can start.
  bool has_unit = false;
};

struct FactsOptions {
  std::string interface;
  std::string pin_path;
  uint16_t gue_port = 0;
};

absl::StatusOr<Facts> GatherFacts(const FactsOptions& options);

}  // namespace fairlead::agent
