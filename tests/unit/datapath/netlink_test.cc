#include "datapath/netlink.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <random>

namespace fairlead::datapath {
namespace {

base::IpAddress Ip(const char* text) {
  return base::IpAddress::Parse(text).value();
}

const nlmsghdr* HeaderOf(const std::vector<uint8_t>& bytes) {
  return reinterpret_cast<const nlmsghdr*>(bytes.data());
}

template <typename Body>
Body BodyOf(const std::vector<uint8_t>& bytes) {
  Body body;
  REQUIRE(bytes.size() >= NLMSG_HDRLEN + sizeof(body));
  std::memcpy(&body, bytes.data() + NLMSG_HDRLEN, sizeof(body));
  return body;
}

// What the kernel would send: one message after the other.
class Datagram {
 public:
  template <typename Body>
  Datagram& Add(uint16_t type, const Body& body, uint16_t flags = 0) {
    Close();
    header_ = mnl_nlmsg_put_header(bytes_.data() + length_);
    header_->nlmsg_type = type;
    header_->nlmsg_flags = flags;
    header_->nlmsg_seq = 77;
    header_->nlmsg_pid = 1234;
    std::memcpy(mnl_nlmsg_put_extra_header(header_, sizeof(body)), &body,
                sizeof(body));
    return *this;
  }
  Datagram& Put(uint16_t type, const void* data, size_t size) {
    mnl_attr_put(header_, type, size, data);
    return *this;
  }
  Datagram& Put(uint16_t type, uint32_t value) {
    return Put(type, &value, sizeof(value));
  }
  Datagram& Put(uint16_t type, const base::IpAddress& address) {
    if (!address.is_ipv4()) return Put(type, address.bytes().data(), 16);
    return Put(type, htonl(address.ipv4()));
  }
  std::vector<uint8_t> Bytes() {
    Close();
    return {bytes_.begin(), bytes_.begin() + static_cast<long>(length_)};
  }
  nlmsghdr* header() { return header_; }

 private:
  void Close() {
    if (header_ != nullptr) length_ += MNL_ALIGN(header_->nlmsg_len);
    header_ = nullptr;
  }

