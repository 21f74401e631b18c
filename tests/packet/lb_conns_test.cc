// How many connections a source has: each recorded flow of a service with
// source-conns is charged to its source, and who has as many as it may opens no
// more.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "lib/conns.h"
#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

constexpr LbSizes kCounting = {.flow_buckets = 256, .conn_sets = 64};

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

void SetMost(LbWorld& world, uint32_t most, int length4 = 32,
             int length6 = 64) {
  fl_service& service = world.service();
  service.flags |= FL_SERVICE_CONNS;
  service.source_conns =
      fl_service_conns_word(static_cast<uint8_t>(96 + length4), most);
  service.source_bits6 = static_cast<uint8_t>(length6);
  world.StoreService();
}

void CheckOver(LbWorld& world, const Packet& packet) {
  world.Check(packet, {.verdict = FL_LB_DROP_SOURCE_CONNS, .over_conns = 1});
}

struct Place {
  size_t bucket, slot;
};
Place PlaceOf(LbWorld& world, const Packet& packet) {
  const fl_slot* slot = &world.SlotOf(packet);
  const auto at =
      static_cast<size_t>(slot - &world.lb().flows().front().slots[0]);
  return {at / FL_BUCKET_SLOTS, at % FL_BUCKET_SLOTS};
}
uint32_t& ChargeOf(LbWorld& world, const Packet& packet) {
  const Place place = PlaceOf(world, packet);
  return world.lb().charges()[place.bucket].entries[place.slot];
}

// Counts and charges agree; returns how many there are.
uint64_t CheckCharges(LbProgram& lb) {
  std::map<uint32_t, uint64_t> charged;
  for (size_t i = 0; i < lb.charges().size(); i++) {
    for (size_t j = 0; j < FL_BUCKET_SLOTS; j++) {
      const uint32_t charge = lb.charges()[i].entries[j];
      if (charge == 0) continue;
      charged[charge]++;
      CHECK(lb.flows()[i].slots[j].word0 != 0);
    }
  }
  uint64_t sum = 0;
  for (uint32_t i = 0; i < lb.conns().size() * FL_CONN_SET; i++) {
    const uint64_t count =
        fl_conn_count(lb.conns()[i / FL_CONN_SET].words[i % FL_CONN_SET]);
    CHECK(count == charged[i + 1]);
    sum += count;
  }
  return sum;
}

// What the daemon does to a slot that has expired.
void Expire(LbWorld& world, const Packet& packet) {
  fl_slot& slot = world.SlotOf(packet);
  uint32_t& cell = ChargeOf(world, packet);
  const uint32_t charge = cell;
  fl_load& load = world.lb().load()[fl_slot_backend(slot.word0)];
  (fl_slot_is_pending(fl_slot_state(slot.word0)) ? load.pending : load.live)--;
  slot = {};
  if (fl_charge_clear(&cell, charge)) {
    const uint32_t at = charge - 1;
    fl_conns_give(
        &world.lb().conns()[at / FL_CONN_SET].words[at % FL_CONN_SET]);
  }
}

TEST_CASE("a source has so many connections at once", "[packet][lb][conns]") {
  for (const std::string source : {"203.0.113.7", "2001:db8:7::7"}) {
    const std::string other =
        source == "203.0.113.7" ? "203.0.113.8" : "2001:db8:8::7";
    for (const uint8_t encap :
         {FL_ENCAP_GUE, FL_ENCAP_GUE_PLAIN, FL_ENCAP_IPIP, FL_ENCAP_L2}) {
      INFO(source);
      LbWorld world(kCounting);
      world.service().encap = encap;
      SetMost(world, 3);
      for (uint16_t sport = 1; sport <= 3; sport++)
        world.Send(Syn(source, sport), FL_LB_TX_SYN_NEW);
      CheckOver(world, Syn(source, 4));
      CheckOver(world, Syn(source, 4));
      CHECK(world.StateOf(Syn(source, 4)) == FL_SLOT_FREE);
      // Not its own SYNs again, and nothing that lives.
      world.Send(Syn(source, 1), FL_LB_TX_SYN_AGAIN);
      world.Send(Ack(source, 1), FL_LB_TX_HIT);
      world.Age(Ack(source, 1), 2);
      world.Send(Ack(source, 1), FL_LB_TX_HIT);
      world.Send(Syn(source, 1), FL_LB_TX_SYN_AGAIN);
      world.Send(Ack(source, 9), FL_LB_TX_MISS);
      world.Send(Syn(other), FL_LB_TX_SYN_NEW);
      CHECK(CheckCharges(world.lb()) == 4);
      // One goes, one may come.
      Expire(world, Syn(source, 2));
      world.Send(Syn(source, 4), FL_LB_TX_SYN_NEW);
      CheckOver(world, Syn(source, 5));
      CHECK(CheckCharges(world.lb()) == 4);
      world.CheckLoad();
    }
  }
}

