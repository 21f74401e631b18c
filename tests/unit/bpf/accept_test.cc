#include "lib/accept.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

namespace fairlead::test {
namespace {

constexpr __u64 kSecond = 1'000'000'000;
constexpr __u64 kNow = 1000 * kSecond;

__u32 Interval(__u32 rate) {
  return static_cast<__u32>((kSecond >> FL_ACCEPT_SHIFT) / rate);
}
fl_backend Paced(__u32 rate) {
  fl_backend backend = {};
  backend.accept = fl_accept_word(0, Interval(rate));
  return backend;
}

// As the packet path's clock does, in steps of 4 ms.
uint64_t TakenIn(const fl_backend& backend, fl_load& load, int seconds) {
  constexpr __u64 kStep = 4'000'000;
  uint64_t taken = 0;
  for (__u64 now = kNow; now < kNow + seconds * kSecond; now += kStep) {
    while (fl_accept_take(&backend, &load, now)) taken++;
    CHECK_FALSE(fl_accept_may(&backend, &load, now));
  }
  return taken;
}

TEST_CASE("over time a backend is given its rate, whatever comes",
          "[bpf][accept]") {
  for (const __u32 rate : {1u, 7u, 200u, 5000u, 100000u}) {
    fl_load load = {};
    constexpr int kSeconds = 10;
    const uint64_t taken = TakenIn(Paced(rate), load, kSeconds);
    INFO(rate << " a second: " << taken);
    CHECK(taken >= uint64_t{rate} * kSeconds);
    // A tenth of a second's ahead, and one; an interval is rounded down.
    CHECK(taken <= (uint64_t{rate} * kSeconds + rate / 10) * 1002 / 1000 + 2);
  }
}

TEST_CASE("what is not asked for is not saved up", "[bpf][accept]") {
  const fl_backend backend = Paced(100);
  fl_load load = {};
  REQUIRE(fl_accept_take(&backend, &load, kNow));
  uint64_t taken = 0;
  while (fl_accept_take(&backend, &load, kNow + 100 * kSecond)) taken++;
  CHECK(taken == 11);
}

TEST_CASE("no rate is no bound", "[bpf][accept]") {
  const fl_backend backend = {};
  fl_load load = {};
  for (int i = 0; i < 1000; i++) {
    CHECK(fl_accept_may(&backend, &load, kNow));
    CHECK(fl_accept_take(&backend, &load, kNow));
  }
  CHECK(load.accept_due == 0);
}

TEST_CASE("one rate holds until a time, another one from then on",
          "[bpf][accept]") {
  fl_backend backend = {};
  backend.accept = fl_accept_word(Interval(10), Interval(1000));
  backend.accept_until = kNow + kSecond;
  fl_load load = {};
  CHECK(TakenIn(backend, load, 1) == 11);
  load = {};
  backend.accept_until = kNow;
  CHECK(TakenIn(backend, load, 1) >= 1000);
}

TEST_CASE("a rate that is raised waits for no longer than its own",
          "[bpf][accept]") {
  fl_backend backend = {};
  backend.accept = fl_accept_word(0, ~0u);
  fl_load load = {};
  REQUIRE(fl_accept_take(&backend, &load, kNow));
  REQUIRE_FALSE(fl_accept_take(&backend, &load, kNow + 60 * kSecond));
  backend = Paced(10);
  CHECK(fl_accept_take(&backend, &load, kNow + kSecond) == 0);
  CHECK(fl_accept_take(&backend, &load, kNow + 69 * kSecond));
}

TEST_CASE("what was taken and not used can be taken again", "[bpf][accept]") {
  const fl_backend backend = Paced(1);
  fl_load load = {};
  REQUIRE(fl_accept_take(&backend, &load, kNow));
  REQUIRE_FALSE(fl_accept_may(&backend, &load, kNow));
  fl_accept_undo(&backend, &load, kNow);
  CHECK(fl_accept_take(&backend, &load, kNow));
  CHECK_FALSE(fl_accept_take(&backend, &load, kNow));
}

TEST_CASE("CPUs that come at once share one rate", "[bpf][accept]") {
  const fl_backend backend = Paced(10000);
  fl_load load = {};
  std::atomic<uint64_t> taken = 0;
  std::vector<std::thread> cpus;
  for (int i = 0; i < 4; i++)
    cpus.emplace_back([&] {
      for (int n = 0; n < 20000; n++)
        if (fl_accept_take(&backend, &load, kNow)) taken++;
    });
  for (std::thread& cpu : cpus) cpu.join();
  CHECK(taken == 1001);
}

}  // namespace
}  // namespace fairlead::test
