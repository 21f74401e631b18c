// How packets for an outer address leave this host, from what the kernel says
// about routes, neighbours and links. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "absl/container/btree_map.h"
#include "base/ip_address.h"
#include "core/model.h"
#include "datapath/netlink.h"

namespace fairlead::datapath {

struct NeighbourKey {
  uint32_t interface = 0;
  base::IpAddress address;

  friend auto operator<=>(const NeighbourKey&, const NeighbourKey&) = default;
};

// The kernel's neighbours and links, as told by netlink so far.
struct NetworkView {
  absl::btree_map<NeighbourKey, Neighbour> neighbours;
  absl::btree_map<uint32_t, Link> links;  // by interface
  // Of those whose driver is known: does it take frames of XDP on others?
  absl::btree_map<uint32_t, bool> takes_redirects;
  // Interfaces that packets come by, in native mode. If a next hop is not
  // behind the only one, packets are redirected to it.
  std::set<uint32_t> ingress;

  // True when `message` changed the view. A link that goes takes its neighbours
  // along.
  bool Apply(const NetlinkMessage& message);
};

struct NextHopAnswer {
  std::optional<core::NextHop> next_hop;
  // Why there is none, for people.
  std::string reason;
  // The neighbour that packets go to first, if the route names one. The kernel
  // should be asked to resolve it (ResolveRequest) when there is no next hop,
  // and from time to time also when there is: the packet path does not tell the
  // kernel that the neighbour is in use.
  std::optional<NeighbourKey> neighbour;
};

// `route`: the answer to RouteRequest(destination), nothing if that was an
// error.
NextHopAnswer FindNextHop(const base::IpAddress& destination,
                          const std::optional<Route>& route,
                          const NetworkView& view);

}  // namespace fairlead::datapath
