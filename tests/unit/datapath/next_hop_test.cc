#include "datapath/next_hop.h"

#include <linux/neighbour.h>

#include <catch2/catch.hpp>

namespace fairlead::datapath {
namespace {

constexpr std::array<uint8_t, 6> kRouterMac = {2, 0, 0, 0, 0, 1};
constexpr std::array<uint8_t, 6> kOwnMac = {2, 0, 0, 0, 0, 2};

base::IpAddress Ip(const char* text) {
  return base::IpAddress::Parse(text).value();
}

const base::IpAddress kBackend = Ip("198.51.100.7");
const base::IpAddress kRouter = Ip("192.0.2.254");

NetworkView View() {
  NetworkView view;
  view.links[3] = {
      .interface = 3, .name = "eth0", .mac = kOwnMac, .mtu = 1500, .up = true};
  view.neighbours[{3, kRouter}] = {.interface = 3,
                                   .address = kRouter,
                                   .mac = kRouterMac,
                                   .state = NUD_REACHABLE};
  return view;
}

Route ViaRouter() {
  return {.kind = RouteKind::kUnicast,
          .destination = kBackend,
          .interface = 3,
          .gateway = kRouter,
          .source = std::nullopt,
          .mtu = 0};
}

}  // namespace

TEST_CASE("a backend behind a router is reached by the router's MAC",
          "[datapath][next-hop]") {
  const auto answer = FindNextHop(kBackend, ViaRouter(), View());
  REQUIRE(answer.next_hop.has_value());
  CHECK(answer.next_hop->interface == 3);
  CHECK(answer.next_hop->interface_name == "eth0");
  CHECK(answer.next_hop->destination_mac[5] == 1);
  CHECK(answer.next_hop->source_mac[5] == 2);
  CHECK(answer.next_hop->path_mtu == 1500);
  CHECK(answer.next_hop->gateway == kRouter);
  CHECK(answer.reason.empty());
  CHECK(answer.neighbour == NeighbourKey{3, kRouter});
}

TEST_CASE("a backend on the link is reached by its own MAC",
          "[datapath][next-hop]") {
  NetworkView view = View();
  Route route = ViaRouter();
  route.gateway.reset();
  CHECK(FindNextHop(kBackend, route, view).reason ==
        "neighbour 198.51.100.7 on eth0 is not resolved yet");
  view.neighbours[{3, kBackend}] = {.interface = 3,
                                    .address = kBackend,
                                    .mac = kRouterMac,
                                    .state = NUD_PERMANENT};
  const auto next_hop = FindNextHop(kBackend, route, view).next_hop;
  REQUIRE(next_hop.has_value());
  CHECK_FALSE(next_hop->gateway.has_value());
}

TEST_CASE("the path MTU is the lesser of route and interface",
          "[datapath][next-hop]") {
  Route route = ViaRouter();
  route.mtu = 1400;
  CHECK(FindNextHop(kBackend, route, View()).next_hop->path_mtu == 1400);
  route.mtu = 9000;
  CHECK(FindNextHop(kBackend, route, View()).next_hop->path_mtu == 1500);
  NetworkView view = View();
  view.links[3].mtu = 100000;
  route.mtu = 0;
  CHECK(FindNextHop(kBackend, route, view).next_hop->path_mtu == 65535);
}

// eth0.7 is VLAN 7 on eth0, with a MAC and an MTU of its own.
NetworkView VlanView() {
  NetworkView view = View();
  view.links[9] = {.interface = 9,
                   .name = "eth0.7",
                   .kind = "vlan",
                   .vlan = VlanLink{.on = 3, .id = 7},
                   .mac = std::array<uint8_t, 6>{2, 0, 0, 0, 0, 9},
                   .mtu = 1400,
                   .up = true};
  view.neighbours[{9, kRouter}] = {.interface = 9,
                                   .address = kRouter,
                                   .mac = kRouterMac,
                                   .state = NUD_REACHABLE};
  return view;
}

Route ViaVlan() {
  Route route = ViaRouter();
  route.interface = 9;
  return route;
}

TEST_CASE("a VLAN's next hop is sent to by the interface that it is on",
          "[datapath][next-hop]") {
  NetworkView view = VlanView();
  const auto answer = FindNextHop(kBackend, ViaVlan(), view);
  REQUIRE(answer.next_hop.has_value());
  CHECK(answer.next_hop->interface == 3);
  CHECK(answer.next_hop->interface_name == "eth0.7");
  CHECK(answer.next_hop->vlan == core::Vlan{.id = 7, .on = "eth0"});
  CHECK(answer.next_hop->source_mac[5] == 9);
  CHECK(answer.next_hop->destination_mac[5] == 1);
  CHECK(answer.next_hop->path_mtu == 1400);
  // The kernel keeps its neighbours at the VLAN's link.
  CHECK(answer.neighbour == NeighbourKey{9, kRouter});
  // A tag is no part of the packet: both may have the same MTU.
  view.links[9].mtu = 1500;
  CHECK(FindNextHop(kBackend, ViaVlan(), view).next_hop->path_mtu == 1500);
  view.links[3].mtu = 1300;
  CHECK(FindNextHop(kBackend, ViaVlan(), view).next_hop->path_mtu == 1300);
  CHECK_FALSE(
      FindNextHop(kBackend, ViaRouter(), view).next_hop->vlan.has_value());
}

TEST_CASE("a VLAN that frames cannot be sent to is named",
          "[datapath][next-hop]") {
  NetworkView view = VlanView();
  std::string problem;
  SECTION("it is down") {
    view.links[9].up = false;
    problem = "eth0.7, which is down";
  }
  SECTION("what it is on is down") {
    view.links[3].up = false;
    problem = "eth0.7, a VLAN on eth0, which is down";
  }
  SECTION("it is a provider's") {
    view.links[9].vlan->is_8021q = false;
    problem = "eth0.7, a VLAN of 802.1ad; only those of 802.1Q are served";
  }
  SECTION("it is in another one") {
    view.links[3].vlan = VlanLink{.on = 2, .id = 5};
    problem = "eth0.7, a VLAN in the VLAN eth0; frames get one tag at most";
  }
  SECTION("what it is on is elsewhere") {
    view.links[9].vlan->on = 0;
    problem = "eth0.7, a VLAN on an interface of another network namespace";
  }
  const auto answer = FindNextHop(kBackend, ViaVlan(), view);
  CHECK_FALSE(answer.next_hop.has_value());
  CHECK(answer.reason == "route to 198.51.100.7 by " + problem);
}

TEST_CASE(
    "an interface that takes no redirects is no way for packets of others",
    "[datapath][next-hop]") {
  NetworkView view = VlanView();
  const auto reason = [&](const Route& route) {
    return FindNextHop(kBackend, route, view).reason;
  };
  NetlinkMessage told;
  told.body = XdpAbility{.interface = 3, .takes_redirects = false};
  CHECK(view.Apply(told));
  // In generic mode; all packets come by it.
  CHECK(reason(ViaRouter()).empty());
  view.ingress = {3};
  CHECK(reason(ViaRouter()).empty());
  for (const std::set<uint32_t>& ingress :
       {std::set<uint32_t>{5}, std::set<uint32_t>{3, 5}}) {
    view.ingress = ingress;
    view.links[3].kind = "";
    CHECK(reason(ViaRouter()) ==
          "route to 198.51.100.7 by eth0, which takes no packets that XDP "
          "redirects to it: put the backend behind another one, or set "
          "xdp_mode = \"generic\"");
    view.links[3].kind = "veth";
    for (const Route& route : {ViaRouter(), ViaVlan()})
      CHECK(reason(route) ==
            "route to 198.51.100.7 by eth0, which takes no packets that XDP "
            "redirects to it: attach an XDP program to the other end of the "
            "pair, or turn its gro on");
  }
  told.body = XdpAbility{.interface = 3, .takes_redirects = true};
  CHECK(view.Apply(told));
  CHECK(reason(ViaVlan()).empty());
  // Not told, as before Linux 6.3.
  view.takes_redirects.clear();
  CHECK(reason(ViaRouter()).empty());
}

TEST_CASE("a neighbour that the kernel would send to is good enough",
          "[datapath][next-hop]") {
  NetworkView view = View();
  for (const int state :
       {NUD_REACHABLE, NUD_STALE, NUD_DELAY, NUD_PROBE, NUD_PERMANENT}) {
    view.neighbours[{3, kRouter}].state = static_cast<uint16_t>(state);
    CHECK(FindNextHop(kBackend, ViaRouter(), view).next_hop.has_value());
  }
}

TEST_CASE("where there is no next hop, the reason is said",
          "[datapath][next-hop]") {
  NetworkView view = View();
  std::optional<Route> route = ViaRouter();
  std::string reason;
  SECTION("no route") {
    route.reset();
    reason = "no route to 198.51.100.7";
  }
  SECTION("a route that drops") {
    route->kind = RouteKind::kOther;
    reason = "no route to 198.51.100.7";
  }
  SECTION("the host itself") {
    route->kind = RouteKind::kLocal;
    reason = "198.51.100.7 is an address of this host";
  }
  SECTION("an interface that is down") {
    view.links[3].up = false;
    reason = "route to 198.51.100.7 by eth0, which is down";
  }
  SECTION("a tunnel") {
    view.links[3].mac.reset();
    reason = "route to 198.51.100.7 by eth0, which is no Ethernet interface";
  }
  SECTION("an interface that nobody told of") {
    view.links.clear();
    reason = "route to 198.51.100.7 by unknown interface 3";
  }
  SECTION("a silent neighbour") {
    view.neighbours[{3, kRouter}].state = NUD_FAILED;
    view.neighbours[{3, kRouter}].mac.reset();
    reason = "neighbour 192.0.2.254 on eth0 does not answer";
  }
  SECTION("a neighbour that is being asked") {
    view.neighbours[{3, kRouter}].state = NUD_INCOMPLETE;
    reason = "neighbour 192.0.2.254 on eth0 is not resolved yet";
  }
  const auto answer = FindNextHop(kBackend, route, view);
  CHECK_FALSE(answer.next_hop.has_value());
  CHECK(answer.reason == reason);
}

TEST_CASE("the view follows what netlink says", "[datapath][next-hop]") {
  NetworkView view;
  const Link link = View().links[3];
  const Neighbour neighbour = View().neighbours.begin()->second;
  const auto apply = [&](auto body) {
    NetlinkMessage message;
    message.body = body;
    return view.Apply(message);
  };
  CHECK(apply(link));
  CHECK_FALSE(apply(link));
  CHECK(apply(neighbour));
  CHECK(FindNextHop(kBackend, ViaRouter(), view).next_hop.has_value());
  CHECK_FALSE(apply(NetlinkError{}));
  CHECK(apply(Gone<Neighbour>{neighbour}));
  CHECK_FALSE(apply(Gone<Neighbour>{neighbour}));
  CHECK(apply(neighbour));
  CHECK(apply(Gone<Link>{link}));
  CHECK(view.neighbours.empty());
  CHECK(view.links.empty());
}

}  // namespace fairlead::datapath
