// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#pragma once

static __always_inline int fl_steer(struct fl_packet *packet)
{
	if (!packet->service)
		return XDP_PASS; // <- finding
	if (packet->bad)
		return XDP_DROP; // <- finding
	return XDP_TX; // <- finding
}
