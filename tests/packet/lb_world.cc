#include "tests/packet/lb_world.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "base/check.h"

namespace fairlead::test {
namespace {

constexpr uint16_t kMaxBackend = 16;

uint64_t WordOf(std::initializer_list<uint16_t> ids) {
  uint64_t word = 0;
  int shift = 0;
  for (const uint16_t id : ids) {
    word |= uint64_t{id} << shift;
    shift += 16;
  }
  return word;
}

uint64_t MacWord(const Mac& mac) {
  uint64_t word = 0;
  std::memcpy(&word, mac.data(), mac.size());
  return word;
}

// The IP packet's length by its own header.
uint64_t IpLength(const Packet& packet) {
  const bool is_ipv4 = packet.Find<Ipv4>() != nullptr;
  const Bytes frame = packet.Inner().Wire();
  const size_t at = is_ipv4 ? 2 : 4;
  return static_cast<uint64_t>(frame[at] << 8 | frame[at + 1]) +
         (is_ipv4 ? 0 : 40);
}

// Every counter of all services and backends, by name.
std::map<std::string, uint64_t> Counters(const LbProgram& lb) {
  std::map<std::string, uint64_t> all;
  const auto add = [&](const std::string& name, uint64_t value) {
    if (value != 0) all[name] = value;
  };
  for (uint16_t id = 0; id < 8; id++) {
    const fl_service_stats s = lb.service_stats(id);
    const std::string prefix = "service " + std::to_string(id) + " ";
    add(prefix + "packets", s.packets);
    add(prefix + "bytes", s.bytes);
    add(prefix + "new_flows", s.new_flows);
    add(prefix + "misses", s.misses);
    add(prefix + "fail_open", s.fail_open);
    add(prefix + "too_big", s.too_big);
    add(prefix + "over_budget", s.over_budget);
    add(prefix + "denied", s.denied);
    add(prefix + "over_rate", lb.source_stats(id).over_rate);
    add(prefix + "full", lb.source_stats(id).full);
    add(prefix + "over_conns", lb.source_stats(id).over_conns);
    add(prefix + "uncounted", lb.source_stats(id).uncounted);
  }
  for (uint16_t id = 0; id <= kMaxBackend; id++) {
    const fl_backend_stats b = lb.backend_stats(id);
    const std::string prefix = "backend " + std::to_string(id) + " ";
    add(prefix + "packets", b.packets);
    add(prefix + "bytes", b.bytes);
    add(prefix + "new_flows", b.new_flows);
    add(prefix + "syn_again", b.syn_again);
  }
  return all;
}

std::map<std::string, uint64_t> Plus(std::map<std::string, uint64_t> counters,
                                     const Expected& e, uint64_t bytes) {
  const auto add = [&](const std::string& name, uint64_t value) {
    if (value != 0) counters[name] += value;
  };
  if (e.service != 0) {
    const std::string prefix = "service " + std::to_string(e.service) + " ";
    add(prefix + "packets", 1);
    add(prefix + "bytes", bytes);
    add(prefix + "new_flows", e.new_flows);
    add(prefix + "misses", e.misses);
    add(prefix + "fail_open", e.fail_open);
    add(prefix + "too_big", e.too_big);
    add(prefix + "over_budget", e.over_budget);
    add(prefix + "denied", e.denied);
    add(prefix + "over_rate", e.over_rate);
    add(prefix + "full", e.full);
    add(prefix + "over_conns", e.over_conns);
  }
  if (e.backend != 0) {
    const std::string prefix = "backend " + std::to_string(e.backend) + " ";
    add(prefix + "packets", 1);
    add(prefix + "bytes", bytes);
    add(prefix + "new_flows", e.backend_new_flows);
    add(prefix + "syn_again", e.backend_syn_again);
  }
  return counters;
}

}  // namespace

Flow FlowOf(const Packet& packet) {
  const auto* tcp = packet.Find<Tcp>();
  FL_CHECK(tcp != nullptr);
  if (const auto* ip = packet.Find<Ipv4>())
    return {{ip->src, tcp->sport}, {ip->dst, tcp->dport}};
  const auto* ip = packet.Find<Ipv6>();
  FL_CHECK(ip != nullptr);
  return {{ip->src, tcp->sport}, {ip->dst, tcp->dport}};
}

Mac BackendMac(uint16_t id) {
  return {0x02, 0, 0, 0, 0x01, static_cast<uint8_t>(id)};
}

LbWorld::LbWorld(const LbSizes& sizes) : lb_(sizes) {
  for (uint16_t id = 1; id <= 4; id++) {
    SetBackend(id, {.address = base::IpAddress::FromIpv4(0xc000020a + id)});
  }
  SetRows({1, 2, 3, 4});
  service_.id = kServiceId;
  service_.policy = FL_POLICY_HASH;
  service_.choices = 1;
  service_.rows_base = kRowsBase;
  service_.row_mask = kRowCount - 1;
  service_.epoch = 0x01020304;
  StoreService();
}

void LbWorld::StoreService() {
  lb_.SetService(kService4, service_);
  lb_.SetService(kService6, service_);
}

void LbWorld::SetBackend(uint16_t id, const BackendOptions& options) {
  fl_backend& line = lb_.backends()[id];
  std::memcpy(line.address, options.address.bytes().data(), 16);
  line.next_hop = MacWord(BackendMac(id)) | uint64_t{options.mtu} << 48;
  line.source = MacWord(kLbMac);
  if (options.vlan.has_value())
    line.source |= uint64_t{FL_VLAN | *options.vlan} << 48;
  line.egress = options.egress;
  line.weight = options.weight;
  line.service = kServiceId;
  line.state = options.state;
}

void LbWorld::SetState(uint16_t id, uint64_t state) {
  lb_.backends()[id].state = state;
}

void LbWorld::SetLoad(uint16_t id, uint64_t live, uint64_t pending) {
  lb_.load()[id].live = live;
  lb_.load()[id].pending = pending;
}

void LbWorld::SetRoom(uint16_t id, uint64_t room) {
  lb_.backends()[id].state |= FL_BACKEND_CAPPED;
  fl_load& load = lb_.load()[id];
  load.bound = load.begun + room;
  load.bound_until = ~uint64_t{0};
}

void LbWorld::SetPace(uint16_t id, bool may) {
  constexpr uint32_t kMinute = 60'000'000'000u >> FL_ACCEPT_SHIFT;
  fl_backend& line = lb_.backends()[id];
  line.accept = fl_accept_word(0, kMinute);
  line.state |= FL_BACKEND_PACED;
  lb_.load()[id].accept_due = may ? 0 : ~uint64_t{0};
}

void LbWorld::SetRows(std::initializer_list<uint16_t> candidates,
                      std::initializer_list<uint16_t> owners) {
  for (fl_row& row : lb_.rows().subspan(kRowsBase, kRowCount))
    row = {WordOf(candidates), WordOf(owners)};
}

void LbWorld::Check(const Packet& packet, const Expected& expected) {
  const Bytes frame = packet.Wire();
  const auto before = Counters(lb_);
  const LbResult result = lb_.Run(frame);
  CHECK(result.verdict == expected.verdict);
  CHECK(result.action ==
        expected.action.value_or(VerdictAction(expected.verdict)));
  CHECK_THAT(result.packet, IsPacket(expected.packet.value_or(packet)));
  const uint64_t bytes = expected.service ? IpLength(packet) : 0;
  CHECK(Counters(lb_) == Plus(before, expected, bytes));
}

LbResult LbWorld::Send(const Packet& packet, fl_lb_verdict verdict) {
  LbResult result = lb_.Run(packet);
  CHECK(result.verdict == verdict);
  return result;
}

Packet LbWorld::Encapsulated(const Packet& packet, const HopList& hops,
                             const Packet& segment) const {
  const uint64_t hash = ReferenceFlowHash(kHashKey, FlowOf(segment));
  const uint16_t first = hops.ids.front();
  const auto* ip4 = packet.Find<Ipv4>();
  const auto* ip6 = packet.Find<Ipv6>();
  // DSCP, and ECN by RFC 6040's normal mode.
  const uint8_t tos = ip4 != nullptr ? ip4->tos : ip6->tos;
  std::array<uint8_t, 16> bytes = {};
  std::memcpy(bytes.data(), lb_.backends()[first].address, bytes.size());
  const base::IpAddress address(bytes);

  Packet out = Eth{.dst = BackendMac(first), .src = kLbMac};
  const auto vlan = static_cast<uint16_t>(lb_.backends()[first].source >> 48);
  if (vlan != 0) out /= Vlan{.id = static_cast<uint16_t>(vlan & FL_VLAN_MASK)};
  if (service_.encap == FL_ENCAP_L2) return out / packet.Inner();
  if (address.is_ipv4()) {
    out /= Ipv4{.src = kNode4, .dst = address, .tos = tos};
  } else {
    out /= Ipv6{.src = kNode6, .dst = address, .tos = tos};
  }
  if (service_.encap == FL_ENCAP_IPIP) return out / packet.Inner();
  out /= Udp{.sport = static_cast<uint16_t>(0xc000 | hash >> 50)};
  out /= Gue{};
  if (service_.encap == FL_ENCAP_GUE_PLAIN) return out / packet.Inner();
  out /= Hops{.ids = hops.ids,
              .flags = hops.flags,
              .acceptors = hops.acceptors,
              .lb_id = kLbId,
              .row = RowOf(segment),
              .epoch = service_.epoch};
  out /= packet.Inner();
  return out;
}

uint16_t LbWorld::RowOf(const Packet& packet) const {
  const Flow flow = FlowOf(packet);
  const uint64_t hash = service_.policy == FL_POLICY_SOURCE
                            ? ReferenceSourceHash(kHashKey, flow.client.address)
                            : ReferenceFlowHash(kHashKey, flow);
  return static_cast<uint16_t>(hash >> 48 & (kRowCount - 1));
}

unsigned int LbWorld::StateOf(const Packet& packet) const {
  const fl_slot* slot = lb_.FindSlot(FlowOf(packet));
  return slot == nullptr ? 0 : fl_slot_state(slot->word0);
}

uint16_t LbWorld::BackendOf(const Packet& packet) const {
  const fl_slot* slot = lb_.FindSlot(FlowOf(packet));
  return slot == nullptr ? FL_NO_BACKEND : fl_slot_backend(slot->word0);
}

fl_slot& LbWorld::SlotOf(const Packet& packet) const {
  fl_slot* slot = lb_.FindSlot(FlowOf(packet));
  FL_CHECK(slot != nullptr);
  return *slot;
}

void LbWorld::Age(const Packet& packet, uint32_t ticks) {
  fl_slot& slot = SlotOf(packet);
  const uint32_t then = NowTick() - ticks;
  slot.word1 = fl_slot_word1(then, then, fl_slot_flags(slot.word1));
}

void LbWorld::Fill(fl_slot& slot, unsigned int state, uint32_t idle_ticks) {
  const uint32_t then = NowTick() - idle_ticks;
  // Tags of test packets are hashes; these count from 1.
  slot.word1 = fl_slot_word1(then, then, 0);
  slot.word0 = fl_slot_word0(++next_filler_ << 19, state, 4);
  fl_load& load = lb_.load()[4];
  if (fl_slot_is_pending(state)) {
    load.pending++;
  } else {
    load.live++;
  }
}

void LbWorld::ClearFlows() {
  std::ranges::fill(lb_.flows(), fl_bucket{});
  std::ranges::fill(lb_.load(), fl_load{});
}

void LbWorld::CheckLoad() {
  std::vector<fl_load> slots(lb_.load().size());
  for (const fl_bucket& bucket : lb_.flows()) {
    for (const fl_slot& slot : bucket.slots) {
      const unsigned int state = fl_slot_state(slot.word0);
      if (state == FL_SLOT_FREE) continue;
      fl_load& load = slots[fl_slot_backend(slot.word0)];
      (fl_slot_is_pending(state) ? load.pending : load.live)++;
    }
  }
  for (size_t id = 0; id < slots.size(); id++) {
    INFO("backend " << id);
    CHECK(lb_.load()[id].live == slots[id].live);
    CHECK(lb_.load()[id].pending == slots[id].pending);
  }
}

void CheckUntouched(const std::vector<PacketCase>& cases) {
  LbWorld world;
  for (const PacketCase& c : cases) {
    INFO(c.name);
    world.Check(c.packet, {.verdict = c.verdict, .service = 0});
  }
  world.CheckLoad();
}

}  // namespace fairlead::test
