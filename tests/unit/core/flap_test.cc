#include "core/flap.h"

#include <catch2/catch.hpp>

namespace fairlead::core {
namespace {

base::MonoTime At(int seconds) {
  return base::MonoTime::FromNanoseconds(1'000'000'000) +
         absl::Seconds(seconds);
}

// Up, and down again at `second`.
void Fall(FlapDamping& flap, int second) {
  flap.OnHealth(Health::kUp, At(second - 1));
  flap.OnHealth(Health::kDown, At(second));
}

// Its last fall is at `first` + 40.
void Flap(FlapDamping& flap, int first) {
  for (int i = 0; i < 5; ++i) Fall(flap, first + 10 * i);
}

TEST_CASE("five times down within a minute is flapping, four are not",
          "[core][flap]") {
  FlapDamping flap;
  for (int i = 0; i < 4; ++i) Fall(flap, 10 + 10 * i);
  CHECK(!flap.Hold(At(40)));
  SECTION("the fifth is") {
    Fall(flap, 70);
    CHECK(flap.Hold(At(70)) == absl::Seconds(30));
    CHECK(flap.Deadline(At(70)) == At(100));
    CHECK(flap.Hold(At(99)) == absl::Seconds(30));
    CHECK(!flap.Hold(At(100)));
    CHECK(!flap.Deadline(At(100)));
    CHECK(FlapReason(*flap.Hold(At(70))) ==
          "check.flapping(5 in 60 s, held 30s)");
  }
  SECTION("not one that comes later") {
    Fall(flap, 71);
    CHECK(!flap.Hold(At(71)));
  }
}

TEST_CASE("what is no failure is not counted", "[core][flap]") {
  FlapDamping flap;
  for (int i = 0; i < 20; ++i) {
    // Begun anew, as its operator wants it.
    flap.OnHealth(Health::kUp, At(2 * i));
    flap.OnHealth(Health::kInit, At(2 * i + 1));
  }
  for (int i = 0; i < 20; ++i) {
    // Fails now and then, and never long enough to be down.
    flap.OnHealth(Health::kUp, At(40 + 2 * i));
    flap.OnHealth(Health::kFalling, At(41 + 2 * i));
  }
  // Tried, and never up again.
  for (int i = 0; i < 20; ++i) {
    flap.OnHealth(Health::kDown, At(80 + 2 * i));
    flap.OnHealth(Health::kRising, At(81 + 2 * i));
  }
  CHECK(!flap.Hold(At(120)));
}

TEST_CASE("a hold lasts until it has been calm for that time", "[core][flap]") {
  FlapDamping flap;
  Flap(flap, 10);
  REQUIRE(flap.Deadline(At(50)) == At(80));
  Fall(flap, 70);
  CHECK(flap.Hold(At(70)) == absl::Seconds(30));
  CHECK(flap.Deadline(At(70)) == At(100));
}

TEST_CASE("holds grow, to ten minutes, and shrink in calm times",
          "[core][flap]") {
  FlapDamping flap;
  int now = 0;
  std::vector<absl::Duration> holds;
  for (int i = 0; i < 7; ++i) {
    Flap(flap, now + 10);
    holds.push_back(*flap.Hold(At(now + 50)));
    now += 50 + static_cast<int>(absl::ToInt64Seconds(holds.back()));
    CHECK(!flap.Hold(At(now)));
  }
  CHECK(holds == std::vector<absl::Duration>{
                     absl::Seconds(30), absl::Minutes(1), absl::Minutes(2),
                     absl::Minutes(4), absl::Minutes(8), absl::Minutes(10),
                     absl::Minutes(10)});
  // Twenty calm minutes are two doublings; all of it is over some time.
  Flap(flap, now + 1200);
  CHECK(flap.Hold(At(now + 1240)) == absl::Minutes(4));
  Flap(flap, now + 100'000);
  CHECK(flap.Hold(At(now + 100'040)) == absl::Seconds(30));
}

TEST_CASE("each hold is told once, and its end with how long it was",
          "[core][flap]") {
  FlapDamping flap;
  CHECK(!flap.TakeChange(At(0)));
  Flap(flap, 10);
  auto change = flap.TakeChange(At(50));
  REQUIRE(change);
  CHECK(change->begins);
  CHECK(change->reason == "check.flapping(5 in 60 s, held 30s)");
  CHECK(!flap.TakeChange(At(79)));
  SECTION("calm") {
    change = flap.TakeChange(At(80));
    REQUIRE(change);
    CHECK_FALSE(change->begins);
    CHECK(change->reason == "flap.calm");
    CHECK(change->lasted == absl::Seconds(30));
    CHECK(!flap.TakeChange(At(81)));
  }
  SECTION("needed") {
    flap.Pardon();
    CHECK(!flap.Hold(At(60)));
    change = flap.TakeChange(At(60));
    REQUIRE(change);
    CHECK(change->reason == "flap.needed");
    // What it did is not forgotten.
    Fall(flap, 65);
    CHECK(flap.Hold(At(65)) == absl::Minutes(1));
    change = flap.TakeChange(At(65));
    REQUIRE(change);
    CHECK(change->begins);
    change = flap.TakeChange(At(125));
    REQUIRE(change);
    CHECK(change->reason == "flap.calm");
  }
  SECTION("switched off") {
    flap.Stop();
    CHECK(!flap.Hold(At(60)));
    change = flap.TakeChange(At(60));
    REQUIRE(change);
    CHECK(change->reason == "flap.off");
    Fall(flap, 65);
    CHECK(!flap.Hold(At(65)));
  }
}

}  // namespace
}  // namespace fairlead::core
