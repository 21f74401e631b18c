// Who finds no room, in a service that tells clients so.
#include <linux/bpf.h>

#include <catch2/catch.hpp>
#include <vector>

#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

const Vlan kTag = {.id = 100, .priority = 5};

Packet Ip4or6(bool is_ipv4) {
  return is_ipv4 ? Packet(Ipv4{}) : Packet(Ipv6{});
}

// From the service, in the plainest form there is.
Packet Reset(bool is_ipv4, Tcp tcp, bool is_tagged = false) {
  Packet packet = Eth{.dst = Eth{}.src, .src = Eth{}.dst};
  if (is_tagged) packet /= kTag;
  if (is_ipv4)
    packet /= Ipv4{.src = kVip4, .dst = kClient4};
  else
    packet /= Ipv6{.src = kVip6, .dst = kClient6};
  tcp.sport = kVipPort;
  tcp.dport = kClientPort;
  tcp.rst = true;
  tcp.window = 0;
  return packet / tcp;
}

void Shed(LbWorld& world) {
  world.service().flags |= FL_SERVICE_SHED_RESET;
  world.StoreService();
}

void FillAll(LbWorld& world) {
  for (uint16_t id = 1; id <= 4; id++) world.SetRoom(id, 0);
}

TEST_CASE("a client that finds no room is told so", "[packet][lb][shed]") {
  for (const bool is_ipv4 : {true, false}) {
    for (const bool paced : {true, false}) {
      LbWorld world;
      Shed(world);
      for (uint16_t id = 1; id <= 4; id++) {
        if (paced)
          world.SetPace(id, false);
        else
          world.SetRoom(id, 0);
      }
      const Packet syn =
          Eth{} / Ip4or6(is_ipv4) / Tcp{.seq = 0xfffffffe, .syn = true};
      world.Check(syn, {.verdict = FL_LB_TX_SYN_REFUSED,
                        .packet = Reset(
                            is_ipv4, {.ack_number = 0xffffffff, .ack = true}),
                        .full = 1});
      CHECK(world.StateOf(syn) == FL_SLOT_FREE);
      world.CheckLoad();
    }
  }
}

TEST_CASE("the reset acknowledges what the SYN brought, and is of its tag",
          "[packet][lb][shed]") {
  for (const bool is_ipv4 : {true, false}) {
    LbWorld world;
    Shed(world);
    FillAll(world);
    const Packet syn = Eth{} / kTag / Ip4or6(is_ipv4) /
                       Tcp{.seq = 1000, .syn = true, .options = Bytes(12, 1)} /
                       Payload(301);
    world.Check(
        syn, {.verdict = FL_LB_TX_SYN_REFUSED,
              .packet = Reset(
                  is_ipv4, {.ack_number = 1000 + 301 + 1, .ack = true}, true),
              .full = 1});
    // What Ethernet pads with is no data.
    const Packet padded = Eth{} / Ip4or6(is_ipv4) /
                          Tcp{.seq = 1000, .syn = true} /
                          Padding{Bytes(17, 0xaa)};
    world.Check(padded,
                {.verdict = FL_LB_TX_SYN_REFUSED,
                 .packet = Reset(is_ipv4, {.ack_number = 1001, .ack = true}),
                 .full = 1});
  }
}

TEST_CASE("IP options and extension headers are not in the answer",
          "[packet][lb][shed]") {
  LbWorld world;
  Shed(world);
  FillAll(world);
  world.Check(Eth{} / Ipv4{.options = Bytes(8, 1)} / Tcp{.seq = 7, .syn = true},
              {.verdict = FL_LB_TX_SYN_REFUSED,
               .packet = Reset(true, {.ack_number = 8, .ack = true}),
               .full = 1});
  world.Check(
      Eth{} / Ipv6{} / Extension{.type = 60} / Tcp{.seq = 7, .syn = true},
      {.verdict = FL_LB_TX_SYN_REFUSED,
       .packet = Reset(false, {.ack_number = 8, .ack = true}),
       .full = 1});
}

TEST_CASE("only SYNs without room are told, and nobody by default",
          "[packet][lb][shed]") {
  LbWorld world;
  const auto syn = [](uint16_t sport) {
    return Eth{} / Ipv4{} / Tcp{.sport = sport, .syn = true};
  };
  world.Send(syn(1), FL_LB_TX_SYN_NEW);
  FillAll(world);
  world.Check(syn(2), {.verdict = FL_LB_DROP_FULL, .full = 1});
  Shed(world);
  world.Send(syn(1), FL_LB_TX_SYN_AGAIN);
  world.Send(Eth{} / Ipv4{} / Tcp{.sport = 1, .ack = true}, FL_LB_TX_HIT);
  world.Send(Eth{} / Ipv4{} / Tcp{.sport = 3, .ack = true}, FL_LB_TX_MISS);
  // A tuple that is used again.
  world.Send(Eth{} / Ipv4{} / Tcp{.sport = 1, .fin = true, .ack = true},
             FL_LB_TX_HIT);
  world.Send(syn(1), FL_LB_TX_SYN_REFUSED);
  // Not the address of one host.
  world.Check(Eth{} / Ipv4{.src = Ip("255.255.255.255")} / Tcp{.syn = true},
              {.verdict = FL_LB_DROP_FULL, .full = 1});
}

TEST_CASE("so many are told in a tick, and the others dropped",
          "[packet][lb][shed]") {
  LbWorld world;
  Shed(world);
  FillAll(world);
  size_t told = 0, dropped = 0;
  InOneTick([&] {
    told = dropped = 0;
    for (uint16_t sport = 1; sport <= 1100; sport++) {
      const LbResult result =
          world.lb().Run(Eth{} / Ipv4{} / Tcp{.sport = sport, .syn = true});
      told += result.verdict == FL_LB_TX_SYN_REFUSED ? 1 : 0;
      dropped += result.verdict == FL_LB_DROP_FULL ? 1 : 0;
    }
  });
  // An earlier try of the same tick may have been.
  CHECK(told <= 1000);
  CHECK(told + dropped == 1100);
  CHECK(dropped >= 100);
  CHECK(world.lb().source_stats(kServiceId).full % 1100 == 0);
}

}  // namespace
}  // namespace fairlead::test
