/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Constants of a loaded program (.rodata): written through the skeleton before the load, folded by
 * the verifier. A change means loading the program again and updating the link, which drops no
 * packet.
 */
#pragma once

#include "fairlead/abi/limits.h"

/* Ticks are bpf_ktime_get_coarse_ns() >> FL_TICK_SHIFT, 1.07 s each; 24 bits of them wrap after 208
 * days. */
#define FL_TICK_SHIFT 30
#define FL_TICK_MASK  0xffffffu

/*
 * Ticks since its last segment after which a slot may be taken by another flow or expired by the
 * daemon, by enum fl_slot_state, so that no path of the program branches on the state.
 */
struct fl_timeouts {
	__u32 by_state[8];
};
FL_STATIC_ASSERT(sizeof(struct fl_timeouts) == 32, "no padding");

struct fl_config {
	__u64 hash_key[2];     /* of the tier: the same on every LB host */
	__u32 node_address[4]; /* outer source of this LB host, IPv4 mapped; network order */
	__u32 node_address6[4];
	__u32 flow_bucket_mask; /* buckets - 1; a power of two */
	__u16 lb_id;		/* of this LB host in its tier */
	__be16 gue_port;	/* outer destination port */
	struct fl_timeouts timeouts;
	__u32 services; /* table sizes, to bound ids */
	__u32 backends;
	__u32 rows;
	__u32 old_bucket_mask; /* of fl_old_flows; 0: there is none */
	__u32 rate_set_mask;   /* sets of fl_rates - 1; a power of two */
	__u32 conn_set_mask;   /* sets of fl_source_conns - 1, likewise; 0: none is counted */
};
FL_STATIC_ASSERT(sizeof(struct fl_config) == 112, "no padding");

struct fl_agent_config {
	__u64 hash_key[2];     /* of the tier, as in fl_config */
	__u32 node_address[4]; /* outer destination that is mine, and source of what I hand on */
	__u32 node_address6[4];
	__be16 gue_port;
	__u16 reserved[3];
};
FL_STATIC_ASSERT(sizeof(struct fl_agent_config) == 56, "no padding");
