/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Where a segment goes: its flow's backend if the flow is recorded, a choice if it is a SYN, and
 * otherwise everybody who may hold the connection, in order.
 */
#pragma once

#include "lib/accept.h"
#include "lib/answers.h"
#include "lib/flow_table.h"
#include "lib/parse.h"
#include "lib/row.h"
#include "lib/siphash.h"
#include "lib/source.h"
#include "lib/stats.h"
#include "lib/syn_share.h"

struct fl_route {
	struct fl_hop_ids hops;
	__u64 hash;
	__u64 now;     /* ns, of the coarse monotonic clock */
	__u16 service; /* id; 0: for none */
	__u16 row;     /* number within the service */
	__u16 target;  /* who is meant to have the packet: hop 0, but for a claimed SYN */
	__u8 flags;    /* FL_WIRE_* */
	__u8 acceptors;
	int verdict;  /* what the packet gets if it can be sent there */
	__u32 limit;  /* the longest packet that fits on the way to hop 0 */
	__u32 egress; /* interface to leave by; 0: the one that it came in by */
};

static __always_inline void fl_route_to(struct fl_route *route, struct fl_row row, __u32 backend)
{
	route->target = (__u16)backend;
	route->acceptors = 1;
	route->hops = fl_hops_from((__u16)backend, fl_row_hops(row));
}

/*
 * Is `a` so much less loaded than `b` that a later candidate beats an earlier one? Load is
 * fl_load_of() / weight, compared crosswise; a margin in favour of the earlier, because a flow on
 * the first candidate pays no extra hop when the flow table is lost, and because equal counts would
 * herd.
 */
static __always_inline int fl_much_less_loaded(__u64 a_load, __u64 a_weight, __u64 b_load,
					       __u64 b_weight)
{
	return FL_CHOICE_MARGIN * (a_load + 1) * b_weight <
	       (FL_CHOICE_MARGIN - 1) * b_load * a_weight;
}

/* The connections of a backend: those of the agent's last report, and what was recorded and freed
 * here since. Flows freed since may be more than there were. */
static __always_inline __u64 fl_load_of(const struct fl_load *load)
{
	__s64 sum = (__s64)(fl_load64(&load->live) + fl_load64(&load->pending) +
			    fl_load64((const __u64 *)&load->elsewhere));

	return sum > 0 ? (__u64)sum : 0;
}

/* Behind the first hop, the candidates that take new flows too: the first may decline. They are the
 * next hops, and one more of them is if the first is no candidate. */
static __always_inline void fl_add_acceptors(struct fl_route *route, struct fl_row row)
{
	__u64 first = fl_hop(&route->hops, 0) * FL_LANES;
	__u64 behind = fl_lanes_taken(row.candidates) & fl_lanes_taken(row.candidates ^ first);
	__u32 count = fl_lanes_count(behind);

	FL_UNROLL
	for (unsigned int i = 1; i <= FL_ROW_CANDIDATES; i++) {
		__u64 takes = fl_backend_state(fl_hop(&route->hops, i)) / FL_BACKEND_ELIGIBLE & 1;

		if (i <= count)
			route->acceptors |= (__u8)(takes << i);
	}
}

/* What becomes of a candidate that has as many connections as it may. */
enum fl_when_full {
	FL_FULL_TAKES,	/* it does not matter: who is asked may have the flow already */
	FL_FULL_PASSES, /* the next one has its turn */
	FL_FULL_ENDS,	/* nobody has: a flow that is not recorded is looked for with the first */
};

#define FL_ALL_FULL	0x10000u /* no backend's id */
#define FL_CHOSEN_PACED 0x20000u /* beside the id of one that takes its flows by fl_accept() */
#define FL_CHOSEN_ID	0xffffu
FL_STATIC_ASSERT(FL_ALL_FULL >= FL_MAX_BACKENDS, "ids are below");

/* Has a backend with this `state` as many connections as it may, or been given as many of late? */
static __always_inline int fl_is_full(__u64 state, const struct fl_backend *backend,
				      const struct fl_load *load)
{
	__u64 now;

	if (!(state & (FL_BACKEND_CAPPED | FL_BACKEND_PACED)))
		return 0;
	now = bpf_ktime_get_coarse_ns();
	if (state & FL_BACKEND_CAPPED && fl_load64(&load->begun) >= fl_load64(&load->bound) &&
	    now < fl_load64(&load->bound_until))
		return 1;
	return state & FL_BACKEND_PACED && !fl_accept_may(backend, load, now);
}

