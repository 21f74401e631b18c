// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#pragma once

/* Never `return XDP_DROP`: the entry program decides. */
static __always_inline int fl_steer(struct fl_packet *packet)
{
	return packet->service ? FL_CONTINUE : FL_PASS_NOT_OURS;
}
