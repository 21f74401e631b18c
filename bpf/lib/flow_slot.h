/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What may happen to a slot of the flow table, by the rules of fairlead/abi/flow_slot.h. Pure: the
 * daemon, the two-thread model and the packet path compile these very functions. They change slots;
 * whoever calls them moves the counters of fl_load as the returned change says (R1).
 */
#pragma once

#include "fairlead/abi/flow_slot.h"
#include "lib/tcp.h"

/* One counted transition: the counters of `before`'s backend go down by one, those of `after`'s up.
 */
struct fl_slot_change {
	__u64 before;
	__u64 after; /* equal to `before` when nothing was won */
};

struct fl_buckets {
	struct fl_bucket *first;
	struct fl_bucket *second;
};

/* Positions 0..3 are the first bucket's, 4..7 the second's; an earlier one is preferred by R2. */
#define FL_POSITIONS (2 * FL_BUCKET_SLOTS)

static __always_inline struct fl_slot *fl_slot_at(const struct fl_buckets *buckets, __u32 position)
{
	struct fl_bucket *bucket = position & FL_BUCKET_SLOTS ? buckets->second : buckets->first;

	return &bucket->slots[position & (FL_BUCKET_SLOTS - 1)];
}

/* 1 if the slot holds `hash`'s tag. */
static __always_inline __u32 fl_slot_matches(const struct fl_slot *slot, __u64 hash)
{
	__u64 word0 = fl_load64(&slot->word0);

	return (1 ^ fl_differ64(fl_slot_tag(word0), fl_slot_tag(hash))) &
	       fl_differ(fl_slot_state(word0), FL_SLOT_FREE);
}

/* The first slot of `bucket` that holds `hash`'s tag, or null. */
static __always_inline struct fl_slot *fl_bucket_find(struct fl_bucket *bucket, __u64 hash)
{
	__u32 position = 0, found = 0;

	FL_UNROLL
	for (__u32 i = FL_BUCKET_SLOTS; i-- > 0;) {
		__u32 matches = fl_slot_matches(&bucket->slots[i], hash);

		position = fl_select(matches, i, position);
		found |= matches;
	}
	return found ? &bucket->slots[fl_masked(position, FL_BUCKET_SLOTS - 1)] : 0;
}

/* The slot that holds `hash`'s tag, with its word 0 as read; null when there is none. */
static __always_inline struct fl_slot *fl_slot_find(const struct fl_buckets *buckets, __u64 hash,
						    __u64 *word0)
{
	struct fl_slot *slot = fl_bucket_find(buckets->first, hash);

	if (!slot)
		slot = fl_bucket_find(buckets->second, hash);
	if (!slot)
		return 0;
	*word0 = fl_load64(&slot->word0);
	/* Freed or taken since: for this packet the flow is not recorded. */
	if (fl_slot_tag(*word0) != fl_slot_tag(hash) || fl_slot_state(*word0) == FL_SLOT_FREE)
		return 0;
	return slot;
}

/* The state that a segment with these TCP flags moves a slot to. `new_tick`: the slot was last seen
 * in an earlier tick. */
static __always_inline unsigned int fl_slot_next_state(unsigned int state, __u8 tcp_flags,
						       int new_tick)
{
	int ends = tcp_flags & (FL_TCP_FIN | FL_TCP_RST);

	switch (state) {
	case FL_SLOT_EMBRYONIC:
		return tcp_flags & FL_TCP_SYN ? FL_SLOT_EMBRYONIC : FL_SLOT_YOUNG;
	case FL_SLOT_EXPIRING_PENDING:
	case FL_SLOT_YOUNG:
		return new_tick && !ends && !(tcp_flags & FL_TCP_SYN) ? FL_SLOT_ESTABLISHED
								      : FL_SLOT_YOUNG;
	case FL_SLOT_EXPIRING_ESTABLISHED:
	case FL_SLOT_ESTABLISHED:
		return ends ? FL_SLOT_CLOSING : FL_SLOT_ESTABLISHED;
	case FL_SLOT_EXPIRING_CLOSING:
	case FL_SLOT_CLOSING:
		return FL_SLOT_CLOSING;
	}
	return state;
}

