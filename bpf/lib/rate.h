/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * How many connections a source opens: a token bucket each, in sets of four. Pure: also compiled on
 * the host.
 *
 * A source without an entry takes that of its set whose bucket is the fullest: of most, as they
 * have opened nothing of late, nothing is forgotten. A flood of many sources makes sources forget
 * what they have opened, and may let them open more; it never has one refused.
 */
#pragma once

#include "fairlead/abi/maps.h"
#include "lib/address.h"
#include "lib/siphash.h"

#define FL_RATE_CHECK_BITS 12
#define FL_RATE_CHECK	   ((1ull << FL_RATE_CHECK_BITS) - 1)

static __always_inline __u64 fl_rate_state(__u64 due, __u64 key)
{
	return due << FL_RATE_CHECK_BITS | (key & FL_RATE_CHECK);
}

/* Of `limit`, in units: how far ahead of now `due` may be. */
static __always_inline __u64 fl_rate_depth(__u64 limit)
{
	return (__u64)fl_limit_interval(limit) * fl_limit_burst(limit);
}

/* What is missing in the bucket. A limit that has been lowered asks for no more than its own. */
static __always_inline __u64 fl_rate_debt(__u64 state, __u64 now, __u64 limit)
{
	__u64 due = state >> FL_RATE_CHECK_BITS;
	__u64 debt = due > now ? due - now : 0;

	return debt < fl_rate_depth(limit) ? debt : fl_rate_depth(limit);
}

/* The set's entry of `key`; without one, that whose bucket is the fullest. */
static __always_inline struct fl_rate *fl_rate_find(struct fl_rate_set *set, __u64 key)
{
	struct fl_rate *fullest = &set->rates[0];

	FL_UNROLL
	for (unsigned int i = 0; i < FL_RATE_SET; i++) {
		struct fl_rate *rate = &set->rates[i];
		__u64 state = fl_load64(&rate->state);

		if (fl_load64(&rate->key) == key && !((state ^ key) & FL_RATE_CHECK))
			return rate;
		if (state < fl_load64(&fullest->state))
			fullest = rate;
	}
	return fullest;
}

/*
 * True, and counted, if the source may open one more at `now`. CPUs that come at once for one
 * source may each have one; one that loses a race lets the connection be, uncounted.
 */
static __always_inline int fl_rate_take(struct fl_rate_set *set, __u64 key, __u64 now, __u64 limit)
{
	struct fl_rate *rate = fl_rate_find(set, key);
	__u64 state = fl_load64(&rate->state);
	int is_own = fl_load64(&rate->key) == key && !((state ^ key) & FL_RATE_CHECK);
	__u64 debt = (is_own ? fl_rate_debt(state, now, limit) : 0) + fl_limit_interval(limit);

	if (debt > fl_rate_depth(limit))
		return 0;
	/* Until the key is there, its check keeps the one before away. */
	if (fl_cas64(&rate->state, state, fl_rate_state(now + debt, key)) && !is_own)
		fl_store64(&rate->key, key);
	return 1;
}

/* A word of an address, of which `bits` bits count from its first on; may be any number. */
static __always_inline __u32 fl_keep_bits(__u32 word, int bits)
{
	if (bits <= 0)
		return 0;
	return bits >= 32 ? word : word & fl_swap32(~0u << (32 - bits));
}

/* The key of the source that `client` is of, in what `label` says. */
static __always_inline __u64 fl_source_key(const __u64 *hash_key, __u64 label,
					   const __u32 client[4], int bits)
{
	struct fl_sip s = fl_sip_start(hash_key[0], hash_key[1]);

	fl_sip_word(&s, fl_pair(fl_keep_bits(client[0], bits), fl_keep_bits(client[1], bits - 32)));
	fl_sip_word(&s, fl_pair(fl_keep_bits(client[2], bits - 64),
				fl_keep_bits(client[3], bits - 96)));
	return fl_sip_finish(&s, label, 18);
}

/* For one service's rate. */
static __always_inline __u64 fl_rate_key(const __u64 *hash_key, __u16 service,
					 const __u32 client[4], int bits)
{
	return fl_source_key(hash_key, service, client, bits);
}
