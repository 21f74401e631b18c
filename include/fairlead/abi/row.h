/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * A row of a service's candidate table: the backends where a flow of this row can be. Sixteen
 * bytes, two words of four backend ids each, id i of a word in bits 16 * i.
 *
 *   word 0   the candidates: the first four of the rank order of configured backends, 0 where there
 * are fewer word 1   up to three owners: backends that are candidates no longer but may hold
 * sockets of this row; its last id is reserved and zero
 *
 * Both words are written by the daemon with single 8-byte stores and read without a lock. No order
 * of two stores is safe for every reader, hence the rule: a reader loads word 0, word 1, then word
 * 0 again and starts over if it changed (fl_row_read in bpf/lib/row.h); a writer orders its stores
 * such that each intermediate state lists every member that the old and the new row share.
 */
#pragma once

#include "fairlead/abi/limits.h"

struct fl_row {
	__u64 candidates;
	__u64 owners;
};
FL_STATIC_ASSERT(sizeof(struct fl_row) == 16, "two words");

static inline __u16 fl_row_id(__u64 word, unsigned int position)
{
	return (__u16)(word >> (16 * position));
}
