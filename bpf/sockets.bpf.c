// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The agent's scan: walks every TCP socket of the network namespace and counts the live ones by
 * service. Live is every socket that a client's segment still belongs to: from SYN_RECV to the last
 * ACK, but not TIME_WAIT and not a listener.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "fairlead/abi/maps.h"
#include "lib/address.h"
#include "lib/kernel.h"

#define FL_AF_INET 2

struct bpf_iter__tcp {
	struct sock_common *sk_common;
} __attribute__((preserve_access_index));

/* Shared with the agent's program: the agent loads this object with the pinned map. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FL_AGENT_MAX_VIPS);
	__type(key, struct fl_service_key);
	__type(value, struct fl_vip);
} fl_vips SEC(".maps");

/* By fl_vip.index; zeroed by the agent before each scan. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FL_AGENT_MAX_VIPS);
	__type(key, __u32);
	__type(value, __u64);
} fl_sockets SEC(".maps");

SEC("iter/tcp")
int fl_scan_sockets(struct bpf_iter__tcp *ctx)
{
	struct sock_common *socket = ctx->sk_common;
	struct fl_service_key key = { .proto = 6 /* TCP */ };
	struct fl_vip *vip;
	__u64 *count;
	__u8 state;

	if (!socket)
		return 0;
	state = socket->skc_state;
	if (state == FL_TCP_STATE_LISTEN || state == FL_TCP_STATE_TIME_WAIT ||
	    state == FL_TCP_STATE_CLOSE)
		return 0;
	key.port = bpf_htons(socket->skc_num);
	if (socket->skc_family == FL_AF_INET) {
		key.address[2] = fl_swap32(0xffff);
		key.address[3] = socket->skc_rcv_saddr;
	} else {
		/* An IPv4 connection on a dual-stack socket has the mapped address here. */
		bpf_core_read(key.address, sizeof(key.address), &socket->skc_v6_rcv_saddr);
	}
	vip = bpf_map_lookup_elem(&fl_vips, &key);
	if (!vip)
		return 0;
	count = bpf_map_lookup_elem(&fl_sockets, &vip->index);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

char fl_license[] SEC("license") = "GPL";
