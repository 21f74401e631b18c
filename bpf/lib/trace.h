/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Telling the daemon of single packets, as they came and as they went. While nobody traces, this
 * is a load and a branch, twice.
 */
#pragma once

#include "fairlead/abi/trace.h"
#include "lib/maps.h"
#include "lib/parse.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_trace);
} fl_trace SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, FL_TRACE_RING);
} fl_traced SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_traced);
} fl_trace_cpu SEC(".maps");

static __always_inline int fl_trace_wanted(void)
{
	__u32 key = 0;
	struct fl_trace *trace = bpf_map_lookup_elem(&fl_trace, &key);
	__u64 until = trace ? fl_load64(&trace->until) : 0;

	return until && bpf_ktime_get_coarse_ns() < until;
}

/* Copies the frame's beginning; gives its whole length. */
static __always_inline __u16 fl_trace_copy(struct xdp_md *ctx, __u8 *to)
{
	__u32 length = (__u32)(ctx->data_end - ctx->data);
	__u32 last = fl_select(fl_below(length, FL_TRACE_SNAP), length, FL_TRACE_SNAP) - 1;

	/* That `x != 0` bounds x from below is news to the verifier of 6.1. */
	fl_opaque(last);
	if (last < FL_TRACE_SNAP && bpf_xdp_load_bytes(ctx, 0, to, last + 1))
		return 0;
	return (__u16)length;
}

/* The frame as it came; it is not yet known whether it matches. */
static __noinline void fl_trace_in(struct xdp_md *ctx)
{
	__u32 key = 0;
	struct fl_traced *traced = bpf_map_lookup_elem(&fl_trace_cpu, &key);

	if (!traced)
		return;
	traced->time_ns = bpf_ktime_get_ns();
	traced->ingress = ctx->ingress_ifindex;
	traced->in_length = fl_trace_copy(ctx, traced->in);
}

static __always_inline int fl_trace_address(const __u32 address[4], const __u32 wanted[4],
					    const __u32 mask[4])
{
	return !((address[0] ^ wanted[0]) & mask[0] || (address[1] ^ wanted[1]) & mask[1] ||
		 (address[2] ^ wanted[2]) & mask[2] || (address[3] ^ wanted[3]) & mask[3]);
}

static __always_inline int fl_trace_matches(const struct fl_trace *trace,
					    const struct fl_packet *packet, __u16 service,
					    int verdict)
{
	if (trace->verdict != FL_TRACE_ANY_VERDICT && trace->verdict != verdict)
		return 0;
	if (trace->service && trace->service != service)
		return 0;
	if (trace->client_port && trace->client_port != packet->client_port)
		return 0;
	if (trace->port && trace->port != packet->service.port)
		return 0;
	return fl_trace_address(packet->client, trace->client, trace->client_mask) &&
	       fl_trace_address(packet->service.address, trace->address, trace->address_mask);
}

/*
 * The frame as it goes. Tracing may have begun since the packet came: then what came is not here,
 * its time is 0, and it is left out. (It could be an older packet's, if tracing ended and began
 * again, each time while this CPU had a packet under way.)
 */
static __noinline void fl_trace_out(struct xdp_md *ctx, const struct fl_packet *packet,
				    __u32 egress, __u16 service, int verdict)
{
	__u32 key = 0;
	struct fl_traced *traced = bpf_map_lookup_elem(&fl_trace_cpu, &key);
	struct fl_trace *trace = bpf_map_lookup_elem(&fl_trace, &key);

	if (!traced || !trace || !traced->time_ns)
		return;
	if (fl_trace_matches(trace, packet, service, verdict)) {
		traced->egress = egress;
		traced->verdict = (__u16)verdict;
		traced->service = service;
		traced->out_length = fl_trace_copy(ctx, traced->out);
		if ((__s64)fl_load64(&trace->left) <= 0 ||
		    bpf_ringbuf_output(&fl_traced, traced, sizeof(*traced), 0))
			__sync_fetch_and_add(&trace->missed, 1);
		else
			__sync_fetch_and_sub(&trace->left, 1);
	}
	traced->time_ns = 0;
}