TEST_CASE("a lowered limit touches no connection", "[packet][lb][conns]") {
  LbWorld world(kCounting);
  const std::string source = "203.0.113.7";
  SetMost(world, 5);
  for (uint16_t sport = 1; sport <= 5; sport++)
    world.Send(Syn(source, sport), FL_LB_TX_SYN_NEW);
  SetMost(world, 2);
  for (uint16_t sport = 1; sport <= 5; sport++)
    world.Send(Ack(source, sport), FL_LB_TX_HIT);
  for (uint16_t sport = 1; sport <= 3; sport++) {
    CheckOver(world, Syn(source, 6));
    Expire(world, Ack(source, sport));
  }
  CheckOver(world, Syn(source, 6));
  Expire(world, Ack(source, 4));
  world.Send(Syn(source, 6), FL_LB_TX_SYN_NEW);
  CHECK(CheckCharges(world.lb()) == 2);
}

TEST_CASE("what a source is, is of each service by itself, and a prefix",
          "[packet][lb][conns]") {
  LbWorld world(kCounting);
  SetMost(world, 1, 24, 56);
  world.Send(Syn("203.0.113.7"), FL_LB_TX_SYN_NEW);
  CheckOver(world, Syn("203.0.113.255"));
  world.Send(Syn("198.51.100.7"), FL_LB_TX_SYN_NEW);
  world.Send(Syn("2001:db8:7:100::1"), FL_LB_TX_SYN_NEW);
  CheckOver(world, Syn("2001:db8:7:1ff:ffff::1"));
  world.Send(Syn("2001:db8:7:200::1"), FL_LB_TX_SYN_NEW);
  world.service().id = kServiceId + 1;
  world.StoreService();
  world.Send(Syn("203.0.113.8"), FL_LB_TX_SYN_NEW);
  CHECK(CheckCharges(world.lb()) == 5);
}

TEST_CASE("a tuple that is used again is charged once", "[packet][lb][conns]") {
  for (const bool has_agent : {false, true}) {
    INFO(has_agent);
    LbWorld world(kCounting);
    for (uint16_t id = 1; id <= 4; id++)
      if (!has_agent) world.SetState(id, kReady & ~FL_BACKEND_AGENT);
    SetMost(world, 2);
    const std::string source = "203.0.113.7";
    world.Send(Syn(source), FL_LB_TX_SYN_NEW);
    world.Send(Ack(source), FL_LB_TX_HIT);
    world.Age(Ack(source), 2);
    world.Send(Ack(source), FL_LB_TX_HIT);
    world.Send(Fin(source), FL_LB_TX_HIT);
    world.Send(Syn(source), FL_LB_TX_SYN_NEW);
    CHECK(CheckCharges(world.lb()) == 1);
    // The daemon takes an ended flow's charge before its record.
    world.Send(Ack(source), FL_LB_TX_HIT);
    world.Send(Fin(source), FL_LB_TX_HIT);
    const uint32_t charge = ChargeOf(world, Ack(source));
    REQUIRE(fl_charge_clear(&ChargeOf(world, Ack(source)), charge));
    world.lb().conns()[(charge - 1) / 8].words[(charge - 1) % 8]--;
    CHECK(CheckCharges(world.lb()) == 0);
    world.Send(Syn(source), FL_LB_TX_SYN_NEW);
    CHECK(CheckCharges(world.lb()) == 1);
    world.Send(Syn(source, 8), FL_LB_TX_SYN_NEW);
    CheckOver(world, Syn(source, 9));
    // At the limit, a tuple that has ended is a new connection, too.
    world.Send(Ack(source), FL_LB_TX_HIT);
    world.Send(Fin(source), FL_LB_TX_HIT);
    CheckOver(world, Syn(source));
  }
}

TEST_CASE("a SYN that asks the old backend first is charged",
          "[packet][lb][conns]") {
  LbWorld world(kCounting);
  SetMost(world, 2);
  const std::string source = "203.0.113.7";
  world.Send(Syn(source), FL_LB_TX_SYN_NEW);
  const uint16_t backend = world.BackendOf(Syn(source));
  world.SetState(backend, kDraining);
  ChargeOf(world, Syn(source)) = 0;
  for (fl_conn_set& set : world.lb().conns()) set = {};
  world.Send(Syn(source), FL_LB_TX_SYN_CLAIM);
  CHECK(CheckCharges(world.lb()) == 1);
  world.Send(Syn(source), FL_LB_TX_SYN_AGAIN);
  CHECK(CheckCharges(world.lb()) == 1);
}

