/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What every program of an LB host goes by: its configuration, the services and their backends.
 * Sizes that are 1 here are set from the node config before the load.
 */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "fairlead/abi/config.h"
#include "fairlead/abi/maps.h"
#include "lib/compat.h"

const volatile struct fl_config fl_config = {};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct fl_service_key);
	__type(value, struct fl_service);
} fl_services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_backend);
} fl_backends SEC(".maps");

static __always_inline struct fl_backend *fl_backend_at(__u32 id)
{
	return bpf_map_lookup_elem(&fl_backends, &id);
}
