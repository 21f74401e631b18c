// An attacker knows the code and chooses addresses and ports at will, but not
// the tier's secret. Flows that all meet in one row, bucket or backend under a
// key that he guesses must spread under the tier's key as random ones do.
//
// Goal: the chi-square statistic of the flows' rows, buckets and backends, as
// the program chooses them, is that of a uniform choice. Above its mean by
// six standard deviations it would not be; all keys are fixed, so that it is
// the same in every run.
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

constexpr size_t kFlows = 2048;
constexpr uint32_t kTableBuckets = 64;
constexpr uint16_t kAim = 7;  // the row, bucket and backend aimed at
constexpr uint32_t kAimedBackends = 4;

// What comes to mind: no key, the key of all test vectors, one bit from the
// tier's.
constexpr SipKey kGuesses[] = {{0, 0},
                               {0x0706050403020100, 0x0f0e0d0c0b0a0909},
                               {0xffffffffffffffff, 0xffffffffffffffff}};

double ChiSquare(const std::vector<uint32_t>& counts) {
  double all = 0, sum = 0;
  for (const uint32_t count : counts) all += count;
  const double expected = all / static_cast<double>(counts.size());
  for (const uint32_t count : counts)
    sum += (count - expected) * (count - expected) / expected;
  return sum;
}

// Its mean is n - 1 for n cells, its variance twice that.
double Bound(size_t cells) {
  const auto freedom = static_cast<double>(cells - 1);
  return freedom + 6 * std::sqrt(2 * freedom);
}

// The i-th flow that an attacker could send.
Flow FlowAt(uint32_t i, bool ipv6) {
  if (ipv6) {
    std::array<uint8_t, 16> bytes = kClient6.bytes();
    for (size_t at = 0; at < 4; at++)
      bytes[12 + at] = static_cast<uint8_t>(i >> 8 * at);
    return {{base::IpAddress(bytes), 40000}, {kVip6, kVipPort}};
  }
  return {{base::IpAddress::FromIpv4(0xcb007100u + i), 40000},
          {kVip4, kVipPort}};
}

Packet SynOf(const Flow& flow) {
  const Tcp tcp = {.sport = flow.client.port, .syn = true};
  if (flow.client.address.is_ipv4())
    return Eth{} / Ipv4{.src = flow.client.address} / tcp;
  return Eth{} / Ipv6{.src = flow.client.address} / tcp;
}

std::vector<Flow> Craft(bool ipv6,
                        absl::FunctionRef<bool(const Flow&)> is_on_aim) {
  std::vector<Flow> flows;
  for (uint32_t i = 1; flows.size() < kFlows; i++) {
    const Flow flow = FlowAt(i, ipv6);
    if (is_on_aim(flow)) flows.push_back(flow);
  }
  return flows;
}

struct Spread {
  std::vector<uint32_t> rows = std::vector<uint32_t>(kRowCount);
  std::vector<uint32_t> buckets = std::vector<uint32_t>(kTableBuckets);
  std::vector<uint32_t> backends = std::vector<uint32_t>(kAimedBackends);
};

// Where the program puts the flows, each into an empty table.
Spread Send(LbWorld& world, const std::vector<Flow>& flows) {
  // Behind Ethernet, IPv4, UDP and GUE.
  constexpr size_t kRowAt = 14 + 20 + 8 + 4 + 10;
  Spread spread;
  const std::span<fl_bucket> table = world.lb().flows();
  for (const Flow& flow : flows) {
    const LbResult result = world.lb().Run(SynOf(flow));
    REQUIRE(result.verdict == FL_LB_TX_SYN_NEW);
    const auto row = static_cast<size_t>(result.packet[kRowAt] << 8 |
                                         result.packet[kRowAt + 1]);
    spread.rows.at(row)++;
    for (size_t bucket = 0; bucket < table.size(); bucket++) {
      fl_slot& slot = table[bucket].slots[0];
      if (slot.word0 == 0) continue;
      spread.buckets.at(bucket)++;
      spread.backends.at(fl_slot_backend(slot.word0) - 1u)++;
      slot = {};
    }
  }
  return spread;
}

void CheckSpread(const std::string& what, const Spread& spread) {
  const auto check = [&](const char* cells,
                         const std::vector<uint32_t>& counts) {
    std::printf("%s: chi-square of %zu %s %.1f, bound %.1f\n", what.c_str(),
                counts.size(), cells, ChiSquare(counts), Bound(counts.size()));
    INFO(what << ", " << cells);
    CHECK(ChiSquare(counts) < Bound(counts.size()));
  };
  check("rows", spread.rows);
  check("backends", spread.backends);
  check("buckets", spread.buckets);
}

void SetRows(LbWorld& world) {
  for (uint32_t row = 0; row < kRowCount; row++)
    world.lb().rows()[kRowsBase + row] = {1 + row % kAimedBackends, 0};
}

TEST_CASE("flows crafted for a guessed key spread like any others",
          "[packet][lb][aim]") {
  LbWorld world({.flow_buckets = kTableBuckets});
  SetRows(world);
  const auto row_of = [](uint64_t hash) {
    return hash >> 48 & (kRowCount - 1);
  };
  size_t guess = 0;
  for (const SipKey& key : kGuesses) {
    guess++;
    for (const bool ipv6 : {false, true}) {
      const std::string by =
          "key " + std::to_string(guess) + (ipv6 ? ", IPv6" : ", IPv4");
      const std::vector<Flow> of_row = Craft(ipv6, [&](const Flow& flow) {
        return row_of(ReferenceFlowHash(key, flow)) == kAim;
      });
      CheckSpread(by + ", aimed at a row and its backend", Send(world, of_row));
      const std::vector<Flow> of_bucket = Craft(ipv6, [&](const Flow& flow) {
        return fl_bucket_first(ReferenceFlowHash(key, flow),
                               kTableBuckets - 1) == kAim;
      });
      CheckSpread(by + ", aimed at a bucket", Send(world, of_bucket));
    }
  }
}

TEST_CASE("clients crafted for a guessed key spread in policy source too",
          "[packet][lb][aim]") {
  LbWorld world({.flow_buckets = kTableBuckets});
  SetRows(world);
  world.service().policy = FL_POLICY_SOURCE;
  world.StoreService();
  size_t guess = 0;
  for (const SipKey& key : kGuesses) {
    guess++;
    for (const bool ipv6 : {false, true}) {
      const std::vector<Flow> flows = Craft(ipv6, [&](const Flow& flow) {
        return (ReferenceSourceHash(key, flow.client.address) >> 48 &
                (kRowCount - 1)) == kAim;
      });
      CheckSpread("key " + std::to_string(guess) +
                      (ipv6 ? ", IPv6" : ", IPv4") +
                      ", clients aimed at a row of policy source",
                  Send(world, flows));
    }
  }
}

// The proof that the test sees it: whoever has the tier's key can aim.
TEST_CASE("flows crafted for the tier's own key do meet", "[packet][lb][aim]") {
  LbWorld world({.flow_buckets = kTableBuckets});
  SetRows(world);
  const std::vector<Flow> flows = Craft(false, [&](const Flow& flow) {
    return (ReferenceFlowHash(kHashKey, flow) >> 48 & (kRowCount - 1)) == kAim;
  });
  const Spread spread = Send(world, flows);
  CHECK(spread.rows[kAim] == kFlows);
  CHECK(ChiSquare(spread.rows) > 100 * Bound(kRowCount));
}

}  // namespace
}  // namespace fairlead::test
