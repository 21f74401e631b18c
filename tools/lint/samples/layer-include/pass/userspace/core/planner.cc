#include "core/planner.h"

#include "base/ip_address.h"
#include "fairlead/abi/row.h"
