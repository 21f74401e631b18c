/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Answers by ICMP, from the service's address: that a segment is too big (RFC 1191, RFC 4443), so
 * that the client's path MTU for the service shrinks to what fits when encapsulated; that fragments
 * are not taken; and that the address is there (echo reply).
 */
#pragma once

#include "lib/answers.h"
#include "lib/encap.h"

/* The header that ICMP and ICMPv6 errors share (RFC 792, RFC 4443). */
struct fl_icmp {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 mtu; /* ICMPv4: in the lower 16 bits */
};
FL_STATIC_ASSERT(sizeof(struct fl_icmp) == 8, "on the wire");

#define FL_ICMP_ECHO_REPLY	 0
#define FL_ICMP_UNREACHABLE	 3
#define FL_ICMP_FRAG_NEEDED	 4  /* code */
#define FL_ICMP_PROHIBITED	 13 /* code */
#define FL_ICMP_ECHO		 8
#define FL_ICMPV6_UNREACHABLE	 1
#define FL_ICMPV6_PROHIBITED	 1 /* code */
#define FL_ICMPV6_PACKET_TOO_BIG 2
#define FL_ICMPV6_ECHO		 128
#define FL_ICMPV6_ECHO_REPLY	 129

/* Bytes quoted of a packet that was too big, which is longer: all IPv4 options and 8 bytes; for
 * IPv6 a round number. */
#define FL_QUOTE4 68
#define FL_QUOTE6 448

/* Of a first fragment: the IP header, in IPv6 the fragment header too, and 8 bytes. */
#define FL_FRAGMENT_QUOTE4 28
#define FL_FRAGMENT_QUOTE6 56

/* Only the plain form of a packet is answered in its place. */
static __always_inline int fl_is_ping(const struct fl_cursor *cursor,
				      const struct fl_packet *packet)
{
	const struct fl_icmp *icmp = (const struct fl_icmp *)cursor->at;
	__u16 plain = packet->is_ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);

	if ((void *)(icmp + 1) > cursor->end || icmp->code || packet->ip_header_length != plain ||
	    packet->ip_length < plain + sizeof(*icmp))
		return 0;
	return icmp->type == (packet->is_ipv4 ? FL_ICMP_ECHO : FL_ICMPV6_ECHO) &&
	       fl_is_one_host(packet);
}

static __always_inline int fl_can_refuse(const struct fl_packet *packet)
{
	__u16 quote = packet->is_ipv4 ? FL_FRAGMENT_QUOTE4 : FL_FRAGMENT_QUOTE6;

	return packet->service.proto == IPPROTO_TCP && packet->ip_length >= quote &&
	       packet->ip_header_length == quote - 8 && fl_is_one_host(packet);
}

/* IPv6 promises 1280 to every client (RFC 8200, section 5). */
#define FL_MIN_MTU6 1280

static __always_inline void fl_swap_macs(struct ethhdr *to, const struct ethhdr *from)
{
	fl_copy_mac(to->h_dest, from->h_source);
	fl_copy_mac(to->h_source, from->h_dest);
	to->h_proto = from->h_proto;
}

static __always_inline int fl_write_error4(void *at, void *end, __u8 code, __u32 mtu, int quote)
{
	struct iphdr *ip = (struct iphdr *)at;
	struct fl_icmp *icmp = (struct fl_icmp *)(ip + 1);
	struct iphdr *quoted = (struct iphdr *)(icmp + 1);

	if ((void *)quoted + quote > end)
		return 0;
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = 0;
	ip->tot_len = fl_swap16((__u16)(sizeof(*ip) + sizeof(*icmp) + quote));
	ip->id = 0;
	ip->frag_off = 0;
	ip->ttl = 64;
	ip->protocol = IPPROTO_ICMP;
	ip->check = 0;
	ip->saddr = quoted->daddr;
	ip->daddr = quoted->saddr;
	ip->check = fl_ipv4_checksum(ip);
	icmp->type = FL_ICMP_UNREACHABLE;
	icmp->code = code;
	icmp->checksum = 0;
	icmp->mtu = fl_swap32(mtu & 0xffff);
	icmp->checksum =
		fl_fold((__u32)bpf_csum_diff(0, 0, (__be32 *)icmp, sizeof(*icmp) + quote, 0));
	return 1;
}

/* A 32-bit partial sum of a longer one. */
static __always_inline __wsum fl_partial(__u64 sum)
{
	return (__wsum)((sum & 0xffffffff) + (sum >> 32));
}

static __always_inline int fl_write_error6(void *at, void *end, __u8 type, __u8 code, __u32 mtu,
					   int quote)
{
	struct ipv6hdr *ip = (struct ipv6hdr *)at;
	struct fl_icmp *icmp = (struct fl_icmp *)(ip + 1);
	struct ipv6hdr *quoted = (struct ipv6hdr *)(icmp + 1);
	__be16 length = fl_swap16((__u16)(sizeof(*icmp) + quote));
	__u64 sum;

	if ((void *)quoted + quote > end)
		return 0;
	ip->version = 6;
	ip->priority = 0;
	ip->flow_lbl[0] = ip->flow_lbl[1] = ip->flow_lbl[2] = 0;
	ip->payload_len = length;
	ip->nexthdr = IPPROTO_ICMPV6;
	ip->hop_limit = 64;
	fl_copy_address((__u32 *)&ip->saddr, &quoted->daddr);
	fl_copy_address((__u32 *)&ip->daddr, &quoted->saddr);
	icmp->type = type;
	icmp->code = code;
	icmp->checksum = 0;
	icmp->mtu = fl_swap32(mtu);
	/* The pseudo header: both addresses, the length and the protocol. */
	sum = (__u64)bpf_csum_diff(0, 0, (__be32 *)&ip->saddr, 32, 0);
	sum += length + fl_swap16(IPPROTO_ICMPV6);
	sum = (__u64)bpf_csum_diff(0, 0, (__be32 *)icmp, sizeof(*icmp) + quote, fl_partial(sum));
	icmp->checksum = fl_fold((__u32)sum);
	return 1;
}

