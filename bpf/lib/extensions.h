/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * IPv6 extension headers, in a function that the verifier walks once, on its own: a loop over
 * headers of any length, walked for each packet that may come there, is more than it takes.
 */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "fairlead/abi/wire.h"
#include "lib/parse.h"

/* Bytes of a frame that anything here is found in. */
#define FL_HEADER_MASK 0x3fff
FL_STATIC_ASSERT(sizeof(struct ethhdr) + FL_ENCAP_MAX + sizeof(struct ipv6hdr) +
				 FL_MAX_EXTENSIONS * 2048 <
			 FL_HEADER_MASK,
		 "the headers of a packet, and of a tunnel in front of it");

/* The cursor `offset` bytes into the frame. */
static __always_inline struct fl_cursor fl_cursor_at(struct xdp_md *ctx, __u32 offset)
{
	return (struct fl_cursor){
		.at = fl_after((void *)(long)ctx->data, fl_masked(offset, FL_HEADER_MASK)),
		.end = (void *)(long)ctx->data_end,
	};
}

/* Adds the extension headers of `packet`, whose IPv6 header begins `offset` bytes into the frame,
 * to its header; its protocol is then that of what is behind them. */
__noinline int fl_add_extensions(struct xdp_md *ctx, struct fl_packet *packet, __u32 offset)
{
	struct fl_cursor cursor = fl_cursor_at(ctx, offset + sizeof(struct ipv6hdr));

	return packet ? fl_skip_extensions(&cursor, packet, packet->ip_length) : FL_IP_BAD_HEADER;
}
