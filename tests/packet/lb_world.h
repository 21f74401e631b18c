// An LB host for tests: the shipped program with services, backends and rows in
// its tables, and what must come out of it written from docs/WIRE.md, not from
// the program's code.
#pragma once

#include <catch2/catch.hpp>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/bpf_fixture.h"
#include "tests/support/packet_matcher.h"

template <>
struct Catch::StringMaker<fl_lb_verdict> {
  static std::string convert(fl_lb_verdict verdict) {
    return fairlead::test::VerdictName(verdict);
  }
};

namespace fairlead::test {

inline constexpr uint64_t kReady = FL_BACKEND_USED | FL_BACKEND_ELIGIBLE |
                                   FL_BACKEND_FAIL_OPEN | FL_BACKEND_NEXT_HOP |
                                   FL_BACKEND_AGENT;
// Takes no new flows, as in admin drain.
inline constexpr uint64_t kDraining =
    kReady & ~(FL_BACKEND_ELIGIBLE | FL_BACKEND_FAIL_OPEN);
// Takes no new flows, but would if there were no other: a failing check.
inline constexpr uint64_t kDown = kReady & ~FL_BACKEND_ELIGIBLE;
inline constexpr uint64_t kDead = kDown | FL_BACKEND_DEAD;

inline const base::Endpoint kService4 = {kVip4, kVipPort};
inline const base::Endpoint kService6 = {kVip6, kVipPort};

// Of the service's 256 rows each lists the same members.
inline constexpr uint16_t kServiceId = 3;
inline constexpr uint32_t kRowsBase = 256;
inline constexpr uint32_t kRowCount = 256;

struct BackendOptions {
  base::IpAddress address = Ip("192.0.2.99");
  uint64_t state = kReady;
  uint16_t weight = 100;
  uint16_t mtu = 1500;
  uint32_t egress = 0;
  std::optional<uint16_t> vlan = std::nullopt;
};

struct HopList {
  std::vector<uint16_t> ids;
  uint8_t flags = 0;
  uint8_t acceptors = 0;
};

// What one packet must cause. Counters that are not named must not move.
struct Expected {
  fl_lb_verdict verdict = FL_LB_VERDICT_COUNT;
  // Unset: the frame as it came in.
  std::optional<Packet> packet = std::nullopt;
  // Unset: the verdict's own.
  std::optional<uint32_t> action = std::nullopt;
  // 0: none counts it.
  uint16_t service = kServiceId;
  uint16_t backend = 0;
  uint64_t new_flows = 0;
  uint64_t misses = 0;
  uint64_t fail_open = 0;
  uint64_t too_big = 0;
  uint64_t over_budget = 0;
  uint64_t denied = 0;
  uint64_t over_rate = 0;
  uint64_t full = 0;
  uint64_t over_conns = 0;
  uint64_t backend_new_flows = 0;
  uint64_t backend_syn_again = 0;
};

Flow FlowOf(const Packet& packet);
Mac BackendMac(uint16_t id);

class LbWorld {
 public:
  // Backends 1 to 4 over IPv4, ready, each row lists them in this order, and
  // both VIPs are a service of policy hash.
  explicit LbWorld(const LbSizes& sizes = {});

  LbProgram& lb() { return lb_; }
  fl_service& service() { return service_; }
  // Makes `service()`, as it is, the entry of both VIPs.
  void StoreService();
  void SetBackend(uint16_t id, const BackendOptions& options);
  void SetState(uint16_t id, uint64_t state);
  void SetLoad(uint16_t id, uint64_t live, uint64_t pending = 0);
  // Capped, with room for so many more.
  void SetRoom(uint16_t id, uint64_t room);
  // Paced: it may be given one more new connection, or none, and one each
  // minute.
  void SetPace(uint16_t id, bool may);
  void SetRows(std::initializer_list<uint16_t> candidates,
               std::initializer_list<uint16_t> owners = {});

  // Runs `packet` and compares everything that it caused.
  void Check(const Packet& packet, const Expected& expected);
  // Runs `packet` and checks the verdict alone.
  LbResult Send(const Packet& packet, fl_lb_verdict verdict);

  // `packet` as it must leave for hops.ids[0], encapsulated as the service is;
  // only FL_ENCAP_GUE has the list.
  Packet Encapsulated(const Packet& packet, const HopList& hops) const {
    return Encapsulated(packet, hops, packet);
  }
  // The same of a packet about the connection that `segment` is of.
  Packet Encapsulated(const Packet& packet, const HopList& hops,
                      const Packet& segment) const;
  uint16_t RowOf(const Packet& packet) const;

  // Of the flow that `packet` belongs to. StateOf is FL_SLOT_FREE if it is not
  // recorded.
  unsigned int StateOf(const Packet& packet) const;
  uint16_t BackendOf(const Packet& packet) const;
  // Requires: the flow is recorded.
  fl_slot& SlotOf(const Packet& packet) const;
  // As if the last segment had been seen that many ticks ago.
  void Age(const Packet& packet, uint32_t ticks);
  // A slot of its own for a flow that no test packet has.
  void Fill(fl_slot& slot, unsigned int state, uint32_t idle_ticks = 0);
  // Forgets all flows and all load.
  void ClearFlows();
  // R4: the counters equal the slots.
  void CheckLoad();

 private:
  LbProgram lb_;
  fl_service service_ = {};
  uint64_t next_filler_ = 0;
};

struct PacketCase {
  std::string name;
  Packet packet;
  fl_lb_verdict verdict;
};

// In one world, one after the other: none of these is counted for a service or
// a backend, and none is changed.
void CheckUntouched(const std::vector<PacketCase>& cases);

}  // namespace fairlead::test
