#include "bpf/lib/flow_slot.h"
#include "fairlead.skel.h"
