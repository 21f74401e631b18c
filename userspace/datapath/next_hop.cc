#include "datapath/next_hop.h"

#include <linux/neighbour.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace fairlead::datapath {
namespace {

// States in which the kernel itself would send to the neighbour.
constexpr uint16_t kUsable = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE |
                             NUD_PERMANENT | NUD_NOARP;

template <typename Map, typename Key, typename Value>
bool Put(Map& map, const Key& key, const Value& value) {
  const auto [at, inserted] = map.try_emplace(key, value);
  if (inserted) return true;
  if (at->second == value) return false;
  at->second = value;
  return true;
}

struct ApplyToView {
  NetworkView& view;

  bool operator()(const Neighbour& n) const {
    return Put(view.neighbours, NeighbourKey{n.interface, n.address}, n);
  }
  bool operator()(const Gone<Neighbour>& gone) const {
    return view.neighbours.erase(
               NeighbourKey{gone.what.interface, gone.what.address}) > 0;
  }
  bool operator()(const Link& link) const {
    return Put(view.links, link.interface, link);
  }
  bool operator()(const XdpAbility& ability) const {
    return Put(view.takes_redirects, ability.interface,
               ability.takes_redirects);
  }
  bool operator()(const Gone<Link>& gone) const {
    view.takes_redirects.erase(gone.what.interface);
    auto& neighbours = view.neighbours;
    const auto first =
        neighbours.lower_bound(NeighbourKey{gone.what.interface, {}});
    auto last = first;
    while (last != neighbours.end() &&
           last->first.interface == gone.what.interface) {
      ++last;
    }
    neighbours.erase(first, last);
    return view.links.erase(gone.what.interface) > 0;
  }
  template <typename Other>
  bool operator()(const Other&) const {
    return false;
  }
};

std::string NeighbourProblem(const NeighbourKey& key, const Neighbour* found,
                             absl::string_view interface) {
  const std::string who =
      absl::StrCat("neighbour ", key.address.ToString(), " on ", interface);
  if (found == nullptr || found->state == NUD_NONE ||
      (found->state & NUD_INCOMPLETE) != 0) {
    return absl::StrCat(who, " is not resolved yet");
  }
  if ((found->state & NUD_FAILED) != 0) {
    return absl::StrCat(who, " does not answer");
  }
  return absl::StrCat(who, " has no MAC address");
}

std::string RouteProblem(const base::IpAddress& destination,
                         const std::optional<Route>& route) {
  if (route && route->kind == RouteKind::kLocal) {
    return absl::StrCat(destination.ToString(), " is an address of this host");
  }
  return absl::StrCat("no route to ", destination.ToString());
}

// How frames leave by a link: itself, or what a VLAN is on.
struct Way {
  const Link* egress = nullptr;
  std::string problem;  // why they cannot, if they cannot
};

bool IsUsable(const Link& link) { return link.up && link.mac.has_value(); }

std::string LinkProblem(const Link& link) {
  return absl::StrCat(link.name, ", which is ",
                      link.up ? "no Ethernet interface" : "down");
}

Way FindWay(const Link& link, const NetworkView& view) {
  if (!IsUsable(link)) return {.problem = LinkProblem(link)};
  if (!link.vlan) return {.egress = &link};
  if (!link.vlan->is_8021q) {
    return {.problem = absl::StrCat(link.name, ", a VLAN of 802.1ad; only ",
                                    "those of 802.1Q are served")};
  }
  const auto on = view.links.find(link.vlan->on);
  if (on == view.links.end()) {
    return {.problem = absl::StrCat(link.name, ", a VLAN on an interface of ",
                                    "another network namespace")};
  }
  const Link& egress = on->second;
  if (!IsUsable(egress)) {
    return {.problem =
                absl::StrCat(link.name, ", a VLAN on ", LinkProblem(egress))};
  }
  if (egress.vlan) {
    return {.problem =
                absl::StrCat(link.name, ", a VLAN in the VLAN ", egress.name,
                             "; frames get one tag at most")};
  }
  return {.egress = &egress};
}

// Why packets that come by another interface cannot leave by this one.
std::string RedirectProblem(const Link& egress, const NetworkView& view) {
  if (view.ingress.empty() ||
      view.ingress == std::set<uint32_t>{egress.interface})
    return "";
  const auto takes = view.takes_redirects.find(egress.interface);
  if (takes == view.takes_redirects.end() || takes->second) return "";
  return absl::StrCat(
      egress.name, ", which takes no packets that XDP redirects to it: ",
      egress.kind == "veth"
          ? "attach an XDP program to the other end of the pair, or turn its "
            "gro on"
          : "put the backend behind another one, or set xdp_mode = "
            "\"generic\"");
}

// A tag is no part of an IP packet.
uint16_t PathMtu(const Route& route, const Link& link, const Link& egress) {
  uint32_t mtu = std::min(link.mtu, egress.mtu);
  if (route.mtu != 0) mtu = std::min(mtu, route.mtu);
  return static_cast<uint16_t>(std::min<uint32_t>(mtu, UINT16_MAX));
}

}  // namespace

bool NetworkView::Apply(const NetlinkMessage& message) {
  return std::visit(ApplyToView{*this}, message.body);
}

NextHopAnswer FindNextHop(const base::IpAddress& destination,
                          const std::optional<Route>& route,
                          const NetworkView& view) {
  NextHopAnswer answer;
  if (!route || route->kind != RouteKind::kUnicast) {
    answer.reason = RouteProblem(destination, route);
    return answer;
  }
  const auto link = view.links.find(route->interface);
  if (link == view.links.end()) {
    answer.reason = absl::StrCat("route to ", destination.ToString(),
                                 " by unknown interface ", route->interface);
    return answer;
  }
  const Link& device = link->second;
  Way way = FindWay(device, view);
  if (way.egress != nullptr) way.problem = RedirectProblem(*way.egress, view);
  if (!way.problem.empty()) {
    answer.reason =
        absl::StrCat("route to ", destination.ToString(), " by ", way.problem);
    return answer;
  }
  answer.neighbour =
      NeighbourKey{route->interface, route->gateway.value_or(destination)};
  const auto found = view.neighbours.find(*answer.neighbour);
  const Neighbour* neighbour =
      found == view.neighbours.end() ? nullptr : &found->second;
  if (neighbour == nullptr || (neighbour->state & kUsable) == 0 ||
      !neighbour->mac) {
    answer.reason = NeighbourProblem(*answer.neighbour, neighbour, device.name);
    return answer;
  }
  core::NextHop hop;
  hop.interface = way.egress->interface;
  hop.interface_name = device.name;
  if (device.vlan)
    hop.vlan = core::Vlan{.id = device.vlan->id, .on = way.egress->name};
  std::memcpy(hop.destination_mac, neighbour->mac->data(), 6);
  std::memcpy(hop.source_mac, device.mac->data(), 6);
  hop.path_mtu = PathMtu(*route, device, *way.egress);
  hop.gateway = route->gateway;
  answer.next_hop = hop;
  return answer;
}

}  // namespace fairlead::datapath
