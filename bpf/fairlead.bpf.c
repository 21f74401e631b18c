// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The LB host's program: the life of a packet. Each step either lets it go on or gives it its
 * verdict; only this file counts verdicts and turns them into actions of XDP.
 */
#include "lib/send.h"
#include "lib/service.h"
#include "lib/trace.h"

static __always_inline int fl_life_of_a_packet(struct xdp_md *ctx, struct fl_packet *packet,
					       struct fl_route *route)
{
	struct fl_service *service = 0;
	struct fl_cursor cursor;
	int verdict;

	verdict = fl_read_packet(ctx, &cursor, packet);
	if (verdict == FL_CONTINUE)
		verdict = fl_find_service(&cursor, packet, &service);
	if (verdict == FL_CONTINUE)
		verdict = fl_find_route(packet, service, route);
	if (verdict == FL_CONTINUE)
		verdict = fl_check_fit(packet, service, route);
	if (verdict == FL_CONTINUE)
		verdict = fl_send(ctx, packet, service, route);
	else
		verdict = fl_answer(ctx, packet, verdict, route->limit,
				    service ? service->id : packet->address_id);
	if (service) {
		route->service = service->id;
		fl_count_service(service->id, packet->ip_length, verdict);
	}
	return verdict;
}

static __always_inline int fl_action(int verdict, __u32 egress, __u32 ingress)
{
#define FL_CASE(name, action, help)                                                                \
	case FL_LB_##name:                                                                         \
		return XDP_##action;
	if (egress && egress != ingress)
		return (int)bpf_redirect(egress, 0);
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
	return fl_action(verdict, route.egress, ctx->ingress_ifindex);
}

/* The kernel knows this name for sources that may be used under the GPL, as these may. */
char fl_license[] SEC("license") = "GPL";
