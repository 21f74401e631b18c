// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * A program that no verifier accepts: it reads the packet without looking where the packet ends.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int fl_refused(struct xdp_md *ctx)
{
	return *(__u8 *)(long)ctx->data;
}

char fl_license[] SEC("license") = "GPL";
