int Read(timespec* now) { return clock_gettime(CLOCK_MONOTONIC, now); }
