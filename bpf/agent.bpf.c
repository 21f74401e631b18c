// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The backend's program: what happens to a packet that an LB host or another backend sent here.
 * Only this file counts verdicts and turns them into actions of XDP.
 */
#include "lib/decide.h"
#include "lib/deliver.h"
#include "lib/tag.h"

/* Step: takes the frame's VLAN tag off, if it has one. */
static __always_inline int fl_read_tag(struct xdp_md *ctx, __u32 *tag)
{
	int taken;

	if (fl_outermost_type(ctx) != fl_swap16(ETH_P_8021Q))
		return FL_CONTINUE;
	taken = fl_take_tag(ctx);
	if (taken < FL_TAG_TAKEN)
		return FL_AGENT_PASS_NOT_TUNNEL;
	*tag = (__u32)taken;
	return FL_CONTINUE;
}

static __always_inline int fl_judge(struct xdp_md *ctx, __u32 *egress)
{
	struct fl_tunnel tunnel = {};
	struct fl_cursor cursor;
	int verdict, done;

	verdict = fl_read_outer(ctx, &cursor, &tunnel);
	if (verdict == FL_CONTINUE)
		verdict = fl_read_hops(&cursor, &tunnel);
	if (verdict == FL_CONTINUE)
		verdict = fl_read_inner(ctx, &cursor, &tunnel);
	if (verdict != FL_CONTINUE)
		return verdict;
	verdict = fl_decide(ctx, &tunnel);
	if (verdict == FL_AGENT_TX_NEXT_HOP || verdict == FL_AGENT_TX_WEAK_HOP)
		return fl_hand_on(ctx, &tunnel, egress);
	if (verdict == FL_AGENT_DROP_NOBODY || verdict == FL_AGENT_DROP_SKEW ||
	    verdict == FL_AGENT_DROP_NO_LIST)
		return verdict;
	done = fl_decapsulate(ctx, &tunnel);
	return done == FL_CONTINUE ? verdict : done;
}

static __always_inline int fl_action(int verdict, __u32 egress, __u32 ingress)
{
#define FL_CASE(name, action, help)                                                                \
	case FL_AGENT_##name:                                                                      \
		return XDP_##action;
	if (egress && egress != ingress)
		return (int)bpf_redirect(egress, 0);
	switch (verdict) {
		FL_AGENT_VERDICTS(FL_CASE)
	}
	return XDP_DROP;
}

static __always_inline int fl_life_of_a_packet(struct xdp_md *ctx, __u32 *egress)
{
	__u32 tag = 0;
	int verdict = fl_read_tag(ctx, &tag);

	/* Or the verifier would walk all that follows with a tag and without. */
	fl_opaque(tag);
	if (verdict == FL_CONTINUE)
		verdict = fl_judge(ctx, egress);
	/* The host's own stack finds its VLAN by it. What is handed on has the next hop's. */
	if (tag && verdict != FL_AGENT_TX_NEXT_HOP && verdict != FL_AGENT_TX_WEAK_HOP &&
	    !fl_put_tag(ctx, tag))
		return FL_AGENT_DROP_INTERNAL;
	return verdict;
}

SEC("xdp")
int fl_agent(struct xdp_md *ctx)
{
	__u32 egress = 0;
	int verdict = fl_life_of_a_packet(ctx, &egress);
	__u32 key = (__u32)verdict;
	__u64 *count = bpf_map_lookup_elem(&fl_averdicts, &key);

	if (count)
		*count += 1;
	return fl_action(verdict, egress, ctx->ingress_ifindex);
}

char fl_license[] SEC("license") = "GPL";
