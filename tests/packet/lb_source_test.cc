// Who may open connections to a service: the lists of prefixes are asked about
// new connections, and about nothing else.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

base::IpPrefix Prefix(const std::string& text) {
  return base::IpPrefix::Parse(text).value();
}

Packet From(const std::string& source, const Tcp& tcp) {
  const base::IpAddress address = Ip(source);
  if (address.is_ipv4()) return Eth{} / Ipv4{.src = address} / tcp;
  return Eth{} / Ipv6{.src = address} / tcp;
}
Packet Syn(const std::string& source, uint16_t sport = 7) {
  return From(source, {.sport = sport, .syn = true});
}
Packet Ack(const std::string& source, uint16_t sport = 7) {
  return From(source, {.sport = sport, .ack = true});
}
Packet Fin(const std::string& source, uint16_t sport = 7) {
  return From(source, {.sport = sport, .fin = true, .ack = true});
}

struct Rule {
  std::string prefix;
  fl_prefix rule;
};

void SetLists(LbWorld& world, const std::vector<Rule>& rules) {
  fl_service& service = world.service();
  service.flags = FL_SERVICE_LISTED;
  service.list = 1;
  for (const Rule& rule : rules) {
    if (rule.rule == FL_PREFIX_ALLOW) service.flags |= FL_SERVICE_ALLOW_ONLY;
    world.lb().SetPrefix(service, Prefix(rule.prefix), rule.rule);
  }
  world.StoreService();
}

void CheckDenied(LbWorld& world, const Packet& packet) {
  world.Check(packet, {.verdict = FL_LB_DROP_DENIED, .denied = 1});
}

TEST_CASE("a denied source opens no connection", "[packet][lb][source]") {
  for (const uint8_t encap :
       {FL_ENCAP_GUE, FL_ENCAP_GUE_PLAIN, FL_ENCAP_IPIP, FL_ENCAP_L2}) {
    LbWorld world;
    world.service().encap = encap;
    SetLists(world, {{"203.0.113.0/25", FL_PREFIX_DENY},
                     {"2001:db8:7::/48", FL_PREFIX_DENY}});
    CheckDenied(world, Syn("203.0.113.127"));
    CheckDenied(world, Syn("2001:db8:7:ffff::1"));
    CHECK(world.StateOf(Syn("203.0.113.127")) == FL_SLOT_FREE);
    world.Send(Syn("203.0.113.128"), FL_LB_TX_SYN_NEW);
    world.Send(Syn("2001:db8:8::1"), FL_LB_TX_SYN_NEW);
    world.CheckLoad();
  }
}

TEST_CASE("with an allowed prefix, who is in none is denied",
          "[packet][lb][source]") {
  LbWorld world;
  SetLists(world, {{"203.0.113.64/26", FL_PREFIX_ALLOW},
                   {"2001:db8:7::/48", FL_PREFIX_ALLOW}});
  world.Send(Syn("203.0.113.64"), FL_LB_TX_SYN_NEW);
  world.Send(Syn("2001:db8:7::1"), FL_LB_TX_SYN_NEW);
  CheckDenied(world, Syn("203.0.113.63"));
  CheckDenied(world, Syn("203.0.113.128"));
  CheckDenied(world, Syn("2001:db8:8::1"));
}

TEST_CASE("the longest prefix decides", "[packet][lb][source]") {
  struct Case {
    std::string source;
    bool admitted;
  };
  LbWorld world;
  SetLists(world, {{"203.0.113.0/24", FL_PREFIX_DENY},
                   {"203.0.113.64/26", FL_PREFIX_ALLOW},
                   {"203.0.113.66/32", FL_PREFIX_DENY},
                   {"2001:db8::/33", FL_PREFIX_ALLOW},
                   {"2001:db8:7::/48", FL_PREFIX_DENY},
                   {"2001:db8:7::7/128", FL_PREFIX_ALLOW}});
  const Case cases[] = {{"203.0.113.1", false},   {"203.0.113.64", true},
                        {"203.0.113.66", false},  {"203.0.113.127", true},
                        {"203.0.113.128", false}, {"192.0.2.77", false},
                        {"2001:db8::1", true},    {"2001:db8:7::1", false},
                        {"2001:db8:7::7", true},  {"2001:db8:8000::1", false}};
  for (const Case& c : cases) {
    INFO(c.source);
    if (c.admitted) {
      world.Send(Syn(c.source), FL_LB_TX_SYN_NEW);
    } else {
      CheckDenied(world, Syn(c.source));
    }
  }
}

