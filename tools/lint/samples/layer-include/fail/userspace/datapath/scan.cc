#include "bpf/lib/maps.h"  // <- finding
#include "event/loop.h"    // <- finding
