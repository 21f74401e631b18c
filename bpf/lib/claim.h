/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Does this backend have the connection? The truth is the socket, and more than its tuple: a tuple
 * comes back after its connection has ended, and anybody can send a SYN for it. (Rules A0 and A3 of
 * docs/WIRE.md.)
 */
#pragma once

#include "lib/kernel.h"
#include "lib/tcp.h"
#include "lib/tunnel.h"

enum fl_claim {
	FL_CLAIM_NONE,	  /* no socket, or one that would answer this segment with a reset */
	FL_CLAIM_PENDING, /* a request socket that this segment does not belong to */
	FL_CLAIM_OLD,	  /* a TIME_WAIT socket that this segment does not belong to */
	FL_CLAIM_OTHER,	  /* a full socket whose windows this segment misses */
	FL_CLAIM_COOKIE,  /* a listener, and the segment carries its SYN cookie */
	FL_CLAIM_STRONG,  /* the connection that the segment belongs to */
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

	/* An ICMP error has no flags. */
	if ((tunnel->inner.tcp_flags & (FL_TCP_ACK | FL_TCP_SYN | FL_TCP_RST)) != FL_TCP_ACK)
		return 0;
	inner += outer_length;
	/* The helper takes an IP header without options or extensions only. */
	if (tunnel->inner.is_ipv4) {
		tcp = inner + sizeof(struct iphdr);
		return ip_length == sizeof(struct iphdr) && (void *)(tcp + 1) <= end &&
		       bpf_tcp_check_syncookie(listener, inner, sizeof(struct iphdr), tcp,
					       sizeof(*tcp)) == 0;
	}
	tcp = inner + sizeof(struct ipv6hdr);
	return ip_length == sizeof(struct ipv6hdr) && (void *)(tcp + 1) <= end &&
	       bpf_tcp_check_syncookie(listener, inner, sizeof(struct ipv6hdr), tcp,
				       sizeof(*tcp)) == 0;
}

/* Is `value` in [first, first + length], modulo 2^32? */
static __always_inline int fl_seq_within(__u32 value, __u32 first, __u32 length)
{
	return value - first <= length;
}

/* A segment this far from what is expected still belongs: as far as a window can be open. */
#define FL_SEQ_REACH (1u << 26)

/*
 * The next incarnation of a tuple starts its sequence numbers a little after those of the one
 * before, on both sides; what tells them apart is the acknowledgement, whose start is a secret of
 * the host that chose it. So the bounds of what has ended are tight.
 */
#define FL_OLD_SEQ_REACH (1u << 24)
#define FL_OLD_ACK_REACH (1u << 20)

/*
 * write_seq and not snd_nxt: the kernel moves snd_nxt only when the driver has taken a segment, and
 * a fast client has acknowledged it by then.
 */
static __always_inline int fl_belongs_to_socket(const struct fl_tunnel *tunnel,
						const struct tcp_sock *tcp)
{
	__u32 rcv_nxt = tcp->rcv_nxt;
	__u32 first = tcp->snd_una - tcp->max_window;

	if (!(tunnel->inner.tcp_flags & FL_TCP_ACK))
		return fl_seq_within(tunnel->seq, rcv_nxt - tcp->rcv_wnd, 2 * tcp->rcv_wnd);
	return fl_seq_within(tunnel->ack_seq, first, tcp->write_seq - first) &&
	       fl_seq_within(tunnel->seq, rcv_nxt - FL_SEQ_REACH, 2 * FL_SEQ_REACH);
}

static __always_inline int fl_belongs_to_request(const struct fl_tunnel *tunnel,
						 const struct tcp_request_sock *request)
{
	if (!(tunnel->inner.tcp_flags & FL_TCP_ACK))
		return tunnel->seq == request->rcv_isn + 1;
	return tunnel->ack_seq == request->snt_isn + 1;
}

static __always_inline int fl_belongs_to_timewait(const struct fl_tunnel *tunnel,
						  const struct tcp_timewait_sock *old)
{
	__u32 rcv_nxt = old->tw_sk.__tw_common.skc_tw_rcv_nxt;
	__u32 snd_nxt = old->tw_sk.__tw_common.skc_tw_snd_nxt;

	if (!fl_seq_within(tunnel->seq, rcv_nxt - FL_OLD_SEQ_REACH, FL_OLD_SEQ_REACH))
		return 0;
	return !(tunnel->inner.tcp_flags & FL_TCP_ACK) ||
	       fl_seq_within(tunnel->ack_seq, snd_nxt - FL_OLD_ACK_REACH, FL_OLD_ACK_REACH);
}

static __always_inline enum fl_claim
fl_claim_of_socket(struct xdp_md *ctx, const struct fl_tunnel *tunnel, struct bpf_sock *socket)
{
	struct tcp_request_sock *request;
	struct tcp_timewait_sock *old;
	struct tcp_sock *tcp;

#ifdef FL_MUTATE_A3
	return FL_CLAIM_STRONG;
#endif
	if (socket->state == FL_TCP_STATE_LISTEN)
		return fl_cookie_is_valid(ctx, tunnel, socket) ? FL_CLAIM_COOKIE : FL_CLAIM_NONE;
	/* The stack checks what the error quotes. */
	if (tunnel->inner.is_error)
		return FL_CLAIM_STRONG;
	if (socket->state == FL_TCP_STATE_NEW_SYN_RECV) {
		request = bpf_skc_to_tcp_request_sock(socket);
		return request && fl_belongs_to_request(tunnel, request) ? FL_CLAIM_STRONG
									 : FL_CLAIM_PENDING;
	}
	if (socket->state == FL_TCP_STATE_TIME_WAIT) {
		old = bpf_skc_to_tcp_timewait_sock(socket);
		return old && fl_belongs_to_timewait(tunnel, old) ? FL_CLAIM_STRONG : FL_CLAIM_OLD;
	}
	tcp = bpf_skc_to_tcp_sock(socket);
	return tcp && fl_belongs_to_socket(tunnel, tcp) ? FL_CLAIM_STRONG : FL_CLAIM_OTHER;
}

/*
 * bpf_skc_lookup_tcp also finds request and TIME_WAIT sockets, which bpf_sk_lookup_tcp hides or
 * replaces by the listener.
 */
static __always_inline enum fl_claim fl_claim_of(struct xdp_md *ctx, const struct fl_tunnel *tunnel)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size = (__u32)fl_tuple_of(&tunnel->inner, &tuple);
	struct bpf_sock *socket;
	enum fl_claim claim;

	if (size == sizeof(tuple.ipv4))
		socket =
			bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	else
		socket =
			bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return FL_CLAIM_NONE;
	claim = fl_claim_of_socket(ctx, tunnel, socket);
	bpf_sk_release(socket);
	return claim;
}
