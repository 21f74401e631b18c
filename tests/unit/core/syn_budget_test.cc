// The arithmetic of SYN budgets, and when a service is above its own.
#include "core/syn_budget.h"

#include <catch2/catch.hpp>

#include "fairlead/abi/flow_slot.h"

namespace fairlead::core {
namespace {

constexpr uint32_t kBuckets = 1u << 19;  // 2,097,152 slots
constexpr uint32_t kYoungTicks = 56;

base::MonoTime At(int64_t seconds) {
  return base::MonoTime::FromNanoseconds(seconds * 1'000'000'000);
}

TEST_CASE("no service fills the table with flows that nobody may take",
          "[core][budget]") {
  for (const uint32_t buckets : {1u << 16, kBuckets, 1u << 26}) {
    const uint64_t slots = uint64_t{buckets} * FL_BUCKET_SLOTS;
    const SynShares shares = SharesOf({}, buckets);
    // In a table at its design load, half full, there is room for others.
    CHECK(uint64_t{shares.fair} * kYoungTicks < slots / 4);
    CHECK(uint64_t{shares.limit} * kYoungTicks < slots);
    CHECK(shares.fair < shares.limit);
  }
}

TEST_CASE("small tables have the shares of a larger one", "[core][budget]") {
  CHECK(SharesOf({}, 2) == SharesOf({}, 1u << 16));
  CHECK(SharesOf({}, 2) == SynShares{.fair = 1024, .limit = 4096});
}

TEST_CASE("a budget of its own leaves the fair share as it is",
          "[core][budget]") {
  const uint32_t fair = SharesOf({}, kBuckets).fair;
  CHECK(SharesOf({.per_second = 0}, kBuckets) == SynShares{fair, 0});
  CHECK(SharesOf({.per_second = 1}, kBuckets) == SynShares{fair, 1});
  // A tick is longer than a second.
  CHECK(SharesOf({.per_second = 1000}, kBuckets) == SynShares{fair, 1073});
  CHECK(SharesOf({.per_second = 0xffffffff}, kBuckets).limit == 0xffffffff);
}

TEST_CASE("a budget is told as it is given", "[core][budget]") {
  CHECK(ToString(SynBudget{}) == "default");
  CHECK(ToString(SynBudget{.per_second = 0}) == "off");
  CHECK(ToString(SynBudget{.per_second = 20000}) == "20000/s");
  for (const char* text : {"default", "off", "1/s", "4294967295/s"})
    CHECK(ToString(ParseSynBudget(text).value()) == text);
  CHECK(ParseSynBudget("20000").value() == SynBudget{.per_second = 20000});
  CHECK(ParseSynBudget("0").value() == SynBudget{.per_second = 0});
  for (const char* text : {"", "/s", "-1", "1.5", "20k", "1/min", "4294967296"})
    CHECK_FALSE(ParseSynBudget(text).ok());
  CHECK(BudgetPerSecond({}, kBuckets) == 30517);
  CHECK(BudgetPerSecond({.per_second = 0}, kBuckets) == 0);
  CHECK(BudgetPerSecond({.per_second = 7}, kBuckets) == 7);
}

TEST_CASE("a service is above its budget while flows are not recorded",
          "[core][budget]") {
  SynWatch watch;
  // What was counted before is no news.
  watch.OnSample({.all = 1000, .over_budget = 500}, At(10));
  CHECK_FALSE(watch.excess().has_value());
  watch.OnSample({.all = 2000, .over_budget = 500}, At(11));
  CHECK_FALSE(watch.excess().has_value());
  watch.OnSample({.all = 12000, .over_budget = 4500}, At(13));
  REQUIRE(watch.excess().has_value());
  CHECK(watch.excess()->per_second == 5000);
  CHECK(watch.excess()->unrecorded_per_second == 2000);
  watch.OnSample({.all = 12500, .over_budget = 4500}, At(14));
  CHECK_FALSE(watch.excess().has_value());
  // Counters that begin anew.
  watch.OnSample({.all = 5, .over_budget = 0}, At(15));
  CHECK_FALSE(watch.excess().has_value());
}

}  // namespace
}  // namespace fairlead::core
