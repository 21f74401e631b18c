/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Sending a packet on its route: to its first hop as the service wants it encapsulated, or back to
 * the client as "too big".
 */
#pragma once

#include "lib/encap.h"
#include "lib/icmp.h"
#include "lib/outer.h"
#include "lib/reset.h"
#include "lib/route.h"
#include "lib/tag.h"

/* SETTLED, while this host is sure to list all owners. */
static __always_inline __u8 fl_settled(const struct fl_service *service, __u64 now)
{
	__u32 id = service->id;
	__u64 *lease = bpf_map_lookup_elem(&fl_leases, &id);

	return lease && now < fl_load64(lease) ? FL_WIRE_SETTLED : 0;
}

/* The ids of four hops, each with its bytes swapped. */
static __always_inline __u64 fl_swap_lanes(__u64 word)
{
	const __u64 lower = 0xff * FL_LANES;

	return (word & lower) << 8 | (word >> 8 & lower);
}

static __always_inline void fl_fill_hops(struct fl_hops *wire, const struct fl_route *route,
					 const struct fl_service *service)
{
	__u64 *hop = (__u64 *)wire->hop;

	wire->version = FL_WIRE_VERSION;
	wire->flags = route->flags | fl_settled(service, route->now);
	wire->index = 0;
	wire->count = (__u8)fl_hop_count(&route->hops);
	wire->acceptors = route->acceptors;
	wire->weak = FL_WIRE_NO_WEAK;
	wire->key_id = 0;
	wire->reserved = 0;
	wire->lb_id = fl_swap16(fl_config.lb_id);
	wire->row = fl_swap16(route->row);
	wire->epoch = fl_swap32(service->epoch);
	hop[0] = fl_swap_lanes(route->hops.word[0]);
	hop[1] = fl_swap_lanes(route->hops.word[1]);
}

FL_STATIC_ASSERT(FL_MIN_PATH_MTU - FL_ENCAP_MAX >= FL_QUOTE6, "what is too big fills the quote");

/* Asks for the packet to leave by `egress`, if it came by another interface; false if it cannot. */
static __always_inline int fl_leave_by(struct xdp_md *ctx, __u32 egress, struct fl_route *route)
{
	if (!egress || egress == ctx->ingress_ifindex)
		return 1;
	route->egress = egress;
	if (bpf_redirect_map(&fl_egress, egress, XDP_DROP) == XDP_REDIRECT)
		return 1;
	route->egress = 0;
	return 0;
}

/* Step: is the first hop reachable, and does the packet fit on the way there? FL_LB_TX_TOO_BIG asks
 * for an answer. */
static __always_inline int fl_check_fit(struct xdp_md *ctx, const struct fl_packet *packet,
					const struct fl_service *service, struct fl_route *route)
{
	struct fl_backend *backend = fl_backend_at(fl_hop(&route->hops, 0));
	__u32 mtu;

	if (!backend)
		return FL_LB_DROP_INTERNAL;
	mtu = (__u32)(fl_load64(&backend->next_hop) >> 48);
	if (!(fl_load64(&backend->state) & FL_BACKEND_NEXT_HOP) || mtu < FL_MIN_PATH_MTU)
		return FL_LB_DROP_NO_NEXT_HOP;
	route->limit = mtu - fl_encap_bytes(service->encap);
	if (packet->ip_length <= route->limit)
		return fl_leave_by(ctx, backend->egress, route) ? FL_CONTINUE
								: FL_LB_DROP_NO_EGRESS;
	/* No error is answered by another. */
	return packet->dont_fragment && !packet->is_error && fl_is_one_host(packet)
		       ? FL_LB_TX_TOO_BIG
		       : FL_LB_DROP_TOO_BIG;
}

/* Step: puts the service's headers in front of the packet, for `route`'s first hop. */
static __always_inline int fl_wrap_gue(struct xdp_md *ctx, const struct fl_packet *packet,
				       const struct fl_service *service,
				       const struct fl_backend *backend,
				       const struct fl_route *route)
{
	struct fl_outer outer;
	struct fl_hops wire __attribute__((aligned(8)));

	fl_fill_outer(&outer, packet, service, backend, route->hash);
	fl_fill_hops(&wire, route, service);
	if (bpf_xdp_adjust_head(ctx, -(int)fl_gue_bytes(&outer)))
		return FL_LB_DROP_NO_HEADROOM;
	if (!fl_write_gue((void *)(long)ctx->data, (void *)(long)ctx->data_end, &outer, &wire))
		return FL_LB_DROP_INTERNAL;
	return FL_CONTINUE;
}

/* The same where there is no UDP, or nothing at all. A function of its own, so that the way of GUE
 * is no longer for it. */
static __noinline int fl_wrap_bare(struct xdp_md *ctx, const struct fl_packet *packet,
				   const struct fl_service *service,
				   const struct fl_backend *backend)
{
	struct fl_outer outer;
	int written;

	fl_fill_outer(&outer, packet, service, backend, 0);
	if (service->encap == FL_ENCAP_IPIP) {
		if (bpf_xdp_adjust_head(ctx, -(int)fl_outer_ip_bytes(outer.destination)))
			return FL_LB_DROP_NO_HEADROOM;
		written =
			fl_write_ipip((void *)(long)ctx->data, (void *)(long)ctx->data_end, &outer);
	} else {
		written = fl_write_l2((void *)(long)ctx->data, (void *)(long)ctx->data_end, &outer);
	}
	return written ? FL_CONTINUE : FL_LB_DROP_INTERNAL;
}

/* Step: puts on what the service and the next hop ask for. */
static __always_inline int fl_wrap(struct xdp_md *ctx, const struct fl_packet *packet,
				   const struct fl_service *service,
				   const struct fl_backend *backend, const struct fl_route *route)
{
	int wrapped = service->encap >= FL_ENCAP_IPIP
			      ? fl_wrap_bare(ctx, packet, service, backend)
			      : fl_wrap_gue(ctx, packet, service, backend, route);
	__u32 vlan = (__u32)(fl_load64(&backend->source) >> 48);

	if (wrapped == FL_CONTINUE && vlan && !fl_put_vlan(ctx, vlan))
		return FL_LB_DROP_NO_HEADROOM;
	return wrapped;
}

/* Step: sends to the route's first hop. A function of its own: inlined, it saves 3 ns, and
 * Linux 6.1 verifies the program for three times as long. */
static __noinline int fl_send(struct xdp_md *ctx, const struct fl_packet *packet,
			      const struct fl_service *service, struct fl_route *route)
{
	struct fl_backend *backend = fl_backend_at(fl_hop(&route->hops, 0));
	int wrapped = backend ? fl_wrap(ctx, packet, service, backend, route) : FL_LB_DROP_INTERNAL;

	if (wrapped != FL_CONTINUE) {
		route->egress = 0;
		return wrapped;
	}
	fl_count_backend(route->target, packet->ip_length, route->verdict);
	return route->verdict;
}
