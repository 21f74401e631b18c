void Probe() {
  auto begin = absl::Now();                       // <- finding
  absl::SleepFor(absl::Seconds(1));               // <- finding
  auto now = std::chrono::steady_clock::now();    // <- finding
  std::this_thread::sleep_for(kShort);            // <- finding
  clock_gettime(CLOCK_MONOTONIC, &spec);          // <- finding
  ::usleep(10);                                   // <- finding
  sleep(1);                                       // <- finding
  time_t wall = time(nullptr);                    // <- finding
}
