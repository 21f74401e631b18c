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
