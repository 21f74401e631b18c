/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What a benchmark tells the trampolines before a run; the one value of the map
 * fl_bench.
 */
#pragma once

#include "fairlead/abi/types.h"

/* Which flow the next packet belongs to. */
enum fl_bench_order {
  FL_BENCH_FIXED = 0,  /* always `first` */
  FL_BENCH_SERIAL = 1, /* first, first + 1, ... */
  FL_BENCH_RANDOM = 2, /* any of first .. first + flows - 1, uniformly */
};

/* What fl_restore brings back: outer headers of either family with a hop list,
 * which are up to 98 bytes. */
#define FL_BENCH_HEAD 112

struct fl_bench {
  __u64 packets; /* sent so far; counted by the trampoline */
  __u32 length;  /* of the frame as it is to be received */
  __u32 is_ipv6;
  __u32 order; /* enum fl_bench_order */
  __u32 first;
  __u32 flows;
  __u32 service_mask; /* services - 1: a flow is of the service at port
                         first_port + (flow & service_mask) */
  __u32 first_port;
  __u8 head[FL_BENCH_HEAD]; /* the frame as it is to be received */
};
FL_STATIC_ASSERT(sizeof(struct fl_bench) == 152, "no padding");

/* What fl_sink has seen; one CPU only writes it. Every so many frames it looks
 * at the clock, in nanoseconds since boot. */
#define FL_BENCH_STAMP 64

struct fl_bench_sink {
  __u64 frames;
  __u64 bytes;
  __u64 first; /* at frame 0 */
  __u64 last;
};

/* Flow number `flow`: client 203.0.113.(flow >> 16) or 2001:db8::(flow >> 16),
 * port flow & 0xffff. */
#define FL_BENCH_NETWORK4 0xcb007100u
#define FL_BENCH_MAX_FLOWS (1u << 24)