/* Of a flow that nobody holds back: it has to be found again with the first eligible candidate. */
#define FL_DRAW_ANYBODY FL_DRAWS

static __always_inline __u32 fl_chosen(__u32 id, __u64 state, __u32 when_full)
{
	return when_full != FL_FULL_TAKES && state & FL_BACKEND_PACED ? id | FL_CHOSEN_PACED : id;
}

/* The eligible candidate for a new flow, which is its own to take, with FL_CHOSEN_PACED if it is
 * paced; FL_NO_BACKEND when no candidate is eligible, FL_ALL_FULL when those that are have no room.
 * `when_full`: enum fl_when_full. One that starts slowly leaves the flow to others by `draw`,
 * unless they all do. Global: see flow_table.h. */
__noinline __u32 fl_choose_eligible(__u64 candidates, __u32 choices, __u32 when_full, __u32 draw)
{
	const __u64 takes = FL_BACKEND_ELIGIBLE | FL_BACKEND_NEXT_HOP;
	__u64 best_load = 0, best_weight = 1;
	__u32 best = FL_NO_BACKEND;
	__u32 held_back = FL_NO_BACKEND;
	__u32 seen = 0;
	__u64 state;

	for (unsigned int i = 0; i < FL_ROW_CANDIDATES; i++) {
		__u32 id = fl_row_id(candidates, i);
		struct fl_backend *backend = fl_backend_at(id);
		struct fl_load *load = bpf_map_lookup_elem(&fl_load, &id);
		__u64 sum;

		if (id == FL_NO_BACKEND || seen >= choices)
			break;
		if (!backend || !load)
			continue;
		state = fl_load64(&backend->state);
		if ((state & takes) != takes)
			continue;
		if (when_full != FL_FULL_TAKES && fl_is_full(state, backend, load)) {
			if (!seen)
				best = FL_ALL_FULL;
			if (when_full == FL_FULL_ENDS)
				break;
			continue;
		}
		if (draw < state >> FL_BACKEND_HELD_SHIFT) {
			if (held_back == FL_NO_BACKEND)
				held_back = fl_chosen(id, state, when_full);
			continue;
		}
		sum = fl_load_of(load);
		if (seen == 0 ||
		    fl_much_less_loaded(sum, backend->weight, best_load, best_weight)) {
			best = fl_chosen(id, state, when_full);
			best_load = sum;
			best_weight = backend->weight;
		}
		seen++;
	}
	return seen == 0 && held_back != FL_NO_BACKEND ? held_back : best;
}

/* The backend is given a new connection: false if it has just been given its last one, by another
 * CPU. Global: see flow_table.h. */
__noinline int fl_accept(__u32 id)
{
	struct fl_backend *backend = fl_backend_at(id);
	struct fl_load *load = bpf_map_lookup_elem(&fl_load, &id);

	if (!backend || !load)
		return 1;
	return fl_accept_take(backend, load, bpf_ktime_get_coarse_ns());
}

/* It is not, after all. Global: see flow_table.h. */
__noinline int fl_accept_not(__u32 id)
{
	struct fl_backend *backend = fl_backend_at(id);
	struct fl_load *load = bpf_map_lookup_elem(&fl_load, &id);

	if (backend && load)
		fl_accept_undo(backend, load, bpf_ktime_get_coarse_ns());
	return 0;
}

/* As fl_choose_eligible(), of a flow that whoever is chosen is given. */
static __always_inline __u32 fl_choose_to_give(__u64 candidates, __u32 choices, __u32 when_full,
					       __u32 draw)
{
	__u32 chosen = fl_choose_eligible(candidates, choices, when_full, draw);

	if (!(chosen & FL_CHOSEN_PACED) || fl_accept(chosen & FL_CHOSEN_ID))
		return chosen;
	chosen = fl_choose_eligible(candidates, choices, when_full, draw);
	if (!(chosen & FL_CHOSEN_PACED) || fl_accept(chosen & FL_CHOSEN_ID))
		return chosen;
	return FL_ALL_FULL;
}

/* Dead, or out of reach from here. */
static __always_inline int fl_is_silent(__u16 backend)
{
	const __u64 silent = FL_BACKEND_DEAD | FL_BACKEND_NEXT_HOP;

	return (fl_backend_state(backend) & silent) != FL_BACKEND_NEXT_HOP;
}

/* Nobody is eligible: the first candidate that may be used then, else the first that is not silent,
 * else the first. */
