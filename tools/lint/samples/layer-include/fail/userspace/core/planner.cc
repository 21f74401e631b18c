#include "datapath/maps.h"  // <- finding
#include "event/loop.h"     // <- finding
#include "lib/row.h"        // <- finding
// #include "event/task.h" in a comment is not an include.
