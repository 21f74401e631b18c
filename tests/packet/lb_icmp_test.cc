// ICMP to a service's address: pings are answered, errors go to whoever has the
// connection that they quote, all else is the host's.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <array>
#include <catch2/catch.hpp>
#include <vector>

#include "tests/packet/lb_world.h"
#include "tests/support/bpf_run.h"

namespace fairlead::test {
namespace {

// What a service's backend sends to its client, as an error quotes it.
Packet Reply4(const Ipv4& ip = {.src = kVip4, .dst = kClient4}) {
  return ip / Tcp{.sport = kVipPort, .dport = kClientPort, .ack = true} /
         Payload(1400);
}
Packet Reply6() {
  return Ipv6{.src = kVip6, .dst = kClient6} /
         Tcp{.sport = kVipPort, .dport = kClientPort, .ack = true} /
         Payload(1400);
}

Raw Quote(const Packet& reply, size_t size) {
  Bytes bytes = reply.Wire();
  bytes.resize(size);
  return Raw{bytes};
}

const Ipv4 kFromRouter4 = {.src = Ip("203.0.113.99")};
const Ipv6 kFromRouter6 = {.src = Ip("2001:db8:7::99")};

Packet Error4(uint8_t type, uint8_t code, size_t quoted = 28) {
  return Eth{} / kFromRouter4 / Icmp{.type = type, .code = code, .rest = 1300} /
         Quote(Reply4(), quoted);
}
Packet Error6(uint8_t type, size_t quoted = 48) {
  return Eth{} / kFromRouter6 / Icmp{.type = type, .rest = 1300} /
         Quote(Reply6(), quoted);
}

Packet Ack4() { return Eth{} / Ipv4{} / Tcp{.ack = true}; }
Packet Ack6() { return Eth{} / Ipv6{} / Tcp{.ack = true}; }

TEST_CASE("an ICMP error goes where its connection is", "[packet][lb][icmp]") {
  for (const bool known : {true, false}) {
    INFO("recorded " << known);
    LbWorld world;
    if (known) {
      // At another backend than a miss would try first.
      world.SetState(1, kDraining);
      world.Send(Eth{} / Ipv4{} / Tcp{.syn = true}, FL_LB_TX_SYN_NEW);
      world.Send(Eth{} / Ipv6{} / Tcp{.syn = true}, FL_LB_TX_SYN_NEW);
      world.SetState(1, kReady);
    }
    const HopList hit = {.ids = {2, 1, 3, 4}, .acceptors = 1};
    const HopList miss = {.ids = {1, 2, 3, 4}};
    const HopList& hops = known ? hit : miss;
    const fl_slot before = known ? world.SlotOf(Ack4()) : fl_slot{};
    for (const Packet& error :
         {Error4(3, 4), Error4(3, 1), Error4(11, 0), Error4(12, 0),
          Error4(3, 4, 500), Error4(3, 4, 1200)}) {
      world.Check(error, {.verdict = FL_LB_TX_ICMP_ERROR,
                          .packet = world.Encapsulated(error, hops, Ack4()),
                          .backend = hops.ids.front()});
    }
    for (const Packet& error : {Error6(1), Error6(2), Error6(3), Error6(4),
                                Error6(2, 500), Error6(2, 1200)}) {
      world.Check(error, {.verdict = FL_LB_TX_ICMP_ERROR,
                          .packet = world.Encapsulated(error, hops, Ack6()),
                          .backend = hops.ids.front()});
    }
    // It leaves no trace: anybody can send one.
    if (known) {
      CHECK(world.SlotOf(Ack4()).word0 == before.word0);
      CHECK(world.SlotOf(Ack4()).word1 == before.word1);
    } else {
      CHECK(world.StateOf(Ack4()) == FL_SLOT_FREE);
    }
    world.CheckLoad();
  }
}

TEST_CASE("an error's headers may be long, and its quote's",
          "[packet][lb][icmp]") {
  LbWorld world;
  const Ipv4 with_options = {
      .src = kVip4, .dst = kClient4, .ttl = 0, .options = Bytes(12, 1)};
  world.Send(Eth{} / Ipv4{.src = Ip("203.0.113.99"), .options = Bytes(8, 1)} /
                 Icmp{.type = 11} / Quote(Reply4(with_options), 40),
             FL_LB_TX_ICMP_ERROR);
  const Packet behind_extension =
      Ipv6{.src = kVip6, .dst = kClient6, .hop_limit = 0} /
      Extension{.type = 60} / Tcp{.sport = kVipPort, .dport = kClientPort} /
      Payload(100);
  world.Send(Eth{} / kFromRouter6 / Extension{.type = 0} / Icmp{.type = 3} /
                 Quote(behind_extension, 56),
             FL_LB_TX_ICMP_ERROR);
}

TEST_CASE("what is no error about a connection is the host's",
          "[packet][lb][icmp]") {
  LbWorld world;
  const Packet cases[] = {
      // The quote ends before the ports are whole; is of UDP; was sent by
      // somebody else; is a later fragment.
      Error4(3, 4, 23),
      Error6(2, 43),
      Eth{} / kFromRouter4 / Icmp{.type = 3, .code = 4} /
          Quote(Ipv4{.src = kVip4, .dst = kClient4} /
                    Udp{.sport = kVipPort, .dport = kClientPort},
                28),
      Eth{} / kFromRouter4 / Icmp{.type = 3, .code = 4} /
          Quote(Reply4({.src = kClient4, .dst = kVip4}), 28),
      Eth{} / kFromRouter4 / Icmp{.type = 3, .code = 4} /
          Quote(Reply4({.src = kVip4, .dst = kClient4, .fragment_offset = 1}),
                28),
      // The quoted header lies about its family, its addresses' or its length.
      Eth{} / kFromRouter4 / Icmp{.type = 3, .code = 4} /
          Quote(Reply4({.src = kVip4, .dst = kClient4, .version = 5}), 28),
      Eth{} / kFromRouter6 / Icmp{.type = 2} /
          Quote(Ipv6{.src = kVip6, .dst = kClient6, .version = 4} /
                    Tcp{.sport = kVipPort, .dport = kClientPort},
                60),
      Eth{} / kFromRouter6 / Icmp{.type = 2} /
          Quote(Ipv6{.src = kVip6, .dst = kClient4} /
                    Tcp{.sport = kVipPort, .dport = kClientPort},
                60),
      Eth{} / kFromRouter4 / Icmp{.type = 3, .code = 4} /
          Quote(Reply4({.src = kVip4,
                        .dst = kClient4,
                        .fragment_offset = 1,
                        .length = 19}),
                28),
      // Source quench, redirect, a neighbour's question, a timestamp.
      Error4(4, 0),
      Error4(5, 0),
      Eth{} / Ipv6{.hop_limit = 255} / Icmp{.type = 135} / Payload(16),
      Eth{} / Ipv4{} / Icmp{.type = 13} / Payload(12),
      // Not to a service's address.
      Eth{} / Ipv4{.dst = Ip("192.0.2.200")} / Icmp{} / Payload(8),
  };
  for (const Packet& packet : cases)
    world.Check(packet, {.verdict = FL_LB_PASS_NOT_TCP, .service = 0});
  // About a connection to a port that is no service's.
  world.Check(Eth{} / kFromRouter4 / Icmp{.type = 3, .code = 4} /
                  Quote(Ipv4{.src = kVip4, .dst = kClient4} /
                            Tcp{.sport = 22, .dport = kClientPort},
                        40),
              {.verdict = FL_LB_PASS_NOT_SERVICE, .service = 0});
}

TEST_CASE("an error that is too long is not answered with another",
          "[packet][lb][icmp]") {
  LbWorld world;
  world.SetBackend(1, {.mtu = 1300});
  world.Check(Error4(3, 4, 1300), {.verdict = FL_LB_DROP_TOO_BIG});
  world.Check(Error6(2, 1300), {.verdict = FL_LB_DROP_TOO_BIG});
}

TEST_CASE("a deleted service's errors stay silent", "[packet][lb][icmp]") {
  LbWorld world;
  world.service().flags = FL_SERVICE_TOMBSTONE;
  world.StoreService();
  world.Check(Error4(3, 4), {.verdict = FL_LB_DROP_TOMBSTONE});
}

// Each value of the identifier is another checksum, and some pass the end of
// its ring on the way to the answer's.
TEST_CASE("a ping is answered with the right checksum for every value",
          "[packet][lb][icmp]") {
  constexpr uint32_t kAtOneHost = 900;  // It does not answer more in a tick.
  const Eth back = {.dst = kRouterMac, .src = kLbMac};
  for (uint32_t first = 0; first < 0x10000; first += kAtOneHost) {
    LbWorld v4, v6;
    for (uint32_t id = first; id < first + kAtOneHost && id < 0x10000; id++) {
      const uint32_t rest = id << 16 | 1;
      const auto hops = static_cast<uint8_t>(1 + id % 255);
      const LbResult pong4 =
          v4.lb().Run(Eth{} / Ipv4{.ttl = hops, .id = 7} / Icmp{.rest = rest});
      REQUIRE(pong4.verdict == FL_LB_TX_ECHO);
      REQUIRE(pong4.packet ==
              (back / Ipv4{.src = kVip4, .dst = kClient4, .id = 7} /
               Icmp{.type = 0, .rest = rest})
                  .Wire());
      const LbResult pong6 =
          v6.lb().Run(Eth{} / Ipv6{.hop_limit = hops} /
                      Icmp{.type = 128, .rest = rest} / Payload(9));
      REQUIRE(pong6.verdict == FL_LB_TX_ECHO);
      REQUIRE(pong6.packet == (back / Ipv6{.src = kVip6, .dst = kClient6} /
                               Icmp{.type = 129, .rest = rest} / Payload(9))
                                  .Wire());
    }
  }
}

// Its right checksum is the other zero of the ring.
TEST_CASE("a ping of zeros alone is answered with the right checksum",
          "[packet][lb][icmp]") {
  LbWorld world;
  for (const size_t size : {size_t{0}, size_t{9}}) {
    const Raw zeros = {Bytes(size)};
    world.Check(Eth{} / Ipv4{} / Icmp{} / zeros,
                {.verdict = FL_LB_TX_ECHO,
                 .packet = Eth{.dst = kRouterMac, .src = kLbMac} /
                           Ipv4{.src = kVip4, .dst = kClient4} /
                           Icmp{.type = 0} / zeros,
                 .service = 0});
  }
}

TEST_CASE("who is not one host is not answered", "[packet][lb][icmp]") {
  LbWorld world;
  for (const char* source :
       {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"}) {
    world.Check(Eth{} / Ipv4{.src = Ip(source)} / Icmp{},
                {.verdict = FL_LB_PASS_NOT_TCP, .service = 0});
  }
  for (const char* source : {"::", "::1", "::192.0.2.1", "ff02::1"}) {
    world.Check(Eth{} / Ipv6{.src = Ip(source)} / Icmp{.type = 128},
                {.verdict = FL_LB_PASS_NOT_TCP, .service = 0});
  }
  // An IPv4 host behind a translator is one (RFC 6052).
  world.Send(Eth{} / Ipv6{.src = Ip("64:ff9b::192.0.2.1")} / Icmp{.type = 128},
             FL_LB_TX_ECHO);
  // Nor is a question with another code, or with options.
  world.Send(Eth{} / Ipv4{} / Icmp{.code = 1}, FL_LB_PASS_NOT_TCP);
  world.Send(Eth{} / Ipv4{.options = Bytes(4)} / Icmp{}, FL_LB_PASS_NOT_TCP);
  world.Send(Eth{} / Ipv6{} / Extension{} / Icmp{.type = 128},
             FL_LB_PASS_NOT_TCP);
}

TEST_CASE("an address of which only tombstones are left answers nothing",
          "[packet][lb][icmp]") {
  LbWorld world;
  world.service().flags = FL_SERVICE_TOMBSTONE;
  world.StoreService();
  world.Check(Eth{} / Ipv4{.more_fragments = true} / Tcp{},
              {.verdict = FL_LB_DROP_TOMBSTONE, .service = 0});
  // What would not be answered anyway keeps its name.
  world.Check(Eth{} / Ipv4{.fragment_offset = 9} / Tcp{},
              {.verdict = FL_LB_DROP_FRAGMENT, .service = 0});
  world.Check(Eth{} / Ipv4{} / Icmp{},
              {.verdict = FL_LB_DROP_TOMBSTONE, .service = 0});
}

// Two thousand within a tick, in which a CPU answers a thousand.
TEST_CASE("pings and errors are answered each at their own rate",
          "[packet][lb][icmp]") {
  LbWorld world;
  const Bytes ping = (Eth{} / Ipv4{} / Icmp{}).Wire();
  uint64_t answered = 0;
  InOneTick([&] {
    const uint64_t before = world.lb().verdicts()[FL_LB_TX_ECHO];
    for (int i = 0; i < 2000; i++) TestRun(world.lb().program_fd(), ping);
    answered = world.lb().verdicts()[FL_LB_TX_ECHO] - before;
  });
  CHECK(answered <= 1000);
  const Packet fragment = Eth{} / Ipv4{.more_fragments = true} / Tcp{};
  world.Send(fragment, FL_LB_TX_FRAGMENT_REFUSED);
}

// A flood of what is answered, at one service, keeps nobody else's clients from
// an answer; nor does one kind keep the same service's from another kind.
TEST_CASE("each service and address answers at a rate of its own",
          "[packet][lb][icmp][flood]") {
  const base::IpAddress vip = Ip("198.51.100.77");
  LbWorld world;
  fl_service other = world.service();
  other.id = kServiceId + 1;
  world.lb().SetService({vip, kVipPort}, other);
  const auto ping = [](const base::IpAddress& to) {
    return Eth{} / Ipv4{.dst = to} / Icmp{};
  };
  const auto fragment = [](const base::IpAddress& to) {
    return Eth{} / Ipv4{.dst = to, .more_fragments = true} / Tcp{};
  };
  const auto too_big = [](const base::IpAddress& to) {
    return Eth{} / Ipv4{.dst = to} / Tcp{.ack = true} / Payload(1450);
  };
  struct Kind {
    Packet mine, others;
    fl_lb_verdict verdict;
  };
  const Kind kinds[] = {
      {ping(kVip4), ping(vip), FL_LB_TX_ECHO},
      {fragment(kVip4), fragment(vip), FL_LB_TX_FRAGMENT_REFUSED},
      {too_big(kVip4), too_big(vip), FL_LB_TX_TOO_BIG}};
  const auto cpus = static_cast<size_t>(libbpf_num_possible_cpus());
  for (size_t flooded = 0; flooded < std::size(kinds); flooded++) {
    std::array<fl_lb_verdict, 3> mine = {}, others = {};
    InOneTick([&] {
      for (uint32_t kind = 0; kind < std::size(kinds); kind++) {
        // On every CPU: all of this tick's, or none of them.
        const std::vector<fl_answers> answers(
            cpus, {.tick = NowTick(), .given = kind == flooded ? 1000u : 0u});
        const uint32_t key = kServiceId * FL_ANSWER_KINDS + kind;
        REQUIRE(bpf_map_update_elem(world.lb().answered_map(), &key,
                                    answers.data(), BPF_ANY) == 0);
      }
      for (size_t i = 0; i < std::size(kinds); i++) {
        mine[i] = world.lb().Run(kinds[i].mine).verdict;
        others[i] = world.lb().Run(kinds[i].others).verdict;
      }
    });
    for (size_t i = 0; i < std::size(kinds); i++) {
      INFO("flood of kind " << flooded << ", kind " << i);
      CHECK(others[i] == kinds[i].verdict);
      CHECK(mine[i] ==
            (i == flooded ? FL_LB_DROP_ICMP_LIMIT : kinds[i].verdict));
    }
  }
}

}  // namespace
}  // namespace fairlead::test
