// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Leaves the program in fl_then a frame with hardly any room before it. What of the frame does not
 * fit into `head` stays behind, out of sight of the headers.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define FL_USED_HEADROOM 200

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} fl_then SEC(".maps");

SEC("xdp")
int fl_crowd(struct xdp_md *ctx)
{
	__u8 head[128];

	if (bpf_xdp_load_bytes(ctx, 0, head, sizeof(head)) ||
	    bpf_xdp_adjust_head(ctx, -FL_USED_HEADROOM) ||
	    bpf_xdp_store_bytes(ctx, 0, head, sizeof(head)))
		return XDP_ABORTED;
	bpf_tail_call(ctx, &fl_then, 0);
	return XDP_ABORTED;
}

char fl_license[] SEC("license") = "GPL";
