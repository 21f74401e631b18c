// FL_CHECK: an invariant of ours. On in release builds: stopping is safe,
// because link and maps are pinned and forwarding goes on while the daemon
// restarts.
#pragma once

#include <cstdio>
#include <cstdlib>

#define FL_CHECK(condition)                                                 \
  do {                                                                      \
    if (!(condition)) {                                                     \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, \
                   #condition);                                             \
      std::abort();                                                         \
    }                                                                       \
  } while (false)
