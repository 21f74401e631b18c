#include <liburing.h>

void Submit(io_uring* ring) { io_uring_submit(ring); }
