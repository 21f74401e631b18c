// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
SEC("xdp")
int fl_lb(struct xdp_md *ctx)
{
	return XDP_PASS;
}
