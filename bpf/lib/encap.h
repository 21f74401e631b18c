/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What a packet gets in front on its way to a backend, from the outside in: Ethernet (all that l2
 * writes), IPv4 or IPv6 (ipip ends here), UDP, GUE and the hop list of wire.h. Pure: also compiled
 * on the host. LB hosts and agents use the same functions, so there is one writer of each header.
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
static __always_inline __u32 fl_gue_bytes(const struct fl_outer *outer)
{
	return fl_outer_ip_bytes(outer->destination) + FL_ENCAP_PLAIN + outer->hop_bytes;
}

/* What `encap` adds at most: constant for a service, whatever family the backend's address is. */
static __always_inline __u32 fl_encap_bytes(__u8 encap)
{
	if (encap == FL_ENCAP_GUE)
		return FL_ENCAP_MAX;
	if (encap == FL_ENCAP_GUE_PLAIN)
		return FL_ENCAP_BARE + FL_ENCAP_PLAIN;
	return encap == FL_ENCAP_IPIP ? FL_ENCAP_BARE : 0;
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
					  __u8 proto, __u16 payload)
{
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = outer->tos;
	ip->tot_len = fl_swap16((__u16)(payload + sizeof(*ip)));
	ip->id = 0; /* DF is set: RFC 6864 allows any */
	ip->frag_off = fl_swap16(0x4000);
	ip->ttl = 64;
	ip->protocol = proto;
	ip->check = 0;
	ip->saddr = outer->source[3];
	ip->daddr = outer->destination[3];
	ip->check = fl_ipv4_checksum(ip);
}

static __always_inline void fl_write_ipv6(struct ipv6hdr *ip, const struct fl_outer *outer,
					  __u8 proto, __u16 payload)
{
	/* Version, traffic class and an empty flow label. */
	*(__be32 *)ip = fl_swap32(6u << 28 | (__u32)outer->tos << 20);
	ip->payload_len = fl_swap16(payload);
	ip->nexthdr = proto;
	ip->hop_limit = 64;
	fl_copy_address((__u32 *)&ip->saddr, outer->source);
	fl_copy_address((__u32 *)&ip->daddr, outer->destination);
}

static __always_inline void fl_write_macs(struct ethhdr *eth, const struct fl_outer *outer)
{
	fl_copy_mac(eth->h_dest, outer->destination_mac);
	fl_copy_mac(eth->h_source, outer->source_mac);
}

/*
 * Writes Ethernet and the IP header in front of `payload` bytes of `proto`, and returns where those
 * begin. Requires: room for an IPv6 header.
 */
static __always_inline void *fl_write_ip(struct ethhdr *eth, const struct fl_outer *outer,
					 __u8 proto, __u16 payload)
{
	void *ip = eth + 1;

	fl_write_macs(eth, outer);
	if (fl_is_mapped(outer->destination)) {
		eth->h_proto = fl_swap16(ETH_P_IP);
		fl_write_ipv4((struct iphdr *)ip, outer, proto, payload);
		return fl_after(ip, sizeof(struct iphdr));
	}
	eth->h_proto = fl_swap16(ETH_P_IPV6);
	fl_write_ipv6((struct ipv6hdr *)ip, outer, proto, payload);
	return fl_after(ip, sizeof(struct ipv6hdr));
}

/* An inner packet has twenty bytes at least, so that there is always room for the longer one. */
static __always_inline int fl_has_room_for_ip(void *frame, void *end)
{
	return fl_after(frame, sizeof(struct ethhdr) + sizeof(struct ipv6hdr)) <= end;
}

/* Each of these writes everything in front of the packet, which `frame` begins with room for; false
 * when the frame ends before that. */
static __always_inline int fl_write_l2(void *frame, void *end, const struct fl_outer *outer)
{
	if (fl_after(frame, sizeof(struct ethhdr)) > end)
		return 0;
	fl_write_macs((struct ethhdr *)frame, outer);
	return 1;
}

static __always_inline int fl_write_ipip(void *frame, void *end, const struct fl_outer *outer)
{
	if (!fl_has_room_for_ip(frame, end))
		return 0;
	fl_write_ip((struct ethhdr *)frame, outer, outer->inner_proto, outer->inner_length);
	return 1;
}

/* The UDP checksum is zero, over IPv6 as well (RFC 6935, RFC 6936): the inner packet is protected
 * by its own. */
static __always_inline int fl_write_gue(void *frame, void *end, const struct fl_outer *outer,
					const struct fl_hops *hops)
{
	__u16 payload = (__u16)(outer->inner_length + FL_ENCAP_PLAIN + outer->hop_bytes);
	struct udphdr *udp;
	struct fl_gue *gue;

	if (!fl_has_room_for_ip(frame, end))
		return 0;
	udp = (struct udphdr *)fl_write_ip((struct ethhdr *)frame, outer, IPPROTO_UDP, payload);
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
