/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Which service a packet is for.
 */
#pragma once

#include "lib/maps.h"
#include "lib/parse.h"
#include "lib/tcp.h"

/*
 * A packet whose ports cannot be trusted (fragment, extension header, broken header): dropped by
 * name if its destination is a service's address, else none of our business.
 */
static __always_inline int fl_judge_odd_packet(const struct fl_packet *packet, int verdict)
{
	struct fl_service_key key = {};

	fl_copy_address(key.address, packet->service.address);
	return bpf_map_lookup_elem(&fl_services, &key) ? verdict : FL_LB_PASS_NOT_SERVICE;
}

static __always_inline int fl_judge_anomaly(const struct fl_packet *packet, enum fl_ip_anomaly odd)
{
	if (odd == FL_IP_FRAGMENT)
		return fl_judge_odd_packet(packet, FL_LB_DROP_FRAGMENT);
	if (odd == FL_IP_EXTENSION)
		return fl_judge_odd_packet(packet, FL_LB_DROP_EXTENSION);
	return fl_judge_odd_packet(packet, FL_LB_DROP_IP_HEADER);
}

/* Step: reads the packet up to its ports. */
static __always_inline int fl_read_packet(struct xdp_md *ctx, struct fl_cursor *cursor,
					  struct fl_packet *packet)
{
	enum fl_ip_anomaly odd = FL_IP_FINE;
	__be16 type = 0;
	int whole;

	cursor->at = (void *)(long)ctx->data;
	cursor->end = (void *)(long)ctx->data_end;
	if (!fl_parse_ethernet(cursor, &type))
		return FL_LB_PASS_TRUNCATED;
	if (type == fl_swap16(ETH_P_IP))
		whole = fl_parse_ipv4(cursor, packet, &odd);
	else if (type == fl_swap16(ETH_P_IPV6))
		whole = fl_parse_ipv6(cursor, packet, &odd);
	else
		return FL_LB_PASS_NOT_IP;
	if (!whole)
		return FL_LB_PASS_TRUNCATED;
	if (odd != FL_IP_FINE)
		return fl_judge_anomaly(packet, odd);
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
	if (!fl_parse_tcp(cursor, packet))
		return FL_LB_DROP_TCP_HEADER;
	flags = packet->tcp_flags;
	if (!(flags & (FL_TCP_SYN | FL_TCP_ACK | FL_TCP_RST | FL_TCP_FIN)) ||
	    (flags & FL_TCP_SYN && flags & (FL_TCP_FIN | FL_TCP_RST)))
		return FL_LB_DROP_TCP_FLAGS;
	return FL_CONTINUE;
}
