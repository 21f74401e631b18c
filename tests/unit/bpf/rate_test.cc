#include "lib/rate.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <thread>
#include <vector>

#include "base/ip_address.h"
#include "tests/support/packet.h"
#include "tests/support/reference_siphash.h"

namespace fairlead::test {
namespace {

constexpr __u64 kSecond = 1'000'000'000 >> FL_RATE_SHIFT;
constexpr __u64 kNow = 1000 * kSecond;

__u64 Limit(__u32 rate, __u32 burst) {
  return fl_limit_word(static_cast<__u32>(kSecond / rate), burst, 128, 64);
}

TEST_CASE("a limit is one word", "[bpf][rate]") {
  const __u64 limit = fl_limit_word(15625000, FL_MAX_SOURCE_BURST, 120, 56);
  CHECK(fl_limit_interval(limit) == 15625000);
  CHECK(fl_limit_burst(limit) == FL_MAX_SOURCE_BURST);
  CHECK(fl_limit_bits(limit, 1) == 120);
  CHECK(fl_limit_bits(limit, 0) == 56);
}

TEST_CASE("over time a source gets its rate, whatever it asks for",
          "[bpf][rate]") {
  for (const __u32 rate : {1u, 7u, 100u, 100000u}) {
    fl_rate_set set = {};
    const __u32 burst = rate < 10 ? 1 : rate / 10;
    const __u64 limit = Limit(rate, burst);
    uint64_t taken = 0;
    constexpr int kSeconds = 20;
    // Asks again each hundredth of a millisecond or thousandth of a second.
    const __u64 step = rate > 1000 ? kSecond / 200000 : kSecond / 1000;
    for (__u64 now = kNow; now < kNow + kSeconds * kSecond; now += step)
      taken += fl_rate_take(&set, 77, now, limit) != 0 ? 1 : 0;
    INFO(rate << " a second: " << taken);
    CHECK(taken >= uint64_t{rate} * kSeconds);
    // An interval is rounded down to whole units.
    CHECK(taken <= uint64_t{rate} * kSeconds * 101 / 100 + burst + 1);
  }
}

TEST_CASE("a lowered limit asks for no more than its own", "[bpf][rate]") {
  fl_rate_set set = {};
  for (int i = 0; i < 100; i++)
    REQUIRE(fl_rate_take(&set, 7, kNow, Limit(1, 100)));
  CHECK_FALSE(fl_rate_take(&set, 7, kNow, Limit(1, 100)));
  // Not in a hundred seconds: in one interval.
  CHECK_FALSE(fl_rate_take(&set, 7, kNow, Limit(10, 5)));
  CHECK(fl_rate_take(&set, 7, kNow + 100 * kSecond, Limit(1, 100)));
}

TEST_CASE("sources of one set are told apart", "[bpf][rate]") {
  fl_rate_set set = {};
  // The same check, or all of the key but its check.
  const std::vector<__u64> keys = {0x1000, 0x2000, 0x1001, 0};
  for (const __u64 key : keys)
    CHECK(fl_rate_take(&set, key, kNow, Limit(1, 1)));
  for (const __u64 key : keys)
    CHECK_FALSE(fl_rate_take(&set, key, kNow, Limit(1, 1)));
}

TEST_CASE("who has opened least is forgotten first, and nobody is refused",
          "[bpf][rate]") {
  fl_rate_set set = {};
  const __u64 limit = Limit(1, 4);
  for (int i = 0; i < 4; i++) REQUIRE(fl_rate_take(&set, 1, kNow, limit));
  for (__u64 key = 100; key < 1000; key++)
    REQUIRE(fl_rate_take(&set, key, kNow, limit));
  CHECK_FALSE(fl_rate_take(&set, 1, kNow, limit));
}

TEST_CASE("CPUs at once charge no source for another, and lose few",
          "[bpf][rate]") {
  fl_rate_set set = {};
  std::atomic<int> taken[8] = {};
  std::vector<std::thread> cpus;
  constexpr int kBurst = 1000;
  for (unsigned int cpu = 0; cpu < 4; cpu++) {
    cpus.emplace_back([&, cpu] {
      for (int i = 0; i < 4000; i++) {
        const __u64 source = (cpu + static_cast<unsigned int>(i)) % 3;
        if (fl_rate_take(&set, 1000 + source, kNow, Limit(1, kBurst)))
          ++taken[source];
      }
    });
  }
  for (std::thread& cpu : cpus) cpu.join();
  // Each gets its burst; those that lost a race came for free.
  for (int source = 0; source < 3; source++) CHECK(taken[source] >= kBurst);
}

TEST_CASE("the key of a source is the hash of its first bits and its service",
          "[bpf][rate]") {
  const SipKey key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
  const __u64 words[2] = {key[0], key[1]};
  const auto key_of = [&](const char* text, int bits, __u16 service) {
    __u32 address[4];
    std::memcpy(address, Ip(text).bytes().data(), sizeof(address));
    return fl_rate_key(words, service, address, bits);
  };
  std::vector<uint8_t> message(18, 0);
  const std::vector<uint8_t> first = {0x20, 0x01, 0x0d, 0xb8, 0, 7, 0x80};
  std::copy(first.begin(), first.end(), message.begin());
  message[16] = 0x34;
  message[17] = 0x12;
  CHECK(key_of("2001:db8:7:ffff::1", 49, 0x1234) ==
        ReferenceSipHash(key, message));
  CHECK(key_of("203.0.113.7", 120, 1) == key_of("203.0.113.9", 120, 1));
  CHECK(key_of("203.0.113.7", 128, 1) != key_of("203.0.113.9", 128, 1));
  CHECK(key_of("203.0.113.7", 127, 1) == key_of("203.0.113.6", 127, 1));
  CHECK(key_of("203.0.113.7", 128, 1) != key_of("203.0.113.7", 128, 2));
}

}  // namespace
}  // namespace fairlead::test
