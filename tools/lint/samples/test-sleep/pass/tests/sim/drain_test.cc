// No sleep(): time is driven by hand.
TEST_CASE("a drain ends", "[core]") { sim.RunFor(absl::Seconds(3)); }
TEST_CASE("tasks sleep", "[event]") {
  auto sleep = [&](int ms) -> Task<void> { co_await loop.Sleep(ms); };
  scope.Spawn(sleep(3));
}
