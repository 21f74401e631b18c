// The clocks of two hosts are rarely in sync.
static_assert(kNames.size() == FL_VERDICT_COUNT);
