/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * A reset in the service's place, to whoever sent a segment (RFC 9293, section 3.5.2).
 */
#pragma once

#include "lib/icmp.h"
#include "lib/parse.h"
#include "lib/tcp.h"

/* What a reset says; in network order. */
struct fl_reset {
	__be16 from; /* ports */
	__be16 to;
	__be32 sequence;
	__be32 acknowledged;
	__u8 flags;
};

/* The sum of the pseudo header and a TCP header without data whose checksum is 0. */
static __always_inline __be16 fl_reset_checksum(const void *addresses, int bytes,
						struct tcphdr *tcp)
{
	__u64 sum = (__u64)bpf_csum_diff(0, 0, (__be32 *)addresses, bytes, 0);

	sum += fl_swap16(sizeof(*tcp)) + fl_swap16(IPPROTO_TCP);
	return fl_fold((__u32)bpf_csum_diff(0, 0, (__be32 *)tcp, sizeof(*tcp), fl_partial(sum)));
}

static __always_inline void fl_fill_reset(struct tcphdr *tcp, const struct fl_reset *reset)
{
	tcp->source = reset->from;
	tcp->dest = reset->to;
	tcp->seq = reset->sequence;
	tcp->ack_seq = reset->acknowledged;
	((__u8 *)tcp)[12] = sizeof(*tcp) / 4 << 4;
	((__u8 *)tcp)[13] = reset->flags;
	tcp->window = 0;
	tcp->check = 0;
	tcp->urg_ptr = 0;
}

static __always_inline int fl_write_reset4(void *at, void *end, const struct fl_packet *packet,
					   const struct fl_reset *reset)
{
	struct iphdr *ip = (struct iphdr *)at;
	struct tcphdr *tcp = (struct tcphdr *)(ip + 1);

	if ((void *)(tcp + 1) > end)
		return 0;
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = 0;
	ip->tot_len = fl_swap16(sizeof(*ip) + sizeof(*tcp));
	ip->id = 0;
	ip->frag_off = fl_swap16(0x4000);
	ip->ttl = 64;
	ip->protocol = IPPROTO_TCP;
	ip->check = 0;
	ip->saddr = packet->service.address[3];
	ip->daddr = packet->client[3];
	ip->check = fl_ipv4_checksum(ip);
	fl_fill_reset(tcp, reset);
	tcp->check = fl_reset_checksum(&ip->saddr, 2 * sizeof(ip->saddr), tcp);
	return 1;
}

static __always_inline int fl_write_reset6(void *at, void *end, const struct fl_packet *packet,
					   const struct fl_reset *reset)
{
	struct ipv6hdr *ip = (struct ipv6hdr *)at;
	struct tcphdr *tcp = (struct tcphdr *)(ip + 1);

	if ((void *)(tcp + 1) > end)
		return 0;
	ip->version = 6;
	ip->priority = 0;
	ip->flow_lbl[0] = ip->flow_lbl[1] = ip->flow_lbl[2] = 0;
	ip->payload_len = fl_swap16(sizeof(*tcp));
	ip->nexthdr = IPPROTO_TCP;
	ip->hop_limit = 64;
	fl_copy_address((__u32 *)&ip->saddr, packet->service.address);
	fl_copy_address((__u32 *)&ip->daddr, packet->client);
	fl_fill_reset(tcp, reset);
	tcp->check = fl_reset_checksum(&ip->saddr, 2 * sizeof(ip->saddr), tcp);
	return 1;
}

/* What answers the segment at `tcp`, whose packet has been parsed. */
static __always_inline void fl_reset_of(const struct tcphdr *tcp, const struct fl_packet *packet,
					struct fl_reset *reset)
{
	__u32 length = packet->ip_length - packet->ip_header_length - tcp->doff * 4;
	__u32 flags = packet->tcp_flags;

	reset->from = tcp->dest;
	reset->to = tcp->source;
	if (flags & FL_TCP_ACK) {
		reset->sequence = tcp->ack_seq;
		reset->acknowledged = 0;
		reset->flags = FL_TCP_RST;
		return;
	}
	length += !!(flags & FL_TCP_SYN) + (flags & FL_TCP_FIN);
	reset->sequence = 0;
	reset->acknowledged = fl_swap32(fl_swap32(tcp->seq) + length);
	reset->flags = FL_TCP_RST | FL_TCP_ACK;
}

/*
 * Turns the frame of a segment into the reset that answers it; gives `verdict` then. Requires: the
 * segment is no reset itself. Global, as the functions of flow_table.h are.
 */
__noinline int fl_answer_reset(struct xdp_md *ctx, const struct fl_packet *packet, int verdict)
{
	struct fl_reset reset = {};
	struct ethhdr *eth, old;
	struct tcphdr *tcp;
	__u32 offset;
	int answer;
	void *end;

	if (!packet)
		return FL_LB_DROP_INTERNAL;
	eth = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	offset = fl_masked(packet->ip_header_length, 0x1fff);
	tcp = (struct tcphdr *)fl_after(eth + 1, offset);
	if ((void *)(eth + 1) > end || (void *)(tcp + 1) > end)
		return FL_LB_DROP_INTERNAL;
	fl_reset_of(tcp, packet, &reset);
	old = *eth;
	answer = (int)(sizeof(*eth) + sizeof(*tcp)) +
		 (int)(packet->is_ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	if (bpf_xdp_adjust_tail(ctx, answer - (int)(ctx->data_end - ctx->data)))
		return FL_LB_DROP_INTERNAL;
	eth = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(eth + 1) > end)
		return FL_LB_DROP_INTERNAL;
	fl_swap_macs(eth, &old);
	answer = packet->is_ipv4 ? fl_write_reset4(eth + 1, end, packet, &reset)
				 : fl_write_reset6(eth + 1, end, packet, &reset);
	return answer ? verdict : FL_LB_DROP_INTERNAL;
}

/* Step: gives the answer that `verdict` asks for; any other verdict stays. `id` is that of the
 * service or address which the packet is for. */
static __always_inline int fl_answer(struct xdp_md *ctx, const struct fl_packet *packet,
				     int verdict, __u32 mtu, __u32 id)
{
	if (verdict == FL_LB_TX_ECHO)
		return fl_answer_echo(ctx, packet->is_ipv4, id);
	if (verdict == FL_LB_TX_TOO_BIG || verdict == FL_LB_TX_FRAGMENT_REFUSED)
		return fl_answer_error(ctx, packet->is_ipv4, verdict, mtu, id);
	if (verdict == FL_LB_TX_SYN_REFUSED)
		return fl_answer_reset(ctx, packet, verdict);
	return verdict;
}
