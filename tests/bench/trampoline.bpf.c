// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Makes BPF_PROG_TEST_RUN's repeat honest. The kernel runs a program over and over on the frame as
 * the last run left it, so an encapsulating program would see its own output. The trampoline takes
 * back what the last run put in front, restores the Ethernet header, writes the next flow's client
 * address and port, and tail-calls the program that is to be measured. The same with fl_floor
 * behind it is the floor to subtract.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_helpers.h>

#include "lib/compat.h"
#include "trampoline.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_bench);
} fl_bench SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 4);
} fl_targets SEC(".maps");

static __always_inline __u32 fl_next_flow(struct fl_bench *bench)
{
	__u64 number = bench->packets++;

	if (bench->order == FL_BENCH_FIXED)
		return bench->first;
	if (bench->order == FL_BENCH_SERIAL)
		return bench->first + (__u32)number;
	number *= 0x9e3779b97f4a7c15ull;
	number ^= number >> 32;
	return bench->first + (__u32)(((number & 0xffffffff) * bench->flows) >> 32);
}

SEC("xdp")
int fl_trampoline(struct xdp_md *ctx)
{
	__u32 key = 0, flow;
	struct fl_bench *bench = bpf_map_lookup_elem(&fl_bench, &key);
	struct ethhdr *eth;
	long grown;
	void *end;

	if (!bench)
		return XDP_ABORTED;
	grown = (long)ctx->data_end - (long)ctx->data;
	/* Or clang adds the length to a packet pointer first, in 32 bits, which verifiers refuse.
	 */
	fl_opaque(grown);
	if (bpf_xdp_adjust_head(ctx, (int)grown - (int)bench->length))
		return XDP_ABORTED;
	eth = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(eth + 1) + sizeof(struct iphdr) + sizeof(struct tcphdr) > end)
		return XDP_ABORTED;
	__builtin_memcpy(eth, bench->ethernet, sizeof(*eth));
	flow = fl_next_flow(bench);
	if (bench->is_ipv6) {
		struct ipv6hdr *ip = (struct ipv6hdr *)(eth + 1);

		if ((void *)(ip + 1) + sizeof(struct tcphdr) > end)
			return XDP_ABORTED;
		ip->saddr.s6_addr32[3] = fl_swap32(flow >> 16);
		((struct tcphdr *)(ip + 1))->source = fl_swap16((__u16)flow);
	} else {
		struct iphdr *ip = (struct iphdr *)(eth + 1);

		ip->saddr = fl_swap32(FL_BENCH_NETWORK4 | (flow >> 16 & 0xff));
		((struct tcphdr *)(ip + 1))->source = fl_swap16((__u16)flow);
	}
	bpf_tail_call(ctx, &fl_targets, 0);
	return XDP_ABORTED;
}

SEC("xdp")
int fl_floor(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_TX;
}

char fl_license[] SEC("license") = "GPL";
