event::Task<void> Poll(event::Loop& loop) {
  if (const absl::Status slept = co_await loop.SleepFor(kPause); !slept.ok())  // <- finding
    co_return;
  while ((co_await loop.Next()).ok()) {  // <- finding
  }
  CHECK(co_await loop.Next() == absl::OkStatus());  // <- finding
}
