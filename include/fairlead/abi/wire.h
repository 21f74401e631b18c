/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What travels between LB hosts and agents: outer IPv4 or IPv6, UDP to the GUE port, a GUE version
 * 0 base header (draft-ietf-intarea-gue-09, section 3) and, as its private data, the hop list.
 * docs/WIRE.md has the drawing.
 *
 * The hop list has constant length, so that one MTU holds for every packet of a service. All fields
 * are big-endian.
 */
#pragma once

#include "fairlead/abi/limits.h"

#define FL_GUE_PORT 6080 /* IANA: gue */

struct fl_gue {
	__u8 version_hlen; /* version 2 bits, control 1, length of what follows in 32-bit words 5 */
	__u8 proto;	   /* of the inner packet: 4 or 41 */
	__be16 flags;	   /* 0: the optional fields of GUE are not used */
};
FL_STATIC_ASSERT(sizeof(struct fl_gue) == 4, "on the wire");

#define FL_WIRE_VERSION 1
#define FL_WIRE_HOPS	8
#define FL_WIRE_NO_WEAK 0xff

/* flags */
#define FL_WIRE_SETTLED                                                                            \
	0x01 /* the LB host is sure of its table: the last hop may let its stack answer */
#define FL_WIRE_FINAL 0x02 /* sent back to the first weak hop, which delivers unconditionally */
#define FL_WIRE_LEARN                                                                              \
	0x04 /* the LB host has no record of this flow and wants to be told the owner */
#define FL_WIRE_CLAIM0 0x08 /* hop 0 takes this SYN only if it holds a socket for the tuple */
#define FL_WIRE_EVICT  0x10 /* reserved: the flow is being closed */

struct fl_hops {
	__u8 version;	/* FL_WIRE_VERSION */
	__u8 flags;	/* FL_WIRE_*; unknown bits are ignored */
	__u8 index;	/* of the hop that this copy is addressed to; only ever grows */
	__u8 count;	/* hops listed, 1..FL_WIRE_HOPS */
	__u8 acceptors; /* bit i: hop i may take a SYN */
	__u8 weak;	/* index of the first hop with a weak claim, or FL_WIRE_NO_WEAK */
	__u8 key_id;	/* of the hash key; 0 until keys rotate */
	__u8 reserved;
	__be16 lb_id; /* whose numbering `hop` uses */
	__be16 row;
	__be32 epoch;
	__be16 hop[FL_WIRE_HOPS]; /* backend ids, 0 past count */
};
FL_STATIC_ASSERT(sizeof(struct fl_hops) == 32, "on the wire; a multiple of four");

#define FL_GUE_HLEN (sizeof(struct fl_hops) / 4)
FL_STATIC_ASSERT(FL_GUE_HLEN < 32, "five bits");

/*
 * Bytes that the encapsulation adds. A packet may change the outer family on its way from hop to
 * hop, so there is one limit for what fits: the longest form.
 */
#define FL_ENCAP_PLAIN	 (8 + sizeof(struct fl_gue)) /* UDP and GUE, without a hop list */
#define FL_ENCAP_PAYLOAD (FL_ENCAP_PLAIN + sizeof(struct fl_hops))
#define FL_ENCAP_BARE	 40 /* IPIP: an outer header alone */
#define FL_ENCAP_BYTES4	 (20 + FL_ENCAP_PAYLOAD)
#define FL_ENCAP_BYTES6	 (40 + FL_ENCAP_PAYLOAD)
#define FL_ENCAP_MAX	 FL_ENCAP_BYTES6
