// Floods: how many new flows a service may record, who gives way to whom in a
// crowded table, and that a flood at one service changes nothing at another.
// The floods are twice as large as the flow table.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "lib/flow_slot.h"
#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

Packet SynOf(uint16_t sport) {
  return Eth{} / Ipv4{} / Tcp{.sport = sport, .syn = true};
}

const HopList kToFirst = {.ids = {1, 2, 3, 4}, .acceptors = 0b1111};

void SetShares(LbWorld& world, uint32_t fair, uint32_t limit) {
  world.service().syn_fair = fair;
  world.service().syn_limit = limit;
  world.StoreService();
}

// As if so many had been taken of the window. It is ahead of the clock and
// counts as this tick's, so that no tick ends it.
void HoldWindow(LbWorld& world, uint64_t taken) {
  world.lb().syn_windows()[kServiceId].word =
      uint64_t{(NowTick() + 1000) & FL_TICK_MASK} << FL_SYN_TICK_SHIFT | taken;
}

// Sends the SYNs of flows 1 to `count` and returns how many got each verdict.
std::map<fl_lb_verdict, int> SendSyns(LbWorld& world, uint16_t count) {
  std::map<fl_lb_verdict, int> verdicts;
  for (uint16_t sport = 1; sport <= count; sport++)
    verdicts[world.lb().Run(SynOf(sport)).verdict]++;
  return verdicts;
}

TEST_CASE("above its SYN budget a service's new flows are not recorded",
          "[packet][lb][budget]") {
  for (const uint32_t limit : {1u, 2u, 100u}) {
    INFO("budget of " << limit << " a tick");
    LbWorld world({.flow_buckets = 1024});
    SetShares(world, 0, limit);
    HoldWindow(world, 0);
    std::map<fl_lb_verdict, int> verdicts = SendSyns(world, 200);
    CHECK(verdicts[FL_LB_TX_SYN_NEW] == static_cast<int>(limit));
    CHECK(verdicts[FL_LB_TX_SYN_OVER_BUDGET] == 200 - static_cast<int>(limit));
    CHECK(world.lb().load()[1].pending == limit);
    CHECK(world.lb().service_stats(kServiceId).over_budget >= 200 - limit);
    world.CheckLoad();
  }
}

// The packet, and the segment that follows it, in both families and with and
// without a hop list.
TEST_CASE("a flow above the budget is served, and found again",
          "[packet][lb][budget]") {
  for (const uint8_t encap : {FL_ENCAP_GUE, FL_ENCAP_GUE_PLAIN}) {
    for (const bool ipv6 : {false, true}) {
      LbWorld world;
      world.service().policy = FL_POLICY_LEAST_CONN;
      world.service().choices = 4;
      world.service().encap = encap;
      SetShares(world, 0, 1);
      // The least loaded is not who gets it: a miss would not find it there.
      world.SetLoad(1, 1000);
      const auto packet = [&](Tcp tcp) {
        return ipv6 ? Eth{} / Ipv6{} / tcp : Eth{} / Ipv4{} / tcp;
      };
      const Packet syn = packet({.sport = 2, .syn = true});
      const Packet ack = packet({.sport = 2, .ack = true});
      HoldWindow(world, 0);
      world.Send(packet({.sport = 1, .syn = true}), FL_LB_TX_SYN_NEW);
      world.Check(syn, {.verdict = FL_LB_TX_SYN_OVER_BUDGET,
                        .packet = world.Encapsulated(syn, kToFirst),
                        .backend = 1,
                        .new_flows = 1,
                        .over_budget = 1,
                        .backend_new_flows = 1});
      world.Check(ack, {.verdict = FL_LB_TX_MISS,
                        .packet = world.Encapsulated(
                            ack, {.ids = {1, 2, 3, 4}, .flags = FL_WIRE_LEARN}),
                        .backend = 1,
                        .misses = 1});
      CHECK(world.StateOf(syn) == FL_SLOT_FREE);
    }
  }
}

