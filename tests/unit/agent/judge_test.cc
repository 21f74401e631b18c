#include "agent/judge.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"

namespace fairlead::agent {
namespace {

base::IpAddress Ip(absl::string_view text) {
  return *base::IpAddress::Parse(text);
}
base::Endpoint At(absl::string_view text) {
  return *base::Endpoint::Parse(text);
}

constexpr uint32_t kProgram = 17;

// A backend on which everything is right; tests break one thing.
Facts Good() {
  Facts facts;
  facts.interface = "eth0";
  facts.interface_exists = true;
  facts.interface_up = true;
  facts.mtu = 1500;
  facts.addresses = {{Ip("192.0.2.1"), 24, "eth0"},
                     {Ip("198.51.100.10"), 32, "lo"},
                     {Ip("2001:db8:100::10"), 128, "lo"}};
  facts.arp_ignore = {.all = 0, .interface = 1};
  facts.arp_announce = {.all = 2, .interface = 0};
  facts.rp_filter = {.all = 0, .interface = 0};
  facts.default_routes = {
      {.ipv4 = true,
       .next_hops = {{.gateway = Ip("192.0.2.254"), .interface = "eth0"}},
       .advmss = 1376},
      {.ipv4 = false,
       .next_hops = {{.gateway = Ip("2001:db8::1"), .interface = "eth0"}},
       .metric = 1024,
       .advmss = 1356}};
  facts.listeners = {
      {.address = Ip("192.0.2.1"), .port = 6082},
      {.address = base::IpAddress(), .ipv4 = false, .port = 443}};
  facts.xdp = {.attached = datapath::AttachedProgram{.id = kProgram},
               .attached_name = "fl_agent",
               .attached_tag = "0011223344556677",
               .linked_program = kProgram,
               .own_tag = "0011223344556677"};
  return facts;
}

Expectations Expected() {
  return {.vips = {At("198.51.100.10:443"), At("[2001:db8:100::10]:443")},
          .listen = {At("192.0.2.1:6082")},
          .xdp_mode = datapath::XdpMode::kNative,
          .gue_port = 6080,
          .config_path = "/etc/fairlead/agent.toml"};
}

std::vector<Finding> Bad(const Facts& facts, const Expectations& expected) {
  std::vector<Finding> bad;
  for (const Finding& finding : Judge(facts, expected))
    if (finding.result != Result::kOk) bad.push_back(finding);
  return bad;
}

// The only finding that is not ok.
Finding Only(const Facts& facts, const Expectations& expected = Expected()) {
  const std::vector<Finding> bad = Bad(facts, expected);
  for (const Finding& finding : bad)
    UNSCOPED_INFO(finding.test << " " << finding.object << ": "
                               << finding.detail);
  REQUIRE(bad.size() == 1);
  return bad.front();
}

void ExpectFailure(const Finding& finding, absl::string_view test,
                   absl::string_view fix) {
  CHECK(finding.test == test);
  CHECK(finding.result == Result::kFail);
  CHECK(finding.fix == fix);
  CHECK_FALSE(finding.detail.empty());
}

TEST_CASE("a backend that is set up right passes every test",
          "[agent][judge]") {
  const std::vector<Finding> findings = Judge(Good(), Expected());
  CHECK(Bad(Good(), Expected()).empty());
  CHECK_FALSE(AnyFailure(findings));
  CHECK(findings.size() == 14);
  for (const Finding& finding : findings) {
    CHECK(finding.fix.empty());
    CHECK_FALSE(finding.detail.empty());
  }
}

TEST_CASE("results have the words of the table", "[agent][judge]") {
  CHECK(ToString(Result::kOk) == "ok");
  CHECK(ToString(Result::kWarn) == "warn");
  CHECK(ToString(Result::kFail) == "FAIL");
}

TEST_CASE("a missing interface ends the examination", "[agent][judge]") {
  Facts facts;
  facts.interface = "eth7";
  ExpectFailure(Only(facts), "interface", "");
}

TEST_CASE("an interface that is down is brought up", "[agent][judge]") {
  Facts facts = Good();
  facts.interface_up = false;
  ExpectFailure(Only(facts), "interface", "ip link set dev eth0 up");
}

TEST_CASE("a missing VIP is added to lo", "[agent][judge]") {
  Facts facts = Good();
  facts.addresses.erase(facts.addresses.begin() + 1);
  ExpectFailure(Only(facts), "vip",
                "ip address replace 198.51.100.10/32 dev lo");
  facts = Good();
  facts.addresses.pop_back();
  ExpectFailure(Only(facts), "vip",
                "ip address replace 2001:db8:100::10/128 dev lo nodad");
}

TEST_CASE("a VIP on the agent's own interface is moved to lo",
          "[agent][judge]") {
  Facts facts = Good();
  facts.addresses[1] = {Ip("198.51.100.10"), 24, "eth0"};
  ExpectFailure(Only(facts), "vip",
                "ip address del 198.51.100.10/24 dev eth0 && "
                "ip address replace 198.51.100.10/32 dev lo");
  // Also where lo has it besides.
  facts = Good();
  facts.addresses.push_back({Ip("198.51.100.10"), 32, "eth0"});
  ExpectFailure(Only(facts), "vip",
                "ip address del 198.51.100.10/32 dev eth0 && "
                "ip address replace 198.51.100.10/32 dev lo");
}

TEST_CASE("a VIP on lo with a short prefix swallows its neighbours",
          "[agent][judge]") {
  Facts facts = Good();
  facts.addresses[1].prefix_length = 24;
  ExpectFailure(Only(facts), "vip",
                "ip address del 198.51.100.10/24 dev lo && "
                "ip address replace 198.51.100.10/32 dev lo");
}

TEST_CASE("a VIP on some other interface is fine, a short prefix doubtful",
          "[agent][judge]") {
  Facts facts = Good();
  facts.addresses[1] = {Ip("198.51.100.10"), 32, "dummy0"};
  CHECK(Bad(facts, Expected()).empty());
  facts.addresses[1].prefix_length = 24;
  CHECK(Only(facts).result == Result::kWarn);
}

TEST_CASE("arp_ignore is the larger of all and the interface's",
          "[agent][judge]") {
  Facts facts = Good();
  for (const PairSetting good : {PairSetting{1, 0}, {0, 2}, {2, 1}}) {
    facts.arp_ignore = good;
    CHECK(Bad(facts, Expected()).empty());
  }
  facts.arp_ignore = {0, 0};
  ExpectFailure(Only(facts), "arp_ignore",
                "sysctl -w net/ipv4/conf/eth0/arp_ignore=1");
  facts.arp_ignore = {3, 0};
  ExpectFailure(Only(facts), "arp_ignore",
                "sysctl -w net/ipv4/conf/eth0/arp_ignore=1 "
                "net/ipv4/conf/all/arp_ignore=1");
  facts.arp_ignore = {0, 8};
  CHECK(Only(facts).result == Result::kWarn);
}

TEST_CASE("arp_announce must be 2", "[agent][judge]") {
  Facts facts = Good();
  facts.arp_announce = {1, 0};
  ExpectFailure(Only(facts), "arp_announce",
                "sysctl -w net/ipv4/conf/eth0/arp_announce=2");
  facts.arp_announce = {0, 2};
  CHECK(Bad(facts, Expected()).empty());
}

TEST_CASE("a strict reverse path filter is loosened", "[agent][judge]") {
  Facts facts = Good();
  for (const PairSetting bad : {PairSetting{1, 0}, {0, 1}, {1, 1}}) {
    facts.rp_filter = bad;
    ExpectFailure(Only(facts), "rp_filter",
                  "sysctl -w net/ipv4/conf/eth0/rp_filter=2");
  }
  for (const PairSetting good : {PairSetting{2, 0}, {1, 2}, {0, 0}}) {
    facts.rp_filter = good;
    CHECK(Bad(facts, Expected()).empty());
  }
}

TEST_CASE("IPv4 settings do not matter to a backend of IPv6 services",
          "[agent][judge]") {
  Facts facts = Good();
  facts.arp_ignore = {};
  facts.arp_announce = {};
  facts.rp_filter = {1, 1};
  facts.default_routes[0].advmss = 0;
  Expectations expected = Expected();
  expected.vips = {At("[2001:db8:100::10]:443")};
  CHECK(Bad(facts, expected).empty());
}

TEST_CASE(
    "segments that do not fit with the encapsulation are announced "
    "smaller",
    "[agent][judge]") {
  Facts facts = Good();
  facts.default_routes[0].advmss = 0;
  ExpectFailure(Only(facts), "mtu",
                "ip route change default via 192.0.2.254 dev eth0 advmss 1376");
  facts.default_routes[0].advmss = 1377;
  CHECK(Only(facts).result == Result::kFail);
  facts = Good();
  facts.default_routes[1].advmss = 1400;
  ExpectFailure(Only(facts), "mtu",
                "ip -6 route change default metric 1024 via 2001:db8::1 dev "
                "eth0 advmss 1356");
}

TEST_CASE("the changed route keeps what it had", "[agent][judge]") {
  Facts facts = Good();
  DefaultRoute& route = facts.default_routes[0];
  route.advmss = 0;
  route.metric = 100;
  route.mtu = 1480;
  route.source = Ip("192.0.2.1");
  route.next_hops[0].on_link = true;
  ExpectFailure(Only(facts), "mtu",
                "ip route change default metric 100 src 192.0.2.1 via "
                "192.0.2.254 dev eth0 onlink mtu 1480 advmss 1376");
  route = {
      .ipv4 = true,
      .next_hops = {
          {.gateway = Ip("192.0.2.253"), .interface = "eth0"},
          {.gateway = Ip("192.0.2.254"), .interface = "eth0", .weight = 3}}};
  ExpectFailure(Only(facts), "mtu",
                "ip route change default advmss 1376 nexthop via 192.0.2.253 "
                "dev eth0 weight 1 nexthop via 192.0.2.254 dev eth0 weight 3");
  route.next_hop_object = 9;
  ExpectFailure(Only(facts), "mtu",
                "ip route change default nhid 9 advmss 1376");
}

TEST_CASE("a route's own MTU limits what clients are asked for",
          "[agent][judge]") {
  Facts facts = Good();
  facts.default_routes[0].advmss = 0;
  facts.default_routes[0].mtu = 1416;
  CHECK(Bad(facts, Expected()).empty());
}

TEST_CASE("an MTU with room for a whole packet needs no advmss",
          "[agent][judge]") {
  Facts facts = Good();
  facts.mtu = 1584;
  facts.default_routes.clear();
  CHECK(Bad(facts, Expected()).empty());
  facts.mtu = 1583;
  const std::vector<Finding> bad = Bad(facts, Expected());
  REQUIRE(bad.size() == 2);
  for (const Finding& finding : bad) {
    CHECK(finding.test == "mtu");
    CHECK(finding.result == Result::kWarn);
  }
}

TEST_CASE("a tunnel device that is up is taken down", "[agent][judge]") {
  Facts facts = Good();
  facts.tunnels = {{"tunl0", false}, {"sit0", true}};
  ExpectFailure(Only(facts), "tunnels", "ip link set dev sit0 down");
}

TEST_CASE("whoever else has the GUE port is named", "[agent][judge]") {
  Facts facts = Good();
  facts.gue_sockets = {{.ipv4 = true, .process = "nc (pid 12)", .pid = 12}};
  ExpectFailure(Only(facts), "gue_port", "kill 12");
  CHECK(absl::StrContains(Only(facts).detail, "nc (pid 12)"));
  facts.gue_sockets = {{.ipv4 = false, .process = "", .pid = 0}};
  ExpectFailure(Only(facts), "gue_port", "ip -6 fou del port 6080");
  facts.gue_sockets.front().ipv4 = true;
  ExpectFailure(Only(facts), "gue_port", "ip fou del port 6080");
}

TEST_CASE("a program that is not attached or not ours fails",
          "[agent][judge]") {
  Facts facts = Good();
  facts.xdp.attached.reset();
  ExpectFailure(Only(facts), "xdp",
                "fairlead-agent run --config /etc/fairlead/agent.toml");
  facts.has_unit = true;
  ExpectFailure(Only(facts), "xdp", "systemctl restart fairlead-agent");
  facts = Good();
  facts.xdp.linked_program = 0;
  facts.xdp.attached_name = "other";
  ExpectFailure(Only(facts), "xdp", "ip link set dev eth0 xdpdrv off");
  CHECK(absl::StrContains(Only(facts).detail, "\"other\" (id 17)"));
  facts.xdp.attached->mode = datapath::XdpMode::kGeneric;
  ExpectFailure(Only(facts), "xdp", "ip link set dev eth0 xdpgeneric off");
}

TEST_CASE("a program of another version is replaced by a start",
          "[agent][judge]") {
  Facts facts = Good();
  facts.xdp.own_tag = "8899aabbccddeeff";
  ExpectFailure(Only(facts), "xdp",
                "fairlead-agent run --config /etc/fairlead/agent.toml");
}

TEST_CASE("another XDP mode than configured is a warning", "[agent][judge]") {
  Facts facts = Good();
  facts.xdp.attached->mode = datapath::XdpMode::kGeneric;
  const Finding finding = Only(facts);
  CHECK(finding.result == Result::kWarn);
  CHECK(finding.detail == "attached in generic mode, the config says native");
}

TEST_CASE("a service without a listener fails and says what to start",
          "[agent][judge]") {
  Facts facts = Good();
  facts.listeners.pop_back();
  const std::vector<Finding> bad = Bad(facts, Expected());
  REQUIRE(bad.size() == 2);
  for (const Finding& finding : bad) {
    CHECK(finding.test == "listener");
    CHECK(finding.result == Result::kFail);
    CHECK(finding.fix.empty());
    CHECK(absl::StrContains(finding.detail, "start the server"));
  }
}

TEST_CASE("who listens for a service depends on address, family and port",
          "[agent][judge]") {
  Expectations expected = Expected();
  expected.vips = {At("198.51.100.10:443")};
  const auto passes = [&expected](const TcpListener& listener) {
    Facts facts = Good();
    facts.listeners[1] = listener;
    return Bad(facts, expected).empty();
  };
  const base::IpAddress any4 = base::IpAddress::FromIpv4(0);
  const base::IpAddress any6;
  CHECK(passes({.address = any4, .ipv4 = true, .port = 443}));
  CHECK(passes({.address = Ip("198.51.100.10"), .ipv4 = true, .port = 443}));
  CHECK(passes({.address = any6, .ipv4 = false, .port = 443}));
  CHECK_FALSE(
      passes({.address = any6, .ipv4 = false, .port = 443, .ipv6_only = true}));
  CHECK_FALSE(passes({.address = any4, .ipv4 = true, .port = 444}));
  CHECK_FALSE(passes({.address = Ip("192.0.2.1"), .ipv4 = true, .port = 443}));
  expected.vips = {At("[2001:db8:100::10]:443")};
  CHECK_FALSE(passes({.address = any4, .ipv4 = true, .port = 443}));
  CHECK(
      passes({.address = any6, .ipv4 = false, .port = 443, .ipv6_only = true}));
}

TEST_CASE("an agent that does not listen is started", "[agent][judge]") {
  Facts facts = Good();
  facts.listeners.erase(facts.listeners.begin());
  ExpectFailure(Only(facts), "agent",
                "fairlead-agent run --config /etc/fairlead/agent.toml");
}

TEST_CASE("without any known service the check says how to name one",
          "[agent][judge]") {
  Expectations expected = Expected();
  expected.vips.clear();
  const Finding finding = Only(Good(), expected);
  CHECK(finding.test == "services");
  CHECK(finding.result == Result::kWarn);
  CHECK(absl::StrContains(finding.detail, "--vip"));
}

}  // namespace
}  // namespace fairlead::agent
