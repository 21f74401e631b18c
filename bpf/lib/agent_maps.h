/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The maps of a backend's agent.
 */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "fairlead/abi/config.h"
#include "fairlead/abi/maps.h"
#include "fairlead/abi/verdict.h"

const volatile struct fl_agent_config fl_agent_config = {};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FL_AGENT_MAX_VIPS);
	__type(key, struct fl_service_key);
	__type(value, struct fl_vip);
} fl_vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FL_AGENT_MAX_PEERS);
	__type(key, struct fl_peer_key);
	__type(value, struct fl_peer);
} fl_peers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FL_AGENT_MAX_SOURCES);
	__uint(key_size, 16);
	__type(value, __u32);
} fl_sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FL_MAX_VERDICTS);
	__type(key, __u32);
	__type(value, __u64);
} fl_averdicts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_agent_state);
} fl_state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FL_AGENT_LEARNED);
	__type(key, __u32);
	__type(value, struct fl_learned);
} fl_learned SEC(".maps");
