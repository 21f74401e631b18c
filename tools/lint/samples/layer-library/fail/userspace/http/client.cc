#include <liburing.h>  // <- finding

void Submit(io_uring* ring) {
  io_uring_submit(ring);  // <- finding
}
