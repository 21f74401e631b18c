/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Just those fields of the kernel's TCP sockets that are read; their offsets come from the running
 * kernel's BTF.
 */
#pragma once

#include <linux/in6.h>

#include "fairlead/abi/types.h"

/* enum of include/net/tcp_states.h. */
#define FL_TCP_STATE_TIME_WAIT	  6
#define FL_TCP_STATE_CLOSE	  7
#define FL_TCP_STATE_LISTEN	  10
#define FL_TCP_STATE_NEW_SYN_RECV 12 /* a request socket: SYN seen, SYN+ACK sent */

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	__u32 skc_tw_rcv_nxt;
	__u32 skc_tw_snd_nxt;
} __attribute__((preserve_access_index));

struct tcp_sock {
	__u32 rcv_nxt;
	__u32 rcv_wnd;
	__u32 snd_una;
	__u32 max_window; /* the largest that the peer has announced */
	__u32 write_seq;  /* one past the last byte that the application has written */
} __attribute__((preserve_access_index));

struct tcp_request_sock {
	__u32 rcv_isn;
	__u32 snt_isn;
} __attribute__((preserve_access_index));

struct inet_timewait_sock {
	struct sock_common __tw_common;
} __attribute__((preserve_access_index));

struct tcp_timewait_sock {
	struct inet_timewait_sock tw_sk;
} __attribute__((preserve_access_index));
