/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The bits of TCP's flags byte that decide anything here.
 */
#pragma once

#include "lib/compat.h"

#define FL_TCP_FIN 0x01
#define FL_TCP_SYN 0x02
#define FL_TCP_RST 0x04
#define FL_TCP_ACK 0x10

static __always_inline int fl_tcp_is_syn(__u8 flags)
{
	return (flags & (FL_TCP_SYN | FL_TCP_ACK)) == FL_TCP_SYN;
}
