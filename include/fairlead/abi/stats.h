/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Counters, in per-CPU arrays of named fields; only the kernel writes them, user space sums the
 * CPUs.
 */
#pragma once

#include "fairlead/abi/types.h"

/* fl_svc_stats, by service id. */
struct fl_service_stats {
	__u64 packets;	   /* for the service, whatever their verdict */
	__u64 bytes;	   /* of those, as received, from the IP header on */
	__u64 new_flows;   /* SYNs that were given a backend */
	__u64 misses;	   /* segments of flows not recorded here */
	__u64 fail_open;   /* new flows given a backend although none was eligible */
	__u64 too_big;	   /* frag-needed and packet-too-big answers */
	__u64 over_budget; /* new flows not recorded, because the SYN budget was used up */
	__u64 denied;	   /* SYNs refused by the lists of prefixes */
};
FL_STATIC_ASSERT(sizeof(struct fl_service_stats) == 64, "one cache line");

/* fl_src_stats, by service id: connections that were refused, or not counted. */
struct fl_source_stats {
	__u64 over_rate;  /* SYNs above what a source may open in a second */
	__u64 full;	  /* SYNs for which no backend had room */
	__u64 over_conns; /* SYNs of sources that have as many connections as they may */
	__u64 uncounted;  /* connections taken although there was no room to count them */
};
FL_STATIC_ASSERT(sizeof(struct fl_source_stats) == 32, "half a cache line");

/* fl_bkd_stats, by backend id. */
struct fl_backend_stats {
	__u64 packets; /* sent to the backend as first hop; a claimed SYN counts for who was chosen
			*/
	__u64 bytes;
	__u64 new_flows;
	__u64 syn_again; /* SYNs of flows that it was given already: retransmissions */
	__u64 reserved[4];
};
FL_STATIC_ASSERT(sizeof(struct fl_backend_stats) == 64, "one cache line");
