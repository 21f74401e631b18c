/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Counting. Per-CPU values need no atomics: a program is not interrupted by itself on the same CPU.
 */
#pragma once

#include "lib/maps.h"

static __always_inline void fl_count_verdict(__u32 verdict)
{
	__u64 *count = bpf_map_lookup_elem(&fl_verdicts, &verdict);

	if (count)
		*count += 1;
}

static __always_inline void fl_count_service(__u32 service, __u16 bytes, int verdict)
{
	struct fl_service_stats *stats = bpf_map_lookup_elem(&fl_svc_stats, &service);

	if (!stats)
		return;
	stats->packets += 1;
	stats->bytes += bytes;
	if (verdict == FL_LB_TX_SYN_NEW || verdict == FL_LB_TX_SYN_UNRECORDED ||
	    verdict == FL_LB_TX_SYN_CLAIM || verdict == FL_LB_TX_SYN_OVER_BUDGET)
		stats->new_flows += 1;
	if (verdict == FL_LB_TX_SYN_OVER_BUDGET)
		stats->over_budget += 1;
	if (verdict == FL_LB_TX_MISS)
		stats->misses += 1;
	if (verdict == FL_LB_TX_TOO_BIG)
		stats->too_big += 1;
	if (verdict == FL_LB_DROP_DENIED)
		stats->denied += 1;
}

static __always_inline void fl_count_fail_open(__u32 service)
{
	struct fl_service_stats *stats = bpf_map_lookup_elem(&fl_svc_stats, &service);

	if (stats)
		stats->fail_open += 1;
}

static __always_inline void fl_count_backend(__u32 backend, __u16 bytes, int verdict)
{
	struct fl_backend_stats *stats = bpf_map_lookup_elem(&fl_bkd_stats, &backend);

	if (!stats)
		return;
	stats->packets += 1;
	stats->bytes += bytes;
	if (verdict == FL_LB_TX_SYN_NEW || verdict == FL_LB_TX_SYN_UNRECORDED ||
	    verdict == FL_LB_TX_SYN_OVER_BUDGET)
		stats->new_flows += 1;
	if (verdict == FL_LB_TX_SYN_AGAIN)
		stats->syn_again += 1;
}
