/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Reading a row, and the hop list that it makes. Pure: also compiled on the host.
 */
#pragma once

#include "fairlead/abi/row.h"
#include "fairlead/abi/wire.h"
#include "lib/compat.h"

/* How often a reader starts over before it takes what it has: the daemon stores a row three times
 * at most. */
#define FL_ROW_RETRIES 4

/*
 * Word 0, word 1, word 0 again. A reader that met a writer each time takes the last pair: it lists
 * every member that old and new row share, and a member that it misses is found again through the
 * next packet.
 */
static __always_inline struct fl_row fl_row_read(const struct fl_row *shared)
{
	struct fl_row row;

	for (int i = 0; i < FL_ROW_RETRIES; i++) {
		row.candidates = fl_load64(&shared->candidates);
		row.owners = fl_load64(&shared->owners);
#ifdef FL_MUTATE_ROW_READ
		break;
#endif
		if (fl_load64(&shared->candidates) == row.candidates)
			break;
	}
	return row;
}

/*
 * Backend ids in the order in which a packet is to visit them: hop i in bits 16 * (i % 4) of word
 * i / 4, without gaps, FL_NO_BACKEND behind the last. It is built by arithmetic on whole words: a
 * loop over the hops costs more than all the rest of a hit.
 */
struct fl_hop_ids {
	__u64 word[2];
};
FL_STATIC_ASSERT(sizeof(struct fl_hop_ids) == 2 * FL_WIRE_HOPS, "as on the wire");
FL_STATIC_ASSERT(FL_ROW_MEMBERS < FL_WIRE_HOPS, "one more than the row has can be put first");

/* 1 in each of the four lanes. */
#define FL_LANES 0x0001000100010001ull

/* 1 in each lane that is not zero. */
static __always_inline __u64 fl_lanes_taken(__u64 word)
{
	const __u64 lower = 0x7fff * FL_LANES;

	return (((word & lower) + lower) | word) >> 15 & FL_LANES;
}

static __always_inline __u32 fl_lanes_count(__u64 taken)
{
	return (__u32)(taken * FL_LANES >> 48);
}

static __always_inline __u16 fl_hop(const struct fl_hop_ids *hops, unsigned int position)
{
	return fl_row_id(hops->word[position / 4], position % 4);
}

static __always_inline __u32 fl_hop_count(const struct fl_hop_ids *hops)
{
	return fl_lanes_count(fl_lanes_taken(hops->word[0]) + fl_lanes_taken(hops->word[1]));
}

/* The candidates, then the owners. A row that is just being changed may list a member twice; then
 * it is visited twice, which costs a hop and breaks nothing. */
static __always_inline struct fl_hop_ids fl_row_hops(struct fl_row row)
{
	__u32 bits = 16 * fl_lanes_count(fl_lanes_taken(row.candidates));
	struct fl_hop_ids hops = { { row.candidates, row.owners } };

	if (bits < 64) {
		hops.word[0] = row.candidates | row.owners << bits;
		hops.word[1] = row.owners >> 1 >> (63 - bits);
	}
	return hops;
}

/* Puts `id` in front of the lanes of `word`; the lane that held it, `at`, or else the last one, is
 * gone. */
static __always_inline __u64 fl_lanes_push(__u64 word, __u64 at, __u64 id)
{
	__u64 before = (at & -at) - 1; /* all lanes, if none is `at` */

	return (word & before) << 16 | id | (word & ~(before << 16 | 0xffff));
}

/* `id` first, then all others in their order. Requires: an id, and at most FL_ROW_MEMBERS + 1 of
 * them with it. */
static __always_inline struct fl_hop_ids fl_hops_from(__u16 id, struct fl_hop_ids others)
{
	__u64 lanes = id * FL_LANES;
	__u64 at = fl_lanes_taken(others.word[0] ^ lanes) ^ FL_LANES;
	struct fl_hop_ids hops = { { fl_lanes_push(others.word[0], at, id), others.word[1] } };

	if (!at) {
		at = fl_lanes_taken(others.word[1] ^ lanes) ^ FL_LANES;
		hops.word[1] = fl_lanes_push(others.word[1], at, others.word[0] >> 48);
	}
	return hops;
}
