/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * From the first byte of a frame to a TCP segment. Pure: also compiled on the host.
 *
 * Contract of every step: it moves the cursor past what it read and returns FL_CONTINUE, or names
 * what is wrong and leaves the rest of the packet unset. Every access is checked against the end of
 * the frame.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "fairlead/abi/maps.h"
#include "lib/address.h"

struct fl_cursor {
	void *at;
	void *end;
};

struct fl_packet {
	__u32 client[4];	       /* source and destination, IPv4 mapped, network order */
	struct fl_service_key service; /* destination address, port and protocol */
	__be16 client_port;
	__u16 ip_length; /* of the whole IP packet, by its header */
	__u8 is_ipv4;
	__u8 tos; /* DSCP and ECN */
	__u8 dont_fragment;
	__u8 tcp_flags;
	__u8 is_error;		/* an ICMP error about this connection, not a segment of it */
	__u16 ip_header_length; /* and of all extension headers */
	__u16 address_id;	/* of the destination's entry, where that was looked at */
};

/* What is odd about an IP header; judged only once the destination is known to be a service's. */
enum fl_ip_anomaly {
	FL_IP_FINE,
	FL_IP_BAD_HEADER,
	FL_IP_CUT_SHORT, /* its frame ends before it */
	FL_IP_FIRST_FRAGMENT,
	FL_IP_FRAGMENT,	 /* a later one: its ports are not in it */
	FL_IP_EXTENSION, /* extension headers behind which the ports cannot be trusted */
	FL_IP_HOP_LIMIT, /* 0 */
};

/* The ethernet type in network order; false when the frame is too short. */
static __always_inline int fl_parse_ethernet(struct fl_cursor *cursor, __be16 *type)
{
	struct ethhdr *eth = (struct ethhdr *)cursor->at;

	if ((void *)(eth + 1) > cursor->end)
		return 0;
	cursor->at = eth + 1;
	*type = eth->h_proto;
	return 1;
}

/* Fills addresses, protocol and lengths from an IPv4 header; false when the frame ends inside it.
 */
static __always_inline int fl_parse_ipv4(struct fl_cursor *cursor, struct fl_packet *packet,
					 enum fl_ip_anomaly *odd)
{
	struct iphdr *ip = (struct iphdr *)cursor->at;
	__u32 header_length, length;

	if ((void *)(ip + 1) > cursor->end)
		return 0;
	header_length = ip->ihl * 4;
	length = fl_masked(fl_swap16(ip->tot_len), 0xffff);
	packet->is_ipv4 = 1;
	packet->ip_header_length = (__u16)header_length;
	packet->ip_length = (__u16)length;
	packet->tos = ip->tos;
	packet->dont_fragment = !!(ip->frag_off & fl_swap16(0x4000));
	packet->service.proto = ip->protocol;
	fl_map_ipv4(packet->client, ip->saddr);
	fl_map_ipv4(packet->service.address, ip->daddr);
	if (ip->version != 4 || header_length < sizeof(*ip) || length < header_length)
		*odd = FL_IP_BAD_HEADER;
	else if (ip->frag_off & fl_swap16(0x1fff))
		*odd = FL_IP_FRAGMENT;
	else if (fl_after(cursor->at, header_length) > cursor->end ||
		 fl_after(cursor->at, length) > cursor->end)
		*odd = FL_IP_CUT_SHORT;
	else if (ip->frag_off & fl_swap16(0x2000))
		*odd = FL_IP_FIRST_FRAGMENT;
	else if (!ip->ttl)
		*odd = FL_IP_HOP_LIMIT;
	cursor->at = fl_after(cursor->at, header_length);
	return 1;
}

/* Headers that stand between an IPv6 header and a transport header (RFC 8200, RFC 7045). */
static __always_inline int fl_is_extension(__u8 next_header)
{
	return next_header == IPPROTO_HOPOPTS || next_header == IPPROTO_ROUTING ||
	       next_header == IPPROTO_FRAGMENT || next_header == IPPROTO_DSTOPTS ||
	       next_header == IPPROTO_AH;
}

/* RFC 8200 has five in front of TCP, in its order. */
#define FL_MAX_EXTENSIONS 6

/* What all of them begin with. */
struct fl_extension {
	__u8 next_header;
	__u8 length;	/* in units of 8 bytes, without the first; reserved in a fragment header */
	__u8 detail[6]; /* of a fragment: offset and flags; of a route: type and segments left */
};
FL_STATIC_ASSERT(sizeof(struct fl_extension) == 8, "on the wire");

