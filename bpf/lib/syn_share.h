/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * How many new flows a service may record within a tick: its fair share, beyond which they give way
 * to those of others, and its budget, beyond which they are not recorded at all. No timer and no
 * line that all CPUs write for every SYN: a CPU takes of the window that all share in batches,
 * which grow with what has been taken. The maps are not pinned: a program that takes over begins a
 * new window.
 *
 * Within a tick never more are recorded than the budget, and never fewer than that less a 1024th
 * of it for each CPU; a budget of up to 1,024 is exact.
 */
#pragma once

#include "lib/maps.h"
#include "lib/tick.h"

enum fl_syn_share {
	FL_SYN_FAIR,	/* within the fair share */
	FL_SYN_CROWD,	/* beyond it */
	FL_SYN_OVER,	/* beyond the budget */
	FL_SYN_UNBOUND, /* the service has neither */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_syn_window);
} fl_syn_windows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_syn_batch);
} fl_syn_batches SEC(".maps");

/* A batch is that part of what has been taken. */
#define FL_SYN_BATCH_SHIFT 10

/* What the window has been taken of in this tick. A window that another CPU has just moved on to
 * the next tick is as good. */
static __always_inline __u64 fl_syn_taken(struct fl_syn_window *window, __u32 now)
{
	__u64 word = fl_load64(&window->word);

	if (fl_tick_age(now, (__u32)(word >> FL_SYN_TICK_SHIFT))) {
		/* Whoever loses this finds that somebody else has won it. */
		fl_cas64(&window->word, word, (__u64)now << FL_SYN_TICK_SHIFT);
		word = fl_load64(&window->word);
	}
	return word & FL_SYN_TAKEN_MASK;
}

/* The next batch. One that crosses a bound is cut there. */
static __always_inline void fl_syn_refill(struct fl_syn_batch *batch, struct fl_syn_window *window,
					  __u64 fair, __u64 limit)
{
	__u64 taken = fl_syn_taken(window, batch->tick);
	__u64 wanted = 1 + (taken >> FL_SYN_BATCH_SHIFT);
	__u64 end;

	batch->left = 0;
	/* Looking is all that a flood costs the shared line. */
	if (taken >= limit)
		return;
	taken = __sync_fetch_and_add(&window->word, wanted) & FL_SYN_TAKEN_MASK;
	if (taken >= limit)
		return;
	end = taken < fair && fair < limit ? fair : limit;
	batch->left = (__u32)(wanted < end - taken ? wanted : end - taken);
	batch->share = taken < fair ? FL_SYN_FAIR : FL_SYN_CROWD;
}

/* A new flow takes of its service's share of this tick; returns enum fl_syn_share. `fair` 0: all
 * are of the crowd; `limit` 0: no budget. Global: see flow_table.h. */
__noinline int fl_syn_take(__u32 service, __u32 fair, __u32 limit)
{
	struct fl_syn_batch *batch = bpf_map_lookup_elem(&fl_syn_batches, &service);
	struct fl_syn_window *window;
	__u32 now = fl_now();

	if (!batch)
		return FL_SYN_UNBOUND;
	if (batch->tick != now) {
		batch->tick = now;
		batch->left = 0;
	}
	if (!batch->left) {
		window = bpf_map_lookup_elem(&fl_syn_windows, &service);
		if (!window)
			return FL_SYN_UNBOUND;
		fl_syn_refill(batch, window, fair, limit ? limit : FL_SYN_TAKEN_MASK);
		if (!batch->left)
			return FL_SYN_OVER;
	}
	batch->left--;
	return (int)batch->share;
}
