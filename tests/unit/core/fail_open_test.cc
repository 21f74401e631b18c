#include "core/fail_open.h"

#include <catch2/catch.hpp>

namespace fairlead::core {
namespace {

base::MonoTime At(int seconds) {
  return base::MonoTime::FromNanoseconds(1'000'000'000) +
         absl::Seconds(seconds);
}

TEST_CASE("it begins below the part, at once", "[core][fail-open]") {
  FailOpen half;
  CHECK_FALSE(half.OnCount({.available = 2, .all = 4}, 50, At(0)));
  CHECK_FALSE(half.active());
  CHECK(half.OnCount({.available = 1, .all = 4}, 50, At(0)));
  CHECK(half.active());
  CHECK_FALSE(half.OnCount({.available = 0, .all = 4}, 50, At(1)));
  CHECK(half.active());
  // Odd numbers have no half: two of five are less.
  FailOpen odd;
  CHECK_FALSE(odd.OnCount({.available = 3, .all = 5}, 50, At(0)));
  CHECK(odd.OnCount({.available = 2, .all = 5}, 50, At(0)));
  FailOpen all;
  CHECK(all.OnCount({.available = 4, .all = 5}, 100, At(0)));
}

TEST_CASE("of nobody, and without a part, there never are too few",
          "[core][fail-open]") {
  FailOpen fail_open;
  CHECK_FALSE(fail_open.OnCount({}, 100, At(0)));
  CHECK_FALSE(fail_open.OnCount({.available = 0, .all = 4}, 0, At(0)));
  CHECK_FALSE(fail_open.active());
  CHECK(!fail_open.deadline());
}

TEST_CASE("it ends when enough were available for a while",
          "[core][fail-open]") {
  FailOpen half;
  REQUIRE(half.OnCount({.available = 1, .all = 4}, 50, At(0)));
  CHECK(!half.deadline());
  CHECK_FALSE(half.OnCount({.available = 2, .all = 4}, 50, At(5)));
  CHECK(half.active());
  CHECK(half.deadline() == At(15));
  CHECK_FALSE(half.OnCount({.available = 3, .all = 4}, 50, At(14)));
  CHECK(half.deadline() == At(15));
  SECTION("and not before") {
    CHECK_FALSE(half.OnCount({.available = 1, .all = 4}, 50, At(14)));
    CHECK(!half.deadline());
    CHECK_FALSE(half.OnCount({.available = 2, .all = 4}, 50, At(16)));
    CHECK(half.active());
    CHECK(half.deadline() == At(26));
  }
  SECTION("then") {
    CHECK(half.OnCount({.available = 3, .all = 4}, 50, At(15)));
    CHECK_FALSE(half.active());
    CHECK(!half.deadline());
  }
  SECTION("or when it is not asked for any more") {
    CHECK(half.OnCount({.available = 1, .all = 4}, 0, At(14)));
    CHECK_FALSE(half.active());
    CHECK(!half.deadline());
  }
}

}  // namespace
}  // namespace fairlead::core
