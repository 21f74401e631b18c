// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
} fl_backend_line SEC(".maps");

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("xdp")
int fl_lb(struct xdp_md *ctx)
{
	return XDP_PASS;
}
