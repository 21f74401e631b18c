/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Reading a row, and building a hop list from it. Pure: also compiled on the host.
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

static __always_inline __u16 fl_row_member(struct fl_row row, unsigned int position)
{
	return position < FL_ROW_CANDIDATES ? fl_row_id(row.candidates, position)
					    : fl_row_id(row.owners, position - FL_ROW_CANDIDATES);
}

/*
 * Backend ids in the order in which a packet is to visit them. Ids past `count` mean nothing; one
 * more place than the wire has takes what does not fit.
 */
struct fl_hop_ids {
	__u16 id[2 * FL_WIRE_HOPS];
	__u32 count;
};

/*
 * Appends `id` if `wanted` is 1, unless it is none, or one of the first two, which are listed for a
 * reason of their own. A row that is just being changed may list a member twice; then it is visited
 * twice, which costs a hop and breaks nothing.
 */
static __always_inline void fl_hop_append(struct fl_hop_ids *hops, __u16 id, __u32 wanted)
{
	__u32 count = hops->count;
	__u32 is_new = (fl_differ(id, hops->id[0]) | fl_below(count, 1)) &
		       (fl_differ(id, hops->id[1]) | fl_below(count, 2));

	hops->id[count & (2 * FL_WIRE_HOPS - 1)] = id;
	hops->count = count + (wanted & is_new & fl_differ(id, FL_NO_BACKEND));
}
