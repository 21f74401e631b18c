/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The connection that an ICMP error is about: the error quotes the start of the packet that caused
 * it (RFC 792, RFC 4443), which a service sent to its client. Pure: also compiled on the host.
 */
#pragma once

#include "lib/parse.h"

#define FL_ICMP_HEADER_BYTES 8

/* Is this ICMP type an error about a packet? Not source quench and redirect: hosts ignore them. */
static __always_inline int fl_is_icmp_error(__u8 is_ipv4, __u8 type)
{
	if (is_ipv4)
		return type == 3 || type == 11 || type == 12;
	return type >= 1 && type <= 4;
}

static __always_inline __u8 fl_icmp_proto(__u8 is_ipv4)
{
	return is_ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
}

/*
 * With the cursor at the ICMP header of `packet`: makes client, service and ports those of the
 * quoted connection, seen from its client. False if it is no error, quotes no TCP, or was not sent
 * to whoever sent the quoted packet. The quote's TCP header may end after eight bytes, and the
 * quote before its packet, but not behind the error: there is padding.
 */
static __always_inline int fl_parse_quote(struct fl_cursor *cursor, struct fl_packet *packet)
{
	enum fl_ip_anomaly odd = FL_IP_FINE;
	__u32 before = packet->ip_header_length + FL_ICMP_HEADER_BYTES;
	__u32 length = packet->ip_length - before;
	struct fl_packet quoted = {};
	__u8 *type = (__u8 *)cursor->at;
	__be16 *ports;
	int whole;

	if ((void *)(type + FL_ICMP_HEADER_BYTES) > cursor->end || before > packet->ip_length ||
	    !fl_is_icmp_error(packet->is_ipv4, *type))
		return 0;
	cursor->at = type + FL_ICMP_HEADER_BYTES;
	whole = packet->is_ipv4 ? fl_parse_ipv4(cursor, &quoted, &odd)
				: fl_parse_ipv6(cursor, &quoted, &odd);
	if (whole && odd != FL_IP_BAD_HEADER && fl_has_extensions(&quoted))
		odd = fl_skip_extensions(cursor, &quoted, length);
	ports = (__be16 *)cursor->at;
	/* A quote ends before its packet, and its hop limit may be used up. */
	if (!whole || odd == FL_IP_BAD_HEADER || odd == FL_IP_FRAGMENT || odd == FL_IP_EXTENSION ||
	    quoted.service.proto != IPPROTO_TCP || (void *)(ports + 2) > cursor->end ||
	    quoted.ip_header_length + 2 * sizeof(*ports) > length ||
	    fl_differ_address(quoted.client, packet->service.address))
		return 0;
	fl_copy_address(packet->client, quoted.service.address);
	packet->is_error = 1;
	packet->service.proto = IPPROTO_TCP;
	packet->service.port = ports[0];
	packet->client_port = ports[1];
	return 1;
}
