/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Reading what an LB host or another agent sent: is it for this backend, from one of the fleet, and
 * whole? (Rule A1 of docs/WIRE.md.)
 */
#pragma once

#include "lib/agent_maps.h"
#include "lib/encap.h"
#include "lib/extensions.h"
#include "lib/quote.h"

/* An encapsulated packet, up to its inner TCP header. */
struct fl_tunnel {
	struct fl_packet outer; /* client: who sent it; service: this backend and the GUE port */
	struct fl_packet inner; /* of an ICMP error: the quoted connection, seen from its client */
	__u32 seq;		/* of the inner segment, host order */
	__u32 ack_seq;
	struct fl_hops hops; /* as received; the weak hop and FINAL as they go on */
	__u8 has_hops;
	__be16 source_port; /* outer: kept when the packet is handed on */
	__u8 inner_proto;
	struct fl_vip *vip; /* the service that the inner packet is for */
	__u32 outer_length; /* bytes in front of the inner packet, without Ethernet */
};

/* Step: reads Ethernet, IP and UDP; everything that is not a tunnel packet to this backend passes.
 */
static __always_inline int fl_read_outer(struct xdp_md *ctx, struct fl_cursor *cursor,
					 struct fl_tunnel *tunnel)
{
	enum fl_ip_anomaly odd = FL_IP_FINE;
	struct udphdr *udp;
	int whole, mine;
	__be16 type = 0;

	cursor->at = (void *)(long)ctx->data;
	cursor->end = (void *)(long)ctx->data_end;
	if (!fl_parse_ethernet(cursor, &type))
		return FL_AGENT_PASS_NOT_TUNNEL;
	if (type == fl_swap16(ETH_P_IP)) {
		whole = fl_parse_ipv4(cursor, &tunnel->outer, &odd);
		mine = tunnel->outer.service.address[3] == fl_agent_config.node_address[3];
	} else if (type == fl_swap16(ETH_P_IPV6)) {
		whole = fl_parse_ipv6(cursor, &tunnel->outer, &odd);
		mine = !fl_differ_address(tunnel->outer.service.address,
					  fl_agent_config.node_address6);
	} else {
		return FL_AGENT_PASS_NOT_TUNNEL;
	}
	udp = (struct udphdr *)cursor->at;
	if (!whole || odd != FL_IP_FINE || !mine || tunnel->outer.service.proto != IPPROTO_UDP ||
	    (void *)(udp + 1) > cursor->end || udp->dest != fl_agent_config.gue_port)
		return FL_AGENT_PASS_NOT_TUNNEL;
	tunnel->source_port = udp->source;
	cursor->at = udp + 1;
	return bpf_map_lookup_elem(&fl_sources, tunnel->outer.client) ? FL_CONTINUE
								      : FL_AGENT_DROP_SOURCE;
}

/* The position in the list of the hop that this copy is for. The last copy is past the end of the
 * list, on its way back. */
static __always_inline __u32 fl_addressed_hop(const struct fl_hops *hops)
{
	if (hops->flags & FL_WIRE_FINAL)
		return hops->index == hops->count ? hops->weak : FL_WIRE_NO_WEAK;
	return hops->index;
}

/* Of the LB host that made the list; null where this host does not know that backend. */
static __always_inline struct fl_peer *fl_peer_at(const struct fl_hops *hops)
{
	struct fl_peer_key key = {
		.lb_id = fl_swap16(hops->lb_id),
		.backend = fl_swap16(hops->hop[fl_addressed_hop(hops) & (FL_WIRE_HOPS - 1)]),
	};

	return bpf_map_lookup_elem(&fl_peers, &key);
}

/* The hop that the packet is for, if it can be sent there. */
static __always_inline const struct fl_peer *fl_reachable_peer(const struct fl_hops *hops)
{
	const struct fl_peer *peer = fl_peer_at(hops);

	return peer && peer->flags & FL_PEER_NEXT_HOP ? peer : 0;
}

static __always_inline int fl_is_self(const struct fl_hops *hops)
{
	const struct fl_peer *peer = fl_peer_at(hops);

	return peer && peer->flags & FL_PEER_SELF;
}

