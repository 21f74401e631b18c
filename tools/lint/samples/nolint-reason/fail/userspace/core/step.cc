// NOLINTNEXTLINE(google-runtime-int)
int Step();