TEST_CASE("a list is its service's own, and only the one in force counts",
          "[packet][lb][source]") {
  LbWorld world;
  SetLists(world, {});
  fl_service other = world.service();
  other.id = kServiceId + 1;
  world.lb().SetPrefix(other, Prefix("203.0.113.0/24"), FL_PREFIX_DENY);
  other = world.service();
  other.list = 2;
  world.lb().SetPrefix(other, Prefix("203.0.113.0/24"), FL_PREFIX_DENY);
  world.Send(Syn("203.0.113.7"), FL_LB_TX_SYN_NEW);
  // The entry names the other one.
  world.service().list = 2;
  world.StoreService();
  CheckDenied(world, Syn("203.0.113.8"));
}

TEST_CASE("connections of a denied source go on", "[packet][lb][source]") {
  for (const std::string source : {"203.0.113.7", "2001:db8:7::7"}) {
    INFO(source);
    LbWorld world;
    world.Send(Syn(source), FL_LB_TX_SYN_NEW);
    world.Send(Ack(source), FL_LB_TX_HIT);
    SetLists(world, {{source, FL_PREFIX_DENY}});
    // Recorded here; a SYN for it is its own stack's business.
    world.Send(Ack(source), FL_LB_TX_HIT);
    world.Send(Syn(source), FL_LB_TX_SYN_AGAIN);
    world.Age(Ack(source), 2);
    world.Send(Ack(source), FL_LB_TX_HIT);
    CHECK(world.StateOf(Ack(source)) == FL_SLOT_ESTABLISHED);
    world.Send(Syn(source), FL_LB_TX_SYN_AGAIN);
    // Recorded elsewhere.
    world.Send(Ack(source, 8), FL_LB_TX_MISS);
    world.Send(Fin(source), FL_LB_TX_HIT);
    world.Send(Ack(source), FL_LB_TX_HIT);
    world.CheckLoad();
  }
}

TEST_CASE("a tuple of a denied source that has ended is not used again",
          "[packet][lb][source]") {
  LbWorld world;
  const std::string source = "203.0.113.7";
  world.Send(Syn(source), FL_LB_TX_SYN_NEW);
  world.Send(Ack(source), FL_LB_TX_HIT);
  world.Age(Ack(source), 2);
  world.Send(Ack(source), FL_LB_TX_HIT);
  world.Send(Fin(source), FL_LB_TX_HIT);
  SetLists(world, {{source, FL_PREFIX_DENY}});
  CheckDenied(world, Syn(source));
  // What is left to say on both sides still arrives.
  world.Send(Ack(source), FL_LB_TX_HIT);
  CHECK(world.StateOf(Ack(source)) == FL_SLOT_CLOSING);
}

TEST_CASE("a handshake that has just begun is refused like a new one",
          "[packet][lb][source]") {
  LbWorld world;
  const std::string source = "203.0.113.7";
  world.Send(Syn(source), FL_LB_TX_SYN_NEW);
  SetLists(world, {{source, FL_PREFIX_DENY}});
  CheckDenied(world, Syn(source));
  CHECK(world.StateOf(Syn(source)) == FL_SLOT_EMBRYONIC);
  // Its client has the answer already.
  world.Send(Ack(source), FL_LB_TX_HIT);
}

TEST_CASE("a SYN+ACK opens nothing, and is not asked for its source",
          "[packet][lb][source]") {
  LbWorld world;
  SetLists(world, {{"203.0.113.7", FL_PREFIX_DENY}});
  world.Send(From("203.0.113.7", {.sport = 7, .syn = true, .ack = true}),
             FL_LB_TX_MISS);
}

constexpr uint32_t kSecond = 1'000'000'000u >> FL_RATE_SHIFT;

// So many at once, and hardly any more after that.
void SetLimit(LbWorld& world, uint32_t burst, int length4 = 32,
              int length6 = 64) {
  world.service().flags |= FL_SERVICE_LIMITED;
  world.lb().limits()[kServiceId] =
      fl_limit_word(kSecond, burst, static_cast<uint8_t>(96 + length4),
                    static_cast<uint8_t>(length6));
  world.StoreService();
}

void CheckOverRate(LbWorld& world, const Packet& packet) {
  world.Check(packet, {.verdict = FL_LB_DROP_SOURCE_RATE, .over_rate = 1});
}

// As if that many seconds had passed for all sources.
void Pass(LbWorld& world, uint64_t seconds) {
  for (fl_rate_set& set : world.lb().rates()) {
    for (fl_rate& rate : set.rates) {
      const uint64_t back = (seconds * kSecond) << 12;
      if (rate.state > back) rate.state -= back;
    }
  }
}

