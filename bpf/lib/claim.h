/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Does this backend have the connection? The truth is the socket. (Rules A0, A2 and A3 of
 * docs/WIRE.md, the latter without its sequence checks: any socket for the tuple but a listener is
 * taken for the connection.)
 */
#pragma once

#include "lib/tcp.h"
#include "lib/tunnel.h"

/* enum of the kernel's TCP states, of which only this one is told apart (include/net/tcp_states.h).
 */
#define FL_TCP_STATE_LISTEN 10

enum fl_claim {
	FL_CLAIM_NONE,	   /* no socket */
	FL_CLAIM_LISTENER, /* nothing but a listener */
	FL_CLAIM_COOKIE,   /* a listener, and the segment carries its SYN cookie */
	FL_CLAIM_SOCKET,   /* a full, a request or a TIME_WAIT socket */
};

static __always_inline int fl_tuple_of(const struct fl_packet *packet, struct bpf_sock_tuple *tuple)
{
	if (packet->is_ipv4) {
		tuple->ipv4.saddr = packet->client[3];
		tuple->ipv4.daddr = packet->service.address[3];
		tuple->ipv4.sport = packet->client_port;
		tuple->ipv4.dport = packet->service.port;
		return sizeof(tuple->ipv4);
	}
	fl_copy_address(tuple->ipv6.saddr, packet->client);
	fl_copy_address(tuple->ipv6.daddr, packet->service.address);
	tuple->ipv6.sport = packet->client_port;
	tuple->ipv6.dport = packet->service.port;
	return sizeof(tuple->ipv6);
}

/*
 * A listener answers for a segment without a socket if the segment acknowledges a cookie that this
 * listener issued: an overload has made the kernel forget the handshake on purpose.
 */
static __always_inline int fl_cookie_is_valid(struct xdp_md *ctx, const struct fl_tunnel *tunnel,
					      struct bpf_sock *listener)
{
	void *end = (void *)(long)ctx->data_end;
	void *inner = (void *)(long)ctx->data + sizeof(struct ethhdr);
	__u32 outer_length = tunnel->outer_length & 0xff;
	__u32 ip_length = tunnel->inner.ip_header_length;
	struct tcphdr *tcp;

	if ((tunnel->inner.tcp_flags & (FL_TCP_ACK | FL_TCP_SYN | FL_TCP_RST)) != FL_TCP_ACK)
		return 0;
	inner += outer_length;
	/* The helper takes an IPv4 header without options only. */
	if (tunnel->inner.is_ipv4) {
		tcp = inner + sizeof(struct iphdr);
		return ip_length == sizeof(struct iphdr) && (void *)(tcp + 1) <= end &&
		       bpf_tcp_check_syncookie(listener, inner, sizeof(struct iphdr), tcp,
					       sizeof(*tcp)) == 0;
	}
	tcp = inner + sizeof(struct ipv6hdr);
	return (void *)(tcp + 1) <= end &&
	       bpf_tcp_check_syncookie(listener, inner, sizeof(struct ipv6hdr), tcp,
				       sizeof(*tcp)) == 0;
}

/*
 * bpf_skc_lookup_tcp also finds request and TIME_WAIT sockets, which bpf_sk_lookup_tcp hides or
 * replaces by the listener.
 */
static __always_inline enum fl_claim fl_claim_of(struct xdp_md *ctx, const struct fl_tunnel *tunnel)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size = (__u32)fl_tuple_of(&tunnel->inner, &tuple);
	enum fl_claim claim = FL_CLAIM_SOCKET;
	struct bpf_sock *socket;

	if (size == sizeof(tuple.ipv4))
		socket =
			bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	else
		socket =
			bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return FL_CLAIM_NONE;
	if (socket->state == FL_TCP_STATE_LISTEN)
		claim = fl_cookie_is_valid(ctx, tunnel, socket) ? FL_CLAIM_COOKIE
								: FL_CLAIM_LISTENER;
	bpf_sk_release(socket);
	return claim;
}

/* Step: what becomes of the packet here. FL_AGENT_TX_NEXT_HOP asks for it to be handed on. */
static __always_inline int fl_decide(struct xdp_md *ctx, const struct fl_tunnel *tunnel)
{
	int is_syn = fl_tcp_is_syn(tunnel->inner.tcp_flags);
	int more_hops = tunnel->hops.index + 1 < tunnel->hops.count;
	enum fl_claim claim;

	if (!tunnel->has_hops)
		return FL_AGENT_PASS_PLAIN;
	if (is_syn && tunnel->hops.acceptors >> (tunnel->hops.index & (FL_WIRE_HOPS - 1)) & 1)
		return FL_AGENT_PASS_SYN;
	claim = fl_claim_of(ctx, tunnel);
	if (claim == FL_CLAIM_SOCKET)
		return FL_AGENT_PASS_SOCKET;
	if (claim == FL_CLAIM_COOKIE)
		return FL_AGENT_PASS_COOKIE;
	if (more_hops)
		return FL_AGENT_TX_NEXT_HOP;
	/* A dropped segment is sent again; a reset cannot be taken back. */
	return tunnel->hops.flags & FL_WIRE_SETTLED ? FL_AGENT_PASS_SETTLED : FL_AGENT_DROP_NOBODY;
}
