#include "datapath/maps.h"
#include "event/loop.h"
// NOLINTNEXTLINE(fl-layer-include): the sample shows that a reason excuses
#include "tests/support/fake_datapath.h"