/* The client has said that it will send no more: a SYN may begin another connection. */
static __always_inline int fl_slot_has_ended(__u64 word0, __u64 word1)
{
	unsigned int state = fl_slot_state(word0);

	return state == FL_SLOT_CLOSING || state == FL_SLOT_EXPIRING_CLOSING ||
	       (fl_slot_is_pending(state) && fl_slot_flags(word1) & FL_SLOT_FIN);
}

/*
 * A segment hit `slot`, whose word 0 was `word0`. Losing the CAS is fine: someone else's transition
 * counted, and the next segment makes this one. Word 1 is written at most once a tick, so that CPUs
 * do not fight over the line.
 */
static __always_inline struct fl_slot_change fl_slot_touch(struct fl_slot *slot, __u64 word0,
							   __u8 tcp_flags, __u32 now)
{
	struct fl_slot_change change = { word0, word0 };
	__u64 word1 = fl_load64(&slot->word1);
	__u32 last_seen = fl_slot_last_seen(word1);
	__u16 flags = fl_slot_flags(word1);
	unsigned int state = fl_slot_state(word0);
	unsigned int next = fl_slot_next_state(state, tcp_flags, last_seen != now);

	if (fl_slot_is_pending(state) && tcp_flags & (FL_TCP_FIN | FL_TCP_RST))
		flags |= FL_SLOT_FIN;
	/* The last segments of a short flow may come a tick after its end, and a half-close may go
	 * on for long. */
	if (fl_slot_is_pending(state) && next == FL_SLOT_ESTABLISHED && flags & FL_SLOT_FIN)
		next = FL_SLOT_CLOSING;
	if (last_seen != now || flags != fl_slot_flags(word1))
		fl_store64(&slot->word1, fl_slot_word1(fl_slot_born(word1), now, flags));
	if (next != state) {
		__u64 after = fl_slot_word0(word0, next, fl_slot_backend(word0));

		if (fl_cas64(&slot->word0, word0, after))
			change.after = after;
	}
	return change;
}

/* Ticks without a segment after which a slot may go. A short flow that ended need not wait as a
 * young one does. */
static __always_inline __u32 fl_slot_timeout(__u64 word0, __u64 word1,
					     const struct fl_timeouts *timeouts)
{
	__u32 state = fl_slot_state(word0);
	__u32 ended_young =
		(fl_slot_flags(word1) & FL_SLOT_FIN) & (1 ^ fl_differ(state, FL_SLOT_YOUNG));

	FL_STATIC_ASSERT(FL_SLOT_YOUNG - 1 == FL_SLOT_EMBRYONIC && FL_SLOT_FIN == 1,
			 "the arithmetic below");
	return timeouts->by_state[(state - ended_young) & 7];
}

static __always_inline __u32 fl_slot_expired(__u64 word0, __u64 word1, __u32 now,
					     const struct fl_timeouts *timeouts)
{
	return fl_below(fl_slot_timeout(word0, word1, timeouts),
			fl_tick_age(now, fl_slot_last_seen(word1)));
}

/* Ticks of silence after which a new flow may take a handshake that was recorded within its
 * service's fair share (4 s), and a young flow (60 s); an established one never. */
#define FL_HANDSHAKE_IDLE_TICKS 4
#define FL_YOUNG_IDLE_TICKS	56

/* A flow that is to be recorded. One within its service's fair share displaces what other flows are
 * recorded beyond theirs, never the other way round: so a flood at one service takes nothing from
 * another. */
struct fl_newcomer {
	const struct fl_timeouts *timeouts;
	__u32 now;
	__u16 mark; /* FL_SLOT_FAIR or 0 */
};

/*
 * How willingly a slot is given to a new flow: 0 never, then the higher the sooner. By the new
 * flow's mark, the slot's state and its mark, four ranks each: in use, idle, expired, expired. An
 * expiring slot is never taken: the daemon is about to free it, or a hit to bring it back. Not
 * static: libbpf 1.1 leaves the offsets of static variables unset, and the kernel then refuses the
 * object's BTF.
 */