TEST_CASE("a source opens so many connections at once, and then by its rate",
          "[packet][lb][source]") {
  for (const std::string source : {"203.0.113.7", "2001:db8:7::7"}) {
    for (const uint8_t encap :
         {FL_ENCAP_GUE, FL_ENCAP_GUE_PLAIN, FL_ENCAP_IPIP, FL_ENCAP_L2}) {
      INFO(source);
      LbWorld world;
      world.service().encap = encap;
      SetLimit(world, 3);
      for (uint16_t sport = 1; sport <= 3; sport++)
        world.Send(Syn(source, sport), FL_LB_TX_SYN_NEW);
      CheckOverRate(world, Syn(source, 4));
      CheckOverRate(world, Syn(source, 4));
      CHECK(world.StateOf(Syn(source, 4)) == FL_SLOT_FREE);
      Pass(world, 1);
      world.Send(Syn(source, 4), FL_LB_TX_SYN_NEW);
      CheckOverRate(world, Syn(source, 5));
      // Never more than that at once.
      Pass(world, 100);
      for (uint16_t sport = 5; sport <= 7; sport++)
        world.Send(Syn(source, sport), FL_LB_TX_SYN_NEW);
      CheckOverRate(world, Syn(source, 8));
      world.CheckLoad();
    }
  }
}

TEST_CASE("a source is a prefix, of each service by itself",
          "[packet][lb][source]") {
  LbWorld world;
  SetLimit(world, 1, 24, 56);
  world.Send(Syn("203.0.113.7"), FL_LB_TX_SYN_NEW);
  CheckOverRate(world, Syn("203.0.113.255"));
  world.Send(Syn("198.51.100.7"), FL_LB_TX_SYN_NEW);
  world.Send(Syn("2001:db8:7:100::1"), FL_LB_TX_SYN_NEW);
  CheckOverRate(world, Syn("2001:db8:7:1ff:ffff::1"));
  world.Send(Syn("2001:db8:7:200::1"), FL_LB_TX_SYN_NEW);
  world.service().id = kServiceId + 1;
  world.lb().limits()[kServiceId + 1] = world.lb().limits()[kServiceId];
  world.StoreService();
  world.Send(Syn("203.0.113.8"), FL_LB_TX_SYN_NEW);
}

TEST_CASE("only new connections count for a source", "[packet][lb][source]") {
  LbWorld world;
  SetLimit(world, 1);
  const std::string source = "203.0.113.7";
  world.Send(Syn(source), FL_LB_TX_SYN_NEW);
  // Sent again, and then it lives.
  world.Send(Syn(source), FL_LB_TX_SYN_AGAIN);
  world.Send(Ack(source), FL_LB_TX_HIT);
  world.Send(Ack(source, 8), FL_LB_TX_MISS);
  CheckOverRate(world, Syn(source, 9));
  world.Age(Ack(source), 2);
  world.Send(Ack(source), FL_LB_TX_HIT);
  world.Send(Syn(source), FL_LB_TX_SYN_AGAIN);
  // A tuple that is used again is a new one.
  world.Send(Fin(source), FL_LB_TX_HIT);
  CheckOverRate(world, Syn(source));
  Pass(world, 1);
  world.Send(Syn(source), FL_LB_TX_SYN_NEW);
}

TEST_CASE("a denied SYN counts for no rate, and a limit may be lifted",
          "[packet][lb][source]") {
  LbWorld world;
  SetLists(world, {{"203.0.113.7", FL_PREFIX_DENY}});
  SetLimit(world, 1, 24);
  CheckDenied(world, Syn("203.0.113.7"));
  world.Send(Syn("203.0.113.8"), FL_LB_TX_SYN_NEW);
  CheckOverRate(world, Syn("203.0.113.9"));
  world.lb().limits()[kServiceId] = 0;
  world.Send(Syn("203.0.113.9"), FL_LB_TX_SYN_NEW);
}

TEST_CASE("a flood of sources makes none that is within its rate wait",
          "[packet][lb][source]") {
  LbWorld world({.flow_buckets = 16, .rate_sets = 1});
  SetLimit(world, 2);
  const std::string greedy = "203.0.113.7";
  for (uint16_t sport = 1; sport <= 2; sport++)
    world.Send(Syn(greedy, sport), FL_LB_TX_SYN_NEW);
  for (int i = 0; i < 50; i++) {
    const LbResult result =
        world.lb().Run(Syn("198.51.100." + std::to_string(100 + i)));
    CHECK(result.verdict != FL_LB_DROP_SOURCE_RATE);
  }
  // Who has opened the most is remembered the longest.
  CheckOverRate(world, Syn(greedy, 9));
}

}  // namespace
}  // namespace fairlead::test
