#include "agent/judge.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "fairlead/abi/wire.h"

namespace fairlead::agent {
namespace {

constexpr uint32_t kCommonMtu = 1500;
constexpr uint32_t kIpv4TcpHeaders = 40;
constexpr uint32_t kIpv6TcpHeaders = 60;
constexpr int kArpAnnounceBest = 2;
constexpr int kLooseReversePath = 2;

using Findings = std::vector<Finding>;

// sysctl takes a dot in an interface's name for a separator, but not if the
// separators are slashes.
std::string SysctlName(absl::string_view interface, absl::string_view setting) {
  return absl::StrCat("net/ipv4/conf/", interface, "/", setting);
}

int Effective(const PairSetting& setting) {
  return std::max(setting.all, setting.interface);
}

std::string Values(const Facts& facts, const PairSetting& setting) {
  return absl::StrCat("all ", setting.all, ", ", facts.interface, " ",
                      setting.interface);
}

bool HasFamily(const std::vector<base::Endpoint>& vips, bool ipv4) {
  return std::any_of(vips.begin(), vips.end(),
                     [ipv4](const base::Endpoint& vip) {
                       return vip.address.is_ipv4() == ipv4;
                     });
}

std::vector<base::IpAddress> AddressesOf(
    const std::vector<base::Endpoint>& vips) {
  std::vector<base::IpAddress> addresses;
  addresses.reserve(vips.size());
  for (const base::Endpoint& vip : vips) addresses.push_back(vip.address);
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()),
                  addresses.end());
  return addresses;
}

std::string AddVip(const base::IpAddress& vip) {
  return absl::StrCat("ip address replace ", vip.ToString(),
                      vip.is_ipv4() ? "/32 dev lo" : "/128 dev lo nodad");
}

std::string MoveVip(const LocalAddress& from) {
  return absl::StrCat("ip address del ", from.address.ToString(), "/",
                      from.prefix_length, " dev ", from.interface, " && ",
                      AddVip(from.address));
}

void JudgeInterface(const Facts& facts, Findings& findings) {
  Finding finding{.test = "interface", .object = facts.interface};
  if (!facts.interface_exists) {
    finding.result = Result::kFail;
    finding.detail = "no such interface; name the right one in the config";
  } else if (!facts.interface_up) {
    finding.result = Result::kFail;
    finding.detail = "is down";
    finding.fix = absl::StrCat("ip link set dev ", facts.interface, " up");
  } else {
    finding.detail = absl::StrCat("up, MTU ", facts.mtu);
  }
  findings.push_back(std::move(finding));
}

// Where the address is; the interface of the agent before any other, since
// there it does harm.
const LocalAddress* FindAddress(const Facts& facts,
                                const base::IpAddress& address) {
  const LocalAddress* found = nullptr;
  for (const LocalAddress& local : facts.addresses) {
    if (local.address != address) continue;
    if (local.interface == facts.interface) return &local;
    if (found == nullptr) found = &local;
  }
  return found;
}

void JudgeVip(const Facts& facts, const base::IpAddress& vip,
              Findings& findings) {
  Finding finding{.test = "vip", .object = vip.ToString()};
  const LocalAddress* const found = FindAddress(facts, vip);
  const int whole = vip.is_ipv4() ? 32 : 128;
  if (found == nullptr) {
    finding.result = Result::kFail;
    finding.detail =
        "no interface has it: its packets would be forwarded or dropped";
    finding.fix = AddVip(vip);
  } else if (found->interface == facts.interface) {
    finding.result = Result::kFail;
    finding.detail = absl::StrCat("is on ", found->interface,
                                  ", so this host answers for it on the wire "
                                  "and takes it from the LB hosts");
    finding.fix = MoveVip(*found);
  } else if (found->prefix_length != whole && found->interface == "lo") {
    finding.result = Result::kFail;
    finding.detail = absl::StrCat(
        "has prefix /", found->prefix_length,
        " on lo: this host takes its neighbours' packets for its own");
    finding.fix = MoveVip(*found);
  } else if (found->prefix_length != whole) {
    finding.result = Result::kWarn;
    finding.detail = absl::StrCat("has prefix /", found->prefix_length, " on ",
                                  found->interface, "; /", whole,
                                  " is all that a service needs");
  } else {
    finding.detail = absl::StrCat("on ", found->interface);
  }
  findings.push_back(std::move(finding));
}

