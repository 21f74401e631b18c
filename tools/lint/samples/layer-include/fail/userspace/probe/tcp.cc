#include "datapath/maps.h"    // <- finding
#include "fairlead.skel.h"    // <- finding
