/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * How many connections a source has: entries that count, and what flows are charged to. Pure: the
 * daemon and the tests compile these very functions.
 *
 * A charge is worth one of its entry's count, and is at every moment in one cell of fl_flow_sources
 * or in the hands of one CPU: who takes it out of a cell puts it back or gives it back. So a count
 * is never less than its charges, whatever races; the worst that a lost race does is to leave a
 * flow uncharged.
 */
#pragma once

#include "fairlead/abi/maps.h"
#include "lib/address.h"
#include "lib/flow_slot.h"
#include "lib/rate.h"

/* A loser of this many races in a row does without. */
#define FL_CONN_ATTEMPTS 8

static __always_inline __u64 fl_conn_check(__u64 key)
{
	return key & FL_CONN_CHECK_MASK;
}

static __always_inline __u32 fl_conn_count(__u64 word)
{
	return (__u32)word & FL_CONN_COUNT_MASK;
}

/* Which of `mask` + 1 sets the source's entry is in. */
static __always_inline __u32 fl_conn_set_of(__u64 key, __u32 mask)
{
	return (__u32)key & mask;
}

/* The key of the source that `client` is of, for one service: another one than its rate has. */
static __always_inline __u64 fl_conn_key(const __u64 *hash_key, __u16 service,
					 const __u32 client[4], int bits)
{
	return fl_source_key(hash_key, (__u64)service | 1ull << 16, client, bits);
}

/* 1 if the word is the entry of `key`. */
static __always_inline __u32 fl_conn_matches(__u64 word, __u64 key)
{
	return (1 ^ fl_differ64(word & FL_CONN_CHECK_MASK, fl_conn_check(key))) &
	       fl_differ(fl_conn_count(word), 0);
}

/* The connections that the source is charged with. It has two entries if two CPUs made one at once,
 * in places that became free just then. */
static __always_inline __u64 fl_conns_of(const struct fl_conn_set *set, __u64 key)
{
	__u64 sum = 0;

	FL_UNROLL
	for (__u32 i = 0; i < FL_CONN_SET; i++) {
		__u64 word = fl_load64(&set->words[i]);

		sum += fl_conn_count(word) & -(__u64)fl_conn_matches(word, key);
	}
	return sum;
}

/* The source's entry; without one, a place that is free; else FL_CONN_SET. */
static __always_inline __u32 fl_conn_place(const struct fl_conn_set *set, __u64 key)
{
	__u32 place = FL_CONN_SET, own = FL_CONN_SET;

	FL_UNROLL
	for (__u32 i = FL_CONN_SET; i-- > 0;) {
		__u64 word = fl_load64(&set->words[i]);

		place = fl_select(fl_differ(fl_conn_count(word), 0), place, i);
		own = fl_select(fl_conn_matches(word, key), i, own);
	}
	return fl_select(fl_below(own, FL_CONN_SET), own, place);
}

/* One more connection of the source: the position in `set` that it is charged to; FL_CONN_SET:
 * there is no room. */
static __always_inline __u32 fl_conns_take(struct fl_conn_set *set, __u64 key)
{
	for (int attempt = 0; attempt < FL_CONN_ATTEMPTS; attempt++) {
		__u32 place = fl_conn_place(set, key);
		__u64 word, after;

		if (place >= FL_CONN_SET)
			return FL_CONN_SET;
		place = fl_masked(place, FL_CONN_SET - 1);
		word = fl_load64(&set->words[place]);
		after = fl_conn_check(key) | 1;
		if (fl_conn_matches(word, key))
			after = word + 1;
		else if (fl_conn_count(word))
			continue;
		if (fl_conn_count(word) == FL_CONN_COUNT_MASK)
			return FL_CONN_SET;
		if (fl_cas64(&set->words[place], word, after))
			return place;
	}
	return FL_CONN_SET;
}

/* One connection less. False: lost to others each time, which leaves the count one too high until
 * the daemon counts anew. */
static __always_inline int fl_conns_give(__u64 *entry)
{
	for (int attempt = 0; attempt < 2 * FL_CONN_ATTEMPTS; attempt++) {
		__u64 word = fl_load64(entry);

		if (!fl_conn_count(word) || fl_cas64(entry, word, word - 1))
			return 1;
	}
	return 0;
}

/*
 * `cell` is that of a slot that has just become `hash`'s: puts `charge` (0: none) in and returns
 * what is to be given back. Winners of two transitions of one slot may come here in any order. Who
 * finds that the slot is another flow's by now takes nothing from it: if the cell is still as it
 * was left, what was there goes back; if not, the other one has met `charge` and given that back.
 */
static __always_inline __u32 fl_charge_put(__u32 *cell, const struct fl_slot *slot, __u64 hash,
					   __u32 charge)
{
	__u32 before = fl_swap_in32(cell, charge);
	__u64 word0 = fl_load64(&slot->word0);

	if (fl_slot_state(word0) != FL_SLOT_FREE && fl_slot_tag(word0) == fl_slot_tag(hash))
		return before;
	return fl_cas32(cell, charge, before) ? charge : before;
}

/*
 * Takes `charge`, read before a slot was freed or its flow judged, out of its cell. True: it is to
 * be given back. Whoever has taken the slot meanwhile has put another one there, or one of the same
 * source: then that flow is not charged.
 */
static __always_inline int fl_charge_clear(__u32 *cell, __u32 charge)
{
	return charge && fl_cas32(cell, charge, 0);
}