void JudgeArpIgnore(const Facts& facts, Findings& findings) {
  const PairSetting& value = facts.arp_ignore;
  const int effective = Effective(value);
  Finding finding{.test = "arp_ignore", .object = facts.interface};
  if (effective == 1 || effective == 2) {
    finding.detail = Values(facts, value);
  } else if (effective == 8) {
    finding.result = Result::kWarn;
    finding.detail = absl::StrCat(
        Values(facts, value),
        ": this host answers no ARP request at all; neighbours need static "
        "entries");
  } else {
    finding.result = Result::kFail;
    finding.detail =
        absl::StrCat(Values(facts, value),
                     ": this host answers ARP requests for the VIPs on lo");
    finding.fix = absl::StrCat("sysctl -w ",
                               SysctlName(facts.interface, "arp_ignore"), "=1");
    // The larger one counts.
    if (value.all > 2) {
      absl::StrAppend(&finding.fix, " ", SysctlName("all", "arp_ignore"), "=1");
    }
  }
  findings.push_back(std::move(finding));
}

void JudgeArpAnnounce(const Facts& facts, Findings& findings) {
  Finding finding{.test = "arp_announce",
                  .object = facts.interface,
                  .detail = Values(facts, facts.arp_announce)};
  if (Effective(facts.arp_announce) < kArpAnnounceBest) {
    finding.result = Result::kFail;
    absl::StrAppend(&finding.detail,
                    ": ARP requests of this host name a VIP as their sender");
    finding.fix =
        absl::StrCat("sysctl -w ", SysctlName(facts.interface, "arp_announce"),
                     "=", kArpAnnounceBest);
  }
  findings.push_back(std::move(finding));
}

void JudgeRpFilter(const Facts& facts, Findings& findings) {
  Finding finding{.test = "rp_filter",
                  .object = facts.interface,
                  .detail = Values(facts, facts.rp_filter)};
  if (Effective(facts.rp_filter) == 1) {
    finding.result = Result::kFail;
    absl::StrAppend(&finding.detail,
                    ": a client's packet is dropped when the route back to the "
                    "client leaves by another interface");
    finding.fix =
        absl::StrCat("sysctl -w ", SysctlName(facts.interface, "rp_filter"),
                     "=", kLooseReversePath);
  }
  findings.push_back(std::move(finding));
}

std::string NextHopWords(const NextHopFact& hop) {
  std::string words;
  if (hop.gateway.has_value())
    absl::StrAppend(&words, " via ", hop.gateway->ToString());
  if (!hop.interface.empty()) absl::StrAppend(&words, " dev ", hop.interface);
  if (hop.on_link) absl::StrAppend(&words, " onlink");
  return words;
}

// The same route with another advmss.
std::string ChangeRoute(const DefaultRoute& route, uint32_t advmss) {
  std::string command =
      absl::StrCat(route.ipv4 ? "ip" : "ip -6", " route change default");
  if (route.metric != 0) absl::StrAppend(&command, " metric ", route.metric);
  if (route.source.has_value())
    absl::StrAppend(&command, " src ", route.source->ToString());
  const auto options = [&] {
    if (route.mtu != 0) absl::StrAppend(&command, " mtu ", route.mtu);
    absl::StrAppend(&command, " advmss ", advmss);
  };
  if (route.next_hop_object != 0) {
    absl::StrAppend(&command, " nhid ", route.next_hop_object);
    options();
  } else if (route.next_hops.size() == 1) {
    absl::StrAppend(&command, NextHopWords(route.next_hops.front()));
    options();
  } else {
    options();
    for (const NextHopFact& hop : route.next_hops) {
      absl::StrAppend(&command, " nexthop", NextHopWords(hop), " weight ",
                      hop.weight);
    }
  }
  return command;
}

void JudgeRoute(const Facts& facts, const DefaultRoute& route,
                Findings& findings) {
  const uint32_t headers = route.ipv4 ? kIpv4TcpHeaders : kIpv6TcpHeaders;
  const uint32_t overhead = headers + FL_ENCAP_MAX;
  const uint32_t fits = facts.mtu > overhead ? facts.mtu - overhead : 0;
  const uint32_t link = route.mtu != 0 ? route.mtu : facts.mtu;
  const uint32_t announced =
      route.advmss != 0 ? route.advmss : link - std::min(link, headers);
  Finding finding{
      .test = "mtu",
      .object = route.ipv4 ? "IPv4 default route" : "IPv6 default route"};
  if (announced <= fits) {
    finding.detail =
        absl::StrCat("advmss ", announced, " fits MTU ", facts.mtu, " with ",
                     FL_ENCAP_MAX, " bytes of encapsulation");
  } else {
    finding.result = Result::kFail;
    finding.detail = absl::StrCat(
        "clients may send segments of ", announced, " bytes, but ", fits,
        " is what fits MTU ", facts.mtu, " with ", FL_ENCAP_MAX,
        " bytes of encapsulation: those who get no ICMP stall; announce less, "
        "or raise the MTU of the network between LB hosts and backends to ",
        kCommonMtu + FL_ENCAP_MAX);
    finding.fix = ChangeRoute(route, fits);
  }
  findings.push_back(std::move(finding));
}

