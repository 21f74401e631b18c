Task<> Probe(Loop& loop, MonoTime deadline) {
  co_await loop.Sleep(Jitter());
  if (loop.Now() > deadline) co_return;
  auto left = remaining_time(deadline);
}
