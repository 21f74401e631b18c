#include "tests/packet/agent_world.h"

#include <arpa/inet.h>

#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "tests/support/reference_siphash.h"

namespace fairlead::test {
namespace {

constexpr SipKey kHashKey = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
constexpr uint32_t kRowMask = 1023;
constexpr uint16_t kSourcePort = 50123;
constexpr uint16_t kStrangersPort = 1;
const base::IpAddress kLb4 = Ip("192.0.2.1"), kLb6 = Ip("2001:db8:2::1");
const base::IpAddress kNode4 = Ip("192.0.2.11"), kNode6 = Ip("2001:db8:2::11");
const Vlan kTag = {.id = 100, .priority = 5, .drop_eligible = true};

struct PeerOf {
  Id id;
  base::IpAddress address;
  uint32_t flags = FL_PEER_NEXT_HOP;
  uint32_t egress = 0;
  uint16_t vlan = 0;
};

const std::array<PeerOf, 8>& Peers() {
  static const std::array<PeerOf, 8> peers = {{
      {kSelf, kNode4, FL_PEER_SELF},
      {kPeer4, Ip("192.0.2.12")},
      {kPeer6, Ip("2001:db8:2::12")},
      {kTagged4, Ip("192.0.2.13"), FL_PEER_NEXT_HOP, 0, kInside},
      {kTagged6, Ip("2001:db8:2::13"), FL_PEER_NEXT_HOP, 0, kInside},
      {kBehindOther, Ip("192.0.2.14"), FL_PEER_NEXT_HOP, kOtherEgress},
      {kUnreachable, Ip("192.0.2.15"), 0},
      {kSelfAgain, kNode4, FL_PEER_SELF},
  }};
  return peers;
}

const PeerOf& PeerAt(Id id) { return Peers()[static_cast<size_t>(id - 1)]; }

Mac MacOf(Id id, uint8_t side) {
  return {0x02, side, 0, 0, 0, static_cast<uint8_t>(id)};
}

fl_agent_config Config() {
  fl_agent_config config = {};
  std::memcpy(config.hash_key, kHashKey.data(), sizeof(config.hash_key));
  std::memcpy(config.node_address, kNode4.bytes().data(), 16);
  std::memcpy(config.node_address6, kNode6.bytes().data(), 16);
  config.gue_port = htons(FL_GUE_PORT);
  return config;
}

fl_peer LineOf(const PeerOf& peer) {
  fl_peer line = {};
  std::memcpy(line.address, peer.address.bytes().data(), 16);
  line.flags = peer.flags;
  line.egress = peer.egress;
  const Mac destination = MacOf(peer.id, 1), source = MacOf(peer.id, 2);
  std::memcpy(line.destination_mac, destination.data(), 6);
  std::memcpy(line.source_mac, source.data(), 6);
  if (peer.vlan != 0) line.vlan = FL_VLAN | peer.vlan;
  return line;
}

// One for all worlds: programs look for sockets in the namespace of the thread.
struct Namespace {
  Namespace() {
    for (const base::IpAddress& address : {kVip4, kClient4, kVip6, kClient6})
      AddLocalAddress(address);
    ipv4.emplace(kService4, kClient4);
    ipv6.emplace(kService6, kClient6);
  }

