// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
//
// Passes every packet. A veth end drops what its peer sends by XDP_TX unless it
// has an XDP program itself, so the lab attaches this one to every router-side
// end.

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int lab_pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
