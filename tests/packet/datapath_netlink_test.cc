#include <bpf/libbpf.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <vector>

#include "datapath/netlink.h"
#include "datapath/next_hop.h"
#include "datapath/vlan_offload.h"
#include "tests/packet/host_sandbox.h"
#include "tests/support/packet.h"

namespace fairlead::test {
namespace {

using datapath::DumpDone;
using datapath::NetlinkError;
using datapath::NetlinkMessage;

// A host with 192.0.2.1 on lb0 and a router there.
struct Host {
  NetnsSandbox netns;
  uint32_t lb0 = AddVeth("lb0", "rt0");
  base::UniqueFd socket{
      ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)};

  Host() {
    RunCommand("ip addr add 192.0.2.1/24 dev lb0");
    RunCommand("ip -6 addr add 2001:db8:1::1/64 dev lb0 nodad");
    RunCommand(
        "ip neigh add 192.0.2.254 lladdr 02:00:00:00:00:fe dev lb0 nud "
        "permanent");
    RunCommand("ip route add 198.51.100.0/24 via 192.0.2.254 mtu 1400");
    RunCommand("ip route add blackhole 203.0.113.0/24");
    RunCommand("ip -6 route add 2001:db8:2::/48 via 2001:db8:1::fe");
  }

  // Sends the request; all messages up to the end of the answer.
  std::vector<NetlinkMessage> Ask(const std::vector<uint8_t>& request) const {
    REQUIRE(send(socket.get(), request.data(), request.size(), 0) ==
            static_cast<ssize_t>(request.size()));
    std::vector<NetlinkMessage> answer;
    for (;;) {
      alignas(8) uint8_t buffer[32768];
      const ssize_t size = recv(socket.get(), buffer, sizeof(buffer), 0);
      REQUIRE(size > 0);
      const auto messages =
          datapath::ParseNetlink({buffer, static_cast<size_t>(size)});
      REQUIRE(messages.ok());
      for (const NetlinkMessage& message : *messages) {
        if (std::holds_alternative<DumpDone>(message.body)) return answer;
        answer.push_back(message);
        if (std::holds_alternative<NetlinkError>(message.body)) return answer;
        if (std::holds_alternative<datapath::Route>(message.body)) {
          return answer;
        }
      }
    }
  }

  std::optional<datapath::Route> RouteTo(const char* address) const {
    const auto answer = Ask(datapath::RouteRequest(Ip(address), 1));
    REQUIRE(answer.size() == 1);
    const auto* route = std::get_if<datapath::Route>(&answer[0].body);
    if (route == nullptr) return std::nullopt;
    return *route;
  }

  datapath::NetworkView View() const {
    datapath::NetworkView view;
    for (const auto& request :
         {datapath::LinkDumpRequest(2), datapath::NeighbourDumpRequest(3)}) {
      for (const NetlinkMessage& message : Ask(request)) view.Apply(message);
    }
    return view;
  }
};

}  // namespace

TEST_CASE("the kernel's answers give a backend's next hop",
          "[datapath][netlink]") {
  const Host host;
  const auto view = host.View();
  const auto answer =
      FindNextHop(Ip("198.51.100.7"), host.RouteTo("198.51.100.7"), view);
  CHECK(answer.reason.empty());
  REQUIRE(answer.next_hop.has_value());
  CHECK(answer.next_hop->interface == host.lb0);
  CHECK(answer.next_hop->interface_name == "lb0");
  CHECK(answer.next_hop->destination_mac[5] == 0xfe);
  CHECK(answer.next_hop->path_mtu == 1400);
  CHECK(std::memcmp(answer.next_hop->source_mac,
                    view.links.at(host.lb0).mac->data(), 6) == 0);
}