__noinline __u32 fl_choose_fail_open(__u64 candidates)
{
	__u32 not_silent = FL_NO_BACKEND;

	for (unsigned int i = 0; i < FL_ROW_CANDIDATES; i++) {
		__u32 id = fl_row_id(candidates, i);

		if (id == FL_NO_BACKEND)
			break;
		if (fl_is_silent((__u16)id))
			continue;
		if (fl_backend_state(id) & FL_BACKEND_FAIL_OPEN)
			return id;
		if (not_silent == FL_NO_BACKEND)
			not_silent = id;
	}
	return not_silent != FL_NO_BACKEND ? not_silent : fl_row_id(candidates, 0);
}

static __always_inline int fl_take_share(const struct fl_service *service)
{
	if (!(service->syn_fair | service->syn_limit))
		return FL_SYN_UNBOUND;
	return fl_syn_take(service->id, service->syn_fair, service->syn_limit);
}

/* Nobody has room. The client's next SYN may find some, unless its service wants it told: then it
 * is, at the rate of answers. Global: see flow_table.h. */
__noinline int fl_refuse_full(const struct fl_packet *packet, const struct fl_service *service)
{
	struct fl_source_stats *stats;
	__u32 id;

	if (!packet || !service)
		return FL_LB_DROP_INTERNAL;
	id = service->id;
	stats = bpf_map_lookup_elem(&fl_src_stats, &id);
	if (stats)
		stats->full += 1;
	if (service->flags & FL_SERVICE_SHED_RESET && fl_is_one_host(packet) &&
	    fl_may_answer(id, FL_ANSWER_RESET))
		return FL_LB_TX_SYN_REFUSED;
	return FL_LB_DROP_FULL;
}

/* Of a flow that will not be recorded: where a segment of it looks first, and without a hop list
 * looks at all. */
static __always_inline __u32 fl_choose_first(const struct fl_service *service, __u64 candidates)
{
	return fl_choose_to_give(candidates, 1,
				 service->encap == FL_ENCAP_GUE ? FL_FULL_PASSES : FL_FULL_ENDS,
				 FL_DRAW_ANYBODY);
}

/* What will not be recorded has to be found again, and so has what may soon be displaced, where
 * there is no hop list. */
static __always_inline __u32 fl_choose_new(const struct fl_service *service, int share,
					   __u64 candidates, __u32 draw)
{
	int may_be_lost =
		share == FL_SYN_OVER || (share == FL_SYN_CROWD && service->encap != FL_ENCAP_GUE);

#ifdef FL_MUTATE_UNRECORDED
	may_be_lost = 0;
#endif
	if (may_be_lost)
		return fl_choose_first(service, candidates);
	return fl_choose_to_give(candidates, service->choices, FL_FULL_PASSES, draw);
}

/* A SYN whose tuple nobody has recorded. */
static __always_inline int fl_route_new(struct fl_route *route, struct fl_row row,
					const struct fl_packet *packet,
					const struct fl_service *service, __u32 draw)
{
	int share = fl_take_share(service);
	__u32 chosen = fl_choose_new(service, share, row.candidates, draw);
	int is_paced = chosen & FL_CHOSEN_PACED;
	__u32 recorded;

	if (chosen == FL_ALL_FULL)
		return fl_refuse_full(packet, service);
	chosen &= FL_CHOSEN_ID;
	if (chosen == FL_NO_BACKEND) {
		chosen = fl_choose_fail_open(row.candidates);
		if (chosen == FL_NO_BACKEND)
			return FL_LB_DROP_NO_BACKEND;
		fl_count_fail_open(service->id);
	}
	if (share == FL_SYN_OVER) {
		fl_route_to(route, row, chosen);
		fl_add_acceptors(route, row);
		return FL_LB_TX_SYN_OVER_BUDGET;
	}
	recorded = fl_flow_insert(route->hash, chosen, share == FL_SYN_FAIR ? FL_SLOT_FAIR : 0);
	if (is_paced && recorded != chosen)
		fl_accept_not(chosen);
	if (recorded == FL_NO_BACKEND) {
		recorded = fl_choose_first(service, row.candidates);
		if (recorded == FL_ALL_FULL)
			return fl_refuse_full(packet, service);
		recorded &= FL_CHOSEN_ID;
		fl_route_to(route, row, recorded != FL_NO_BACKEND ? recorded : chosen);
		fl_add_acceptors(route, row);
		return FL_LB_TX_SYN_UNRECORDED;
	}
	fl_route_to(route, row, recorded);
	fl_add_acceptors(route, row);
	return recorded == chosen ? FL_LB_TX_SYN_NEW : FL_LB_TX_SYN_AGAIN;
}

