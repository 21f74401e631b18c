int Walk();  // NOLINT(google-runtime-int): the kernel's type
// NOLINTNEXTLINE(bugprone-foo): a library's macro
int Step();
