/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The outer headers of wire.h, written whole in one go: Ethernet, IPv4 or IPv6, UDP, GUE and the
 * hop list. Pure: also compiled on the host. LB hosts and agents use the same function, so there is
 * one writer of the format.
 */
#pragma once

#include "fairlead/abi/wire.h"
#include "lib/address.h"
#include "lib/parse.h"

struct fl_outer {
	__u8 destination_mac[6];
	__u8 source_mac[6];
	const __u32 *source; /* mapped addresses, borrowed */
	const __u32 *destination;
	__be16 source_port; /* entropy: spreads flows over receive queues and ECMP paths */
	__be16 gue_port;
	__u16 inner_length; /* of the IP packet inside */
	__u8 hop_bytes;	    /* of the hop list: its size, or 0 for none */
	__u8 inner_proto;   /* IPPROTO_IPIP or IPPROTO_IPV6 */
	__u8 tos;
};

static __always_inline __u32 fl_outer_ip_bytes(const __u32 destination[4])
{
	return fl_is_mapped(destination) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}

/* Everything in front of the inner packet but Ethernet. */
static __always_inline __u32 fl_outer_bytes(const struct fl_outer *outer)
{
	return fl_outer_ip_bytes(outer->destination) + FL_ENCAP_PLAIN + outer->hop_bytes;
}

static __always_inline __u16 fl_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* The header checksum of an IPv4 header without options whose `check` is zero. */
static __always_inline __u16 fl_ipv4_checksum(const struct iphdr *ip)
{
	const __u16 *words = (const __u16 *)ip;
	__u32 sum = 0;

	FL_UNROLL
	for (unsigned int i = 0; i < sizeof(*ip) / 2; i++)
		sum += words[i];
	return fl_fold(sum);
}

/* The checksum of what had `from` in one of its 16-bit words and has `to` now (RFC 1624). */
static __always_inline __u16 fl_checksum_with(__u16 checksum, __u16 from, __u16 to)
{
	return fl_fold((__u32)(__u16)~checksum + (__u16)~from + to);
}

static __always_inline void fl_write_ipv4(struct iphdr *ip, const struct fl_outer *outer,
					  __u16 length)
{
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = outer->tos;
	ip->tot_len = fl_swap16(length);
	ip->id = 0; /* DF is set: RFC 6864 allows any */
	ip->frag_off = fl_swap16(0x4000);
	ip->ttl = 64;
	ip->protocol = IPPROTO_UDP;
	ip->check = 0;
	ip->saddr = outer->source[3];
	ip->daddr = outer->destination[3];
	ip->check = fl_ipv4_checksum(ip);
}

static __always_inline void fl_write_ipv6(struct ipv6hdr *ip, const struct fl_outer *outer,
					  __u16 payload)
{
	/* Version, traffic class and an empty flow label. */
	*(__be32 *)ip = fl_swap32(6u << 28 | (__u32)outer->tos << 20);
	ip->payload_len = fl_swap16(payload);
	ip->nexthdr = IPPROTO_UDP;
	ip->hop_limit = 64;
	fl_copy_address((__u32 *)&ip->saddr, outer->source);
	fl_copy_address((__u32 *)&ip->daddr, outer->destination);
}

/*
 * Writes everything in front of the inner packet at `frame`; false when the frame ends before that.
 * The UDP checksum is zero, over IPv6 as well (RFC 6935, RFC 6936): the inner packet is protected
 * by its own.
 */
static __always_inline int fl_write_outer(void *frame, void *end, const struct fl_outer *outer,
					  const struct fl_hops *hops)
{
	struct ethhdr *eth = (struct ethhdr *)frame;
	int is_ipv4 = fl_is_mapped(outer->destination);
	__u16 payload = (__u16)(outer->inner_length + FL_ENCAP_PLAIN + outer->hop_bytes);
	struct udphdr *udp;
	struct fl_gue *gue;

	if (fl_after(frame, sizeof(*eth) + sizeof(struct ipv6hdr)) > end)
		return 0;
	fl_copy_mac(eth->h_dest, outer->destination_mac);
	fl_copy_mac(eth->h_source, outer->source_mac);
	if (is_ipv4) {
		eth->h_proto = fl_swap16(ETH_P_IP);
		fl_write_ipv4((struct iphdr *)(eth + 1), outer,
			      (__u16)(payload + sizeof(struct iphdr)));
		udp = (struct udphdr *)fl_after(eth + 1, sizeof(struct iphdr));
	} else {
		eth->h_proto = fl_swap16(ETH_P_IPV6);
		fl_write_ipv6((struct ipv6hdr *)(eth + 1), outer, payload);
		udp = (struct udphdr *)fl_after(eth + 1, sizeof(struct ipv6hdr));
	}
	gue = (struct fl_gue *)(udp + 1);
	/* A plain packet has more than this behind GUE: an inner header at least. */
	if (fl_after(gue + 1, sizeof(*hops)) > end)
		return 0;
	udp->source = outer->source_port;
	udp->dest = outer->gue_port;
	udp->len = fl_swap16(payload);
	udp->check = 0;
	gue->version_hlen = outer->hop_bytes / 4;
	gue->proto = outer->inner_proto;
	gue->flags = 0;
	if (outer->hop_bytes)
		*(struct fl_hops *)(gue + 1) = *hops;
	return 1;
}
