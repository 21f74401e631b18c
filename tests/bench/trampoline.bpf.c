// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Makes BPF_PROG_TEST_RUN's repeat honest. The kernel runs a program over and over on the frame as
 * the last run left it, so an encapsulating program would see its own output. A trampoline takes
 * back what the last run put in front, restores the frame, and tail-calls the program that is to be
 * measured. The same with fl_floor behind it is the floor to subtract.
 *
 * fl_trampoline is for the LB host's program: it restores the Ethernet header and writes the next
 * flow's client address and ports. fl_restore is for the agent's, which takes headers off or writes
 * them anew: it restores all of them. fl_source makes the same flows as fl_trampoline where frames
 * are live, for those too keep their bytes when they are sent again, and sends them.
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
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_bench_sink);
} fl_sunk SEC(".maps");

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

static __always_inline void fl_write_ports(struct tcphdr *tcp, const struct fl_bench *bench,
					   __u32 flow)
{
	tcp->source = fl_swap16((__u16)flow);
	tcp->dest = fl_swap16((__u16)(bench->first_port + (flow & bench->service_mask)));
}

/* Takes back what was put in front, or taken off. */
static __always_inline int fl_rewind(struct xdp_md *ctx, const struct fl_bench *bench)
{
	long grown = (long)ctx->data_end - (long)ctx->data;

	/* Or clang adds the length to a packet pointer first, in 32 bits, which verifiers refuse.
	 */
	fl_opaque(grown);
	return bpf_xdp_adjust_head(ctx, (int)grown - (int)bench->length) == 0;
}

static __always_inline int fl_write_flow(struct xdp_md *ctx, struct fl_bench *bench)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u32 flow;

	if ((void *)(eth + 1) + sizeof(struct iphdr) + sizeof(struct tcphdr) > end)
		return 0;
	__builtin_memcpy(eth, bench->head, sizeof(*eth));
	flow = fl_next_flow(bench);
	if (bench->is_ipv6) {
		struct ipv6hdr *ip = (struct ipv6hdr *)(eth + 1);

		if ((void *)(ip + 1) + sizeof(struct tcphdr) > end)
			return 0;
		ip->saddr.s6_addr32[3] = fl_swap32(flow >> 16);
		fl_write_ports((struct tcphdr *)(ip + 1), bench, flow);
	} else {
		struct iphdr *ip = (struct iphdr *)(eth + 1);

		ip->saddr = fl_swap32(FL_BENCH_NETWORK4 | (flow >> 16 & 0xff));
		fl_write_ports((struct tcphdr *)(ip + 1), bench, flow);
	}
	return 1;
}

SEC("xdp")
int fl_trampoline(struct xdp_md *ctx)
{
	__u32 key = 0;
	struct fl_bench *bench = bpf_map_lookup_elem(&fl_bench, &key);

	if (!bench || !fl_rewind(ctx, bench) || !fl_write_flow(ctx, bench))
		return XDP_ABORTED;
	bpf_tail_call(ctx, &fl_targets, 0);
	return XDP_ABORTED;
}

SEC("xdp")
int fl_restore(struct xdp_md *ctx)
{
	__u32 key = 0;
	struct fl_bench *bench = bpf_map_lookup_elem(&fl_bench, &key);
	__u8 *head;

	if (!bench || !fl_rewind(ctx, bench))
		return XDP_ABORTED;
	head = (void *)(long)ctx->data;
	if (head + FL_BENCH_HEAD > (__u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
	__builtin_memcpy(head, bench->head, FL_BENCH_HEAD);
	bench->packets++;
	bpf_tail_call(ctx, &fl_targets, 0);
	return XDP_ABORTED;
}

/* The kernel has rewound the frame. */
SEC("xdp")
int fl_source(struct xdp_md *ctx)
{
	__u32 key = 0;
	struct fl_bench *bench = bpf_map_lookup_elem(&fl_bench, &key);

	return bench && fl_write_flow(ctx, bench) ? XDP_TX : XDP_ABORTED;
}

/* The other end of the link: counts what has come through. */
SEC("xdp")
int fl_sink(struct xdp_md *ctx)
{
	__u64 bytes = (__u64)((long)ctx->data_end - (long)ctx->data);
	__u32 key = 0;
	struct fl_bench_sink *sink = bpf_map_lookup_elem(&fl_sunk, &key);

	if (!sink)
		return XDP_DROP;
	if (sink->frames % FL_BENCH_STAMP == 0) {
		sink->last = bpf_ktime_get_ns();
		if (!sink->frames)
			sink->first = sink->last;
	}
	sink->frames++;
	sink->bytes += bytes;
	return XDP_DROP;
}

SEC("xdp")
int fl_floor(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_TX;
}

char fl_license[] SEC("license") = "GPL";
