/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Keys and values of the pinned maps of an LB host (fl_lb) and of a backend (fl_agent). Addresses
 * are sixteen bytes in network order, IPv4 in the mapped form ::ffff:a.b.c.d, so that both families
 * share one key and one path.
 *
 * LB host   fl_services  hash    fl_service_key -> fl_service      written by the daemon
 *           fl_prefixes  trie    fl_prefix_key -> u32 (fl_prefix)  daemon
 *           fl_rows      array   fl_row, mmapable                  daemon
 *           fl_backends  array   fl_backend, mmapable              daemon
 *           fl_load      array   fl_load, mmapable                 both
 *           fl_flows     array   fl_bucket, mmapable               both
 *           fl_flow_sources  array  fl_flow_charges, mmapable      both
 *           fl_source_conns  array  fl_conn_set, mmapable          both
 *           fl_verdicts  per-CPU array of u64 by fl_lb_verdict     kernel
 *           fl_svc_stats, fl_bkd_stats  per-CPU arrays (stats.h)   kernel
 *           fl_syn_windows  array   fl_syn_window, mmapable        kernel; not pinned
 *           fl_syn_batches  per-CPU array of fl_syn_batch          kernel; not pinned
 *           fl_answered     per-CPU array of fl_answers            kernel; not pinned
 *           fl_egress    devmap  interfaces by their index         daemon; not pinned
 * Backend   fl_vips      hash    fl_service_key -> fl_vip          the agent
 *           fl_peers     hash    fl_peer_key -> fl_peer            the agent
 *           fl_sources   hash    address -> u32 (enum fl_source)   the agent
 *           fl_averdicts per-CPU array of u64 by fl_agent_verdict  kernel
 *           fl_learned   array   fl_learned, mmapable              kernel
 *           fl_sockets   array   fl_vip_sockets by vip index       the agent, the socket scan
 *           fl_owned     array   u64, the last scan that found     the socket scan
 *                                sockets of a row, mmapable
 *           fl_scan      array   fl_scan, one entry, mmapable      the agent, the socket scan
 */
#pragma once

#include "fairlead/abi/limits.h"

/* port 0, proto 0: the entry of the address itself; it exists while a service or a tombstone has
 * the address. */
struct fl_service_key {
	__u32 address[4];
	__be16 port;
	__u8 proto;
	__u8 reserved;
};
FL_STATIC_ASSERT(sizeof(struct fl_service_key) == 20, "no padding");

enum fl_policy {
	FL_POLICY_HASH = 0,   /* row by the whole tuple */
	FL_POLICY_SOURCE = 1, /* row by the client's address */
	FL_POLICY_LEAST_CONN =
		2, /* as hash; the less loaded of the first `choices` eligible candidates */
};

/* How packets get to a backend. Only the first lists hops; the receiver of the others takes what
 * comes. */
enum fl_encap {
	FL_ENCAP_GUE = 0,	/* GUE with the hop list of wire.h */
	FL_ENCAP_GUE_PLAIN = 1, /* GUE without it */
	FL_ENCAP_IPIP = 2,	/* IPv4 or IPv6 in IPv4 or IPv6 (RFC 2003, 4213, 2473) */
	FL_ENCAP_L2 = 3,	/* nothing: as the packet came, to the MAC of the backend */
};

#define FL_SERVICE_TOMBSTONE 0x1 /* deleted: drop and count */
#define FL_SERVICE_ADDRESS                                                                         \
	0x2 /* the entry of the address itself; a tombstone if all of its services are */
#define FL_SERVICE_LISTED     0x4  /* fl_prefixes says who may open connections */
#define FL_SERVICE_ALLOW_ONLY 0x8  /* and who is in none of them may not */
#define FL_SERVICE_LIMITED    0x10 /* fl_limits says how many of them */
#define FL_SERVICE_CONNS      0x20 /* source_conns says how many a source may have */
#define FL_SERVICE_SHED_RESET 0x40 /* who finds no room is told so, not dropped */