/* Step: reads GUE and the hop list. */
static __always_inline int fl_read_hops(struct fl_cursor *cursor, struct fl_tunnel *tunnel)
{
	struct fl_gue *gue = (struct fl_gue *)cursor->at;
	struct fl_hops *hops = (struct fl_hops *)(gue + 1);

	if ((void *)(gue + 1) > cursor->end || gue->flags)
		return FL_AGENT_DROP_TUNNEL_HEADER;
	tunnel->inner_proto = gue->proto;
	cursor->at = hops;
	if (gue->version_hlen == 0)
		return FL_CONTINUE;
	if (gue->version_hlen != FL_GUE_HLEN || (void *)(hops + 1) > cursor->end)
		return FL_AGENT_DROP_TUNNEL_HEADER;
	if (hops->version != FL_WIRE_VERSION)
		return FL_AGENT_DROP_TUNNEL_HEADER;
	cursor->at = hops + 1;
	tunnel->hops = *hops;
	tunnel->has_hops = 1;
	if (hops->count < 1 || hops->count > FL_WIRE_HOPS || fl_addressed_hop(hops) >= hops->count)
		return FL_AGENT_DROP_HOP_LIST;
	/* Or a list could say what this host would, and have it answer with a reset. */
	if (hops->weak != FL_WIRE_NO_WEAK && hops->weak >= hops->index)
		return FL_AGENT_DROP_HOP_LIST;
	return fl_is_self(&tunnel->hops) ? FL_CONTINUE : FL_AGENT_DROP_HOP_LIST;
}

/* The inner packet from its transport header on. */
static __always_inline int fl_read_transport(struct fl_cursor *cursor, struct fl_tunnel *tunnel)
{
	struct tcphdr *tcp = (struct tcphdr *)cursor->at;

	if (tunnel->inner.service.proto == fl_icmp_proto(tunnel->inner.is_ipv4))
		return fl_parse_quote(cursor, &tunnel->inner);
	if (tunnel->inner.service.proto != IPPROTO_TCP || !fl_parse_ports(cursor, &tunnel->inner) ||
	    !fl_parse_tcp(cursor, &tunnel->inner) || (void *)(tcp + 1) > cursor->end)
		return 0;
	tunnel->seq = fl_swap32(tcp->seq);
	tunnel->ack_seq = fl_swap32(tcp->ack_seq);
	return 1;
}

/* The inner packet, `offset` bytes into the frame: a TCP segment, or an ICMP error about a
 * connection. Global, as fl_add_extensions is. */
__noinline int fl_read_packet_inside(struct xdp_md *ctx, struct fl_tunnel *tunnel, __u32 offset)
{
	enum fl_ip_anomaly odd = FL_IP_FINE;
	struct fl_cursor cursor;
	int whole = 0;

	if (!tunnel)
		return 0;
	cursor = fl_cursor_at(ctx, offset);
	if (tunnel->inner_proto == IPPROTO_IPIP)
		whole = fl_parse_ipv4(&cursor, &tunnel->inner, &odd);
	else if (tunnel->inner_proto == IPPROTO_IPV6)
		whole = fl_parse_ipv6(&cursor, &tunnel->inner, &odd);
	if (whole && odd == FL_IP_FINE && fl_has_extensions(&tunnel->inner))
		odd = fl_add_extensions(ctx, &tunnel->inner, offset);
	cursor = fl_cursor_at(ctx, offset + tunnel->inner.ip_header_length);
	return whole && odd == FL_IP_FINE && fl_read_transport(&cursor, tunnel);
}

/* Step: reads the inner packet. */
static __always_inline int fl_read_inner(struct xdp_md *ctx, const struct fl_cursor *cursor,
					 struct fl_tunnel *tunnel)
{
	__u32 offset = (__u32)((long)cursor->at - (long)ctx->data);

	tunnel->outer_length = offset - (__u32)sizeof(struct ethhdr);
	if (!fl_read_packet_inside(ctx, tunnel, offset))
		return FL_AGENT_DROP_INNER;
	tunnel->vip = bpf_map_lookup_elem(&fl_vips, &tunnel->inner.service);
	return tunnel->vip ? FL_CONTINUE : FL_AGENT_DROP_NOT_SERVICE;
}
