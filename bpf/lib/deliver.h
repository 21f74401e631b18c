/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What an agent does with a packet that it has judged: takes the outer headers off for its own
 * stack, or hands the packet on to the next hop of the list. Never more than one packet out for one
 * in, the hop index only grows, and no address that is not in the peer map is ever sent to (rule A8
 * of docs/WIRE.md).
 */
#pragma once

#include "lib/tag.h"
#include "lib/tunnel.h"

#define FL_ECN	    0x03
#define FL_ECN_ECT1 0x01
#define FL_ECN_ECT0 0x02
#define FL_ECN_CE   0x03
#define FL_ECN_LOST 0x04 /* no ECN: the packet has to be dropped */

/* The ECN of a packet that leaves its tunnel (RFC 6040, section 4.2). */
static __always_inline __u8 fl_ecn_after(__u8 outer_tos, __u8 inner_tos)
{
	__u8 outer = outer_tos & FL_ECN, inner = inner_tos & FL_ECN;

	if (outer == FL_ECN_CE)
		return inner ? FL_ECN_CE : FL_ECN_LOST;
	return outer == FL_ECN_ECT1 && inner == FL_ECN_ECT0 ? FL_ECN_ECT1 : inner;
}

/* False when the frame ends before. */
static __always_inline int fl_set_ecn(void *at, void *end, __u32 is_ipv4, __u8 ecn)
{
	struct iphdr *ip = (struct iphdr *)at;
	struct ipv6hdr *ip6 = (struct ipv6hdr *)at;
	__u16 before;

	if ((void *)(ip + 1) > end)
		return 0;
	if (!is_ipv4) {
		ip6->flow_lbl[0] = (__u8)((ip6->flow_lbl[0] & ~(FL_ECN << 4)) | ecn << 4);
		return 1;
	}
	before = *(__u16 *)ip;
	ip->tos = (__u8)((ip->tos & ~FL_ECN) | ecn);
	ip->check = fl_checksum_with(ip->check, before, *(__u16 *)ip);
	return 1;
}

/* Step: leaves Ethernet and the inner packet. */
static __always_inline int fl_decapsulate(struct xdp_md *ctx, const struct fl_tunnel *tunnel)
{
	__u8 ecn = fl_ecn_after(tunnel->outer.tos, tunnel->inner.tos);
	struct ethhdr *eth = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u8 macs[12];

	if (ecn == FL_ECN_LOST)
		return FL_AGENT_DROP_CONGESTION;
	if ((void *)(eth + 1) > end)
		return FL_AGENT_DROP_INTERNAL;
	fl_copy_mac(macs, eth->h_dest);
	fl_copy_mac(macs + 6, eth->h_source);
	if (bpf_xdp_adjust_head(ctx, (int)(tunnel->outer_length & 0xff)))
		return FL_AGENT_DROP_INTERNAL;
	eth = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(eth + 1) > end)
		return FL_AGENT_DROP_INTERNAL;
	fl_copy_mac(eth->h_dest, macs);
	fl_copy_mac(eth->h_source, macs + 6);
	eth->h_proto = tunnel->inner.is_ipv4 ? fl_swap16(ETH_P_IP) : fl_swap16(ETH_P_IPV6);
	if (ecn != (tunnel->inner.tos & FL_ECN) &&
	    !fl_set_ecn(eth + 1, end, tunnel->inner.is_ipv4, ecn))
		return FL_AGENT_DROP_INTERNAL;
	return FL_CONTINUE;
}

/*
 * Step: writes the outer headers anew, for the hop that the packet is addressed to now; its address
 * may be of the other family.
 */
static __always_inline int fl_hand_on(struct xdp_md *ctx, struct fl_tunnel *tunnel, __u32 *egress)
{
	struct fl_outer outer = {
		.source_port = tunnel->source_port,
		.gue_port = fl_agent_config.gue_port,
		.inner_length = tunnel->inner.ip_length,
		.hop_bytes = sizeof(struct fl_hops),
		.inner_proto = tunnel->inner_proto,
		.tos = tunnel->outer.tos,
	};
	const struct fl_peer *peer = fl_reachable_peer(&tunnel->hops);

	if (!peer)
		return FL_AGENT_DROP_NO_PEER;
	fl_copy_mac(outer.destination_mac, peer->destination_mac);
	fl_copy_mac(outer.source_mac, peer->source_mac);
	outer.destination = peer->address;
	outer.source = (const __u32 *)fl_rodata(fl_is_mapped(peer->address)
							? fl_agent_config.node_address
							: fl_agent_config.node_address6);
	if (bpf_xdp_adjust_head(ctx,
				(int)(tunnel->outer_length & 0xff) - (int)fl_gue_bytes(&outer)))
		return FL_AGENT_DROP_INTERNAL;
	if (!fl_write_gue((void *)(long)ctx->data, (void *)(long)ctx->data_end, &outer,
			  &tunnel->hops))
		return FL_AGENT_DROP_INTERNAL;
	if (peer->vlan && !fl_put_vlan(ctx, peer->vlan))
		return FL_AGENT_DROP_INTERNAL;
	*egress = peer->egress;
	return tunnel->hops.flags & FL_WIRE_FINAL ? FL_AGENT_TX_WEAK_HOP : FL_AGENT_TX_NEXT_HOP;
}