struct fl_service {
	__u16 id; /* of an address: that of one of its services */
	__u8 flags;
	__u8 policy;	   /* enum fl_policy */
	__u8 choices;	   /* 1..FL_MAX_CHOICES */
	__u8 encap;	   /* enum fl_encap */
	__u8 list;	   /* which of its lists in fl_prefixes is in force */
	__u8 source_bits6; /* with FL_SERVICE_CONNS: of sixteen bytes, those of a source */
	__u32 rows_base;   /* first row in fl_rows */
	__u32 row_mask;	   /* rows - 1 */
	__u32 epoch;	   /* version of the tier's table; 0 until the tier has epochs */
	/* Of new flows in a tick: so many are marked FL_SLOT_FAIR, and so many are recorded at all;
	 * 0: no bound. */
	__u32 syn_fair;
	__u32 syn_limit;
	__u32 source_conns; /* bits4:8 | most:24 */
};
FL_STATIC_ASSERT(sizeof(struct fl_service) == 32, "no padding");

#define FL_MAX_SOURCE_CONNS 1000000u

static inline __u32 fl_service_conns_word(__u8 bits4, __u32 most)
{
	return (__u32)bits4 << 24 | most;
}

static inline __u32 fl_service_conns(const struct fl_service *service)
{
	return service->source_conns & 0xffffff;
}

static inline __u8 fl_service_conns_bits(const struct fl_service *service, int is_ipv4)
{
	return is_ipv4 ? (__u8)(service->source_conns >> 24) : service->source_bits6;
}

/*
 * fl_prefixes: who may open connections to a service; the longest prefix that matches decides. A
 * service has room for two lists, FL_PREFIX_LISTS, one of which its entry names: a list is changed
 * by writing the other one and then the entry, so that each packet meets the one or the other.
 */
#define FL_PREFIX_LISTS	       2u  /* numbered from 1 */
#define FL_PREFIX_SERVICE_BITS 32u /* that stand before those of the address */

struct fl_prefix_key {
	__u32 bits; /* that count, of what follows */
	__u16 service;
	__u8 list;
	__u8 reserved;
	__u32 address[4];
};
FL_STATIC_ASSERT(sizeof(struct fl_prefix_key) == 24, "no padding");

enum fl_prefix {
	FL_PREFIX_DENY = 1,
	FL_PREFIX_ALLOW = 2,
};

/*
 * fl_limits, by service id: how many connections a source may open in a second; 0: any number. One
 * word, so that one store changes it:
 *
 *   interval:24 | burst:24 | bits4:8 | bits6:8
 *
 * A source is a prefix of so many bits of the sixteen bytes. It may open `burst` at once, and one
 * more each `interval`, in units of 2^FL_RATE_SHIFT ns.
 */
#define FL_RATE_SHIFT	    6
#define FL_MAX_SOURCE_RATE  100000u  /* a second */
#define FL_MAX_SOURCE_BURST 1000000u /* both fit into 24 bits; an interval from one second down */

static inline __u64 fl_limit_word(__u32 interval, __u32 burst, __u8 bits4, __u8 bits6)
{
	return (__u64)interval << 40 | (__u64)burst << 16 | (__u64)bits4 << 8 | bits6;
}

static inline __u32 fl_limit_interval(__u64 limit)
{
	return (__u32)(limit >> 40);
}

static inline __u32 fl_limit_burst(__u64 limit)
{
	return (__u32)(limit >> 16) & 0xffffff;
}

static inline __u8 fl_limit_bits(__u64 limit, int is_ipv4)
{
	return (__u8)(is_ipv4 ? limit >> 8 : limit);
}

