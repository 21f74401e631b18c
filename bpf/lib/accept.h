/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * How many new connections a backend is given in a second: a bucket that all CPUs share. Pure: also
 * compiled on the host.
 *
 * A bucket is one word, until when what was given takes up the rate. A tenth of a second's worth
 * may be given ahead, and one: the clock moves in steps of a few milliseconds.
 */
#pragma once

#include "fairlead/abi/maps.h"
#include "lib/flow_slot.h"

#define FL_ACCEPT_AHEAD (100000000ull >> FL_ACCEPT_SHIFT)

/* A loser of this many races in a row is not given the connection. */
#define FL_ACCEPT_ATTEMPTS 8

/* What one connection takes up at `now_ns`; 0: there is no rate. */
static __always_inline __u64 fl_accept_interval(const struct fl_backend *backend, __u64 now_ns)
{
	__u64 word = fl_load64(&backend->accept);

	return now_ns < fl_load64(&backend->accept_until) ? word >> 32 : word & 0xffffffff;
}

/* What is taken up beyond `now`. A rate that has been raised waits for no longer than its own. */
static __always_inline __u64 fl_accept_debt(__u64 due, __u64 now, __u64 interval)
{
	__u64 debt = due > now ? due - now : 0;
	__u64 most = interval + FL_ACCEPT_AHEAD;

	return debt < most ? debt : most;
}

/* May it be given one more? */
static __always_inline int fl_accept_may(const struct fl_backend *backend,
					 const struct fl_load *load, __u64 now_ns)
{
	__u64 interval = fl_accept_interval(backend, now_ns);

	return !interval || fl_accept_debt(fl_load64(&load->accept_due), now_ns >> FL_ACCEPT_SHIFT,
					   interval) <= FL_ACCEPT_AHEAD;
}

/* Gives it one more, if it may be. */
static __always_inline int fl_accept_take(const struct fl_backend *backend, struct fl_load *load,
					  __u64 now_ns)
{
	__u64 interval = fl_accept_interval(backend, now_ns), now = now_ns >> FL_ACCEPT_SHIFT;

	if (!interval)
		return 1;
	for (int attempt = 0; attempt < FL_ACCEPT_ATTEMPTS; attempt++) {
		__u64 due = fl_load64(&load->accept_due);
		__u64 debt = fl_accept_debt(due, now, interval);

		if (debt > FL_ACCEPT_AHEAD)
			return 0;
		if (fl_cas64(&load->accept_due, due, now + debt + interval))
			return 1;
	}
	return 0;
}

/* Takes back what fl_accept_take() gave. */
static __always_inline void fl_accept_undo(const struct fl_backend *backend, struct fl_load *load,
					   __u64 now_ns)
{
	__sync_fetch_and_add(&load->accept_due, -fl_accept_interval(backend, now_ns));
}
