/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Addresses as every map and every path has them: four words in network order, IPv4 as
 * ::ffff:a.b.c.d. Pure.
 */
#pragma once

#include "lib/compat.h"

static __always_inline int fl_is_mapped(const __u32 address[4])
{
	return address[0] == 0 && address[1] == 0 && address[2] == fl_swap32(0xffff);
}

static __always_inline void fl_map_ipv4(__u32 mapped[4], __be32 address)
{
	mapped[0] = 0;
	mapped[1] = 0;
	mapped[2] = fl_swap32(0xffff);
	mapped[3] = address;
}

static __always_inline void fl_copy_address(__u32 to[4], const void *from)
{
	const __u32 *words = (const __u32 *)from;

	to[0] = words[0];
	to[1] = words[1];
	to[2] = words[2];
	to[3] = words[3];
}

/* In two moves: a memcpy of six bytes that may be unaligned becomes six. */
static __always_inline void fl_copy_mac(void *to, const void *from)
{
	*(__u32 *)to = *(const __u32 *)from;
	*(__u16 *)fl_after(to, 4) = *(const __u16 *)fl_after(from, 4);
}

static __always_inline int fl_differ_address(const __u32 *a, const volatile __u32 *b)
{
	return ((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3])) != 0;
}