TEST_CASE("a flow above the budget goes to the first eligible candidate",
          "[packet][lb][budget]") {
  LbWorld world;
  SetShares(world, 0, 1);
  HoldWindow(world, 1);
  world.SetState(1, kDraining);
  world.SetState(2, kReady & ~FL_BACKEND_NEXT_HOP);
  world.Check(SynOf(1),
              {.verdict = FL_LB_TX_SYN_OVER_BUDGET,
               .packet = world.Encapsulated(
                   SynOf(1), {.ids = {3, 1, 2, 4}, .acceptors = 0b1101}),
               .backend = 3,
               .new_flows = 1,
               .over_budget = 1,
               .backend_new_flows = 1});
  for (uint16_t id = 1; id <= 4; id++) world.SetState(id, kDown);
  world.Check(SynOf(1), {.verdict = FL_LB_TX_SYN_OVER_BUDGET,
                         .packet = world.Encapsulated(
                             SynOf(1), {.ids = {1, 2, 3, 4}, .acceptors = 1}),
                         .backend = 1,
                         .new_flows = 1,
                         .fail_open = 1,
                         .over_budget = 1,
                         .backend_new_flows = 1});
}

TEST_CASE("a SYN sent again takes nothing from the budget",
          "[packet][lb][budget]") {
  LbWorld world;
  SetShares(world, 0, 2);
  HoldWindow(world, 0);
  world.Send(SynOf(1), FL_LB_TX_SYN_NEW);
  for (int i = 0; i < 10; i++) world.Send(SynOf(1), FL_LB_TX_SYN_AGAIN);
  world.Send(SynOf(2), FL_LB_TX_SYN_NEW);
  world.Send(SynOf(3), FL_LB_TX_SYN_OVER_BUDGET);
  world.Send(SynOf(2), FL_LB_TX_SYN_AGAIN);
}

TEST_CASE("each tick has a budget of its own", "[packet][lb][budget]") {
  LbWorld world;
  SetShares(world, 0, 1);
  fl_syn_window& window = world.lb().syn_windows()[kServiceId];
  std::vector<fl_lb_verdict> verdicts;
  uint64_t after = 0;
  InOneTick([&] {
    world.ClearFlows();
    verdicts.clear();
    const auto send = [&](uint32_t tick) {
      window.word = uint64_t{tick & FL_TICK_MASK} << FL_SYN_TICK_SHIFT | 1;
      verdicts.push_back(world.lb().Run(SynOf(1)).verdict);
    };
    // A CPU that is a little ahead has begun the next tick; an old one is over.
    send(NowTick());
    send(NowTick() + 1);
    send(NowTick() - 1);
    after = window.word - (uint64_t{NowTick()} << FL_SYN_TICK_SHIFT);
    verdicts.push_back(world.lb().Run(SynOf(2)).verdict);
  });
  CHECK(verdicts == std::vector{FL_LB_TX_SYN_OVER_BUDGET,
                                FL_LB_TX_SYN_OVER_BUDGET, FL_LB_TX_SYN_NEW,
                                FL_LB_TX_SYN_OVER_BUDGET});
  CHECK(after == 1);
}

TEST_CASE("a new budget holds for the next SYN", "[packet][lb][budget]") {
  LbWorld world;
  SetShares(world, 0, 1);
  HoldWindow(world, 1);
  world.Send(SynOf(3), FL_LB_TX_SYN_OVER_BUDGET);
  SetShares(world, 0, 2);
  world.Send(SynOf(3), FL_LB_TX_SYN_NEW);
  world.Send(SynOf(4), FL_LB_TX_SYN_OVER_BUDGET);
  SetShares(world, 0, 0);
  world.Send(SynOf(4), FL_LB_TX_SYN_NEW);
}