void JudgeMtu(const Facts& facts, bool ipv4, Findings& findings) {
  if (facts.mtu >= kCommonMtu + FL_ENCAP_MAX) {
    findings.push_back(
        {.test = "mtu",
         .object = facts.interface,
         .detail = absl::StrCat("MTU ", facts.mtu, " takes a packet of ",
                                kCommonMtu, " bytes with ", FL_ENCAP_MAX,
                                " bytes of encapsulation")});
    return;
  }
  bool any = false;
  for (const DefaultRoute& route : facts.default_routes) {
    if (route.ipv4 != ipv4) continue;
    JudgeRoute(facts, route, findings);
    any = true;
  }
  if (any) return;
  findings.push_back(
      {.test = "mtu",
       .object = ipv4 ? "IPv4 default route" : "IPv6 default route",
       .result = Result::kWarn,
       .detail = absl::StrCat(
           "there is none: cannot tell what segments clients are asked for; at "
           "most ",
           facts.mtu - std::min<uint32_t>(
                           facts.mtu, FL_ENCAP_MAX + (ipv4 ? kIpv4TcpHeaders
                                                           : kIpv6TcpHeaders)),
           " bytes fit")});
}

void JudgeTunnels(const Facts& facts, Findings& findings) {
  bool any = false;
  for (const TunnelDevice& tunnel : facts.tunnels) {
    if (!tunnel.up) continue;
    any = true;
    findings.push_back(
        {.test = "tunnels",
         .object = tunnel.name,
         .result = Result::kFail,
         .detail = "is up and decapsulates beside the agent: without the agent "
                   "this host would reset connections that are not its own",
         .fix = absl::StrCat("ip link set dev ", tunnel.name, " down")});
  }
  if (any) return;
  findings.push_back({.test = "tunnels",
                      .object = "tunl0, ip6tnl0, sit0",
                      .detail = "absent or down"});
}

void JudgeGuePort(const Facts& facts, const Expectations& expected,
                  Findings& findings) {
  const std::string port = absl::StrCat("UDP port ", expected.gue_port);
  if (facts.gue_sockets.empty()) {
    findings.push_back(
        {.test = "gue_port", .object = port, .detail = "not in use"});
  }
  for (const UdpSocket& socket : facts.gue_sockets) {
    Finding finding{
        .test = "gue_port", .object = port, .result = Result::kFail};
    if (socket.pid != 0) {
      finding.detail = absl::StrCat(
          "taken by ", socket.process,
          ", which gets what the agent does not take; stop it for good where "
          "it was started");
      finding.fix = absl::StrCat("kill ", socket.pid);
    } else {
      finding.detail =
          "taken by the kernel itself: a fou receiver "
          "decapsulates beside the agent";
      finding.fix = absl::StrCat(socket.ipv4 ? "ip" : "ip -6", " fou del port ",
                                 expected.gue_port);
    }
    findings.push_back(std::move(finding));
  }
}

std::string StartAgent(const Facts& facts, const Expectations& expected) {
  if (facts.has_unit) return "systemctl restart fairlead-agent";
  return absl::StrCat("fairlead-agent run --config ", expected.config_path);
}

