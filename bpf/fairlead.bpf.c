// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The LB host's program: the life of a packet. Each step either lets it go on or gives it its
 * verdict; only this file counts verdicts and turns them into actions of XDP.
 */
#include "lib/send.h"
#include "lib/service.h"
#include "lib/tag.h"
#include "lib/trace.h"

/* Step: takes the frame's VLAN tag off, if it has one. */
static __always_inline int fl_read_tag(struct xdp_md *ctx, __u32 *tag)
{
	int taken;

	if (fl_outermost_type(ctx) != fl_swap16(ETH_P_8021Q))
		return FL_CONTINUE;
	taken = fl_take_tag(ctx);
	if (taken == FL_TAG_CUT_SHORT)
		return FL_LB_PASS_TRUNCATED;
	if (taken == FL_TAG_STACKED)
		return FL_LB_PASS_TAGS;
	if (taken == FL_TAG_NOT_IP)
		return FL_LB_PASS_NOT_IP;
	*tag = (__u32)taken;
	return FL_CONTINUE;
}

static __always_inline int fl_life_of_a_packet(struct xdp_md *ctx, struct fl_packet *packet,
					       struct fl_route *route)
{
	struct fl_service *service = 0;
	struct fl_cursor cursor;
	__u32 tag = 0;
	int verdict;

	verdict = fl_read_tag(ctx, &tag);
	/* Or the verifier would walk all that follows with a tag and without. */
	fl_opaque(tag);
	if (verdict == FL_CONTINUE)
		verdict = fl_read_packet(ctx, &cursor, packet);
	if (verdict == FL_CONTINUE)
		verdict = fl_find_service(&cursor, packet, &service);
	if (verdict == FL_CONTINUE)
		verdict = fl_find_route(packet, service, route);
	if (verdict == FL_CONTINUE)
		verdict = fl_check_fit(ctx, packet, service, route);
	if (verdict == FL_CONTINUE) {
		verdict = fl_send(ctx, packet, service, route);
	} else {
		verdict = fl_answer(ctx, packet, verdict, route->limit,
				    service ? service->id : packet->address_id);
		/* It goes back to where it came from, or on to this host. */
		if (tag && !fl_put_tag(ctx, tag))
			verdict = FL_LB_DROP_INTERNAL;
	}
	if (service) {
		route->service = service->id;
		fl_count_service(service->id, packet->ip_length, verdict);
	}
	return verdict;
}

static __always_inline int fl_action(int verdict, __u32 egress)
{
#define FL_CASE(name, action, help)                                                                \
	case FL_LB_##name:                                                                         \
		return XDP_##action;
	if (egress)
		return XDP_REDIRECT;
	switch (verdict) {
		FL_LB_VERDICTS(FL_CASE)
	}
	return XDP_DROP;
}

SEC("xdp")
int fl_lb(struct xdp_md *ctx)
{
	struct fl_packet packet = {};
	struct fl_route route = {};
	int verdict;

	if (fl_trace_wanted())
		fl_trace_in(ctx);
	verdict = fl_life_of_a_packet(ctx, &packet, &route);
	fl_count_verdict((__u32)verdict);
	if (fl_trace_wanted())
		fl_trace_out(ctx, &packet, route.egress, route.service, verdict);
	return fl_action(verdict, route.egress);
}

/* The kernel knows this name for sources that may be used under the GPL, as these may. */
char fl_license[] SEC("license") = "GPL";
