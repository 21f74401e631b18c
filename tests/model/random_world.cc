#include "tests/model/random_world.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <set>
#include <span>
#include <utility>

namespace fairlead::model {
namespace {

constexpr size_t kKnownFlows = 40;
constexpr uint64_t kReady = FL_BACKEND_USED | FL_BACKEND_ELIGIBLE |
                            FL_BACKEND_FAIL_OPEN | FL_BACKEND_NEXT_HOP |
                            FL_BACKEND_AGENT;
constexpr uint64_t kDrains =
    kReady & ~(FL_BACKEND_ELIGIBLE | FL_BACKEND_FAIL_OPEN);
constexpr uint64_t kDown = kReady & ~FL_BACKEND_ELIGIBLE;
constexpr uint64_t kConditions[] = {kDrains,
                                    kDrains & ~FL_BACKEND_AGENT,
                                    kDown,
                                    kDown & ~FL_BACKEND_AGENT,
                                    kDown | FL_BACKEND_DEAD,
                                    kDrains | FL_BACKEND_DEAD,
                                    kReady & ~FL_BACKEND_NEXT_HOP,
                                    kDown & ~FL_BACKEND_NEXT_HOP,
                                    0};

// Ages in ticks around every limit that a slot knows.
constexpr uint32_t kAges[] = {
    0,     0,     0,     0,     1,        4,        5,       10,  29,
    30,    31,    32,    55,    56,       57,       58,      199, 200,
    201,   399,   400,   401,   402,      300,      300,     300, 500,
    49999, 50000, 50001, 60000, 0x7fffff, 0x800000, 0xffffff};  // the last ones
                                                                // are in the
                                                                // future

constexpr const char* kVips4[] = {"198.51.100.10", "198.51.100.11",
                                  "198.51.100.12"};
constexpr const char* kVips6[] = {"2001:db8:10::10", "2001:db8:10::11",
                                  "2001:db8:11::10"};
constexpr uint16_t kPorts[] = {443, 80, 65535};

template <typename T>
void Shuffle(SimulatedRandom& random, std::vector<T>& all) {
  for (size_t i = all.size(); i > 1; i--)
    std::swap(all[i - 1], all[random.Next() % i]);
}

std::vector<base::Endpoint> Endpoints(SimulatedRandom& random) {
  std::vector<base::Endpoint> all;
  for (const auto& vips : {kVips4, kVips6}) {
    for (size_t i = 0; i < 3; i++) {
      for (const uint16_t port : kPorts)
        all.push_back({test::Ip(vips[i]), port});
    }
  }
  Shuffle(random, all);
  return all;
}

uint64_t WordOf(std::span<const uint16_t> ids) {
  uint64_t word = 0;
  for (size_t i = 0; i < ids.size(); i++) word |= uint64_t{ids[i]} << 16 * i;
  return word;
}

}  // namespace

test::LbSizes WorldSizes(uint32_t flow_buckets) {
  return {.flow_buckets = flow_buckets,
          .rows = (kWorldServices + 1) * kRowsOfService,
          .backends = kFirstBackend + kBackendCount,
          .services = kWorldServices + 1,
          .prefixes = 2 * 8 * kWorldServices,
          .rate_sets = 1u << 14,
          .conn_sets = kConnSets};
}

RandomWorld::RandomWorld(const WorldOptions& options)
    : random_(options.seed), now_ns_(options.now_ns) {
  static constexpr double kReadyShares[] = {1, 0.9, 0.6, 0.6, 0.3, 0};
  static constexpr double kFullShares[] = {0.3, 0.7, 1, 1};
  static constexpr double kBusyShares[] = {0.3, 0.6, 0.95, 1};
  static constexpr double kCappedShares[] = {0, 0, 0.3, 0.7, 1};
  static constexpr double kSlowShares[] = {0, 0, 0.3, 1};
  static constexpr double kPacedShares[] = {0, 0, 0, 0.5, 1};
  ready_ = OneOf(random_, kReadyShares);
  full_ = OneOf(random_, kFullShares);
  busy_ = OneOf(random_, kBusyShares);
  capped_ = OneOf(random_, kCappedShares);
  slow_ = OneOf(random_, kSlowShares);
  paced_ = OneOf(random_, kPacedShares);
  const test::LbSizes sizes = WorldSizes(options.flow_buckets);
  host_.config = {.hash_key = test::kHashKey,
                  .node4 = test::kNode4,
                  .node6 = test::kNode6,
                  .lb_id = test::kLbId,
                  .gue_port = 6080,
                  .timeouts = test::kTimeouts};
  host_.rows.resize(sizes.rows);
  host_.backends.resize(sizes.backends);
  host_.leases.resize(sizes.services);
  host_.loads.resize(sizes.backends);
  host_.syns.resize(sizes.services);
  host_.answered.resize(sizes.services);
  host_.flows.resize(sizes.flow_buckets);
  host_.egress = {std::begin(test::kOtherEgress), std::end(test::kOtherEgress)};
  AddBackends();
  AddServices();
  AddFlows();
  if (random_.Chance(0.4)) {
    for (AnswerCounts& counts : host_.answered)
      for (AnswerCount& count : counts) count = RandomAnswered();
  }
}

bool RandomWorld::Disturb() {
  if (!random_.Chance(0.3)) return false;
  const uint16_t backend = AnyBackend();
  switch (random_.Below(10)) {
    case 9:
      SetPace(backend);
      return true;
    case 8:
      SetRoom(host_.loads[backend]);
      return true;
    case 0:
      host_.backends[backend].state = RandomState();
      return true;
    case 1:
      SetBackend(backend);
      return true;
    case 2:
      host_.loads[backend].elsewhere = random_.Below(400) - 200;
      return true;
    case 3:
      SetLease(static_cast<uint16_t>(1 + random_.Below(kWorldServices)));
      return true;
    default: {
      fl_bucket& bucket = host_.flows[random_.Next() % host_.flows.size()];
      DisturbFlow(bucket.slots[random_.Below(FL_BUCKET_SLOTS)]);
      return true;
    }
  }
}

uint16_t RandomWorld::AnyBackend() {
  return static_cast<uint16_t>(kFirstBackend + random_.Below(kBackendCount));
}

uint64_t RandomWorld::RandomState() {
  const uint64_t capped = random_.Chance(capped_) ? FL_BACKEND_CAPPED : 0;
  const uint64_t paced = random_.Chance(paced_) ? FL_BACKEND_PACED : 0;
  return RandomCondition() | capped | paced |
         RandomHeld() << FL_BACKEND_HELD_SHIFT;
}

// Of the draws that are not the backend's.
uint64_t RandomWorld::RandomHeld() {
  static constexpr uint64_t kHeld[] = {1, 50, 128, 200, 243, 255};
  return random_.Chance(slow_) ? OneOf(random_, kHeld) : 0;
}

// Full, nearly so, or with a bound that is of no force any more.
void RandomWorld::SetRoom(fl_load& load) {
  static constexpr uint64_t kRoom[] = {0, 0, 0, 1, 1, 2, 5, 1000};
  constexpr uint64_t kHour = 3'600'000'000'000;
  const uint64_t untils[] = {0, now_ns_ - 1'000'000, now_ns_ + kHour,
                             now_ns_ + kHour, now_ns_ + kHour};
  load.bound = load.begun + OneOf(random_, kRoom);
  load.bound_until = OneOf(random_, untils);
}

// One new connection a minute, or any number, or the one for a while: with its
// next one now, or not.
void RandomWorld::SetPace(uint16_t id) {
  constexpr uint32_t kMinute = 60'000'000'000u >> FL_ACCEPT_SHIFT;
  constexpr uint64_t kHour = 3'600'000'000'000;
  constexpr uint32_t kIntervals[] = {kMinute, kMinute, kMinute, 0};
  const uint64_t untils[] = {0, now_ns_ - 1'000'000, now_ns_ + kHour};
  const uint64_t dues[] = {0, 0, now_ns_, now_ns_ + kHour};
  fl_backend& backend = host_.backends[id];
  backend.accept =
      fl_accept_word(OneOf(random_, kIntervals), OneOf(random_, kIntervals));
  backend.accept_until = OneOf(random_, untils);
  host_.loads[id].accept_due = OneOf(random_, dues) >> FL_ACCEPT_SHIFT;
}

uint64_t RandomWorld::RandomCondition() {
  if (random_.Chance(ready_))
    return random_.Chance(0.8) ? kReady : kReady & ~FL_BACKEND_AGENT;
  if (random_.Chance(0.1)) return random_.Next() & 0xff;
  return OneOf(random_, kConditions);
}

void RandomWorld::SetBackend(uint16_t id) {
  static constexpr uint16_t kWeights[] = {100, 100, 100, 1, 2, 50, 256};
  static constexpr uint32_t kEgress[] = {0, 0, 0, 0, 1, 1, 2, 2, 3, 70000};
  fl_backend& backend = host_.backends[id];
  base::IpAddress address = base::IpAddress::FromIpv4(0xc0000200u + id % 256);
  if (random_.Chance(0.4)) address = RandomClient(random_, false).address;
  std::memcpy(backend.address, address.bytes().data(), 16);
  const uint64_t mac = random_.Next() >> 16;
  backend.next_hop = mac | uint64_t{OneOf(random_, kMtus)} << 48;
  backend.source = random_.Next() >> 16;
  const auto vlan = static_cast<uint64_t>(random_.Below(4096));
  if (random_.Chance(0.3)) backend.source |= (FL_VLAN | vlan) << 48;
  backend.egress = OneOf(random_, kEgress);
  backend.weight = OneOf(random_, kWeights);
  backend.state = RandomState();
}

void RandomWorld::AddBackends() {
  for (uint16_t i = 0; i < kBackendCount; i++) {
    const auto id = static_cast<uint16_t>(kFirstBackend + i);
    SetBackend(id);
    // What the rest of the table would have, if it were larger.
    fl_load& load = host_.loads[id];
    load.live = random_.Next() % 200;
    load.pending = random_.Next() % 100;
    load.elsewhere = random_.Below(400) - 200;
    load.begun = random_.Next() % 1000;
    SetRoom(load);
    SetPace(id);
  }
}

void RandomWorld::SetLease(uint16_t service) {
  constexpr uint64_t kHour = 3'600'000'000'000;
  const uint64_t leases[] = {0, now_ns_ - 1'000'000, now_ns_ + kHour,
                             now_ns_ + kHour};
  host_.leases[service] = OneOf(random_, leases);
}

void RandomWorld::AddServices() {
  std::vector<base::Endpoint> free = Endpoints(random_);
  std::vector<base::Endpoint> taken;
  for (uint16_t id = 1; id <= kWorldServices; id++) {
    static constexpr uint32_t kMasks[] = {0xff, 0x1ff, 0x3ff};
    static constexpr uint8_t kEncaps[] = {FL_ENCAP_GUE, FL_ENCAP_GUE,
                                          FL_ENCAP_GUE_PLAIN, FL_ENCAP_IPIP,
                                          FL_ENCAP_L2};
    static constexpr uint32_t kShares[] = {0, 0, 0, 1, 2, 5, 10, 30, 1000000};
    fl_service service = {};
    service.id = id;
    service.flags = random_.Chance(0.04) ? FL_SERVICE_TOMBSTONE : 0;
    if (random_.Chance(0.4)) service.flags |= FL_SERVICE_SHED_RESET;
    service.policy = static_cast<uint8_t>(random_.Below(3));
    service.choices = 1;
    if (service.policy == FL_POLICY_LEAST_CONN)
      service.choices = static_cast<uint8_t>(1 + random_.Below(4));
    service.encap = OneOf(random_, kEncaps);
    // At no multiple of its rows' number.
    service.rows_base = (id - 1u) * kRowsOfService + 37;
    service.row_mask = OneOf(random_, kMasks);
    service.epoch = static_cast<uint32_t>(random_.Next());
    service.syn_fair = OneOf(random_, kShares);
    service.syn_limit = OneOf(random_, kShares);
    if (random_.Chance(0.5)) host_.syns[id] = RandomSyns();
    AddRows(service.rows_base, random_.Chance(0.05));
    SetLease(id);
    for (int i = random_.Below(3); i >= 0; i--) {
      host_.services[free.back()] = service;
      taken.push_back(free.back());
      free.pop_back();
    }
  }
  if (random_.Chance(0.3)) Silence(OneOf(random_, taken).address);
  std::vector<test::Flow> known;
  for (size_t i = 0; i < kKnownFlows; i++) {
    const base::Endpoint& service = OneOf(random_, taken);
    known.push_back(
        {RandomClient(random_, service.address.is_ipv4()), service});
    const uint64_t hash = test::ReferenceFlowHash(test::kHashKey, known.back());
    known_tags_.push_back(hash >> 19);
  }
  for (uint16_t id = 1; id <= kWorldServices; id++) {
    if (random_.Chance(0.4)) AddLists(id, known);
    if (random_.Chance(0.3)) AddLimit(id);
    if (random_.Chance(0.3)) AddMost(id);
  }
  frames_ = std::make_unique<RandomFrames>(random_, taken, known);
}

void RandomWorld::AddLists(uint16_t service,
                           const std::vector<test::Flow>& known) {
  static constexpr int kLengths[] = {0,   1,   8,   32,  64,  96,  97,
                                     120, 121, 122, 124, 127, 128, 128};
  std::vector<PrefixRule>& rules = host_.prefixes[service];
  std::set<base::IpPrefix> seen;
  bool allows = false;
  const bool denies_only = random_.Chance(0.5);
  for (int i = random_.Below(8); i >= 0; i--) {
    const base::IpPrefix prefix = PrefixOf(OneOf(random_, known).client.address,
                                           OneOf(random_, kLengths));
    if (!seen.insert(prefix).second) continue;
    const bool allow = !denies_only && random_.Chance(0.5);
    allows = allows || allow;
    rules.push_back({prefix, allow ? FL_PREFIX_ALLOW : FL_PREFIX_DENY});
  }
  const auto list = static_cast<uint8_t>(1 + random_.Below(2));
  for (auto& [at, entry] : host_.services) {
    if (entry.id != service) continue;
    entry.list = list;
    entry.flags |= FL_SERVICE_LISTED;
    if (allows) entry.flags |= FL_SERVICE_ALLOW_ONLY;
  }
}

void RandomWorld::AddLimit(uint16_t service) {
  static constexpr int kLengths[] = {0, 1, 16, 28, 32};
  static constexpr int kLengths6[] = {1, 16, 32, 33, 64};
  host_.limits[service] = {.burst = static_cast<uint32_t>(1 + random_.Below(6)),
                           .bits4 = 96 + OneOf(random_, kLengths),
                           .bits6 = OneOf(random_, kLengths6)};
  for (auto& [at, entry] : host_.services)
    if (entry.id == service) entry.flags |= FL_SERVICE_LIMITED;
}

void RandomWorld::AddMost(uint16_t service) {
  static constexpr int kLengths[] = {1, 16, 28, 32};
  static constexpr int kLengths6[] = {1, 16, 32, 33, 64};
  const SourceMost most = {.most = static_cast<uint32_t>(1 + random_.Below(6)),
                           .bits4 = 96 + OneOf(random_, kLengths),
                           .bits6 = OneOf(random_, kLengths6)};
  host_.mosts[service] = most;
  for (auto& [at, entry] : host_.services) {
    if (entry.id != service) continue;
    entry.flags |= FL_SERVICE_CONNS;
    entry.source_bits6 = static_cast<uint8_t>(most.bits6);
    entry.source_conns =
        fl_service_conns_word(static_cast<uint8_t>(most.bits4), most.most);
  }
}

void RandomWorld::Silence(const base::IpAddress& address) {
  for (auto& [at, service] : host_.services) {
    if (at.address == address) service.flags |= FL_SERVICE_TOMBSTONE;
  }
}

// Few are left in this tick, none, or the tick is another.
AnswerCount RandomWorld::RandomAnswered() {
  static constexpr uint32_t kGiven[] = {990, 995, 997, 998, 999, 1000, 5000};
  static constexpr uint32_t kTicks[] = {0, 0, 0, 0, 0, 1, 2, 0xffffff};
  return {.tick = (TickAt(now_ns_) - OneOf(random_, kTicks)) & FL_TICK_MASK,
          .given = OneOf(random_, kGiven)};
}

// Some of this tick's share has been taken, or of another's.
SynCount RandomWorld::RandomSyns() {
  static constexpr uint32_t kTicks[] = {0, 0, 0, 1, 2, 0xffffff};
  static constexpr uint64_t kTaken[] = {0, 1, 4, 9, 29, 500};
  return {.tick = (TickAt(now_ns_) - OneOf(random_, kTicks)) & FL_TICK_MASK,
          .taken = OneOf(random_, kTaken)};
}

void RandomWorld::AddRows(uint32_t base, bool empty) {
  if (empty) return;
  std::vector<uint16_t> pool(kBackendCount);
  for (uint16_t i = 0; i < kBackendCount; i++)
    pool[i] = static_cast<uint16_t>(kFirstBackend + i);
  Shuffle(random_, pool);
  for (uint32_t i = 0; i < kRowsOfService; i++) {
    // One swap makes another order, and over time all of them.
    const size_t other = random_.Next() % pool.size();
    std::swap(pool[random_.Next() % 8], pool[other]);
    const uint64_t chance = random_.Next();
    const size_t candidates = (chance & 7) != 0 ? 4 : (chance >> 3) % 4;
    const size_t owners = (chance & 64) != 0 ? 0 : (chance >> 7) % 4;
    const std::span<const uint16_t> ids = pool;
    host_.rows[base + i] = {WordOf(ids.first(candidates)),
                            WordOf(ids.subspan(candidates, owners))};
  }
}

uint32_t RandomWorld::RandomTick() {
  return (TickAt(now_ns_) - OneOf(random_, kAges)) & FL_TICK_MASK;
}

FlowSlot RandomWorld::RandomSlot(uint64_t tag) {
  static constexpr unsigned int kStates[] = {
      FL_SLOT_EMBRYONIC,        FL_SLOT_YOUNG,
      FL_SLOT_ESTABLISHED,      FL_SLOT_CLOSING,
      FL_SLOT_EXPIRING_PENDING, FL_SLOT_EXPIRING_ESTABLISHED,
      FL_SLOT_EXPIRING_CLOSING, FL_SLOT_YOUNG,
      FL_SLOT_EMBRYONIC,        FL_SLOT_CLOSING};
  static constexpr unsigned int kBusyStates[] = {
      FL_SLOT_ESTABLISHED, FL_SLOT_ESTABLISHED, FL_SLOT_ESTABLISHED,
      FL_SLOT_YOUNG,       FL_SLOT_YOUNG,       FL_SLOT_CLOSING};
  const uint32_t now = TickAt(now_ns_);
  const auto flags =
      static_cast<uint16_t>((random_.Chance(0.25) ? FL_SLOT_FIN : 0) |
                            (random_.Chance(0.5) ? FL_SLOT_FAIR : 0));
  // Nobody may take it.
  if (random_.Chance(busy_))
    return {.tag = tag,
            .state = OneOf(random_, kBusyStates),
            .backend = AnyBackend(),
            .born = RandomTick(),
            .last_seen = random_.Chance(0.5) ? now : now - 5,
            .flags = flags};
  return {.tag = tag,
          .state = OneOf(random_, kStates),
          .backend = AnyBackend(),
          .born = RandomTick(),
          .last_seen = RandomTick(),
          .flags = flags};
}

void RandomWorld::AddFlows() {
  const auto mask = static_cast<uint32_t>(host_.flows.size() - 1);
  for (const uint64_t tag : known_tags_) {
    const uint64_t hash = tag << 19;
    const uint32_t bucket = random_.Chance(0.7) ? fl_bucket_first(hash, mask)
                                                : fl_bucket_second(hash, mask);
    fl_slot& slot = host_.flows[bucket].slots[random_.Below(FL_BUCKET_SLOTS)];
    if (slot.word0 == 0 && random_.Chance(full_))
      ChangeSlot(host_, slot, RandomSlot(tag));
  }
  for (fl_bucket& bucket : host_.flows) {
    for (fl_slot& slot : bucket.slots) {
      if (slot.word0 == 0 && random_.Chance(full_))
        ChangeSlot(host_, slot, RandomSlot(random_.Next() >> 19));
    }
  }
}

// What time and the daemon do to a slot.
void RandomWorld::DisturbFlow(fl_slot& slot) {
  FlowSlot flow = Decode(slot);
  if (flow.state == FL_SLOT_FREE) return;
  switch (random_.Below(4)) {
    case 0:
      return ChangeSlot(host_, slot, {});
    case 1:
      return ChangeSlot(host_, slot, RandomSlot(flow.tag));
    case 2:
      flow.backend = AnyBackend();
      return ChangeSlot(host_, slot, flow);
    default:
      flow.last_seen = RandomTick();
      return ChangeSlot(host_, slot, flow);
  }
}

}  // namespace fairlead::model