/* The record, if it is still `word0`, is the chosen backend's, as a new flow's. */
static __always_inline int fl_route_syn_moved(struct fl_route *route, __u64 word0,
					      struct fl_row row, __u32 chosen)
{
	fl_flow_move(word0, chosen);
	fl_route_to(route, row, chosen);
	fl_add_acceptors(route, row);
	return FL_LB_TX_SYN_NEW;
}

/* The agentless backend of a flow that has ended, whose tuple is used again, has no room for it. It
 * may not go elsewhere: nobody can tell whether the flow has ended there too. Global: see
 * flow_table.h. */
__noinline int fl_has_no_room_again(__u32 id)
{
	struct fl_backend *backend = fl_backend_at(id);
	struct fl_load *load = bpf_map_lookup_elem(&fl_load, &id);
	__u64 state;

	if (!backend || !load)
		return 0;
	state = fl_load64(&backend->state);
	if (!(state & FL_BACKEND_ELIGIBLE))
		return 0;
	if (fl_is_full(state, backend, load))
		return 1;
	return state & FL_BACKEND_PACED &&
	       !fl_accept_take(backend, load, bpf_ktime_get_coarse_ns());
}

/*
 * A SYN for a recorded tuple. Where its backend takes new flows, it stays: a retransmission, which
 * needs no room that its flow does not have. A flow that has ended is a new choice, for its tuple
 * is used again; and so is one whose backend takes no new flows. Then a backend with an agent gets
 * the SYN first and keeps it only if it holds the connection; the newly chosen one is next in the
 * list. The record moves to the choice unless the flow goes on: a SYN can be forged. Without an
 * agent there is nobody to ask, so that an ended flow stays where it was as long as it can. One
 * that is silent cannot be asked either; there the hop list will find the connection if it goes on
 * after all.
 */
static __always_inline int fl_route_syn_again(struct fl_route *route, __u64 word0,
					      struct fl_row row, const struct fl_packet *packet,
					      const struct fl_service *service, __u32 draw)
{
	__u32 backend = fl_slot_backend(word0);
	__u64 state = fl_backend_state(backend);
	int has_agent = !!(state & FL_BACKEND_AGENT);
	int ended = fl_flow_has_ended(word0);
	int goes_on = !ended && fl_slot_state(word0) != FL_SLOT_EMBRYONIC &&
		      fl_slot_state(word0) != FL_SLOT_EXPIRING_PENDING;
	__u32 chosen = FL_NO_BACKEND;

	if (goes_on && !has_agent)
		chosen = backend;
	else if (goes_on && !(state & FL_BACKEND_ELIGIBLE))
		chosen = fl_choose_eligible(row.candidates, service->choices, FL_FULL_PASSES, draw);
	else if (!(state & FL_BACKEND_ELIGIBLE) || (ended && has_agent))
		chosen = fl_choose_to_give(row.candidates, service->choices, FL_FULL_PASSES, draw);
	else if (ended && fl_has_no_room_again(backend))
		chosen = FL_ALL_FULL;
	if (chosen == FL_ALL_FULL && ended)
		return fl_refuse_full(packet, service);
	chosen = chosen == FL_NO_BACKEND || chosen == FL_ALL_FULL ? backend : chosen & FL_CHOSEN_ID;
	if (chosen == backend && ended)
		return fl_route_syn_moved(route, word0, row, backend);
	if (chosen == backend) {
		fl_flow_syn(route->hash, packet->tcp_flags, fl_tick_at(route->now));
		fl_route_to(route, row, backend);
		fl_add_acceptors(route, row);
		return FL_LB_TX_SYN_AGAIN;
	}
	if (!has_agent || fl_is_silent((__u16)backend))
		return fl_route_syn_moved(route, word0, row, chosen);
	if (!goes_on)
		fl_flow_move(word0, chosen);
	fl_route_to(route, row, chosen);
	route->hops = fl_hops_from((__u16)backend, route->hops);
	route->acceptors = 1 << 1;
	route->flags |= FL_WIRE_CLAIM0;
	return FL_LB_TX_SYN_CLAIM;
}

