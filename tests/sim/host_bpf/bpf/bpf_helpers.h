/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * In place of libbpf's header of this name: what bpf/lib asks of it, on the
 * host. Whoever includes it defines the two helpers.
 */
#pragma once

#include <linux/types.h>

#define SEC(name)
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value)* name
#define __noinline __attribute__((noinline))

static void* bpf_map_lookup_elem(void* map, const void* key);
static __u64 bpf_ktime_get_coarse_ns(void);
