#include "core/health.h"       // <- finding
#include "fairlead/abi/row.h"  // <- finding
