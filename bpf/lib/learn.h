/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Where a flow is in the tables of the LB hosts, by the same keyed hash that they use; and the
 * flows that they should be told of. (Rules A4 and A7 of docs/WIRE.md.)
 */
#pragma once

#include "lib/flow_slot.h"
#include "lib/siphash.h"
#include "lib/tick.h"
#include "lib/tunnel.h"

static __always_inline __u64 fl_inner_hash(const struct fl_packet *inner)
{
	const __u64 *key = (const __u64 *)fl_rodata(fl_agent_config.hash_key);

	return fl_hash_tuple(key, inner->client, inner->service.address, inner->client_port,
			     inner->service.port);
}

/* The packet belongs here, and its LB host sent it elsewhere first or did not know. */
static __always_inline void fl_learn(const struct fl_tunnel *tunnel)
{
	__u64 hash = fl_inner_hash(&tunnel->inner);
	__u32 key = (__u32)(hash >> 24) & (FL_AGENT_LEARNED - 1);
	struct fl_learned *learned = bpf_map_lookup_elem(&fl_learned, &key);
	__u32 now = fl_now();

	if (!learned || !tunnel->vip || (learned->hash == hash && learned->tick == now))
		return;
	learned->hash = hash;
	learned->lb_id = fl_swap16(tunnel->hops.lb_id);
	learned->vip = tunnel->vip->index;
	learned->tick = now;
}

/*
 * Is the LB host's table the newest that this host knows of, and its key the tier's? Only such a
 * one may say that nobody has the connection.
 */
static __always_inline int fl_row_agrees(const struct fl_tunnel *tunnel)
{
	const __u64 *key = (const __u64 *)fl_rodata(fl_agent_config.hash_key);
	const struct fl_vip *vip = tunnel->vip;
	__u64 hash;

	if (!vip || vip->flags & FL_VIP_DISPUTED || fl_swap32(tunnel->hops.epoch) != vip->epoch)
		return 0;
	hash = vip->policy == FL_POLICY_SOURCE ? fl_hash_source(key, tunnel->inner.client)
					       : fl_inner_hash(&tunnel->inner);
	return (__u16)fl_row_of(hash, vip->row_mask) == fl_swap16(tunnel->hops.row);
}