  std::optional<LiveConnection> ipv4, ipv6;
};

const Namespace& Sockets() {
  static const Namespace sockets = [] {
    EnterNetworkNamespace();
    return Namespace();
  }();
  return sockets;
}

Packet IpOf(const AgentWay& way) {
  return way.inner_ipv4 ? Packet(Ipv4{}) : Packet(Ipv6{});
}

Packet Outer(const AgentWay& way, uint8_t tos) {
  Packet outer = way.front;
  if (way.outer_ipv4) {
    outer /= Ipv4{.src = kLb4, .dst = kNode4, .tos = tos};
  } else {
    outer /= Ipv6{.src = kLb6, .dst = kNode6, .tos = tos};
  }
  return outer / Udp{.sport = kSourcePort};
}

Flow FlowOf(const Packet& inner) {
  const auto* ip4 = inner.Find<Ipv4>();
  const auto* tcp = inner.Find<Tcp>();
  FL_CHECK(tcp != nullptr);
  if (ip4 != nullptr) return {{ip4->src, tcp->sport}, {ip4->dst, tcp->dport}};
  const auto* ip6 = inner.Find<Ipv6>();
  return {{ip6->src, tcp->sport}, {ip6->dst, tcp->dport}};
}

}  // namespace

AgentWorld::AgentWorld() : agent_(Config()) {
  Sockets();
  SetVip({.index = kVipIndex, .row_mask = kRowMask, .epoch = kEpoch});
  for (const PeerOf& peer : Peers())
    agent_.SetPeer({.lb_id = kLbId, .backend = peer.id}, LineOf(peer));
  agent_.SetSource(kLb4);
  agent_.SetSource(kLb6);
}

void AgentWorld::SetVip(const fl_vip& vip) {
  agent_.SetVip(kService4, vip);
  agent_.SetVip(kService6, vip);
}

void AgentWorld::Check(const Packet& packet, fl_agent_verdict verdict,
                       const std::optional<Packet>& expected,
                       std::optional<uint32_t> action) {
  const AgentResult result = agent_.Run(packet);
  CHECK(result.verdict == verdict);
  CHECK(result.action == action.value_or(VerdictAction(verdict)));
  CHECK_THAT(result.packet, IsPacket(expected.value_or(packet)));
}

Packet AgentWorld::Own(const AgentWay& way) const {
  const LiveConnection& own = ConnectionOf(way);
  return IpOf(way) / Tcp{.sport = own.client_port(),
                         .seq = own.next_sequence(),
                         .ack_number = own.acknowledged(),
                         .ack = true};
}

Packet AgentWorld::Misfit(const AgentWay& way) const {
  const LiveConnection& own = ConnectionOf(way);
  return IpOf(way) / Tcp{.sport = own.client_port(),
                         .seq = own.next_sequence(),
                         .ack_number = own.acknowledged() + (1U << 31),
                         .ack = true};
}

Packet AgentWorld::OwnSyn(const AgentWay& way) const {
  return IpOf(way) / Tcp{.sport = ConnectionOf(way).client_port(), .syn = true};
}

Packet AgentWorld::Stranger(const AgentWay& way, const Tcp& tcp) {
  Tcp unknown = tcp;
  unknown.sport = kStrangersPort;
  return IpOf(way) / unknown;
}

Packet AgentWorld::Tunnel(const AgentWay& way, const Hops& hops,
                          const Packet& inner, uint8_t tos) {
  return Outer(way, tos) / Gue{} / hops / inner;
}

Packet AgentWorld::Plain(const AgentWay& way, const Packet& inner) {
  return Outer(way, 0) / Gue{} / inner;
}

Packet AgentWorld::HandedOn(Id id, const Hops& hops, const Packet& inner,
                            uint8_t tos) {
  const PeerOf& peer = PeerAt(id);
  Packet out = Eth{.dst = MacOf(id, 1), .src = MacOf(id, 2)};
  if (peer.vlan != 0) out /= Vlan{.id = peer.vlan};
  if (peer.address.is_ipv4()) {
    out /= Ipv4{.src = kNode4, .dst = peer.address, .tos = tos};
  } else {
    out /= Ipv6{.src = kNode6, .dst = peer.address, .tos = tos};
  }
  return out / Udp{.sport = kSourcePort} / Gue{} / hops / inner;
}

uint64_t AgentWorld::HashOf(const Packet& inner) {
  return ReferenceFlowHash(kHashKey, FlowOf(inner));
}

uint16_t AgentWorld::RowOf(const Packet& inner) {
  return static_cast<uint16_t>(HashOf(inner) >> 48 & kRowMask);
}

const LiveConnection& AgentWorld::ConnectionOf(const AgentWay& way) const {
  return way.inner_ipv4 ? *Sockets().ipv4 : *Sockets().ipv6;
}

void ForEachWay(const std::function<void(const AgentWay&)>& check) {
  for (const bool outer_ipv4 : {true, false}) {
    for (const bool inner_ipv4 : {true, false}) {
      for (const bool tagged : {false, true}) {
        INFO("outer IPv4 " << outer_ipv4 << " inner IPv4 " << inner_ipv4
                           << " tagged " << tagged);
        check({.outer_ipv4 = outer_ipv4,
               .inner_ipv4 = inner_ipv4,
               .front = tagged ? Eth{} / kTag : Packet(Eth{})});
      }
    }
  }
}

Hops ListOf(std::vector<uint16_t> ids, Hops how) {
  how.ids = std::move(ids);
  how.lb_id = kLbId;
  how.epoch = kEpoch;
  return how;
}

}  // namespace fairlead::test
