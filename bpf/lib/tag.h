/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * VLAN tags (802.1Q), one at most. A frame that has one loses it before anything else looks at it,
 * and what leaves gets one again: its own, or that of the next hop. So all other code knows frames
 * without tags alone, and those that come without one pay for a comparison.
 */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include <linux/if_ether.h>

#include "fairlead/abi/maps.h"
#include "lib/compat.h"

/* The tag of a frame as it came: this and its sixteen bits of priority and VLAN; 0: none. */
#define FL_TAG_TAKEN 0x10000

/* What fl_take_tag() gives instead: the frame stays as it is. */
enum fl_no_tag {
	FL_TAG_CUT_SHORT,
	FL_TAG_STACKED, /* there is another one behind it */
	FL_TAG_NOT_IP,	/* nothing for anybody here */
};

/* What a tagged frame begins with. */
struct fl_tagged {
	__u32 macs[3]; /* both */
	__be16 type;
	__be16 control;
};
FL_STATIC_ASSERT(sizeof(struct fl_tagged) == 16, "on the wire");

#define FL_TAG_BYTES 4

/* The ethernet type in network order; 0 where the frame ends before it. */
static __always_inline __be16 fl_outermost_type(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	return (void *)(eth + 1) <= (void *)(long)ctx->data_end ? eth->h_proto : 0;
}

static __always_inline int fl_is_ip_type(__be16 type)
{
	return type == fl_swap16(ETH_P_IP) || type == fl_swap16(ETH_P_IPV6);
}

static __always_inline int fl_is_tag_type(__be16 type)
{
	return type == fl_swap16(ETH_P_8021Q) || type == fl_swap16(ETH_P_8021AD);
}

/*
 * Takes the tag off a frame of IPv4 or IPv6: gives it with FL_TAG_TAKEN, else enum fl_no_tag.
 * Requires: the frame's type is ETH_P_8021Q. Global, so that the verifier walks it once.
 */
__noinline int fl_take_tag(struct xdp_md *ctx)
{
	struct fl_tagged *tagged = (void *)(long)ctx->data;
	struct ethhdr *eth;
	__u32 macs[3];
	__be16 type;
	int control;

	if ((void *)tagged + sizeof(*tagged) + sizeof(type) > (void *)(long)ctx->data_end)
		return FL_TAG_CUT_SHORT;
	type = *(__be16 *)(tagged + 1);
	if (!fl_is_ip_type(type))
		return fl_is_tag_type(type) ? FL_TAG_STACKED : FL_TAG_NOT_IP;
	control = fl_swap16(tagged->control);
	__builtin_memcpy(macs, tagged->macs, sizeof(macs));
	if (bpf_xdp_adjust_head(ctx, FL_TAG_BYTES))
		return FL_TAG_CUT_SHORT;
	eth = (void *)(long)ctx->data;
	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return FL_TAG_CUT_SHORT;
	__builtin_memcpy(eth, macs, sizeof(macs));
	return FL_TAG_TAKEN | control;
}

/* Gives the frame a tag with these sixteen bits; false where there is no room in front of it. */
__noinline int fl_put_tag(struct xdp_md *ctx, __u32 control)
{
	struct fl_tagged *tagged;

	if (bpf_xdp_adjust_head(ctx, -FL_TAG_BYTES))
		return 0;
	tagged = (void *)(long)ctx->data;
	if ((void *)(tagged + 1) > (void *)(long)ctx->data_end)
		return 0;
	tagged->macs[0] = tagged->macs[1];
	tagged->macs[1] = tagged->macs[2];
	tagged->macs[2] = *(__u32 *)&tagged->type;
	tagged->type = fl_swap16(ETH_P_8021Q);
	tagged->control = fl_swap16((__u16)control);
	return 1;
}

/* What a next hop's tag says: its VLAN alone, with no priority. */
static __always_inline int fl_put_vlan(struct xdp_md *ctx, __u32 vlan)
{
	return fl_put_tag(ctx, vlan & FL_VLAN_MASK);
}