TEST_CASE("the kernel's answers say why there is no next hop",
          "[datapath][netlink]") {
  const Host host;
  const auto reason = [&](const char* address) {
    return FindNextHop(Ip(address), host.RouteTo(address), host.View()).reason;
  };
  CHECK(reason("192.0.2.1") == "192.0.2.1 is an address of this host");
  CHECK(reason("203.0.113.1") == "no route to 203.0.113.1");
  CHECK(reason("2001:db8:3::1") == "no route to 2001:db8:3::1");
  CHECK(reason("2001:db8:2::1") ==
        "neighbour 2001:db8:1::fe on lb0 is not resolved yet");
}

TEST_CASE("the kernel begins to resolve a neighbour when asked to",
          "[datapath][netlink]") {
  const Host host;
  const datapath::NeighbourKey key = {host.lb0, Ip("192.0.2.9")};
  CHECK(host.View().neighbours.count(key) == 0);
  const auto answer =
      host.Ask(datapath::ResolveRequest(host.lb0, key.address, 4));
  REQUIRE(answer.size() == 1);
  CHECK(answer[0].sequence == 4);
  CHECK(std::get<NetlinkError>(answer[0].body).code == 0);
  const auto view = host.View();
  REQUIRE(view.neighbours.count(key) == 1);
  CHECK(view.neighbours.at(key).state == NUD_INCOMPLETE);
}

TEST_CASE("the kernel says who takes what XDP redirects",
          "[datapath][netlink]") {
  const Host host;
  const base::UniqueFd socket(
      ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
  uint16_t family = 0;
  // Up to the end of the answer.
  const auto ask = [&](const std::vector<uint8_t>& request) {
    std::vector<NetlinkMessage> answer;
    REQUIRE(send(socket.get(), request.data(), request.size(), 0) > 0);
    for (;;) {
      alignas(8) uint8_t buffer[32768];
      const ssize_t size = recv(socket.get(), buffer, sizeof(buffer), 0);
      REQUIRE(size > 0);
      const auto messages = datapath::ParseGenericNetlink(
          {buffer, static_cast<size_t>(size)}, family);
      REQUIRE(messages.ok());
      for (const NetlinkMessage& message : *messages) {
        answer.push_back(message);
        if (!std::holds_alternative<datapath::XdpAbility>(message.body))
          return answer;
      }
    }
  };
  const auto found = ask(datapath::FamilyRequest(datapath::kNetdevFamily, 1));
  if (const auto* error = std::get_if<NetlinkError>(&found[0].body)) {
    // Before Linux 6.3.
    CHECK(error->code == ENOENT);
    return;
  }
  family = std::get<datapath::GenericFamily>(found[0].body).id;
  const auto takes = [&] {
    datapath::NetworkView view;
    for (const NetlinkMessage& message :
         ask(datapath::XdpAbilityDumpRequest(family, 2)))
      view.Apply(message);
    return view.takes_redirects.at(host.lb0);
  };
  // A pair does if there is a program at its other end.
  CHECK_FALSE(takes());
  const base::UniqueFd pass = LoadPassProgram("fl_test_pass");
  REQUIRE(bpf_xdp_attach(static_cast<int>(if_nametoindex("rt0")), pass.get(), 0,
                         nullptr) == 0);
  CHECK(takes());
}

TEST_CASE("whether an interface takes tags off is asked of its driver",
          "[datapath][netlink]") {
  const Host host;
  CHECK(datapath::TakesTagsOff("lb0"));
  RunCommand("ethtool -K lb0 rxvlan off");
  CHECK_FALSE(datapath::TakesTagsOff("lb0"));
  CHECK_FALSE(datapath::TakesTagsOff("nowhere0"));
}

TEST_CASE("the kernel lists the addresses of its interfaces",
          "[datapath][netlink]") {
  const Host host;
  bool found = false;
  for (const auto& message : host.Ask(datapath::AddressDumpRequest(5))) {
    const auto* address = std::get_if<datapath::Address>(&message.body);
    if (address == nullptr) continue;
    found |= address->interface == host.lb0 &&
             address->address == Ip("2001:db8:1::1");
  }
  CHECK(found);
}

}  // namespace fairlead::test
