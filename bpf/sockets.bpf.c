// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The agent's scan: walks every TCP socket of the network namespace and counts the live ones by
 * service, and by row of the service's candidate table. Live is every socket that a client's
 * segment still belongs to: from SYN_RECV to the last ACK, but not TIME_WAIT and not a listener.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "fairlead/abi/flow_slot.h"
#include "fairlead/abi/maps.h"
#include "lib/address.h"
#include "lib/kernel.h"
#include "lib/siphash.h"

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

/* Likewise. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FL_AGENT_MAX_SOURCES);
	__uint(key_size, 16);
	__type(value, __u32);
} fl_sources SEC(".maps");

/* By fl_vip.index; made ready by the agent before each scan. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FL_AGENT_MAX_VIPS);
	__type(key, __u32);
	__type(value, struct fl_vip_sockets);
} fl_sockets SEC(".maps");

/* fl_scan.number of the last scan that found a socket of the row. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* the agent makes room for the rows of all services */
	__type(key, __u32);
	__type(value, __u64);
} fl_owned SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_scan);
} fl_scan SEC(".maps");

const volatile __u64 fl_hash_key[2] = {}; /* of the tier */

/* Both ends of a connection, as its packets from the client have them. */
struct fl_connection {
	struct fl_service_key service;
	__u32 client[4];
	__be16 client_port;
};

static __always_inline void fl_read_socket(struct sock_common *socket,
					   struct fl_connection *connection)
{
	connection->service.proto = 6; /* TCP */
	connection->service.port = bpf_htons(socket->skc_num);
	connection->client_port = socket->skc_dport;
	if (socket->skc_family == FL_AF_INET) {
		fl_map_ipv4(connection->service.address, socket->skc_rcv_saddr);
		fl_map_ipv4(connection->client, socket->skc_daddr);
		return;
	}
	/* An IPv4 connection on a dual-stack socket has mapped addresses here. */
	bpf_core_read(connection->service.address, sizeof(connection->service.address),
		      &socket->skc_v6_rcv_saddr);
	bpf_core_read(connection->client, sizeof(connection->client), &socket->skc_v6_daddr);
}

static __always_inline __u32 fl_row_of_connection(const struct fl_connection *connection,
						  const struct fl_vip *vip)
{
	const __u64 *key = (const __u64 *)fl_rodata(fl_hash_key);
	__u64 hash = vip->policy == FL_POLICY_SOURCE
			     ? fl_hash_source(key, connection->client)
			     : fl_hash_tuple(key, connection->client, connection->service.address,
					     connection->client_port, connection->service.port);

	return (__u32)fl_row_of(hash, vip->row_mask);
}

/* One socket of that row. Scans run one at a time, so nobody else writes. */
static __always_inline void fl_own(const struct fl_vip_sockets *sockets, __u32 row)
{
	__u32 zero = 0, index = sockets->first_row + row;
	struct fl_scan *scan = bpf_map_lookup_elem(&fl_scan, &zero);
	__u64 *owned = bpf_map_lookup_elem(&fl_owned, &index);

	if (!scan)
		return;
	if (owned)
		*owned = scan->number;
	else
		scan->lost++;
}

/* Of an LB host: a health check, which is no load, and of whose row nobody has to know the owner
 * when it is over. */
static __always_inline int fl_is_check(const struct fl_connection *connection)
{
	__u32 *source = bpf_map_lookup_elem(&fl_sources, connection->client);

	return source && *source == FL_SOURCE_LB;
}

SEC("iter/tcp")
int fl_scan_sockets(struct bpf_iter__tcp *ctx)
{
	struct sock_common *socket = ctx->sk_common;
	struct fl_connection connection = {};
	struct fl_vip_sockets *sockets;
	struct fl_vip *vip;
	__u8 state;

	if (!socket)
		return 0;
	state = socket->skc_state;
	if (state == FL_TCP_STATE_LISTEN || state == FL_TCP_STATE_TIME_WAIT ||
	    state == FL_TCP_STATE_CLOSE)
		return 0;
	fl_read_socket(socket, &connection);
	vip = bpf_map_lookup_elem(&fl_vips, &connection.service);
	if (!vip || fl_is_check(&connection))
		return 0;
	sockets = bpf_map_lookup_elem(&fl_sockets, &vip->index);
	if (!sockets)
		return 0;
	sockets->live++;
	if (state == FL_TCP_STATE_NEW_SYN_RECV)
		sockets->handshakes++;
	fl_own(sockets, fl_row_of_connection(&connection, vip));
	return 0;
}

char fl_license[] SEC("license") = "GPL";