/*
 * fl_rates: what sources have opened of late, in sets of four that the keyed hash of service and
 * prefix chooses. `due` is when the source could open `burst` again, in the units above.
 *
 *   key                  the hash
 *   state  due:52 | check:12    lower bits of that key, so that what CPUs do to one entry at once
 *                               charges no source for another
 *
 * Memory of this program alone: it is not pinned.
 */
struct fl_rate {
	__u64 key;
	__u64 state;
};
FL_STATIC_ASSERT(sizeof(struct fl_rate) == 16, "two words");

#define FL_RATE_SET 4
struct fl_rate_set {
	struct fl_rate rates[FL_RATE_SET];
};
FL_STATIC_ASSERT(sizeof(struct fl_rate_set) == 64, "one cache line");

/* fl_backend.state: one aligned 8-byte store changes what the next SYN may do. */
#define FL_BACKEND_USED	    0x1ull /* the line describes a backend */
#define FL_BACKEND_ELIGIBLE 0x2ull /* may take new flows */
#define FL_BACKEND_FAIL_OPEN                                                                       \
	0x4ull /* may take new flows when no member is eligible: not in admin drain or maint */
#define FL_BACKEND_DEAD	    0x8ull   /* silent: last in a hop list, never removed from it */
#define FL_BACKEND_NEXT_HOP 0x10ull  /* next_hop, source and egress are valid */
#define FL_BACKEND_AGENT    0x20ull  /* an agent answers there: it honours hop lists and claims */
#define FL_BACKEND_ON_LINK  0x40ull  /* FL_ENCAP_L2: a gateway is no next hop; the daemon's */
#define FL_BACKEND_CAPPED   0x80ull  /* takes new flows only as far as its fl_load allows */
#define FL_BACKEND_PACED    0x100ull /* and no more in a second than its line allows */
/* The uppermost byte, while it starts slowly: of FL_DRAWS new flows that it might have, so many go
 * to another that takes new flows, if there is one. */
#define FL_BACKEND_HELD_SHIFT 56
#define FL_DRAWS	      256u

/* By the hash that chose the row, so that a flow, or with policy source a client, is held back
 * until the backend's share has grown to it. The row is of other bits. */
static inline __u32 fl_draw_of(__u64 row_hash)
{
	return (__u32)row_hash & (FL_DRAWS - 1);
}

/* Of a next hop: no VLAN, 0; or this and the number of one. */
#define FL_VLAN	     0x1000u
#define FL_VLAN_MASK 0xfffu

/*
 * Everything about one backend in one cache line. next_hop_mtu and source are single words, so that
 * a change of next hop is never seen half done; a packet that mixes an old source MAC with a new
 * destination MAC is harmless.
 */
struct fl_backend {
	__u64 state;
	__u32 address[4]; /* outer destination */
	__u64 next_hop;	  /* destination MAC in bytes 0..5, path MTU (u16, host order) in bytes 6..7
			   */
	__u64 source;	  /* source MAC in bytes 0..5, VLAN (u16, host order) in bytes 6..7 */
	__u32 egress;	  /* interface index; of a VLAN's: of what it is on */
	__u16 weight;	  /* for the choice between candidates: 1..256 */
	__u16 service;	  /* id */
	/* With FL_BACKEND_PACED: see fl_accept_word(). */
	__u64 accept;
	__u64 accept_until;
};
FL_STATIC_ASSERT(sizeof(struct fl_backend) == 64, "one cache line");

/*
 * fl_backend.accept: how long one new connection takes up of the backend's rate, in units of
 * 2^FL_ACCEPT_SHIFT ns; 0: none.
 *
 *   during:32 | after:32
 *
 * The first holds before `accept_until`, in bpf_ktime_get_coarse_ns(): while the backend starts
 * slowly. The second from then on, whether the daemon is there to say so or not.
 */
#define FL_ACCEPT_SHIFT	   4
#define FL_MAX_ACCEPT_RATE 1000000u /* a second */

static inline __u64 fl_accept_word(__u32 during, __u32 after)
{
	return (__u64)during << 32 | after;
}

