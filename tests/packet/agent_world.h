// A backend for tests: the agent's shipped program in a network namespace with
// a connection of each family, and what must come out of it written from
// docs/WIRE.md, not from the program's code.
#pragma once

#include <catch2/catch.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "fairlead/abi/wire.h"
#include "tests/support/agent_fixture.h"
#include "tests/support/live_connection.h"
#include "tests/support/packet_matcher.h"

template <>
struct Catch::StringMaker<fl_agent_verdict> {
  static std::string convert(fl_agent_verdict verdict) {
    return fairlead::test::VerdictName(verdict);
  }
};

namespace fairlead::test {

inline const base::Endpoint kService4 = {kVip4, kVipPort};
inline const base::Endpoint kService6 = {kVip6, kVipPort};
inline constexpr uint16_t kLbId = 513;
inline constexpr uint32_t kEpoch = 7;
inline constexpr uint32_t kVipIndex = 5;

// The ids of LB host kLbId.
enum Id : uint16_t {
  kSelf = 1,
  kPeer4,
  kPeer6,
  kTagged4,  // in kInside
  kTagged6,
  kBehindOther,  // behind kOtherEgress
  kUnreachable,
  kSelfAgain,
  kUnknown,
};
inline constexpr uint16_t kInside = 4094;
inline constexpr uint32_t kOtherEgress = 7;

// How a packet comes.
struct AgentWay {
  bool outer_ipv4 = true;
  bool inner_ipv4 = true;
  Packet front = Eth{};  // with a VLAN tag or without
};

class AgentWorld {
 public:
  AgentWorld();

  AgentProgram& agent() { return agent_; }
  // The entry of both services.
  void SetVip(const fl_vip& vip);

  // Runs `packet`; unset, it must leave as it came.
  void Check(const Packet& packet, fl_agent_verdict verdict,
             const std::optional<Packet>& expected = std::nullopt,
             std::optional<uint32_t> action = std::nullopt);

  // The next segment of the connection that lives here, and one that belongs to
  // its tuple but to none of its windows.
  Packet Own(const AgentWay& way) const;
  Packet Misfit(const AgentWay& way) const;
  // The SYN of the tuple of that connection.
  Packet OwnSyn(const AgentWay& way) const;
  // Of a connection that nobody knows.
  static Packet Stranger(const AgentWay& way, const Tcp& tcp);

  // What an LB host makes of `inner`, with and without a hop list.
  static Packet Tunnel(const AgentWay& way, const Hops& hops,
                       const Packet& inner, uint8_t tos = 0);
  static Packet Plain(const AgentWay& way, const Packet& inner);
  // The same, as it leaves for the hop `id`.
  static Packet HandedOn(Id id, const Hops& hops, const Packet& inner,
                         uint8_t tos = 0);
  // The row that the tier's key gives the flow of `inner`.
  static uint16_t RowOf(const Packet& inner);
  static uint64_t HashOf(const Packet& inner);

 private:
  const LiveConnection& ConnectionOf(const AgentWay& way) const;

  AgentProgram agent_;
};

// Over outer and inner headers of both families, with a tag and without.
void ForEachWay(const std::function<void(const AgentWay&)>& check);

// With defaults that every test wants.
Hops ListOf(std::vector<uint16_t> ids, Hops how = {});

}  // namespace fairlead::test