  std::vector<uint8_t> bytes_ = std::vector<uint8_t>(4096);
  size_t length_ = 0;
  nlmsghdr* header_ = nullptr;
};

template <typename T>
T OnlyMessage(Datagram& datagram) {
  const auto messages = ParseNetlink(datagram.Bytes());
  REQUIRE(messages.ok());
  REQUIRE(messages->size() == 1);
  CHECK(messages->front().sequence == 77);
  CHECK(messages->front().port == 1234);
  REQUIRE(std::holds_alternative<T>(messages->front().body));
  return std::get<T>(messages->front().body);
}

}  // namespace

TEST_CASE("a route is asked for by its destination", "[datapath][netlink]") {
  const auto ipv4 = RouteRequest(Ip("192.0.2.7"), 5);
  CHECK(HeaderOf(ipv4)->nlmsg_type == RTM_GETROUTE);
  CHECK(HeaderOf(ipv4)->nlmsg_flags == NLM_F_REQUEST);
  CHECK(HeaderOf(ipv4)->nlmsg_seq == 5);
  CHECK(HeaderOf(ipv4)->nlmsg_len == ipv4.size());
  CHECK(BodyOf<rtmsg>(ipv4).rtm_family == AF_INET);
  CHECK(BodyOf<rtmsg>(ipv4).rtm_dst_len == 32);
  CHECK(BodyOf<rtmsg>(ipv4).rtm_flags == 0);
  const uint8_t address[] = {192, 0, 2, 7};
  CHECK(std::memcmp(ipv4.data() + ipv4.size() - 4, address, 4) == 0);

  const auto ipv6 = RouteRequest(Ip("2001:db8::7"), 6);
  CHECK(BodyOf<rtmsg>(ipv6).rtm_family == AF_INET6);
  CHECK(BodyOf<rtmsg>(ipv6).rtm_dst_len == 128);
  CHECK(ipv6.back() == 7);
}

TEST_CASE("dumps are asked for by kind", "[datapath][netlink]") {
  const auto type = [](const std::vector<uint8_t>& request) {
    CHECK(HeaderOf(request)->nlmsg_flags == (NLM_F_REQUEST | NLM_F_DUMP));
    CHECK(HeaderOf(request)->nlmsg_seq == 9);
    return HeaderOf(request)->nlmsg_type;
  };
  CHECK(type(NeighbourDumpRequest(9)) == RTM_GETNEIGH);
  CHECK(type(LinkDumpRequest(9)) == RTM_GETLINK);
  CHECK(type(AddressDumpRequest(9)) == RTM_GETADDR);
}

TEST_CASE("a neighbour is resolved by using it", "[datapath][netlink]") {
  const auto request = ResolveRequest(3, Ip("192.0.2.254"), 8);
  CHECK(HeaderOf(request)->nlmsg_type == RTM_NEWNEIGH);
  CHECK((HeaderOf(request)->nlmsg_flags & NLM_F_CREATE) != 0);
  CHECK((HeaderOf(request)->nlmsg_flags & NLM_F_REPLACE) == 0);
  CHECK(BodyOf<ndmsg>(request).ndm_flags == NTF_USE);
  CHECK(BodyOf<ndmsg>(request).ndm_ifindex == 3);
  CHECK(BodyOf<ndmsg>(request).ndm_state == NUD_NONE);
}

TEST_CASE("a route is read with gateway, source and MTU",
          "[datapath][netlink]") {
  const rtmsg body = {.rtm_family = AF_INET, .rtm_type = RTN_UNICAST};
  Datagram datagram;
  datagram.Add(RTM_NEWROUTE, body)
      .Put(RTA_DST, Ip("192.0.2.7"))
      .Put(RTA_OIF, 3)
      .Put(RTA_GATEWAY, Ip("192.0.2.254"))
      .Put(RTA_PREFSRC, Ip("192.0.2.1"));
  nlattr* metrics = mnl_attr_nest_start(datagram.header(), RTA_METRICS);
  mnl_attr_put_u32(datagram.header(), RTAX_MTU, 1400);
  mnl_attr_nest_end(datagram.header(), metrics);
  const Route wanted = {.kind = RouteKind::kUnicast,
                        .destination = Ip("192.0.2.7"),
                        .interface = 3,
                        .gateway = Ip("192.0.2.254"),
                        .source = Ip("192.0.2.1"),
                        .mtu = 1400};
  CHECK(OnlyMessage<Route>(datagram) == wanted);
}

TEST_CASE("an IPv4 route may have an IPv6 gateway", "[datapath][netlink]") {
  const rtmsg body = {.rtm_family = AF_INET, .rtm_type = RTN_UNICAST};
  std::vector<uint8_t> via = {AF_INET6, 0};
  const auto gateway = Ip("2001:db8::fe").bytes();
  via.insert(via.end(), gateway.begin(), gateway.end());
  Datagram datagram;
  datagram.Add(RTM_NEWROUTE, body).Put(RTA_VIA, via.data(), via.size());
  CHECK(OnlyMessage<Route>(datagram).gateway == Ip("2001:db8::fe"));
}

TEST_CASE("routes that lead nowhere are told apart", "[datapath][netlink]") {
  Datagram local;
  local.Add(RTM_NEWROUTE, rtmsg{.rtm_family = AF_INET, .rtm_type = RTN_LOCAL});
  CHECK(OnlyMessage<Route>(local).kind == RouteKind::kLocal);
  Datagram blackhole;
  blackhole.Add(RTM_NEWROUTE,
                rtmsg{.rtm_family = AF_INET6, .rtm_type = RTN_BLACKHOLE});
  CHECK(OnlyMessage<Route>(blackhole).kind == RouteKind::kOther);
}

TEST_CASE("a neighbour is read with and without MAC", "[datapath][netlink]") {
  const ndmsg body = {
      .ndm_family = AF_INET6, .ndm_ifindex = 3, .ndm_state = NUD_REACHABLE};
  const uint8_t mac[] = {2, 0, 0, 0, 0, 1};
  Datagram datagram;
  datagram.Add(RTM_NEWNEIGH, body).Put(NDA_DST, Ip("2001:db8::7"));
  SECTION("with") {
    datagram.Put(NDA_LLADDR, mac, sizeof(mac));
    const auto neighbour = OnlyMessage<Neighbour>(datagram);
    CHECK(neighbour.interface == 3);
    CHECK(neighbour.address == Ip("2001:db8::7"));
    CHECK(neighbour.state == NUD_REACHABLE);
    REQUIRE(neighbour.mac.has_value());
    CHECK(neighbour.mac->at(5) == 1);
  }
  SECTION("without") {
    CHECK_FALSE(OnlyMessage<Neighbour>(datagram).mac.has_value());
  }
  SECTION("of another link layer") {
    datagram.Put(NDA_LLADDR, mac, 4);
    CHECK_FALSE(OnlyMessage<Neighbour>(datagram).mac.has_value());
  }
}

TEST_CASE("a link is up when it has its carrier", "[datapath][netlink]") {
  ifinfomsg body = {};
  body.ifi_index = 4;
  body.ifi_flags = IFF_UP | IFF_LOWER_UP;
  const uint8_t mac[] = {2, 0, 0, 0, 0, 2};
  bool up = true;
  SECTION("up") {}
  SECTION("no carrier") {
    body.ifi_flags = IFF_UP;
    up = false;
  }
  Datagram datagram;
  datagram.Add(RTM_NEWLINK, body)
      .Put(IFLA_IFNAME, "eth0", 5)
      .Put(IFLA_ADDRESS, mac, 6)
      .Put(IFLA_MTU, 1500);
  const auto link = OnlyMessage<Link>(datagram);
  CHECK(link.interface == 4);
  CHECK(link.name == "eth0");
  CHECK(link.mac->at(5) == 2);
  CHECK(link.mtu == 1500);
  CHECK(link.up == up);
}

TEST_CASE("a VLAN's link says which one it is, and on what",
          "[datapath][netlink]") {
  ifinfomsg body = {};
  body.ifi_index = 9;
  Datagram datagram;
  datagram.Add(RTM_NEWLINK, body).Put(IFLA_IFNAME, "eth0.7", 7);
  VlanLink wanted = {.on = 4, .id = 7};
  uint16_t protocol = htons(ETH_P_8021Q);
  SECTION("of 802.1Q") { datagram.Put(IFLA_LINK, 4); }
  SECTION("of 802.1ad") {
    datagram.Put(IFLA_LINK, 4);
    protocol = htons(ETH_P_8021AD);
    wanted.is_8021q = false;
  }
  SECTION("whose interface is elsewhere") {
    datagram.Put(IFLA_LINK, 4).Put(IFLA_LINK_NETNSID, 1);
    wanted.on = 0;
  }
  nlattr* info = mnl_attr_nest_start(datagram.header(), IFLA_LINKINFO);
  mnl_attr_put_strz(datagram.header(), IFLA_INFO_KIND, "vlan");
  nlattr* data = mnl_attr_nest_start(datagram.header(), IFLA_INFO_DATA);
  mnl_attr_put_u16(datagram.header(), IFLA_VLAN_ID, 7);
  mnl_attr_put_u16(datagram.header(), IFLA_VLAN_PROTOCOL, protocol);
  mnl_attr_nest_end(datagram.header(), data);
  mnl_attr_nest_end(datagram.header(), info);
  const auto link = OnlyMessage<Link>(datagram);
  CHECK(link.name == "eth0.7");
  CHECK(link.kind == "vlan");
  CHECK(link.vlan == wanted);
}

// A macvlan's data has other attributes under the same numbers.
TEST_CASE("a link of another kind is on no VLAN", "[datapath][netlink]") {
  Datagram datagram;
  datagram.Add(RTM_NEWLINK, ifinfomsg{}).Put(IFLA_LINK, 4);
  nlattr* info = mnl_attr_nest_start(datagram.header(), IFLA_LINKINFO);
  mnl_attr_put_strz(datagram.header(), IFLA_INFO_KIND, "macvlan");
  nlattr* data = mnl_attr_nest_start(datagram.header(), IFLA_INFO_DATA);
  mnl_attr_put_u32(datagram.header(), 1, 4);
  mnl_attr_nest_end(datagram.header(), data);
  mnl_attr_nest_end(datagram.header(), info);
  const auto link = OnlyMessage<Link>(datagram);
  CHECK(link.kind == "macvlan");
  CHECK_FALSE(link.vlan.has_value());
}

// As linux/netdev.h has them since 6.3: 1 is the interface, 3 what it can do.
TEST_CASE("what drivers can do with XDP is asked of a family by its name",
          "[datapath][netlink]") {
  const auto by_name = FamilyRequest(kNetdevFamily, 6);
  CHECK(HeaderOf(by_name)->nlmsg_type == GENL_ID_CTRL);
  CHECK(BodyOf<genlmsghdr>(by_name).cmd == CTRL_CMD_GETFAMILY);
  CHECK(std::string(by_name.end() - 8, by_name.end()) ==
        std::string("netdev\0\0", 8));
  const auto dump = XdpAbilityDumpRequest(20, 7);
  CHECK(HeaderOf(dump)->nlmsg_type == 20);
  CHECK(HeaderOf(dump)->nlmsg_flags == (NLM_F_REQUEST | NLM_F_DUMP));
  CHECK(BodyOf<genlmsghdr>(dump).cmd == 1);

  const uint64_t without = 0x2b & ~4u, with = 0x2f;
  const uint16_t family = 20;
  Datagram datagram;
  datagram.Add(GENL_ID_CTRL, genlmsghdr{.cmd = CTRL_CMD_NEWFAMILY})
      .Put(CTRL_ATTR_FAMILY_ID, &family, sizeof(family))
      .Add(20, genlmsghdr{.cmd = 1})
      .Put(1, 4)
      .Put(3, &without, sizeof(without))
      .Add(20, genlmsghdr{.cmd = 1})
      .Put(1, 5)
      .Put(3, &with, sizeof(with))
      .Add(21, genlmsghdr{.cmd = 1})
      .Put(1, 6)
      .Put(3, &with, sizeof(with))
      .Add(20, genlmsghdr{.cmd = 1})
      .Put(3, &with, sizeof(with))
      .Add(NLMSG_DONE, int{0});
  const auto messages = ParseGenericNetlink(datagram.Bytes(), family);
  REQUIRE(messages.ok());
  REQUIRE(messages->size() == 4);
  CHECK(std::get<GenericFamily>(messages->at(0).body).id == 20);
  CHECK(std::get<XdpAbility>(messages->at(1).body).interface == 4);
  CHECK_FALSE(std::get<XdpAbility>(messages->at(1).body).takes_redirects);
  CHECK(std::get<XdpAbility>(messages->at(2).body).interface == 5);
  CHECK(std::get<XdpAbility>(messages->at(2).body).takes_redirects);
  CHECK(std::holds_alternative<DumpDone>(messages->at(3).body));
}

TEST_CASE("an address is the interface's own, not the peer's",
          "[datapath][netlink]") {
  const ifaddrmsg body = {.ifa_family = AF_INET, .ifa_index = 3};
  Datagram datagram;
  datagram.Add(RTM_NEWADDR, body)
      .Put(IFA_ADDRESS, Ip("192.0.2.2"))
      .Put(IFA_LOCAL, Ip("192.0.2.1"));
  CHECK(OnlyMessage<Address>(datagram) ==
        Address{.interface = 3, .address = Ip("192.0.2.1")});
}

TEST_CASE("what is gone is said to be gone", "[datapath][netlink]") {
  Datagram datagram;
  datagram.Add(RTM_DELNEIGH, ndmsg{.ndm_family = AF_INET, .ndm_ifindex = 3})
      .Put(NDA_DST, Ip("192.0.2.7"));
  CHECK(OnlyMessage<Gone<Neighbour>>(datagram).what.address == Ip("192.0.2.7"));
}

TEST_CASE("errors, ends and interruptions of dumps are told",
          "[datapath][netlink]") {
  Datagram datagram;
  nlmsgerr error = {};
  error.error = -ENETUNREACH;
  const int zero = 0;
  datagram.Add(NLMSG_ERROR, error)
      .Add(RTM_NEWADDR, ifaddrmsg{.ifa_family = AF_INET, .ifa_index = 3},
           NLM_F_DUMP_INTR)
      .Put(IFA_LOCAL, Ip("192.0.2.1"))
      .Add(NLMSG_DONE, zero);
  const auto messages = ParseNetlink(datagram.Bytes());
  REQUIRE(messages.ok());
  REQUIRE(messages->size() == 3);
  CHECK(std::get<NetlinkError>(messages->at(0).body).code == ENETUNREACH);
  CHECK(messages->at(1).interrupted);
  CHECK(std::holds_alternative<DumpDone>(messages->at(2).body));
}

TEST_CASE("kinds and families of no interest are left out",
          "[datapath][netlink]") {
  Datagram datagram;
  ifinfomsg bridge_port = {};
  bridge_port.ifi_family = AF_BRIDGE;
  datagram.Add(RTM_NEWLINK, bridge_port)
      .Add(RTM_NEWNEIGH, ndmsg{.ndm_family = AF_BRIDGE})
      .Add(RTM_NEWQDISC, tcmsg{});
  const auto messages = ParseNetlink(datagram.Bytes());
  REQUIRE(messages.ok());
  CHECK(messages->empty());
}

TEST_CASE("bytes that are no netlink are refused, never trusted",
          "[datapath][netlink]") {
  Datagram datagram;
  datagram.Add(RTM_NEWROUTE, rtmsg{.rtm_family = AF_INET})
      .Put(RTA_DST, Ip("192.0.2.7"))
      .Add(RTM_NEWNEIGH, ndmsg{.ndm_family = AF_INET6, .ndm_ifindex = 3})
      .Put(NDA_DST, Ip("2001:db8::7"));
  const auto whole = datagram.Bytes();
  CHECK(ParseNetlink({}).value().empty());
  for (size_t length = 1; length < whole.size(); ++length) {
    const std::vector<uint8_t> cut(whole.begin(),
                                   whole.begin() + static_cast<long>(length));
    const auto messages = ParseNetlink(cut);
    CHECK((!messages.ok() || messages->size() < 2));
  }
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    auto bytes = whole;
    for (int flips = 0; flips < 3; ++flips) {
      bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
    }
    (void)ParseNetlink(bytes).ok();  // must not read past the end
    (void)ParseGenericNetlink(bytes, RTM_NEWROUTE).ok();
  }
}

}  // namespace fairlead::datapath