/*
 * fl_leases, by service id: until when, in bpf_ktime_get_coarse_ns(), this host is sure to list
 * every owner of the service's flows, and its packets may say SETTLED. Renewed by the daemon while
 * it is so; a daemon that is gone lets it end.
 */

/* fl_load, by backend id. Moved by R1's winners with atomic adds. */
struct fl_load {
	__u64 live;    /* slots established or closing */
	__u64 pending; /* slots embryonic or young */
	/* What the agent counted at its last report more than this host had recorded then: what
	 * other LB hosts carry. Negative where slots outlive their connections: one that has closed
	 * stays for minutes, one that the backend reset for hours. Stored by the daemon. */
	__s64 elsewhere;
	/* Of all time: flows whose client sent a segment after its SYN. A SYN alone, which anybody
	 * can forge, does not count. */
	__u64 begun;
	/* With FL_BACKEND_CAPPED: the backend is full once `begun` is `bound`. Stored by the daemon
	 * after each count of its connections, and of no force from `bound_until`, in
	 * bpf_ktime_get_coarse_ns(), on: a daemon that is gone keeps nobody out. */
	__u64 bound;
	__u64 bound_until;
	/* With FL_BACKEND_PACED: until when the new connections that it was given take up its rate,
	 * in units of 2^FL_ACCEPT_SHIFT ns. Moved by compare-and-swap alone. */
	__u64 accept_due;
	__u64 reserved;
};
FL_STATIC_ASSERT(sizeof(struct fl_load) == 64, "one cache line");

/* fl_syn_windows, by service id: new flows of this tick that CPUs have taken to record. A line
 * each, for one service's flood must not slow others. */
struct fl_syn_window {
	__u64 word; /* tick:24 | taken:40 */
	__u64 reserved[7];
};
FL_STATIC_ASSERT(sizeof(struct fl_syn_window) == 64, "one cache line");
#define FL_SYN_TICK_SHIFT 40
#define FL_SYN_TAKEN_MASK ((1ull << FL_SYN_TICK_SHIFT) - 1)

/* fl_syn_batches, by service id: what is left of that which this CPU took last; of no worth in
 * another tick. */
struct fl_syn_batch {
	__u32 tick;
	__u32 left;
	__u32 share; /* enum fl_syn_share of bpf/lib/syn_share.h, of all that is left */
	__u32 reserved;
};
FL_STATIC_ASSERT(sizeof(struct fl_syn_batch) == 16, "no padding");

/*
 * fl_source_conns: how many connections sources have, in sets that the keyed hash of service and
 * prefix chooses, each source an entry:
 *
 *   check:40 | count:24    upper bits of that key; count 0: free for any source
 *
 * An entry that counts is nobody else's: a source that finds no place is not counted. Changed by
 * compare-and-swap alone.
 */
#define FL_CONN_SET	   8
#define FL_CONN_COUNT_BITS 24
#define FL_CONN_COUNT_MASK ((1u << FL_CONN_COUNT_BITS) - 1)
#define FL_CONN_CHECK_MASK (~0ull << FL_CONN_COUNT_BITS)
struct fl_conn_set {
	__u64 words[FL_CONN_SET];
};
FL_STATIC_ASSERT(sizeof(struct fl_conn_set) == 64, "one cache line");

/* fl_flow_sources, by bucket of fl_flows: for each slot, the entry that its flow is charged to:
 * set * FL_CONN_SET + position + 1; 0: none. */
struct fl_flow_charges {
	__u32 entries[4];
};
FL_STATIC_ASSERT(sizeof(struct fl_flow_charges) == 16, "no padding");

/* What is answered in a service's place, by ICMP and by resets, each at a rate of its own: a flood
 * of one takes nothing from another, and no service's from another's. */
