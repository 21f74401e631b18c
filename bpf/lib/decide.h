/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What becomes of an encapsulated packet here: delivered, handed on along its hop list, or dropped.
 * (Rules A2 and A4 to A7 of docs/WIRE.md.)
 */
#pragma once

#include "lib/claim.h"
#include "lib/learn.h"

/*
 * Moves the packet's index to the next hop that can be reached from here. One that cannot be is
 * left out, or the connections of all that come after it would wait for it: it may have left the
 * service a moment ago, or its host may be gone. But it could not say whether it has the
 * connection. This host can, under whichever of its ids.
 */
static __always_inline int fl_seek_hop(struct fl_tunnel *tunnel)
{
	for (unsigned int i = 0; i < FL_WIRE_HOPS; i++) {
		if (tunnel->hops.index + 1 >= tunnel->hops.count)
			return 0;
		tunnel->hops.index++;
		if (fl_reachable_peer(&tunnel->hops))
			return 1;
		if (!fl_is_self(&tunnel->hops))
			tunnel->hops.flags &= ~FL_WIRE_SETTLED;
	}
	return 0;
}

static __always_inline int fl_is_acceptor(const struct fl_hops *hops)
{
	return hops->acceptors >> (hops->index & (FL_WIRE_HOPS - 1)) & 1;
}

/*
 * A backend that was deleted and added again has two ids, which may follow each other. Then its
 * host is asked for both at once: it could not hand the SYN on to itself.
 */
static __always_inline int fl_is_acceptor_here(struct fl_tunnel *tunnel)
{
	struct fl_hops hops = tunnel->hops;

	for (unsigned int i = 0; i < FL_WIRE_HOPS; i++) {
		if (fl_is_acceptor(&hops)) {
			tunnel->hops.index = hops.index;
			return 1;
		}
		if (++hops.index >= hops.count || !fl_is_self(&hops))
			break;
	}
	return 0;
}

/* Does this host want no new connections? */
static __always_inline int fl_declines(void)
{
	__u32 zero = 0;
	struct fl_agent_state *state = bpf_map_lookup_elem(&fl_state, &zero);

	return state && fl_load64(&state->flags) & (FL_AGENT_DRAINING | FL_AGENT_HOT);
}

/* The next acceptor that can be reached; 0, and nothing has moved, if there is none. */
static __always_inline int fl_seek_acceptor(struct fl_tunnel *tunnel)
{
	struct fl_hops hops = tunnel->hops;

	for (unsigned int i = 0; i < FL_WIRE_HOPS; i++) {
		if (!fl_seek_hop(tunnel))
			break;
		if (fl_is_acceptor(&tunnel->hops))
			return 1;
	}
	tunnel->hops = hops;
	return 0;
}

/* A SYN is for an acceptor. Any other hop keeps it only if it has the connection, or half of it;
 * and so does an acceptor that would rather have none, while another one is left. */
static __always_inline int fl_decide_syn(struct xdp_md *ctx, struct fl_tunnel *tunnel)
{
	int is_acceptor = fl_is_acceptor_here(tunnel);
	enum fl_claim claim;

	if (is_acceptor && !fl_declines())
		return FL_AGENT_PASS_SYN;
	claim = fl_claim_of(ctx, tunnel);
	if (claim == FL_CLAIM_STRONG || claim == FL_CLAIM_PENDING || claim == FL_CLAIM_OTHER)
		return FL_AGENT_PASS_SYN_CLAIM;
	if (is_acceptor)
		return fl_seek_acceptor(tunnel) ? FL_AGENT_TX_NEXT_HOP : FL_AGENT_PASS_SYN;
	return fl_seek_hop(tunnel) ? FL_AGENT_TX_NEXT_HOP : FL_AGENT_DROP_NOBODY;
}

/*
 * A socket that may be meant, though the segment misses its windows: it answers with an
 * acknowledgement at most. Not so a request socket, whose answer is a reset; and a forged SYN is
 * all it takes to have one.
 */
static __always_inline int fl_is_weak(enum fl_claim claim)
{
	return claim == FL_CLAIM_OTHER || claim == FL_CLAIM_OLD;
}

/* The end of the list, and no hop has a strong claim. `self` is this host's place in it. */
static __always_inline int fl_decide_last(struct fl_tunnel *tunnel, __u8 self)
{
	if (tunnel->hops.weak == self)
		return FL_AGENT_PASS_WEAK;
#ifndef FL_MUTATE_A6
	if (tunnel->hops.weak != FL_WIRE_NO_WEAK) {
		tunnel->hops.flags |= FL_WIRE_FINAL;
		tunnel->hops.index = tunnel->hops.count;
		return FL_AGENT_TX_WEAK_HOP;
	}
#endif
	if (tunnel->inner.is_error)
		return FL_AGENT_DROP_NOBODY;
#ifdef FL_MUTATE_A7
	return FL_AGENT_PASS_SETTLED;
#endif
	/* A dropped segment is sent again; a reset cannot be taken back. */
	if (!(tunnel->hops.flags & FL_WIRE_SETTLED))
		return FL_AGENT_DROP_NOBODY;
	return fl_row_agrees(tunnel) ? FL_AGENT_PASS_SETTLED : FL_AGENT_DROP_SKEW;
}

/* Step: the packet's verdict. FL_AGENT_TX_* ask for it to be handed on. */
static __always_inline int fl_decide(struct xdp_md *ctx, struct fl_tunnel *tunnel)
{
	__u8 self = tunnel->hops.index;
	enum fl_claim claim;

	/* Without the list, a packet for nobody would be answered with a reset here. */
	if (!tunnel->has_hops)
		return tunnel->vip->flags & FL_VIP_PLAIN ? FL_AGENT_PASS_PLAIN
							 : FL_AGENT_DROP_NO_LIST;
	if (fl_tcp_is_syn(tunnel->inner.tcp_flags))
		return fl_decide_syn(ctx, tunnel);
	claim = fl_claim_of(ctx, tunnel);
	if (claim == FL_CLAIM_STRONG || claim == FL_CLAIM_COOKIE) {
		if (!tunnel->inner.is_error &&
		    (tunnel->hops.index || tunnel->hops.flags & FL_WIRE_LEARN))
			fl_learn(tunnel);
		return claim == FL_CLAIM_STRONG ? FL_AGENT_PASS_SOCKET : FL_AGENT_PASS_COOKIE;
	}
	if (tunnel->hops.flags & FL_WIRE_FINAL)
		return fl_is_weak(claim) ? FL_AGENT_PASS_WEAK : FL_AGENT_DROP_NOBODY;
	if (fl_is_weak(claim) && tunnel->hops.weak == FL_WIRE_NO_WEAK)
		tunnel->hops.weak = self;
	return fl_seek_hop(tunnel) ? FL_AGENT_TX_NEXT_HOP : fl_decide_last(tunnel, self);
}
