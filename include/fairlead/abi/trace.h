/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What `fairlead trace` asks of the packet path, and what it is told. Two maps, which are not
 * pinned: they hold nothing that a daemon would want to find.
 *
 *   fl_trace     array    fl_trace, one entry, mmapable   written by the daemon, but for left and
 *                                                          missed
 *   fl_traced    ring     fl_traced                        kernel
 *   fl_trace_cpu per-CPU  fl_traced, one entry             kernel; a packet that is under way
 */
#pragma once

#include "fairlead/abi/types.h"

#define FL_TRACE_ANY_VERDICT 0xffffu
#define FL_TRACE_SNAP	     256u	/* bytes of a packet that are told */
#define FL_TRACE_RING	     (1u << 20) /* bytes; about 1,800 packets */

struct fl_trace {
	/* bpf_ktime_get_coarse_ns() until which packets are traced; 0: none are. A daemon that is
	 * gone does not renew it. */
	__u64 until;
	/* Packets that may still be told before the daemon adds to it. Taken by atomic
	 * subtraction; CPUs that come at once may take a few more. */
	__u64 left;
	__u64 missed; /* matching packets that were not told: none left, or the ring full */
	/* Addresses match where their bits in the mask agree. */
	__u32 client[4];
	__u32 client_mask[4];
	__u32 address[4];
	__u32 address_mask[4];
	__be16 client_port; /* 0: any */
	__be16 port;	    /* 0: any */
	__u16 service;	    /* id; 0: any, and packets for no service */
	__u16 verdict;	    /* enum fl_lb_verdict, or FL_TRACE_ANY_VERDICT */
	__u32 reserved[8];
};
FL_STATIC_ASSERT(sizeof(struct fl_trace) == 128, "two cache lines");

/* A packet as it came and as it went. Frames begin with their Ethernet header. */
struct fl_traced {
	__u64 time_ns; /* CLOCK_MONOTONIC, when it came */
	__u32 ingress; /* interface index */
	__u32 egress;  /* 0: where it came from */
	__u16 verdict;
	__u16 service;	  /* id; 0: for none */
	__u16 in_length;  /* of the frame; FL_TRACE_SNAP bytes of it are here at most */
	__u16 out_length; /* as it was when the verdict fell: what is sent, passed on or dropped */
	__u8 in[FL_TRACE_SNAP];
	__u8 out[FL_TRACE_SNAP];
};
FL_STATIC_ASSERT(sizeof(struct fl_traced) == 24 + 2 * FL_TRACE_SNAP, "no padding");
