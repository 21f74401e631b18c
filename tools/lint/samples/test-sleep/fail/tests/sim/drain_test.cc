TEST_CASE("a drain ends", "[core]") {
  absl::SleepFor(absl::Seconds(3));     // <- finding
  std::this_thread::sleep_for(kShort);  // <- finding
  usleep(10);                           // <- finding
  sleep(1);                             // <- finding
  if (slow) { sleep(1); }               // <- finding
  ::sleep(1);                           // <- finding
}
