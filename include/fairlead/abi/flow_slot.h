/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The flow table: an array of 64-byte buckets of four 16-byte slots, shared by all CPUs and, as
 * memory, by the daemon. It is a cache of where flows go, never the truth: the truth is the socket
 * on the backend.
 *
 *   word 0   tag:45 | state:3 | backend:16     0 = free
 *   word 1   born:24 | last_seen:24 | flags:16
 *
 * Word 1 holds hints in ticks, written by plain stores; they may be stale.
 *
 * The tag is the upper 45 bits of the flow's keyed SipHash and stands for its key; both candidate
 * buckets and the row are functions of the tag, so a table can be moved to another size without
 * knowing the tuples.
 *
 * R1  Every transition that counts is one compare-and-swap of word 0; its winner moves the counters
 *     of fl_load from (old state, old backend) to (new state, new backend).
 *
 * R2  Whoever won a CAS that inserted a tag scans both buckets again; if the tag stands in two
 *     slots, the last of them is freed.
 *
 * R3  The daemon expires in two steps: CAS to an expiring state, read word 1 again, then CAS to
 *     free or back. A hit on an expiring slot CASes it back. Only the daemon sets an expiring
 *     state.
 *
 * R4  At rest the counters equal the slots. A daemon killed inside a transition may leave them one
 *     off; it counts anew when it adopts the table.
 *
 * Order of memory: x86-64 only for now. Correctness rests on total store order, on volatile 8-byte
 * accesses that the compiler neither tears nor moves across each other, and on compare-and-swap
 * being a full barrier: BPF from clang 14 has no acquire, release or fence.
 */
#pragma once

#include "fairlead/abi/config.h"

#if !defined(__x86_64__) && !defined(__bpf__)
#error "the flow table's rules are proven for x86-64's memory order only"
#endif

enum fl_slot_state {
	FL_SLOT_FREE = 0,
	FL_SLOT_EMBRYONIC = 1,	 /* a SYN was seen */
	FL_SLOT_YOUNG = 2,	 /* and one segment after it */
	FL_SLOT_ESTABLISHED = 3, /* and segments in two different ticks: no insert may take it */
	FL_SLOT_CLOSING = 4, /* FIN or RST seen after that: counts as live and routes until freed */
	/* Set by the daemon only (R3); each remembers what a hit returns it to. */
	FL_SLOT_EXPIRING_PENDING = 5, /* to young */
	FL_SLOT_EXPIRING_ESTABLISHED = 6,
	FL_SLOT_EXPIRING_CLOSING = 7,
};

/* Bits of word 1's flags. */
#define FL_SLOT_FIN  0x1 /* FIN or RST seen while the slot was not yet established */
#define FL_SLOT_FAIR 0x2 /* recorded within its service's fair share: gives way to no crowd */

struct fl_slot {
	__u64 word0;
	__u64 word1;
};
FL_STATIC_ASSERT(sizeof(struct fl_slot) == 16, "two words");

#define FL_BUCKET_SLOTS 4
struct fl_bucket {
	struct fl_slot slots[FL_BUCKET_SLOTS];
};
FL_STATIC_ASSERT(sizeof(struct fl_bucket) == 64, "one cache line");

#define FL_SLOT_TAG_MASK (~0ull << 19)

static inline __u64 fl_slot_tag(__u64 hash_or_word0)
{
	return hash_or_word0 & FL_SLOT_TAG_MASK;
}

static inline __u64 fl_slot_word0(__u64 tag, unsigned int state, __u16 backend)
{
	return fl_slot_tag(tag) | (__u64)(state & 7) << 16 | backend;
}

static inline unsigned int fl_slot_state(__u64 word0)
{
	return (unsigned int)(word0 >> 16) & 7;
}

static inline __u16 fl_slot_backend(__u64 word0)
{
	return (__u16)word0;
}

static inline __u64 fl_slot_word1(__u32 born, __u32 last_seen, __u16 flags)
{
	return (__u64)(born & FL_TICK_MASK) << 40 | (__u64)(last_seen & FL_TICK_MASK) << 16 | flags;
}

static inline __u32 fl_slot_born(__u64 word1)
{
	return (__u32)(word1 >> 40);
}

static inline __u32 fl_slot_last_seen(__u64 word1)
{
	return (__u32)(word1 >> 16) & FL_TICK_MASK;
}

static inline __u16 fl_slot_flags(__u64 word1)
{
	return (__u16)word1;
}

/* Ticks from `then` to `now`. A `then` that a racing CPU wrote one tick ahead of `now` counts as 0,
 * not as 208 days. */
static inline __u32 fl_tick_age(__u32 now, __u32 then)
{
	__u32 age = (now - then) & FL_TICK_MASK;

	return age & ((age >> 23) - 1);
}

/* States that count in fl_load.pending; the others, but for free, count in fl_load.live. */
static inline int fl_slot_is_pending(unsigned int state)
{
	return state == FL_SLOT_EMBRYONIC || state == FL_SLOT_YOUNG ||
	       state == FL_SLOT_EXPIRING_PENDING;
}

/* The row of a policy that hashes the whole tuple. */
static inline __u32 fl_row_of(__u64 hash, __u32 row_mask)
{
	return (__u32)(hash >> 48) & row_mask;
}

static inline __u32 fl_bucket_first(__u64 hash, __u32 mask)
{
	return (__u32)(hash >> 19) & mask;
}

/* Never the first bucket: with a single bucket there is no second, so tables have two at least. */
static inline __u32 fl_bucket_second(__u64 hash, __u32 mask)
{
	__u32 first = fl_bucket_first(hash, mask);
	__u32 step = ((__u32)(hash >> 32) * 0x9e3779b1u) >> 3;

	step &= mask;
	return first ^ (step ? step : 1);
}