// Several CPUs take batches of a budget that is much larger than one.
TEST_CASE("all CPUs together keep the budget", "[packet][lb][budget]") {
  constexpr uint32_t kLimit = 6000;
  constexpr int kThreads = 2;
  LbWorld world({.flow_buckets = 8192});
  SetShares(world, 2000, kLimit);
  HoldWindow(world, 0);
  const uint32_t begun = NowTick();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&, t] {
      Bytes mine = SynOf(1).Wire();
      for (uint32_t i = 0; i < kLimit; i++) {
        mine[14 + 12 + 1] = static_cast<uint8_t>(t);
        mine[14 + 12 + 2] = static_cast<uint8_t>(i >> 8);
        mine[14 + 12 + 3] = static_cast<uint8_t>(i);
        TestRun(world.lb().program_fd(), mine);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // With each tick that passed, a CPU has lost a batch.
  const uint32_t ticks = 1 + fl_tick_age(NowTick(), begun);
  const uint32_t lost = (kThreads * ticks + 1) * (1 + kLimit / 1024);
  const uint64_t recorded = world.lb().verdicts()[FL_LB_TX_SYN_NEW];
  INFO(recorded << " recorded of a budget of " << kLimit);
  CHECK(recorded <= kLimit);
  CHECK(recorded + lost >= kLimit);
  uint64_t fair = 0;
  for (const fl_bucket& bucket : world.lb().flows())
    for (const fl_slot& slot : bucket.slots)
      fair += fl_slot_flags(slot.word1) & FL_SLOT_FAIR ? 1 : 0;
  CHECK(fair <= 2000);
  CHECK(fair + lost >= 2000);
  world.CheckLoad();
}

TEST_CASE("the fair share's flows are marked, the others not",
          "[packet][lb][budget]") {
  LbWorld world;
  SetShares(world, 2, 4);
  HoldWindow(world, 0);
  for (uint16_t sport = 1; sport <= 4; sport++) {
    world.Send(SynOf(sport), FL_LB_TX_SYN_NEW);
    CHECK((fl_slot_flags(world.SlotOf(SynOf(sport)).word1) ==
           (sport <= 2 ? FL_SLOT_FAIR : 0)));
  }
  world.Send(SynOf(5), FL_LB_TX_SYN_OVER_BUDGET);
}

// What the crowd recorded may soon be displaced. Where no hop list finds it
// again, its segments must look where its SYN went.
TEST_CASE("without a hop list the crowd goes where a miss looks first",
          "[packet][lb][budget]") {
  for (const uint8_t encap : {FL_ENCAP_GUE, FL_ENCAP_GUE_PLAIN}) {
    LbWorld world;
    world.service().policy = FL_POLICY_LEAST_CONN;
    world.service().choices = 2;
    world.service().encap = encap;
    SetShares(world, 1, 0);
    HoldWindow(world, 0);
    world.SetLoad(1, 1000);
    world.Send(SynOf(1), FL_LB_TX_SYN_NEW);
    CHECK(world.BackendOf(SynOf(1)) == 2);
    world.Send(SynOf(2), FL_LB_TX_SYN_NEW);
    CHECK(world.BackendOf(SynOf(2)) == (encap == FL_ENCAP_GUE ? 2 : 1));
  }
}

// --- floods of twice the table ---

constexpr uint32_t kBuckets = 2048;
constexpr uint32_t kSlots = kBuckets * FL_BUCKET_SLOTS;
constexpr uint32_t kFlood = 2 * kSlots;
constexpr uint16_t kOtherId = 4;
constexpr uint16_t kOtherPort = 8443;
constexpr uint32_t kOtherRows = 512;

enum class Flood { kNone, kSyns, kPairs };

// Spoofed flows of service `kServiceId`, half of them IPv6, all different.
class Flooder {
 public:
  explicit Flooder(LbWorld& world) : world_(world) {}

  void Send(Flood flood, uint32_t flows) {
    if (flood == Flood::kNone) return;
    for (uint32_t i = 0; i < flows; i++, next_++) {
      Run(next_ % 2 ? syn6_ : syn4_);
      if (flood == Flood::kPairs) Run(next_ % 2 ? ack6_ : ack4_);
    }
  }

 private:
  void Run(Bytes& frame) {
    const bool is_ipv4 = frame[12] == 0x08;
    const size_t source = is_ipv4 ? 14 + 12 + 1 : 14 + 8 + 12;
    for (size_t i = 0; i < 3; i++)
      frame[source + i] = static_cast<uint8_t>(next_ >> 8 * i);
    CHECK(TestRun(world_.lb().program_fd(), frame).error == 0);
  }

  LbWorld& world_;
  uint32_t next_ = 0;
  const Tcp syn_ = {.sport = 4000, .syn = true};
  const Tcp ack_ = {.sport = 4000, .ack = true};
  Bytes syn4_ = (Eth{} / Ipv4{} / syn_).Wire();
  Bytes ack4_ = (Eth{} / Ipv4{} / ack_).Wire();
  Bytes syn6_ = (Eth{} / Ipv6{} / syn_).Wire();
  Bytes ack6_ = (Eth{} / Ipv6{} / ack_).Wire();
};

// What a service's client saw, packet by packet.
struct Seen {
  fl_lb_verdict verdict;
  Bytes packet;
};

// Two services in a table at its design load. The other one, of policy
// least-conn, has backends 5 to 8.
class TwoServices {
 public:
  explicit TwoServices(uint32_t fair, uint32_t limit)
      : world({.flow_buckets = kBuckets}) {
    SetShares(world, fair, limit);
    for (uint16_t id = 5; id <= 8; id++)
      world.SetBackend(
          id, {.address = base::IpAddress::FromIpv4(0xc000020au + id)});
    fl_service other = world.service();
    other.id = kOtherId;
    other.policy = FL_POLICY_LEAST_CONN;
    other.choices = 2;
    other.rows_base = kOtherRows;
    other.syn_fair = 1000;
    other.syn_limit = 4000;
    world.lb().SetService({kVip4, kOtherPort}, other);
    world.lb().SetService({kVip6, kOtherPort}, other);
    const uint64_t words[] = {0x0008000700060005, 0x0005000800070006};
    for (uint32_t row = 0; row < kRowCount; row++)
      world.lb().rows()[kOtherRows + row] = {words[row % 2], 0};
    // Two of four slots of each bucket.
    for (fl_bucket& bucket : world.lb().flows()) {
      world.Fill(bucket.slots[0], FL_SLOT_ESTABLISHED);
      world.Fill(bucket.slots[2], FL_SLOT_ESTABLISHED);
    }
  }

  // Of the other service's client.
  static Packet Other(uint16_t flow, Tcp tcp) {
    tcp.sport = flow;
    tcp.dport = kOtherPort;
    return flow % 2 ? Eth{} / Ipv6{} / tcp : Eth{} / Ipv4{} / tcp;
  }
  void Send(const Packet& packet) {
    LbResult result = world.lb().Run(packet);
    seen.push_back({result.verdict, std::move(result.packet)});
  }
  void SendSyn(uint16_t flow) { Send(Other(flow, {.syn = true})); }
  void SendAck(uint16_t flow) { Send(Other(flow, {.ack = true})); }

  // Whose each of the other service's flows is by the table. Not its state: a
  // flood takes time.
  std::vector<uint16_t> Recorded() const {
    std::vector<uint16_t> backends;
    for (uint16_t flow = 1; flow <= 300; flow++)
      backends.push_back(world.BackendOf(Other(flow, {})));
    return backends;
  }
  // What choices go by.
  std::vector<uint64_t> Loads() {
    std::vector<uint64_t> loads;
    for (uint16_t id = 5; id <= 8; id++)
      loads.push_back(world.lb().load()[id].live +
                      world.lb().load()[id].pending);
    return loads;
  }

  LbWorld world;
  std::vector<Seen> seen;
};

// The day of the other service's clients, with floods at the first service in
// between.
void LiveThrough(TwoServices& two, Flood flood) {
  Flooder flooder(two.world);
  const auto flows = [](uint16_t first, auto&& each) {
    for (uint16_t flow = first; flow < first + 50; flow++) each(flow);
  };
  const auto syn = [&](uint16_t flow) { two.SendSyn(flow); };
  const auto ack = [&](uint16_t flow) { two.SendAck(flow); };
  // 1: established. 51: young, and long silent. 101: handshakes under way.
  flows(1, syn);
  flows(1, ack);
  flows(1, [&](uint16_t f) { two.world.Age(two.Other(f, {}), 1); });
  flows(1, ack);
  flows(51, syn);
  flows(51, ack);
  flows(51, [&](uint16_t f) { two.world.Age(two.Other(f, {}), 100); });
  flows(101, syn);
  flooder.Send(flood, kFlood / 2);
  flows(101, ack);
  // 151: new, some of them while the flood goes on.
  flows(151, [&](uint16_t f) {
    two.SendSyn(f);
    flooder.Send(flood, 20);
    two.SendAck(f);
  });
  flows(201, syn);
  flooder.Send(flood, kFlood / 2);
  flows(201, ack);
  for (uint16_t first = 1; first <= 151; first += 50) flows(first, ack);
  flows(101, [&](uint16_t f) { two.Send(two.Other(f, {.fin = true})); });
  flows(251, syn);
}

TEST_CASE("a flood at one service changes nothing at another",
          "[packet][lb][flood]") {
  TwoServices quiet(16, 64);
  LiveThrough(quiet, Flood::kNone);
  CHECK(std::ranges::count(quiet.seen, FL_LB_TX_SYN_NEW, &Seen::verdict) ==
        300);
  struct Case {
    std::string name;
    Flood flood;
    uint32_t fair, limit;
  };
  const Case cases[] = {
      {"SYNs, within the default shares", Flood::kSyns, kSlots / 256,
       kSlots / 64},
      {"pairs, within the default shares", Flood::kPairs, kSlots / 256,
       kSlots / 64},
      {"SYNs, no budget", Flood::kSyns, kSlots / 256, 0},
      {"pairs, no budget", Flood::kPairs, kSlots / 256, 0},
      {"pairs, a budget of more than the table", Flood::kPairs, 0, 10 * kSlots},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    TwoServices flooded(c.fair, c.limit);
    LiveThrough(flooded, c.flood);
    REQUIRE(flooded.seen.size() == quiet.seen.size());
    for (size_t i = 0; i < quiet.seen.size(); i++) {
      INFO("packet " << i);
      CHECK(flooded.seen[i].verdict == quiet.seen[i].verdict);
      CHECK(flooded.seen[i].packet == quiet.seen[i].packet);
    }
    CHECK(flooded.Recorded() == quiet.Recorded());
    CHECK(flooded.Loads() == quiet.Loads());
    flooded.world.CheckLoad();
    // It was a flood.
    const fl_service_stats stats = flooded.world.lb().service_stats(kServiceId);
    CHECK(stats.packets >= kFlood);
  }
}

// The proof that the comparison sees it: a flooded service whose fair share is
// the whole table holds it.
TEST_CASE("without fair shares a flood takes what others need",
          "[packet][lb][flood]") {
  TwoServices quiet(0, 0);
  LiveThrough(quiet, Flood::kNone);
  TwoServices flooded(10 * kSlots, 0);
  LiveThrough(flooded, Flood::kPairs);
  CHECK(std::ranges::count(flooded.seen, FL_LB_TX_SYN_UNRECORDED,
                           &Seen::verdict) > 0);
  CHECK(flooded.Recorded() != quiet.Recorded());
}

// The flooded service itself: flows that are established stay recorded, and a
// new client's segments go where its SYN went, recorded or not.
TEST_CASE("a flood takes no established flow, and new ones are served",
          "[packet][lb][flood]") {
  constexpr uint16_t kKept = 200;
  for (const Flood flood : {Flood::kSyns, Flood::kPairs}) {
    for (const uint32_t limit : {kSlots / 64, 0u}) {
      INFO((flood == Flood::kSyns ? "SYNs" : "pairs") << ", limit " << limit);
      LbWorld world({.flow_buckets = kBuckets});
      const auto packet = [](uint16_t flow, Tcp tcp) {
        tcp.sport = flow;
        return flow % 2 ? Eth{} / Ipv6{} / tcp : Eth{} / Ipv4{} / tcp;
      };
      for (uint16_t flow = 1; flow <= kKept; flow++) {
        world.Send(packet(flow, {.syn = true}), FL_LB_TX_SYN_NEW);
        world.Send(packet(flow, {.ack = true}), FL_LB_TX_HIT);
        world.Age(packet(flow, {}), 1);
        world.Send(packet(flow, {.ack = true}), FL_LB_TX_HIT);
      }
      SetShares(world, kSlots / 256, limit);
      Flooder flooder(world);
      std::map<fl_lb_verdict, int> verdicts;
      // Destination and hop list, but for what a SYN's differ in.
      for (uint16_t flow = 1001; flow <= 1100; flow++) {
        flooder.Send(flood, kFlood / 100);
        LbResult syn = world.lb().Run(packet(flow, {.syn = true}));
        verdicts[syn.verdict]++;
        LbResult ack = world.lb().Run(packet(flow, {.ack = true}));
        syn.packet.resize(14);
        ack.packet.resize(14);
        CHECK(syn.packet == ack.packet);
      }
      CHECK(verdicts[FL_LB_TX_SYN_NEW] + verdicts[FL_LB_TX_SYN_UNRECORDED] +
                verdicts[FL_LB_TX_SYN_OVER_BUDGET] ==
            100);
      for (uint16_t flow = 1; flow <= kKept; flow++) {
        CHECK(world.StateOf(packet(flow, {})) == FL_SLOT_ESTABLISHED);
        CHECK(world.BackendOf(packet(flow, {})) == 1);
        world.Send(packet(flow, {.ack = true}), FL_LB_TX_HIT);
      }
      world.CheckLoad();
    }
  }
}

}  // namespace
}  // namespace fairlead::test
