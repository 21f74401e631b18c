/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Every size that is fixed, and the bounds of every size that is configured. FL_ABI_VERSION is part
 * of the pin path: it changes whenever the meaning or the shape of a pinned map changes, so that
 * two layouts never share a folder.
 */
#pragma once

#include "fairlead/abi/types.h"

#define FL_ABI_VERSION 5

/* Room for the verdicts of a program, so that a new one does not change the shape of a map. */
#define FL_MAX_VERDICTS 64

/* One value in maps, rows and on the wire: no backend. */
#define FL_NO_BACKEND	 0u
#define FL_MAX_BACKENDS	 65536u	    /* ids 1..65535 */
#define FL_MAX_SERVICES	 65536u	    /* ids 1..65535 */
#define FL_MAX_ROWS	 (1u << 26) /* of all services together */
#define FL_MIN_ROW_COUNT 256u	    /* of one service */
#define FL_MAX_ROW_COUNT 65536u
/* A service takes rows / this many backends at most, so that each has its share of rows. */
#define FL_ROWS_PER_BACKEND    64u
#define FL_MAX_FLOW_BUCKETS    (1u << 26)
#define FL_MAX_SOURCES	       (1u << 24)
#define FL_MAX_COUNTED_SOURCES (1u << 20)
#define FL_MAX_PREFIXES	       (1u << 17) /* of all services together */
#define FL_MAX_EGRESS	       1024u	  /* interfaces that next hops are behind */

#define FL_ROW_CANDIDATES      4
#define FL_ROW_OWNERS	       3
#define FL_ROW_MEMBERS	       (FL_ROW_CANDIDATES + FL_ROW_OWNERS)

#define FL_MAX_WEIGHT	       256
/* A later candidate takes a new flow only if it is less loaded by more than 1/this. */
#define FL_CHOICE_MARGIN 64
#define FL_MAX_CHOICES	 FL_ROW_CANDIDATES