const __u8 fl_slot_ranks[2 * 8 * 2 * 4] = {
	/* A new flow beyond its service's fair share. */
	8, 8, 8, 8, 8, 8, 8, 8, /* free */
	6, 6, 7, 7, 0, 0, 7, 7, /* embryonic: beyond the fair share too, within it */
	0, 5, 7, 7, 0, 0, 7, 7, /* young */
	0, 0, 7, 7, 0, 0, 7, 7, /* established */
	0, 0, 7, 7, 0, 0, 7, 7, /* closing */
	0, 0, 0, 0, 0, 0, 0, 0, /* expiring */
	0, 0, 0, 0, 0, 0, 0, 0, /**/
	0, 0, 0, 0, 0, 0, 0, 0, /**/
	/* A new flow within it. */
	8, 8, 8, 8, 8, 8, 8, 8, /* free */
	6, 6, 7, 7, 0, 3, 7, 7, /* embryonic */
	4, 5, 7, 7, 0, 2, 7, 7, /* young */
	0, 0, 7, 7, 0, 0, 7, 7, /* established */
	0, 0, 7, 7, 0, 0, 7, 7, /* closing */
};

/* Ticks after which a slot is idle, by its state. */
const __u8 fl_slot_patience[8] = { 0, FL_HANDSHAKE_IDLE_TICKS, FL_YOUNG_IDLE_TICKS };

static __always_inline __u32 fl_slot_rank(__u64 word0, __u64 word1,
					  const struct fl_newcomer *newcomer)
{
	__u32 state = fl_slot_state(word0);
	__u32 patience = fl_slot_patience[fl_masked(state, 7)];
	__u32 idle = fl_below(patience, fl_tick_age(newcomer->now, fl_slot_last_seen(word1)));
	__u32 expired = fl_slot_expired(word0, word1, newcomer->now, newcomer->timeouts);
	__u32 fair = (fl_slot_flags(word1) & FL_SLOT_FAIR) << 1;

	FL_STATIC_ASSERT(FL_SLOT_FAIR == 2, "the arithmetic here");
	return fl_slot_ranks[fl_masked(
		(__u32)newcomer->mark << 5 | state << 3 | fair | expired << 1 | idle, 127)];
}

/* The position that a new flow should take; FL_POSITIONS when none may be taken. */
static __always_inline __u32 fl_slot_victim(const struct fl_buckets *buckets,
					    const struct fl_newcomer *newcomer)
{
	__u32 best = 0;

	for (__u32 i = 0; i < FL_POSITIONS; i++) {
		struct fl_slot *slot = fl_slot_at(buckets, i);
		__u32 rank =
			fl_slot_rank(fl_load64(&slot->word0), fl_load64(&slot->word1), newcomer);
		__u32 candidate = rank * FL_POSITIONS + (FL_POSITIONS - 1 - i);

		best = fl_select(fl_below(best, candidate), candidate, best);
	}
	return best < FL_POSITIONS ? FL_POSITIONS : FL_POSITIONS - 1 - best % FL_POSITIONS;
}

/*
 * One attempt to put (hash, embryonic, backend) at `position`. Whoever wins it calls
 * fl_slot_dedupe. Word 1 is written before the CAS, so that nobody sees the new flow with the old
 * flow's age; a writer that then loses the CAS has refreshed a slot that was free to take, which
 * costs that slot a little of its rank.
 */
static __always_inline struct fl_slot_change fl_slot_insert(const struct fl_buckets *buckets,
							    __u32 position, __u64 hash,
							    __u16 backend,
							    const struct fl_newcomer *newcomer)
{
	struct fl_slot *slot = fl_slot_at(buckets, position);
	__u64 word0 = fl_load64(&slot->word0);
	__u64 after = fl_slot_word0(hash, FL_SLOT_EMBRYONIC, backend);
	struct fl_slot_change change = { word0, word0 };

	/* It was free to take when the position was chosen; is it still, as just read? */
	if (!fl_slot_rank(word0, fl_load64(&slot->word1), newcomer))
		return change;
	fl_store64(&slot->word1, fl_slot_word1(newcomer->now, newcomer->now, newcomer->mark));
	if (fl_cas64(&slot->word0, word0, after))
		change.after = after;
	return change;
}

