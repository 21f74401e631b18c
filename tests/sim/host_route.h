/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The packet path's choice on the host: bpf/lib/route.h as it is, with the
 * shared tables of one simulated LB host as plain memory. One thread.
 */
#pragma once

#include "fairlead/abi/flow_slot.h"
#include "fairlead/abi/maps.h"
#include "fairlead/abi/row.h"
#include "fairlead/abi/stats.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Tables of an LB host, borrowed; indices are checked against the sizes. */
struct fl_host_tables {
  const struct fl_row* rows;
  struct fl_backend* backends; /* as many as `load` */
  struct fl_load* load;
  struct fl_bucket* flows;
  struct fl_service_stats* service; /* of every service */
  __u32 row_count;
  __u32 backend_count;
  __u32 flow_bucket_mask;
  struct fl_timeouts timeouts;
};

struct fl_host_segment {
  __be32 client;
  __be16 client_port;
  __be32 address; /* of the service */
  __be16 port;
  __u8 tcp_flags;
};

struct fl_host_verdict {
  int verdict; /* enum fl_lb_verdict */
  __u16 target;
  __u16 row;
};

/* What the packet path does with `segment` at `now_ns`. */
struct fl_host_verdict fl_host_route(const struct fl_host_tables* tables,
                                     const struct fl_service* service,
                                     const struct fl_host_segment* segment,
                                     __u64 now_ns);

#ifdef __cplusplus
}
#endif
