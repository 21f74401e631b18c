// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
} fl_backend_lines SEC(".maps"); // <- finding

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
} services SEC(".maps"); // <- finding

SEC("xdp")
int fl_load_balancer(struct xdp_md *ctx) // <- finding
{
	return XDP_PASS;
}

SEC("tc")
int probe_egress(struct __sk_buff *skb) // <- finding
{
	return 0;
}

SEC("iter/tcp")
int BPF_PROG(fl_count_sockets, int x) // <- finding
{
	return 0;
}