void JudgeXdp(const Facts& facts, const Expectations& expected,
              Findings& findings) {
  const XdpFacts& xdp = facts.xdp;
  Finding finding{.test = "xdp", .object = facts.interface};
  finding.result = Result::kFail;
  if (!xdp.attached.has_value()) {
    finding.detail = "no XDP program is attached";
    finding.fix = StartAgent(facts, expected);
  } else if (xdp.attached->id != xdp.linked_program) {
    finding.detail =
        absl::StrCat("another XDP program is attached, \"", xdp.attached_name,
                     "\" (id ", xdp.attached->id, ")");
    finding.fix = absl::StrCat("ip link set dev ", facts.interface,
                               xdp.attached->mode == datapath::XdpMode::kNative
                                   ? " xdpdrv off"
                                   : " xdpgeneric off");
  } else if (xdp.attached_tag != xdp.own_tag) {
    finding.detail =
        absl::StrCat("the attached program (tag ", xdp.attached_tag,
                     ") is not the one of this fairlead-agent "
                     "(tag ",
                     xdp.own_tag, ")");
    finding.fix = StartAgent(facts, expected);
  } else if (xdp.attached->mode != expected.xdp_mode) {
    finding.result = Result::kWarn;
    finding.detail = absl::StrCat(
        "attached in ", datapath::ToString(xdp.attached->mode),
        " mode, the config says ", datapath::ToString(expected.xdp_mode));
  } else {
    finding.result = Result::kOk;
    finding.detail =
        absl::StrCat("attached in ", datapath::ToString(xdp.attached->mode),
                     " mode, tag ", xdp.attached_tag);
  }
  findings.push_back(std::move(finding));
}

bool Listens(const Facts& facts, const base::Endpoint& endpoint) {
  return std::any_of(facts.listeners.begin(), facts.listeners.end(),
                     [&endpoint](const TcpListener& listener) {
                       if (listener.port != endpoint.port) return false;
                       if (listener.address == endpoint.address) return true;
                       const bool any =
                           listener.address.is_unspecified() ||
                           (listener.ipv4 && listener.address.ipv4() == 0);
                       if (!any) return false;
                       if (listener.ipv4 == endpoint.address.is_ipv4())
                         return true;
                       return !listener.ipv4 && !listener.ipv6_only;
                     });
}

void JudgeListener(const Facts& facts, const base::Endpoint& vip,
                   Findings& findings) {
  Finding finding{.test = "listener", .object = vip.ToString()};
  if (Listens(facts, vip)) {
    finding.detail = "somebody listens";
  } else {
    finding.result = Result::kFail;
    finding.detail = absl::StrCat(
        "nobody listens, so every new connection is reset; start the server of "
        "this service, on the VIP or on any address, port ",
        vip.port);
  }
  findings.push_back(std::move(finding));
}

void JudgeAgent(const Facts& facts, const Expectations& expected,
                Findings& findings) {
  for (const base::Endpoint& endpoint : expected.listen) {
    Finding finding{.test = "agent", .object = endpoint.ToString()};
    if (Listens(facts, endpoint)) {
      finding.detail = "somebody listens";
    } else {
      finding.result = Result::kFail;
      finding.detail = "nobody listens: the LB hosts get no report from here";
      finding.fix = StartAgent(facts, expected);
    }
    findings.push_back(std::move(finding));
  }
}

void JudgeServices(const Expectations& expected, Findings& findings) {
  if (!expected.vips.empty()) return;
  findings.push_back(
      {.test = "services",
       .object = "-",
       .result = Result::kWarn,
       .detail = "no service is known: no LB host has called yet; name what to "
                 "test with --vip ADDRESS:PORT"});
}

}  // namespace

absl::string_view ToString(Result result) {
  switch (result) {
    case Result::kOk:
      return "ok";
    case Result::kWarn:
      return "warn";
    case Result::kFail:
      return "FAIL";
  }
  return "";
}

std::vector<Finding> Judge(const Facts& facts, const Expectations& expected) {
  Findings findings;
  const bool ipv4 = HasFamily(expected.vips, true);
  JudgeServices(expected, findings);
  JudgeInterface(facts, findings);
  if (!facts.interface_exists) return findings;
  for (const base::IpAddress& vip : AddressesOf(expected.vips))
    JudgeVip(facts, vip, findings);
  // IPv6 answers for an address on the interface that has it alone.
  if (ipv4) {
    JudgeArpIgnore(facts, findings);
    JudgeArpAnnounce(facts, findings);
    JudgeRpFilter(facts, findings);
    JudgeMtu(facts, true, findings);
  }
  if (HasFamily(expected.vips, false)) JudgeMtu(facts, false, findings);
  JudgeTunnels(facts, findings);
  JudgeGuePort(facts, expected, findings);
  JudgeXdp(facts, expected, findings);
  JudgeAgent(facts, expected, findings);
  for (const base::Endpoint& vip : expected.vips)
    JudgeListener(facts, vip, findings);
  return findings;
}

bool AnyFailure(const std::vector<Finding>& findings) {
  return std::any_of(findings.begin(), findings.end(), [](const Finding& f) {
    return f.result == Result::kFail;
  });
}

}  // namespace fairlead::agent