enum fl_answer_kind {
	FL_ANSWER_ECHO,	   /* pings, by address */
	FL_ANSWER_REFUSAL, /* fragments, by address */
	FL_ANSWER_TOO_BIG, /* what tells clients of their path MTU, by service */
	FL_ANSWER_RESET,   /* who finds no room, by service */
	FL_ANSWER_KINDS,
};

/* fl_answered, by id * FL_ANSWER_KINDS + kind; of an address the id is that of one of its services.
 */
struct fl_answers {
	__u32 tick;
	__u32 given; /* within it */
};

/* --- agent --- */

#define FL_VIP_DISPUTED	  0x1 /* LB hosts differ about its rows: nobody's word is the newest */
#define FL_VIP_PLAIN	  0x2 /* an LB host sends its packets without a hop list */

#define FL_AGENT_DRAINING 0x1ull /* somebody here wants no new connections */
#define FL_AGENT_HOT	  0x2ull /* a listener's queue overflows */

/* fl_state, one entry: what the agent says of this backend as a whole, and remembers of it. */
struct fl_agent_state {
	__u64 flags; /* FL_AGENT_* */
	/* SYN cookies that the kernel had sent when that number was last seen to grow, and when
	 * that was, in nanoseconds since boot; 0: never. Of no meaning to packets. */
	__u64 syn_cookies;
	__u64 syn_cookie_at;
};

/* A service as the LB hosts have it. */
struct fl_vip {
	__u32 index;	/* into fl_sockets */
	__u32 row_mask; /* rows - 1 */
	__u8 policy;	/* enum fl_policy: from what a flow's row is taken */
	__u8 flags;	/* FL_VIP_* */
	__u16 reserved;
	__u32 epoch; /* the newest that an LB host has told */
};
FL_STATIC_ASSERT(sizeof(struct fl_vip) == 16, "no padding");

/* LB hosts number backends each for itself. */
struct fl_peer_key {
	__u16 lb_id;
	__u16 backend;
};
FL_STATIC_ASSERT(sizeof(struct fl_peer_key) == 4, "no padding");

#define FL_PEER_SELF	 0x1u /* the id means this host */
#define FL_PEER_NEXT_HOP 0x2u /* MACs and egress are valid */

struct fl_peer {
	__u32 address[4]; /* outer destination when a packet is handed on */
	__u32 flags;
	__u32 egress;
	__u8 destination_mac[6];
	__u8 source_mac[6];
	__u32 vlan; /* as fl_backend's */
	__u32 reserved[2];
};
FL_STATIC_ASSERT(sizeof(struct fl_peer) == 48, "no padding");

/*
 * A flow that a packet found here, though the LB host that sent it did not know: by a part of its
 * hash, a newer one overwrites. Plain stores; an entry that mixes two flows names one that is here,
 * for an LB host or service that it is not of, and is of no consequence.
 */
struct fl_learned {
	__u64 hash;
	__u16 lb_id; /* who did not know */
	__u16 reserved;
	__u32 vip;  /* fl_vip.index */
	__u32 tick; /* of the latest such packet */
	__u32 reserved2;
};
FL_STATIC_ASSERT(sizeof(struct fl_learned) == 24, "no padding");

#define FL_AGENT_LEARNED 32768u /* entries, a power of two */

/* A service in the scan under way. */
struct fl_vip_sockets {
	__u64 live;
	__u32 first_row;  /* where its row 0 is in fl_owned; the others follow */
	__u32 handshakes; /* of `live`: the client has not answered the SYN+ACK yet */
};

/* The scan under way. */
struct fl_scan {
	__u32 number;
	__u32 lost; /* sockets whose row is not in fl_owned: the scan is not complete */
};

enum fl_source {
	FL_SOURCE_LB = 1,
	FL_SOURCE_BACKEND = 2,
};

#define FL_AGENT_MAX_VIPS    4096u
#define FL_AGENT_MAX_PEERS   262144u
#define FL_AGENT_MAX_SOURCES 65536u