/* Word 1 of a recorded flow whose tuple is used again: as a new flow's, with the mark that it has,
 * for nobody took of its service's share. */
static __always_inline __u64 fl_slot_reused(__u64 word1, __u32 now)
{
	return fl_slot_word1(now, now, fl_slot_flags(word1) & FL_SLOT_FAIR);
}

/* Copies of a tag that can arise at once: one per CPU that records the flow's first SYN, and that
 * is rarely two. */
#define FL_MAX_COPIES 3

/*
 * R2: false if `hash`'s tag stands in one slot at most; otherwise the last of them is freed,
 * whoever's it is, and `change` is to be counted. Two CPUs that insert one flow can choose
 * different slots, and neither needs to see the other's before its own CAS; but the second of the
 * two CAS comes before its scan, so one of them sees both. To free only its own would not do: the
 * slot that stays must not depend on who looks.
 */
static __always_inline int fl_slot_dedupe(const struct fl_buckets *buckets, __u64 hash,
					  struct fl_slot_change *change)
{
	__u32 last = 0, copies = 0;
	struct fl_slot *slot;

	for (__u32 i = 0; i < FL_POSITIONS; i++) {
		__u32 matches = fl_slot_matches(fl_slot_at(buckets, i), hash);

		last = fl_select(matches, i, last);
		copies += matches;
	}
	if (copies < 2)
		return 0;
	slot = fl_slot_at(buckets, last);
	change->before = change->after = fl_load64(&slot->word0);
	if (fl_slot_tag(change->before) == fl_slot_tag(hash) &&
	    fl_slot_state(change->before) != FL_SLOT_FREE &&
	    fl_cas64(&slot->word0, change->before, 0))
		change->after = 0;
	return 1;
}

/*
 * R3, by the daemon alone. First step: an expired slot becomes expiring; `word1` is what it was
 * judged by. Expiring counts as the state it came from, so nothing is to be counted.
 */
static __always_inline int fl_slot_expire_begin(struct fl_slot *slot, __u32 now,
						const struct fl_timeouts *timeouts, __u64 *word1)
{
	__u64 word0 = fl_load64(&slot->word0);
	unsigned int state = fl_slot_state(word0);
	unsigned int next = state <= FL_SLOT_YOUNG	   ? FL_SLOT_EXPIRING_PENDING
			    : state == FL_SLOT_ESTABLISHED ? FL_SLOT_EXPIRING_ESTABLISHED
							   : FL_SLOT_EXPIRING_CLOSING;

	*word1 = fl_load64(&slot->word1);
	if (state == FL_SLOT_FREE || state >= FL_SLOT_EXPIRING_PENDING ||
	    !fl_slot_expired(word0, *word1, now, timeouts))
		return 0;
	return fl_cas64(&slot->word0, word0, fl_slot_word0(word0, next, fl_slot_backend(word0)));
}

/*
 * Second step: a slot that is still expiring becomes free if its word 1 is still `word1`, else it
 * goes back to the state it came from.
 */
static __always_inline struct fl_slot_change fl_slot_expire_end(struct fl_slot *slot, __u64 word1)
{
	__u64 word0 = fl_load64(&slot->word0);
	struct fl_slot_change change = { word0, word0 };
	unsigned int state = fl_slot_state(word0);
	__u64 after = 0;

	if (state < FL_SLOT_EXPIRING_PENDING)
		return change;
	if (fl_load64(&slot->word1) != word1)
		after = fl_slot_word0(word0, state - FL_SLOT_EXPIRING_PENDING + FL_SLOT_YOUNG,
				      fl_slot_backend(word0));
	if (fl_cas64(&slot->word0, word0, after))
		change.after = after;
	return change;
}
