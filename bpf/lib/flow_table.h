/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The flow table as maps: finds a flow's buckets, records flows, and keeps fl_load true to the
 * slots (R1).
 */
#pragma once

#include "lib/flow_slot.h"
#include "lib/maps.h"
#include "lib/tick.h"

/* False only if the table is smaller than its configured mask: a defect. */
static __always_inline int fl_buckets_in(void *table, __u32 mask, __u64 hash,
					 struct fl_buckets *buckets)
{
	__u32 first = fl_bucket_first(hash, mask);
	__u32 second = fl_bucket_second(hash, mask);

	buckets->first = bpf_map_lookup_elem(table, &first);
	buckets->second = bpf_map_lookup_elem(table, &second);
	return buckets->first && buckets->second;
}

static __always_inline int fl_buckets_of(__u64 hash, struct fl_buckets *buckets)
{
	return fl_buckets_in(&fl_flows, fl_config.flow_bucket_mask, hash, buckets);
}

/*
 * The flow's slot, with its word 0 as read; null when it is not recorded. What the daemon has not
 * moved yet is in the old table, which is looked at second: a flow that is moved between the two
 * looks is found in both. There is none but in such times, and then the verifier drops that part.
 */
static __always_inline struct fl_slot *fl_flow_find(__u64 hash, __u64 *word0)
{
	struct fl_slot *slot = 0;
	struct fl_buckets buckets;

	if (fl_buckets_of(hash, &buckets))
		slot = fl_slot_find(&buckets, hash, word0);
#ifdef FL_MUTATE_OLD_TABLE
	return slot;
#endif
	if (!slot && fl_config.old_bucket_mask &&
	    fl_buckets_in(&fl_old_flows, fl_config.old_bucket_mask, hash, &buckets))
		slot = fl_slot_find(&buckets, hash, word0);
	return slot;
}

static __always_inline void fl_load_add(__u64 word0, __s64 amount)
{
	__u32 backend = fl_slot_backend(word0);
	unsigned int state = fl_slot_state(word0);
	struct fl_load *load;

	if (state == FL_SLOT_FREE)
		return;
	load = bpf_map_lookup_elem(&fl_load, &backend);
	if (!load)
		return;
	if (fl_slot_is_pending(state))
		__sync_fetch_and_add(&load->pending, amount);
	else
		__sync_fetch_and_add(&load->live, amount);
}

/* The client has answered the SYN+ACK: pending as before, but for fl_load.begun. */
static __always_inline int fl_load_begin(struct fl_slot_change change)
{
	__u32 backend = fl_slot_backend(change.after);
	struct fl_load *load;

	if (fl_slot_state(change.before) != FL_SLOT_EMBRYONIC ||
	    fl_slot_state(change.after) != FL_SLOT_YOUNG)
		return 0;
	load = bpf_map_lookup_elem(&fl_load, &backend);
	if (load)
		__sync_fetch_and_add(&load->begun, 1);
	return 1;
}

static __always_inline void fl_load_move(struct fl_slot_change change)
{
	if (change.before == change.after || fl_load_begin(change))
		return;
	fl_load_add(change.before, -1);
	fl_load_add(change.after, 1);
}

/* As fl_load_move, of a slot that a segment has moved on, which is rare among segments. Global: see
 * below. */
__noinline int fl_load_moved(__u64 before, __u64 after)
{
	fl_load_move((struct fl_slot_change){ before, after });
	return 0;
}

/*
 * A segment of the flow `hash`: the word 0 that its slot had, after the slot was moved on; 0 when
 * it is not recorded.
 */
static __always_inline __u64 fl_flow_segment(__u64 hash, __u32 tcp_flags, __u32 now)
{
	struct fl_slot_change change;
	struct fl_slot *slot;
	__u64 word0;

	slot = fl_flow_find(hash, &word0);
	if (!slot)
		return 0;
	change = fl_slot_touch(slot, word0, (__u8)tcp_flags, now);
	if (change.before != change.after)
		fl_load_moved(change.before, change.after);
	return word0;
}

/*
 * The functions below are global (not static, not inlined): the verifier walks each once, on its
 * own, for whatever arguments, instead of once for every path that leads to it. That costs a call:
 * 2 ns, and 10 where the kernel guards returns. What a hit needs is inlined, for it pays most.
 */

/* As fl_flow_segment, of a SYN. */
__noinline int fl_flow_syn(__u64 hash, __u32 tcp_flags, __u32 now)
{
	return !!fl_flow_segment(hash, tcp_flags, now);
}

/* As fl_flow_segment, but looks only. */
__noinline __u64 fl_flow_peek(__u64 hash)
{
	__u64 word0;

	return fl_flow_find(hash, &word0) ? word0 : 0;
}

/* Has the flow whose slot has this word 0 ended? */
__noinline int fl_flow_has_ended(__u64 word0)
{
	struct fl_slot *slot;
	__u64 found;

	slot = fl_flow_find(word0, &found);
	return slot && found == word0 && fl_slot_has_ended(word0, fl_load64(&slot->word1));
}

/* R2 after an insert: false if the flow is recorded once, as it nearly always is. */
static __always_inline int fl_flow_dedupe(const struct fl_buckets *buckets, __u64 hash)
{
	struct fl_slot_change change;
	int i;

	for (i = 0; i < FL_MAX_COPIES && fl_slot_dedupe(buckets, hash, &change); i++)
		fl_load_move(change);
	return i;
}

/*
 * Records a new flow with that mark (FL_SLOT_FAIR or 0); returns the backend that the table now has
 * for it. That is another one than `backend` if a second CPU recorded the same flow first, and
 * FL_NO_BACKEND if no slot may be taken.
 */
__noinline __u32 fl_flow_insert(__u64 hash, __u32 backend, __u32 mark)
{
	struct fl_newcomer newcomer = {
		.timeouts = (const struct fl_timeouts *)fl_rodata(&fl_config.timeouts),
		.now = fl_now(),
		.mark = (__u16)mark & FL_SLOT_FAIR,
	};
	struct fl_slot_change change;
	struct fl_buckets buckets;
	__u32 position;
	__u64 word0;

	if (!fl_buckets_of(hash, &buckets))
		return FL_NO_BACKEND;
	for (int attempt = 0; attempt < 2; attempt++) {
		position = fl_slot_victim(&buckets, &newcomer);
		if (position >= FL_POSITIONS)
			return FL_NO_BACKEND;
		change = fl_slot_insert(&buckets, position, hash, (__u16)backend, &newcomer);
		fl_load_move(change);
		if (change.before != change.after && !fl_flow_dedupe(&buckets, hash))
			return backend;
		if (fl_slot_find(&buckets, hash, &word0))
			return fl_slot_backend(word0);
	}
	return FL_NO_BACKEND;
}

/* Gives the slot whose word 0 is `word0` to `backend`, as if its flow were new. */
__noinline int fl_flow_move(__u64 word0, __u32 backend)
{
	struct fl_slot_change change = { word0,
					 fl_slot_word0(word0, FL_SLOT_EMBRYONIC, (__u16)backend) };
	struct fl_slot *slot;
	__u64 found;

	slot = fl_flow_find(word0, &found);
	if (!slot || found != word0)
		return 0;
	fl_store64(&slot->word1, fl_slot_reused(fl_load64(&slot->word1), fl_now()));
	if (fl_cas64(&slot->word0, change.before, change.after))
		fl_load_move(change);
	return 0;
}