/* Requires: room for the answer at `at`, in front of the packet that it quotes. */
static __always_inline int fl_write_error(void *at, void *end, __u32 is_ipv4, int verdict,
					  __u32 mtu)
{
	if (verdict == FL_LB_TX_FRAGMENT_REFUSED)
		return is_ipv4 ? fl_write_error4(at, end, FL_ICMP_PROHIBITED, 0, FL_FRAGMENT_QUOTE4)
			       : fl_write_error6(at, end, FL_ICMPV6_UNREACHABLE,
						 FL_ICMPV6_PROHIBITED, 0, FL_FRAGMENT_QUOTE6);
	if (is_ipv4)
		return fl_write_error4(at, end, FL_ICMP_FRAG_NEEDED, mtu, FL_QUOTE4);
	return fl_write_error6(at, end, FL_ICMPV6_PACKET_TOO_BIG, 0,
			       mtu < FL_MIN_MTU6 ? FL_MIN_MTU6 : mtu, FL_QUOTE6);
}

static __always_inline int fl_quote_bytes(__u32 is_ipv4, int verdict)
{
	if (verdict == FL_LB_TX_FRAGMENT_REFUSED)
		return is_ipv4 ? FL_FRAGMENT_QUOTE4 : FL_FRAGMENT_QUOTE6;
	return is_ipv4 ? FL_QUOTE4 : FL_QUOTE6;
}

/*
 * Turns the frame into the error that `verdict` names; `mtu` is what would have fitted. Global, as
 * the functions of flow_table.h are.
 */
__noinline int fl_answer_error(struct xdp_md *ctx, __u32 is_ipv4, int verdict, __u32 mtu, __u32 id)
{
	int front =
		(is_ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + sizeof(struct fl_icmp);
	int quote = fl_quote_bytes(is_ipv4, verdict);
	struct ethhdr *eth, old;
	long length;
	void *end;

	if (!fl_may_answer(id, verdict == FL_LB_TX_TOO_BIG ? FL_ANSWER_TOO_BIG : FL_ANSWER_REFUSAL))
		return FL_LB_DROP_ICMP_LIMIT;
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
	return fl_write_error(eth + 1, end, is_ipv4, verdict, mtu) ? verdict : FL_LB_DROP_INTERNAL;
}

static __always_inline int fl_write_echo4(struct iphdr *ip, void *end)
{
	struct fl_icmp *icmp = (struct fl_icmp *)(ip + 1);
	__be32 client = ip->saddr;

	if ((void *)(icmp + 1) > end)
		return 0;
	ip->saddr = ip->daddr;
	ip->daddr = client;
	ip->check = fl_checksum_with(ip->check, ip->ttl, 64);
	ip->ttl = 64;
	icmp->type = FL_ICMP_ECHO_REPLY;
	icmp->checksum = fl_checksum_with(icmp->checksum, FL_ICMP_ECHO, FL_ICMP_ECHO_REPLY);
	/* Of a message of zeros alone it is 0xffff, which any other sum of 0 may have as well. */
	if (!icmp->checksum && !icmp->mtu)
		icmp->checksum = 0xffff;
	return 1;
}

static __always_inline int fl_write_echo6(struct ipv6hdr *ip, void *end)
{
	struct fl_icmp *icmp = (struct fl_icmp *)(ip + 1);
	__u32 client[4];

	if ((void *)(icmp + 1) > end)
		return 0;
	fl_copy_address(client, &ip->saddr);
	fl_copy_address((__u32 *)&ip->saddr, &ip->daddr);
	fl_copy_address((__u32 *)&ip->daddr, client);
	ip->hop_limit = 64;
	icmp->type = FL_ICMPV6_ECHO_REPLY;
	icmp->checksum = fl_checksum_with(icmp->checksum, FL_ICMPV6_ECHO, FL_ICMPV6_ECHO_REPLY);
	return 1;
}

/* Turns a ping into its answer. Requires: fl_is_ping(). */
__noinline int fl_answer_echo(struct xdp_md *ctx, __u32 is_ipv4, __u32 id)
{
	struct ethhdr *eth, old;
	int written;
	void *end;

	if (!fl_may_answer(id, FL_ANSWER_ECHO))
		return FL_LB_DROP_ICMP_LIMIT;
	eth = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(eth + 1) > end)
		return FL_LB_DROP_INTERNAL;
	written = is_ipv4 ? fl_write_echo4((struct iphdr *)(eth + 1), end)
			  : fl_write_echo6((struct ipv6hdr *)(eth + 1), end);
	if (!written)
		return FL_LB_DROP_INTERNAL;
	old = *eth;
	fl_swap_macs(eth, &old);
	return FL_LB_TX_ECHO;
}
