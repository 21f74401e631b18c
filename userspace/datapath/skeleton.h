// The generated skeleton of bpf/fairlead.bpf.c. It defines a struct `fairlead`,
// which as a name is taken by our namespace.
#pragma once

#include "fairlead/abi/config.h"

#define fairlead fairlead_skeleton
#include "fairlead.skel.h"
#undef fairlead
