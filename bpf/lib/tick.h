/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The clock of the packet path: ticks of about a second, cheap to read, monotonic but for their
 * wrap.
 */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "fairlead/abi/config.h"

static __always_inline __u32 fl_tick_at(__u64 nanoseconds)
{
	return (__u32)(nanoseconds >> FL_TICK_SHIFT) & FL_TICK_MASK;
}

static __always_inline __u32 fl_now(void)
{
	return fl_tick_at(bpf_ktime_get_coarse_ns());
}