/*
 * Moves the cursor past the extension headers, which are in the packet's first `length` bytes: what
 * the frame has behind it is padding, and anybody's to choose. What nobody is asked to do anything
 * about is skipped, a fragment header of a whole packet too (RFC 6946). A routing header that has
 * not been followed to its end says that the destination is another one, and what an authentication
 * header protects is for who knows its key.
 */
static __always_inline enum fl_ip_anomaly fl_skip_extensions(struct fl_cursor *cursor,
							     struct fl_packet *packet, __u32 length)
{
	for (unsigned int i = 0; i < FL_MAX_EXTENSIONS; i++) {
		struct fl_extension *header = (struct fl_extension *)cursor->at;
		__u8 type = packet->service.proto;
		__u32 bytes;

		if (!fl_is_extension(type))
			return FL_IP_FINE;
		if ((void *)(header + 1) > cursor->end ||
		    packet->ip_header_length + sizeof(*header) > length)
			return FL_IP_BAD_HEADER;
		if (type == IPPROTO_AH || (type == IPPROTO_ROUTING && header->detail[1]))
			return FL_IP_EXTENSION;
		if (type == IPPROTO_FRAGMENT && (header->detail[0] || header->detail[1] & 0xf8))
			return FL_IP_FRAGMENT;
		bytes = type == IPPROTO_FRAGMENT ? sizeof(*header) : 8u * header->length + 8;
		packet->service.proto = header->next_header;
		packet->ip_header_length = (__u16)(packet->ip_header_length + bytes);
		cursor->at = fl_after(cursor->at, bytes);
		if (type == IPPROTO_FRAGMENT && header->detail[1] & 0x01)
			return FL_IP_FIRST_FRAGMENT;
	}
	return fl_is_extension(packet->service.proto) ? FL_IP_EXTENSION : FL_IP_FINE;
}

/* Fills the same from an IPv6 header. What is behind it may be an extension header. */
static __always_inline int fl_parse_ipv6(struct fl_cursor *cursor, struct fl_packet *packet,
					 enum fl_ip_anomaly *odd)
{
	struct ipv6hdr *ip = (struct ipv6hdr *)cursor->at;
	__u32 length;

	if ((void *)(ip + 1) > cursor->end)
		return 0;
	length = fl_masked(fl_swap16(ip->payload_len), 0xffff) + sizeof(*ip);
	packet->is_ipv4 = 0;
	packet->ip_header_length = sizeof(*ip);
	packet->ip_length = (__u16)length;
	packet->tos = (__u8)(ip->priority << 4 | ip->flow_lbl[0] >> 4);
	packet->dont_fragment = 1;
	packet->service.proto = ip->nexthdr;
	fl_copy_address(packet->client, &ip->saddr);
	fl_copy_address(packet->service.address, &ip->daddr);
	/* No IPv6 packet has an IPv4 address: tables that hold both families by one key would take
	 * it for the other one's. */
	if (ip->version != 6 || fl_is_mapped(packet->client) ||
	    fl_is_mapped(packet->service.address))
		*odd = FL_IP_BAD_HEADER;
	else if (length > 0xffff || fl_after(cursor->at, length) > cursor->end)
		*odd = FL_IP_CUT_SHORT;
	else if (!ip->hop_limit)
		*odd = FL_IP_HOP_LIMIT;
	cursor->at = ip + 1;
	return 1;
}

static __always_inline int fl_has_extensions(const struct fl_packet *packet)
{
	return !packet->is_ipv4 && fl_is_extension(packet->service.proto);
}

/* Both ports; false when the packet ends before them. What the frame has behind the packet is
 * padding, and anybody's to choose. */
static __always_inline int fl_parse_ports(struct fl_cursor *cursor, struct fl_packet *packet)
{
	__be16 *ports = (__be16 *)cursor->at;

	if ((void *)(ports + 2) > cursor->end ||
	    packet->ip_header_length + 2 * sizeof(*ports) > packet->ip_length)
		return 0;
	packet->client_port = ports[0];
	packet->service.port = ports[1];
	return 1;
}

/* The rest of the TCP header: false when it is cut short or its offset is impossible. */
static __always_inline int fl_parse_tcp(struct fl_cursor *cursor, struct fl_packet *packet)
{
	struct tcphdr *tcp = (struct tcphdr *)cursor->at;
	__u32 header_length;

	if ((void *)(tcp + 1) > cursor->end)
		return 0;
	header_length = tcp->doff * 4;
	packet->tcp_flags = ((__u8 *)tcp)[13];
	return header_length >= sizeof(*tcp) &&
	       packet->ip_header_length + header_length <= packet->ip_length;
}
