/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What an agent does with a packet that it has judged: takes the outer headers off for its own
 * stack, or hands the packet on to the next hop of the list. Never more than one packet out for one
 * in, the hop index only grows, and no address that is not in the peer map is ever sent to (rule A8
 * of docs/WIRE.md).
 */
#pragma once

#include "lib/tunnel.h"

/* Step: leaves Ethernet and the inner packet. */
static __always_inline int fl_decapsulate(struct xdp_md *ctx, const struct fl_tunnel *tunnel)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u8 macs[12];

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
		.tos = tunnel->outer.tos & 0xfc,
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
				(int)(tunnel->outer_length & 0xff) - (int)fl_outer_bytes(&outer)))
		return FL_AGENT_DROP_INTERNAL;
	if (!fl_write_outer((void *)(long)ctx->data, (void *)(long)ctx->data_end, &outer,
			    &tunnel->hops))
		return FL_AGENT_DROP_INTERNAL;
	*egress = peer->egress;
	return tunnel->hops.flags & FL_WIRE_FINAL ? FL_AGENT_TX_WEAK_HOP : FL_AGENT_TX_NEXT_HOP;
}
