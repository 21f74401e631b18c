#include "core/controller.h"         // <- finding
#include "datapath/maps.h"           // <- finding
#include "event/loop.h"              // <- finding
#include "tests/support/fake_api.h"  // <- finding
