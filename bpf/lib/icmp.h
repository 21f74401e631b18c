/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * "Too big" to the client: ICMP fragmentation needed (RFC 1191) or ICMPv6 packet too big (RFC
 * 4443), from the service's address, so that the client's path MTU for the service shrinks to what
 * fits when encapsulated.
 */
#pragma once

#include "lib/encap.h"
#include "lib/maps.h"

/* The header that ICMP and ICMPv6 errors share (RFC 792, RFC 4443). */
struct fl_icmp {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 mtu; /* ICMPv4: in the lower 16 bits */
};
FL_STATIC_ASSERT(sizeof(struct fl_icmp) == 8, "on the wire");

#define FL_ICMP_UNREACHABLE	 3
#define FL_ICMP_FRAG_NEEDED	 4
#define FL_ICMPV6_PACKET_TOO_BIG 2

/* Bytes quoted of the packet that was too big, which is longer: all IPv4 options and 8 bytes; for
 * IPv6 a round number. */
#define FL_QUOTE4 68
#define FL_QUOTE6 448

/* IPv6 promises 1280 to every client (RFC 8200, section 5). */
#define FL_MIN_MTU6 1280

static __always_inline void fl_swap_macs(struct ethhdr *to, const struct ethhdr *from)
{
	fl_copy_mac(to->h_dest, from->h_source);
	fl_copy_mac(to->h_source, from->h_dest);
	to->h_proto = from->h_proto;
}

static __always_inline int fl_write_frag_needed(void *at, void *end, __u32 mtu)
{
	struct iphdr *ip = (struct iphdr *)at;
	struct fl_icmp *icmp = (struct fl_icmp *)(ip + 1);
	struct iphdr *quoted = (struct iphdr *)(icmp + 1);

	if ((void *)quoted + FL_QUOTE4 > end)
		return 0;
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = 0;
	ip->tot_len = fl_swap16(sizeof(*ip) + sizeof(*icmp) + FL_QUOTE4);
	ip->id = 0;
	ip->frag_off = 0;
	ip->ttl = 64;
	ip->protocol = IPPROTO_ICMP;
	ip->check = 0;
	ip->saddr = quoted->daddr;
	ip->daddr = quoted->saddr;
	ip->check = fl_ipv4_checksum(ip);
	icmp->type = FL_ICMP_UNREACHABLE;
	icmp->code = FL_ICMP_FRAG_NEEDED;
	icmp->checksum = 0;
	icmp->mtu = fl_swap32(mtu & 0xffff);
	icmp->checksum =
		fl_fold((__u32)bpf_csum_diff(0, 0, (__be32 *)icmp, sizeof(*icmp) + FL_QUOTE4, 0));
	return 1;
}

/* A 32-bit partial sum of a longer one. */
static __always_inline __wsum fl_partial(__u64 sum)
{
	return (__wsum)((sum & 0xffffffff) + (sum >> 32));
}

static __always_inline int fl_write_packet_too_big(void *at, void *end, __u32 mtu)
{
	struct ipv6hdr *ip = (struct ipv6hdr *)at;
	struct fl_icmp *icmp = (struct fl_icmp *)(ip + 1);
	struct ipv6hdr *quoted = (struct ipv6hdr *)(icmp + 1);
	__u64 sum;

	if ((void *)quoted + FL_QUOTE6 > end)
		return 0;
	ip->version = 6;
	ip->priority = 0;
	ip->flow_lbl[0] = ip->flow_lbl[1] = ip->flow_lbl[2] = 0;
	ip->payload_len = fl_swap16(sizeof(*icmp) + FL_QUOTE6);
	ip->nexthdr = IPPROTO_ICMPV6;
	ip->hop_limit = 64;
	fl_copy_address((__u32 *)&ip->saddr, &quoted->daddr);
	fl_copy_address((__u32 *)&ip->daddr, &quoted->saddr);
	icmp->type = FL_ICMPV6_PACKET_TOO_BIG;
	icmp->code = 0;
	icmp->checksum = 0;
	icmp->mtu = fl_swap32(mtu < FL_MIN_MTU6 ? FL_MIN_MTU6 : mtu);
	/* The pseudo header: both addresses, the length and the protocol. */
	sum = (__u64)bpf_csum_diff(0, 0, (__be32 *)&ip->saddr, 32, 0);
	sum += fl_swap16(sizeof(*icmp) + FL_QUOTE6) + fl_swap16(IPPROTO_ICMPV6);
	sum = (__u64)bpf_csum_diff(0, 0, (__be32 *)icmp, sizeof(*icmp) + FL_QUOTE6,
				   fl_partial(sum));
	icmp->checksum = fl_fold((__u32)sum);
	return 1;
}

/*
 * Turns the frame, whose IP packet may not be fragmented, into the answer. `mtu` is what would have
 * fitted. Global, as the functions of flow_table.h are.
 */
__noinline int fl_answer_too_big(struct xdp_md *ctx, __u32 is_ipv4, __u32 mtu)
{
	int front = is_ipv4 ? sizeof(struct iphdr) + sizeof(struct fl_icmp)
			    : sizeof(struct ipv6hdr) + sizeof(struct fl_icmp);
	int quote = is_ipv4 ? FL_QUOTE4 : FL_QUOTE6;
	struct ethhdr *eth, old;
	int written;
	long length;
	void *end;

	eth = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	length = end - (void *)eth;
	/* Without it clang adds the constant to a packet pointer before it subtracts, which 6.18's
	 * verifier refuses. */
	fl_opaque(length);
	if ((void *)(eth + 1) > end || length < (long)sizeof(*eth) + quote)
		return FL_LB_DROP_INTERNAL;
	old = *eth;
	if (bpf_xdp_adjust_tail(ctx, (int)sizeof(*eth) + quote - (int)length) ||
	    bpf_xdp_adjust_head(ctx, -front))
		return FL_LB_DROP_NO_HEADROOM;
	eth = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(eth + 1) > end)
		return FL_LB_DROP_INTERNAL;
	fl_swap_macs(eth, &old);
	written = is_ipv4 ? fl_write_frag_needed(eth + 1, end, mtu)
			  : fl_write_packet_too_big(eth + 1, end, mtu);
	return written ? FL_LB_TX_TOO_BIG : FL_LB_DROP_INTERNAL;
}
