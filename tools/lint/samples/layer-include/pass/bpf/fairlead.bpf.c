// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "fairlead/abi/row.h"
#include "lib/parse.h"
