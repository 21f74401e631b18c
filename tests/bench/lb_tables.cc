#include "tests/bench/lb_tables.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "lib/flow_slot.h"
#include "lib/siphash.h"

namespace fairlead::test {
namespace {

// Spreads rows and flows over the backends.
uint16_t BackendOf(uint32_t number, const LbCase& c) {
  return static_cast<uint16_t>(1 + number * uint64_t{2654435761u} % c.backends);
}

uint64_t HashOf(uint32_t flow, const LbCase& c) {
  const base::IpAddress& vip = c.is_ipv6 ? kVip6 : kVip4;
  const base::IpAddress client4 =
      base::IpAddress::FromIpv4(FL_BENCH_NETWORK4 | (flow >> 16 & 0xff));
  std::array<uint8_t, 16> client = client4.bytes();
  if (c.is_ipv6) {
    client = kClient6.bytes();
    const uint32_t high = htonl(flow >> 16);
    std::memcpy(&client[12], &high, sizeof(high));
  }
  __u32 client_words[4], vip_words[4];
  std::memcpy(client_words, client.data(), sizeof(client_words));
  std::memcpy(vip_words, vip.bytes().data(), sizeof(vip_words));
  const __u64 key[2] = {kHashKey[0], kHashKey[1]};
  const uint32_t port = kVipPort + (flow & (c.services - 1));
  return fl_hash_tuple(key, client_words, vip_words,
                       htons(static_cast<uint16_t>(flow)),
                       htons(static_cast<uint16_t>(port)));
}

// Records flows 0 to count - 1 as established.
uint32_t RecordFlows(LbProgram& lb, const LbCase& c) {
  const uint32_t now = NowTick();
  uint32_t unrecorded = 0;
  for (uint32_t flow = 0; flow < c.order.flows; flow++) {
    const uint64_t hash = HashOf(flow, c);
    const fl_buckets buckets = {
        &lb.flows()[fl_bucket_first(hash, lb.bucket_mask())],
        &lb.flows()[fl_bucket_second(hash, lb.bucket_mask())]};
    const fl_newcomer newcomer = {
        .timeouts = &kTimeouts, .now = now, .mark = 0};
    const uint32_t position = fl_slot_victim(&buckets, &newcomer);
    if (position >= FL_POSITIONS) {
      unrecorded++;
      continue;
    }
    *fl_slot_at(&buckets, position) = {
        fl_slot_word0(hash, FL_SLOT_ESTABLISHED, BackendOf(flow, c)),
        fl_slot_word1(now, now, 0)};
  }
  return unrecorded;
}

// Every slot belongs to some flow that no packet has.
void FillWithStrangers(LbProgram& lb, unsigned int state) {
  const uint32_t now = NowTick();
  uint64_t tag = 0;
  for (fl_bucket& bucket : lb.flows()) {
    for (fl_slot& slot : bucket.slots) {
      slot = {fl_slot_word0(++tag << 19, state, 1), fl_slot_word1(now, now, 0)};
    }
  }
}

void SetUpBackend(LbProgram& lb, uint16_t id, uint32_t egress) {
  fl_backend& line = lb.backends()[id];
  const base::IpAddress address = base::IpAddress::FromIpv4(0xc0000200u + id);
  std::memcpy(line.address, address.bytes().data(), sizeof(line.address));
  line.next_hop = uint64_t{1500} << 48 | 0x010000000002 | uint64_t{id} << 16;
  line.source = 0x020000000002;
  line.egress = egress;
  line.weight = 100;
  line.service = 1;
  line.state = FL_BACKEND_USED | FL_BACKEND_ELIGIBLE | FL_BACKEND_FAIL_OPEN |
               FL_BACKEND_NEXT_HOP | FL_BACKEND_AGENT;
}

}  // namespace

LbSizes SizesOf(const LbCase& c) {
  return {.flow_buckets = c.buckets,
          .rows = kBenchRows,
          .backends = std::max(64u, c.backends + 1u),
          .services = std::max(8u, c.services + 1)};
}

void SetUpTables(LbProgram& lb, const LbCase& c, uint32_t egress) {
  FL_CHECK(kBenchRows % c.services == 0);
  for (uint16_t id = 1; id <= c.backends; id++) SetUpBackend(lb, id, egress);
  for (uint32_t row = 0; row < kBenchRows; row++) {
    uint64_t word = 0;
    const uint32_t first = BackendOf(row, c) - 1u;
    for (uint32_t rank = 0; rank < std::min<uint32_t>(4, c.backends); rank++)
      word |= uint64_t{(first + rank) % c.backends + 1} << 16 * rank;
    lb.rows()[row] = {word, 0};
  }
  const uint32_t rows = kBenchRows / c.services;
  for (uint32_t i = 0; i < c.services; i++) {
    fl_service service = {};
    service.id = static_cast<uint16_t>(i + 1);
    service.choices = 1;
    service.encap = c.encap;
    service.rows_base = i * rows;
    service.row_mask = rows - 1;
    service.syn_fair = c.syn_fair;
    service.syn_limit = c.over_budget ? 1 : 0;
    // A window that is ahead counts as this tick's, here for as long as any
    // case runs.
    if (c.over_budget)
      lb.syn_windows()[service.id].word =
          uint64_t{(NowTick() + 10000) & FL_TICK_MASK} << FL_SYN_TICK_SHIFT | 1;
    lb.leases()[service.id] = UINT64_MAX;  // SETTLED, as in a healthy tier
    const auto port = static_cast<uint16_t>(kVipPort + i);
    lb.SetService({kVip4, port}, service);
    lb.SetService({kVip6, port}, service);
  }
}

uint32_t FillFlows(LbProgram& lb, const LbCase& c) {
  std::ranges::fill(lb.flows(), fl_bucket{});
  switch (c.fill) {
    case Fill::kEmpty:
      return 0;
    case Fill::kFlows:
      return RecordFlows(lb, c);
    case Fill::kHandshakes:
      FillWithStrangers(lb, FL_SLOT_EMBRYONIC);
      return 0;
    case Fill::kEstablished:
      FillWithStrangers(lb, FL_SLOT_ESTABLISHED);
      return 0;
  }
  return 0;
}

}  // namespace fairlead::test
