/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Who may open connections to a service. Only SYNs are asked: whatever is established goes on,
 * whether it is recorded here or not.
 */
#pragma once

#include "lib/address.h"
#include "lib/flow_table.h"
#include "lib/parse.h"

#define FL_SERVICE_GUARDED FL_SERVICE_LISTED

/*
 * A connection that lives keeps its right to SYNs: they are its own stack's business, and anybody
 * can forge one. `word0` is that of its record; 0: there is none.
 */
static __always_inline int fl_is_established(__u64 word0)
{
	unsigned int state = fl_slot_state(word0);

	if (!word0 || state == FL_SLOT_EMBRYONIC || state == FL_SLOT_EXPIRING_PENDING)
		return 0;
	return !fl_flow_has_ended(word0);
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

/*
 * A SYN for a service that does not take them from everybody: FL_CONTINUE, or the verdict that
 * refuses it. Global: see flow_table.h.
 */
__noinline int fl_admit_syn(const struct fl_packet *packet, const struct fl_service *service,
			    __u64 word0)
{
	if (!packet || !service)
		return FL_LB_DROP_INTERNAL;
	if (fl_is_established(word0))
		return FL_CONTINUE;
	if (service->flags & FL_SERVICE_LISTED && fl_is_denied(packet, service))
		return FL_LB_DROP_DENIED;
	return FL_CONTINUE;
}
