/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Who may open connections to a service. Only SYNs are asked: whatever is established goes on,
 * whether it is recorded here or not.
 */
#pragma once

#include "lib/address.h"
#include "lib/flow_table.h"
#include "lib/parse.h"
#include "lib/rate.h"

#define FL_SERVICE_GUARDED (FL_SERVICE_LISTED | FL_SERVICE_LIMITED)

static __always_inline int fl_is_embryonic(__u64 word0)
{
	unsigned int state = fl_slot_state(word0);

	return state == FL_SLOT_EMBRYONIC || state == FL_SLOT_EXPIRING_PENDING;
}

/* Do the service's lists refuse the client? */
static __always_inline int fl_is_denied(const struct fl_packet *packet,
					const struct fl_service *service)
{
	struct fl_prefix_key key = {
		.bits = FL_PREFIX_SERVICE_BITS + 8 * sizeof(key.address),
		.service = service->id,
		.list = service->list,
	};
	const __u32 *found;

	fl_copy_address(key.address, packet->client);
	found = bpf_map_lookup_elem(&fl_prefixes, &key);
	if (!found)
		return service->flags & FL_SERVICE_ALLOW_ONLY;
	return *found == FL_PREFIX_DENY;
}

static __always_inline void fl_count_over_rate(__u32 service)
{
	struct fl_source_stats *stats = bpf_map_lookup_elem(&fl_src_stats, &service);

	if (stats)
		stats->over_rate += 1;
}

/* Has the client's source opened as many connections as it may? If not, this is one more. Global:
 * see flow_table.h. */
__noinline int fl_is_over_rate(const struct fl_packet *packet, const struct fl_service *service)
{
	const __u64 *hash_key = (const __u64 *)fl_rodata(fl_config.hash_key);
	struct fl_rate_set *set;
	__u32 index;
	__u64 *word;
	__u64 limit, key;

	if (!packet || !service)
		return 0;
	index = service->id;
	word = bpf_map_lookup_elem(&fl_limits, &index);
	limit = word ? fl_load64(word) : 0;
	if (!limit)
		return 0;
	key = fl_rate_key(hash_key, service->id, packet->client,
			  fl_limit_bits(limit, packet->is_ipv4));
	index = (__u32)(key >> 32) & fl_config.rate_set_mask;
	set = bpf_map_lookup_elem(&fl_rates, &index);
	if (!set || fl_rate_take(set, key, bpf_ktime_get_coarse_ns() >> FL_RATE_SHIFT, limit))
		return 0;
	fl_count_over_rate(service->id);
	return 1;
}

/*
 * A SYN for a service that does not take them from everybody: FL_CONTINUE, or the verdict that
 * refuses it. A connection that lives keeps its right to SYNs: they are its own stack's business,
 * and anybody can forge one. `word0` is that of its record; 0: there is none. Global: see
 * flow_table.h.
 */
__noinline int fl_admit_syn(const struct fl_packet *packet, const struct fl_service *service,
			    __u64 word0)
{
	int lives;

	if (!packet || !service)
		return FL_LB_DROP_INTERNAL;
	lives = word0 && !fl_flow_has_ended(word0);
	if (lives && !fl_is_embryonic(word0))
		return FL_CONTINUE;
	if (service->flags & FL_SERVICE_LISTED && fl_is_denied(packet, service))
		return FL_LB_DROP_DENIED;
	if (service->flags & FL_SERVICE_LIMITED && !lives && fl_is_over_rate(packet, service))
		return FL_LB_DROP_SOURCE_RATE;
	return FL_CONTINUE;
}