TEST_CASE("who displaces a flow gives its charge back", "[packet][lb][conns]") {
  for (const bool limited : {true, false}) {
    LbWorld world({.flow_buckets = 2, .conn_sets = 64});
    SetMost(world, 1);
    // So many sources that all slots are taken and taken again.
    int recorded = 0;
    for (int i = 0; i < 200; i++) {
      const Packet syn = Syn("198.51.100." + std::to_string(i));
      if (i >= 100 && !limited) {
        world.service().flags &=
            static_cast<uint8_t>(~unsigned{FL_SERVICE_CONNS});
        world.StoreService();
      }
      recorded += world.lb().Run(syn).verdict == FL_LB_TX_SYN_NEW ? 1 : 0;
      for (fl_bucket& bucket : world.lb().flows()) {
        for (fl_slot& slot : bucket.slots) {
          const uint32_t past = NowTick() - 100;
          if (slot.word0 != 0) slot.word1 = fl_slot_word1(past, past, 0);
        }
      }
    }
    CHECK(recorded > 100);
    // Of equals, the first slot of each of the two buckets was taken.
    CHECK(CheckCharges(world.lb()) == (limited ? 8 : 6));
  }
}

TEST_CASE("without room to count it a connection is taken",
          "[packet][lb][conns]") {
  LbWorld world({.flow_buckets = 256, .conn_sets = 2});
  SetMost(world, 1);
  for (int i = 0; i < 40; i++)
    world.Send(Syn("198.51.100." + std::to_string(i)), FL_LB_TX_SYN_NEW);
  CHECK(CheckCharges(world.lb()) == 16);
  CHECK(world.lb().source_stats(kServiceId).uncounted == 24);
  // Nobody has lost an entry: whoever is counted is held to the limit.
  int over = 0;
  for (int i = 0; i < 40; i++) {
    const LbResult result =
        world.lb().Run(Syn("198.51.100." + std::to_string(i), 8));
    over += result.verdict == FL_LB_DROP_SOURCE_CONNS ? 1 : 0;
  }
  CHECK(over == 16);
}

TEST_CASE("without room for sources, none is counted", "[packet][lb][conns]") {
  LbWorld world;
  SetMost(world, 1);
  for (uint16_t sport = 1; sport <= 5; sport++)
    world.Send(Syn("203.0.113.7", sport), FL_LB_TX_SYN_NEW);
  CHECK(world.lb().charges().size() == 1);
  for (const uint32_t charge : world.lb().charges()[0].entries)
    CHECK(charge == 0);
  for (const uint64_t word : world.lb().conns()[0].words) CHECK(word == 0);
  CHECK(world.lb().source_stats(kServiceId).uncounted == 0);
}

TEST_CASE(
    "a denied SYN is charged to nobody, and one above the limit takes "
    "nothing of the rate",
    "[packet][lb][conns]") {
  LbWorld world(kCounting);
  const std::string source = "203.0.113.7";
  SetMost(world, 1);
  world.service().flags |= FL_SERVICE_LIMITED;
  world.lb().limits()[kServiceId] =
      fl_limit_word(1'000'000'000u >> FL_RATE_SHIFT, 2, 128, 64);
  world.StoreService();
  world.Send(Syn(source), FL_LB_TX_SYN_NEW);
  for (int i = 0; i < 5; i++) CheckOver(world, Syn(source, 8));
  Expire(world, Syn(source));
  world.Send(Syn(source, 8), FL_LB_TX_SYN_NEW);
  Expire(world, Syn(source, 8));
  world.Check(Syn(source, 9),
              {.verdict = FL_LB_DROP_SOURCE_RATE, .over_rate = 1});
  CHECK(CheckCharges(world.lb()) == 0);
}

TEST_CASE("two CPUs leave charges and counts in agreement",
          "[packet][lb][conns][hammer]") {
  LbWorld world({.flow_buckets = 4, .conn_sets = 2});
  SetMost(world, 4, 30);
  std::vector<Bytes> frames;
  for (int source = 0; source < 24; source++) {
    for (uint16_t sport = 1; sport <= 3; sport++)
      frames.push_back(
          Syn("198.51.100." + std::to_string(source), sport).Wire());
  }
  LbProgram& lb = world.lb();
  const auto send = [&](size_t step) {
    for (size_t i = 0; i < 20000; i++)
      TestRun(lb.program_fd(), frames[i * step % frames.size()]);
  };
  for (int round = 0; round < 3; round++) {
    std::thread one(send, 1), two(send, 5);
    // What may be displaced is.
    for (int i = 0; i < 20000; i++) {
      fl_slot& slot = lb.flows()[static_cast<size_t>(i) % 4]
                          .slots[static_cast<size_t>(i) / 4 % 4];
      const uint32_t past = NowTick() - 100;
      fl_store64(&slot.word1, fl_slot_word1(past, past, 0));
    }
    one.join();
    two.join();
    // A copy that was freed keeps its charge until the daemon's next walk.
    uint64_t cells = 0, counts = 0;
    for (const fl_flow_charges& charges : lb.charges())
      for (const uint32_t charge : charges.entries)
        cells += charge != 0 ? 1 : 0;
    for (const fl_conn_set& set : lb.conns())
      for (const uint64_t word : set.words) counts += fl_conn_count(word);
    CHECK(cells == counts);
    CHECK(cells > 0);
  }
}

}  // namespace
}  // namespace fairlead::test
