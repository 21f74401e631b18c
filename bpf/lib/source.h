/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Who may open connections to a service. Only SYNs are asked: whatever is established goes on,
 * whether it is recorded here or not.
 */
#pragma once

#include "lib/address.h"
#include "lib/conns.h"
#include "lib/flow_table.h"
#include "lib/parse.h"
#include "lib/rate.h"

#define FL_SERVICE_GUARDED (FL_SERVICE_LISTED | FL_SERVICE_LIMITED | FL_SERVICE_CONNS)

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

static __always_inline __u64 fl_conn_key_of(const struct fl_packet *packet,
					    const struct fl_service *service)
{
	const __u64 *hash_key = (const __u64 *)fl_rodata(fl_config.hash_key);

	return fl_conn_key(hash_key, service->id, packet->client,
			   fl_service_conns_bits(service, packet->is_ipv4));
}

/* Has the client's source as many connections as it may? Global: see flow_table.h. */
__noinline int fl_is_over_conns(const struct fl_packet *packet, const struct fl_service *service)
{
	struct fl_source_stats *stats;
	struct fl_conn_set *set;
	__u32 index;
	__u64 key;

	if (!packet || !service)
		return 0;
	key = fl_conn_key_of(packet, service);
	index = fl_conn_set_of(key, fl_config.conn_set_mask);
	set = bpf_map_lookup_elem(&fl_source_conns, &index);
	if (!set || fl_conns_of(set, key) < fl_service_conns(service))
		return 0;
	index = service->id;
	stats = bpf_map_lookup_elem(&fl_src_stats, &index);
	if (stats)
		stats->over_conns += 1;
	return 1;
}

/* What a flow of the client's is to be charged with; 0: nothing. */
static __always_inline __u32 fl_take_charge(const struct fl_packet *packet,
					    const struct fl_service *service)
{
	__u64 key = fl_conn_key_of(packet, service);
	__u32 index = fl_conn_set_of(key, fl_config.conn_set_mask);
	struct fl_conn_set *set = bpf_map_lookup_elem(&fl_source_conns, &index);
	struct fl_source_stats *stats;
	__u32 place;

	if (!set)
		return 0;
	place = fl_conns_take(set, key);
	if (place < FL_CONN_SET)
		return index * FL_CONN_SET + place + 1;
	index = service->id;
	stats = bpf_map_lookup_elem(&fl_src_stats, &index);
	if (stats)
		stats->uncounted += 1;
	return 0;
}

static __always_inline void fl_give_charge(__u32 charge)
{
	__u32 index = (charge - 1) / FL_CONN_SET;
	struct fl_conn_set *set;

	if (!charge)
		return;
	set = bpf_map_lookup_elem(&fl_source_conns, &index);
	if (set)
		fl_conns_give(&set->words[fl_masked(charge - 1, FL_CONN_SET - 1)]);
}

/*
 * The flow has just been recorded, or its record is a new connection's: it is charged to its
 * source, if the service asks for that, and what the slot was charged with goes back. A record that
 * is in the old table stays as it is. Global: see flow_table.h.
 */
__noinline int fl_charge_flow(const struct fl_packet *packet, const struct fl_service *service,
			      __u64 hash)
{
	__u32 position = 0, matches, index, charge = 0;
	struct fl_flow_charges *charges;
	struct fl_buckets buckets;

	if (!packet || !service || !fl_buckets_of(hash, &buckets))
		return 0;
	for (__u32 i = FL_POSITIONS; i-- > 0;) {
		matches = fl_slot_matches(fl_slot_at(&buckets, i), hash);
		position = fl_select(matches, i + 1, position);
	}
	if (!position)
		return 0;
	position--;
	index = position < FL_BUCKET_SLOTS ? fl_bucket_first(hash, fl_config.flow_bucket_mask)
					   : fl_bucket_second(hash, fl_config.flow_bucket_mask);
	charges = bpf_map_lookup_elem(&fl_flow_sources, &index);
	if (!charges)
		return 0;
	if (service->flags & FL_SERVICE_CONNS)
		charge = fl_take_charge(packet, service);
	fl_give_charge(fl_charge_put(&charges->entries[fl_masked(position, FL_BUCKET_SLOTS - 1)],
				     fl_slot_at(&buckets, fl_masked(position, FL_POSITIONS - 1)),
				     hash, charge));
	return 0;
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
	if (fl_config.conn_set_mask && service->flags & FL_SERVICE_CONNS && !lives &&
	    fl_is_over_conns(packet, service))
		return FL_LB_DROP_SOURCE_CONNS;
	if (service->flags & FL_SERVICE_LIMITED && !lives && fl_is_over_rate(packet, service))
		return FL_LB_DROP_SOURCE_RATE;
	return FL_CONTINUE;
}
