#include "core/health.h"
#include "fairlead/api/types.h"
#include "http/client.h"
