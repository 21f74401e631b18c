/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Which service a packet is for.
 */
#pragma once

#include "lib/extensions.h"
#include "lib/icmp.h"
#include "lib/maps.h"
#include "lib/quote.h"
#include "lib/tcp.h"

/* The entry of a service's address; null for an address that is none. */
static __always_inline struct fl_service *fl_find_address(const struct fl_packet *packet)
{
	struct fl_service_key key = {};

	fl_copy_address(key.address, packet->service.address);
	return bpf_map_lookup_elem(&fl_services, &key);
}

/* An address of which only tombstones are left gives no answer. */
static __always_inline int fl_unless_silent(const struct fl_service *address, int verdict)
{
	return address->flags & FL_SERVICE_TOMBSTONE ? FL_LB_DROP_TOMBSTONE : verdict;
}

/*
 * A packet whose ports cannot be trusted (fragment, extension header, broken header): dropped by
 * name if its destination is a service's address, else none of our business.
 */
static __always_inline int fl_judge_odd_packet(struct fl_packet *packet, int verdict)
{
	const struct fl_service *address = fl_find_address(packet);

	if (!address)
		return FL_LB_PASS_NOT_SERVICE;
	packet->address_id = address->id;
	return verdict == FL_LB_TX_FRAGMENT_REFUSED ? fl_unless_silent(address, verdict) : verdict;
}

static __always_inline int fl_name_anomaly(const struct fl_packet *packet, enum fl_ip_anomaly odd)
{
	switch (odd) {
	case FL_IP_FIRST_FRAGMENT:
		return fl_can_refuse(packet) ? FL_LB_TX_FRAGMENT_REFUSED : FL_LB_DROP_FRAGMENT;
	case FL_IP_FRAGMENT:
		return FL_LB_DROP_FRAGMENT;
	case FL_IP_EXTENSION:
		return FL_LB_DROP_EXTENSION;
	case FL_IP_HOP_LIMIT:
		return FL_LB_DROP_HOP_LIMIT;
	default:
		return FL_LB_DROP_IP_HEADER;
	}
}

/*
 * ICMP to a service's address: a ping, or an error about one of its connections, which is then what
 * `packet` is of. All else is the host's own business. Global, as the functions of flow_table.h
 * are.
 */
__noinline int fl_read_icmp(struct xdp_md *ctx, struct fl_packet *packet)
{
	const struct fl_service *address;
	struct fl_cursor cursor;

	if (!packet)
		return FL_LB_PASS_NOT_TCP;
	cursor = fl_cursor_at(ctx, sizeof(struct ethhdr) + packet->ip_header_length);
	address = fl_find_address(packet);
	if (!address)
		return FL_LB_PASS_NOT_TCP;
	packet->address_id = address->id;
	if (fl_is_ping(&cursor, packet))
		return fl_unless_silent(address, FL_LB_TX_ECHO);
	return fl_parse_quote(&cursor, packet) ? FL_CONTINUE : FL_LB_PASS_NOT_TCP;
}

/* Step: reads the packet up to its ports. */
static __always_inline int fl_read_packet(struct xdp_md *ctx, struct fl_cursor *cursor,
					  struct fl_packet *packet)
{
	enum fl_ip_anomaly odd = FL_IP_FINE;
	__be16 type = 0;
	int whole;

	*cursor = fl_cursor_at(ctx, 0);
	if (!fl_parse_ethernet(cursor, &type))
		return FL_LB_PASS_TRUNCATED;
	if (type == fl_swap16(ETH_P_IP))
		whole = fl_parse_ipv4(cursor, packet, &odd);
	else if (type == fl_swap16(ETH_P_IPV6))
		whole = fl_parse_ipv6(cursor, packet, &odd);
	else
		return type == fl_swap16(ETH_P_8021AD) ? FL_LB_PASS_TAGS : FL_LB_PASS_NOT_IP;
	if (!whole)
		return FL_LB_PASS_TRUNCATED;
	if (odd == FL_IP_FINE && fl_has_extensions(packet)) {
		odd = fl_add_extensions(ctx, packet, sizeof(struct ethhdr));
		*cursor = fl_cursor_at(ctx, sizeof(struct ethhdr) + packet->ip_header_length);
	}
	if (odd != FL_IP_FINE)
		return fl_judge_odd_packet(packet, fl_name_anomaly(packet, odd));
	if (packet->service.proto == fl_icmp_proto(packet->is_ipv4))
		return fl_read_icmp(ctx, packet);
	if (packet->service.proto != IPPROTO_TCP)
		return FL_LB_PASS_NOT_TCP;
	if (!fl_parse_ports(cursor, packet))
		return fl_judge_odd_packet(packet, FL_LB_DROP_TCP_HEADER);
	return FL_CONTINUE;
}

/* Step: finds the service and refuses segments that no TCP stack sends. */
static __always_inline int fl_find_service(struct fl_cursor *cursor, struct fl_packet *packet,
					   struct fl_service **service)
{
	__u8 flags;

	*service = bpf_map_lookup_elem(&fl_services, &packet->service);
	if (!*service)
		return FL_LB_PASS_NOT_SERVICE;
	if ((*service)->flags & FL_SERVICE_TOMBSTONE)
		return FL_LB_DROP_TOMBSTONE;
	if (packet->is_error)
		return FL_CONTINUE;
	if (!fl_parse_tcp(cursor, packet))
		return FL_LB_DROP_TCP_HEADER;
	flags = packet->tcp_flags;
	if (!(flags & (FL_TCP_SYN | FL_TCP_ACK | FL_TCP_RST | FL_TCP_FIN)) ||
	    (flags & FL_TCP_SYN && flags & (FL_TCP_FIN | FL_TCP_RST)))
		return FL_LB_DROP_TCP_FLAGS;
	return FL_CONTINUE;
}
