/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Health checks through the data path: what the daemon, whose socket connects to the VIP, and the
 * program on the way out of the host (fl_probe) say to each other. Nothing of it is pinned, and
 * nothing of it is on the wire.
 *
 * fl_prb_verdicts  per-CPU array of u64 by fl_probe_verdict             kernel
 * fl_prb_sent      array   u64 by backend id: segments sent, mmapable   kernel
 * fl_prb_flows     LRU     hash of the tuple -> u32, the backend's id   kernel
 */
#pragma once

#include "fairlead/abi/types.h"

/*
 * The mark of a check's socket: this, and the backend's id in the lower half. With no id, 0, it is
 * what the packet has once it is on its way: it may pass the program again, on another interface.
 */
#define FL_PROBE_MARK	   0xf1ea0000u
#define FL_PROBE_MARK_MASK 0xffff0000u

/* Connections whose backend is remembered, per line of fl_backends: for segments that their socket
 * has not sent, and which have no mark. */
#define FL_PROBE_FLOWS_PER_BACKEND 4u