/* Those that are not silent first, the others behind them, each in the row's order. */
static __always_inline struct fl_hop_ids fl_silent_last(struct fl_hop_ids members)
{
	struct fl_hop_ids hops = members;

	for (unsigned int i = FL_ROW_MEMBERS; i-- > 0;) {
		__u16 id = fl_hop(&members, i);

		if (id != FL_NO_BACKEND && !fl_is_silent(id))
			hops = fl_hops_from(id, hops);
	}
	return hops;
}

/*
 * A segment of a flow that is not recorded here: first where an unrecorded SYN went, then every
 * other member, those believed silent last. None is left out: only the backends know where the
 * connection lives.
 */
static __always_inline int fl_route_miss(struct fl_route *route, struct fl_row row)
{
#ifdef FL_MUTATE_FULL_MISS
	__u32 first = fl_choose_eligible(row.candidates, 1, FL_FULL_PASSES, FL_DRAW_ANYBODY);
#else
	__u32 first = fl_choose_eligible(row.candidates, 1, FL_FULL_TAKES, FL_DRAW_ANYBODY);
#endif

	route->hops = fl_silent_last(fl_row_hops(row));
	if (first != FL_NO_BACKEND)
		route->hops = fl_hops_from((__u16)first, route->hops);
	route->target = fl_hop(&route->hops, 0);
	if (route->target == FL_NO_BACKEND)
		return FL_LB_DROP_NO_BACKEND;
	return FL_LB_TX_MISS;
}

/* An ICMP error goes where a segment of its connection would, and leaves no trace: anybody can send
 * one. */
static __always_inline int fl_route_error(struct fl_route *route, struct fl_row row)
{
	__u64 word0 = fl_flow_peek(route->hash);

	if (word0)
		fl_route_to(route, row, fl_slot_backend(word0));
	else if (fl_route_miss(route, row) == FL_LB_DROP_NO_BACKEND)
		return FL_LB_DROP_NO_BACKEND;
	return FL_LB_TX_ICMP_ERROR;
}

static __always_inline int fl_route_segment(const struct fl_packet *packet,
					    const struct fl_service *service,
					    struct fl_route *route)
{
	const __u64 *key = (const __u64 *)fl_rodata(fl_config.hash_key);
	int is_syn = fl_tcp_is_syn(packet->tcp_flags);
	struct fl_row *shared;
	struct fl_row row;
	__u64 row_hash, word0;
	__u32 index;
	int verdict;

	route->hash = fl_hash_tuple(key, packet->client, packet->service.address,
				    packet->client_port, packet->service.port);
	row_hash = service->policy == FL_POLICY_SOURCE ? fl_hash_source(key, packet->client)
						       : route->hash;
	route->now = bpf_ktime_get_coarse_ns();
	route->row = (__u16)fl_row_of(row_hash, service->row_mask);
	index = service->rows_base + route->row;
	shared = bpf_map_lookup_elem(&fl_rows, &index);
	if (!shared)
		return FL_LB_DROP_INTERNAL;
	row = fl_row_read(shared);
	if (packet->is_error)
		return fl_route_error(route, row);
	word0 = is_syn ? fl_flow_peek(route->hash)
		       : fl_flow_segment(route->hash, packet->tcp_flags, fl_tick_at(route->now));
	if (is_syn && service->flags & FL_SERVICE_GUARDED) {
		verdict = fl_admit_syn(packet, service, word0);
		if (verdict != FL_CONTINUE)
			return verdict;
	}
	if (is_syn) {
		__u32 draw = fl_draw_of(row_hash);

		verdict = word0 ? fl_route_syn_again(route, word0, row, packet, service, draw)
				: fl_route_new(route, row, packet, service, draw);
		if (fl_config.conn_set_mask &&
		    (verdict == FL_LB_TX_SYN_NEW || verdict == FL_LB_TX_SYN_CLAIM))
			fl_charge_flow(packet, service, route->hash);
		return verdict;
	}
	if (!word0) {
		route->flags |= FL_WIRE_LEARN;
		return fl_route_miss(route, row);
	}
	fl_route_to(route, row, fl_slot_backend(word0));
	return FL_LB_TX_HIT;
}

/* Step: fills `route`. */
static __always_inline int fl_find_route(const struct fl_packet *packet,
					 const struct fl_service *service, struct fl_route *route)
{
	route->verdict = fl_route_segment(packet, service, route);
	return fl_hop(&route->hops, 0) != FL_NO_BACKEND ? FL_CONTINUE : route->verdict;
}
