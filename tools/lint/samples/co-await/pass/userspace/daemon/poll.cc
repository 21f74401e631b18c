event::Task<void> Poll(event::Loop& loop) {
  // if (co_await loop.SleepFor(kPause)) is what g++ 12 gets wrong
  const absl::Status slept = co_await loop.SleepFor(kPause);
  if (!slept.ok()) co_return;
  FL_CO_RETURN_IF_ERROR(co_await loop.SleepFor(kPause));
}
