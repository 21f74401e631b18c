/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The outer headers of a packet from this LB host to a backend: what encap.h writes is filled in
 * here, for clients' packets and checks alike.
 */
#pragma once

#include "lib/backends.h"
#include "lib/encap.h"

/* Every host takes this much (RFC 791); a path that does not is none, and could not be answered
 * for. */
#define FL_MIN_PATH_MTU 576

/* The hop list's length, which is constant for a service; 0 if it has none. */
static __always_inline __u8 fl_hop_bytes(const struct fl_service *service)
{
	return service->encap == FL_ENCAP_GUE_PLAIN ? 0 : sizeof(struct fl_hops);
}

static __always_inline void fl_fill_outer(struct fl_outer *outer, const struct fl_packet *packet,
					  const struct fl_service *service,
					  const struct fl_backend *backend, __u64 hash)
{
	__u64 next_hop = fl_load64(&backend->next_hop);
	__u64 source = fl_load64(&backend->source);

	fl_copy_mac(outer->destination_mac, &next_hop);
	fl_copy_mac(outer->source_mac, &source);
	outer->destination = backend->address;
	outer->source = (const __u32 *)fl_rodata(
		fl_is_mapped(backend->address) ? fl_config.node_address : fl_config.node_address6);
	outer->source_port = fl_swap16(0xc000 | (__u16)(hash >> 50));
	outer->gue_port = fl_config.gue_port;
	outer->inner_length = packet->ip_length;
	outer->hop_bytes = fl_hop_bytes(service);
	outer->inner_proto = packet->is_ipv4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	outer->tos = packet->tos; /* DSCP, and ECN as RFC 6040's normal mode has it */
}
