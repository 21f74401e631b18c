// rtnetlink messages: builds requests and takes answers and notifications
// apart. Pure: bytes in, bytes out; whoever owns the socket sends and receives.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ip_address.h"

namespace fairlead::datapath {

// Multicast groups (sockaddr_nl.nl_groups) whose notifications may change a
// next hop: links, neighbours, addresses and routes of both families.
uint32_t NextHopGroups();

// --- requests; `sequence` comes back in the answers ---

// How would a packet to `destination` leave? Answer: one Route, or an error.
std::vector<uint8_t> RouteRequest(const base::IpAddress& destination,
                                  uint32_t sequence);
// Answers: messages of that kind, then DumpDone. One dump at a time per socket.
std::vector<uint8_t> NeighbourDumpRequest(uint32_t sequence);
std::vector<uint8_t> LinkDumpRequest(uint32_t sequence);
std::vector<uint8_t> AddressDumpRequest(uint32_t sequence);
// Has the kernel find or check the neighbour's MAC, as if it had a packet for
// it. Answer: an acknowledgement (NetlinkError with code 0); what the kernel
// finds is told by Neighbour notifications.
std::vector<uint8_t> ResolveRequest(uint32_t interface,
                                    const base::IpAddress& address,
                                    uint32_t sequence);

// The same on a generic netlink socket. Answer: one GenericFamily, or an error:
// the kernel has none of that name.
inline constexpr char kNetdevFamily[] = "netdev";  // since Linux 6.3
std::vector<uint8_t> FamilyRequest(const char* name, uint32_t sequence);
// Answers: XdpAbility messages, then DumpDone. `family`: that of kNetdevFamily.
std::vector<uint8_t> XdpAbilityDumpRequest(uint16_t family, uint32_t sequence);

// --- answers and notifications ---

enum class RouteKind : uint8_t {
  kUnicast,
  kLocal,  // an address of this host
  kOther,  // broadcast, multicast, blackhole, ...
};

struct Route {
  RouteKind kind = RouteKind::kUnicast;
  base::IpAddress destination;
  uint32_t interface = 0;
  std::optional<base::IpAddress> gateway;  // none: the destination is on-link
  std::optional<base::IpAddress> source;
  uint32_t mtu = 0;  // of the route or learned for the path; 0: the interface's

  friend bool operator==(const Route&, const Route&) = default;
};

struct Neighbour {
  uint32_t interface = 0;
  base::IpAddress address;
  std::optional<std::array<uint8_t, 6>> mac;
  uint16_t state = 0;  // NUD_*

  friend bool operator==(const Neighbour&, const Neighbour&) = default;
};

// Of a VLAN's link.
struct VlanLink {
  uint32_t on = 0;  // interface; 0: it is in another network namespace
  uint16_t id = 0;
  bool is_8021q = true;  // else 802.1ad

  friend bool operator==(const VlanLink&, const VlanLink&) = default;
};

struct Link {
  uint32_t interface = 0;
  std::string name;
  std::string kind;  // "veth", "vlan"; empty: the driver of a device
  std::optional<VlanLink> vlan;
  std::optional<std::array<uint8_t, 6>> mac;  // none: not Ethernet
  uint32_t mtu = 0;
  bool up = false;

  friend bool operator==(const Link&, const Link&) = default;
};

struct Address {
  uint32_t interface = 0;
  base::IpAddress address;

  friend bool operator==(const Address&, const Address&) = default;
};

struct GenericFamily {
  uint16_t id = 0;
};

// What an interface's driver can do.
struct XdpAbility {
  uint32_t interface = 0;
  bool takes_redirects = false;  // frames of XDP on other interfaces
};

// Of T: it is no more. Only what identifies it is meaningful.
template <typename T>
struct Gone {
  T what;
};

// A request failed; or, with code 0, was done.
struct NetlinkError {
  int code = 0;  // a positive errno
};

struct DumpDone {};

struct NetlinkMessage {
  uint32_t sequence = 0;
  // Of the socket that asked. A notification carries the sequence and port of
  // whoever caused it, so both must match for an answer to be one's own.
  uint32_t port = 0;
  // Of a dump: the tables changed meanwhile. Ask again when it is done.
  bool interrupted = false;
  std::variant<Route, Neighbour, Link, Address, Gone<Route>, Gone<Neighbour>,
               Gone<Link>, Gone<Address>, GenericFamily, XdpAbility,
               NetlinkError, DumpDone>
      body;
};

// All messages of one received datagram; kinds and families that mean nothing
// here are left out. An error if it is not netlink: cut short or lying about
// its lengths. Requires: `datagram` is aligned for a uint32_t.
absl::StatusOr<std::vector<NetlinkMessage>> ParseNetlink(
    std::span<const uint8_t> datagram);
// The same of generic netlink; `family`: that of kNetdevFamily, 0 until it is
// known.
absl::StatusOr<std::vector<NetlinkMessage>> ParseGenericNetlink(
    std::span<const uint8_t> datagram, uint16_t family);

}  // namespace fairlead::datapath
