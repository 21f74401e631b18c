/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * A health check's segment on its way out of the host: whose it is, and its road to that backend,
 * which is a client's.
 */
#pragma once

#include <linux/pkt_cls.h>

#include "fairlead/abi/flow_slot.h"
#include "fairlead/abi/probe.h"
#include "fairlead/abi/verdict.h"
#include "lib/outer.h"
#include "lib/row.h"
#include "lib/siphash.h"
#include "lib/tcp.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FL_PROBE_VERDICT_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} fl_prb_verdicts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} fl_prb_sent SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
} fl_prb_flows SEC(".maps");

/* A segment and where it goes. */
struct fl_probe {
	struct fl_packet packet;
	struct fl_service *service;
	struct fl_backend *backend;
	__u64 hash;
	__u32 id; /* of the backend */
	__u8 has_mark;
};

static __always_inline int fl_read_probe4(struct __sk_buff *skb, struct fl_packet *packet)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &ip, sizeof(ip)) ||
	    ip.protocol != IPPROTO_TCP || ip.ihl < 5 || ip.frag_off & fl_swap16(0x3fff))
		return 0;
	packet->is_ipv4 = 1;
	packet->tos = ip.tos;
	packet->ip_header_length = ip.ihl * 4;
	packet->ip_length = fl_swap16(ip.tot_len);
	fl_map_ipv4(packet->client, ip.saddr);
	fl_map_ipv4(packet->service.address, ip.daddr);
	return 1;
}

/* A host's own TCP puts no extension headers in front of its segments unless it is asked to. */
static __always_inline int fl_read_probe6(struct __sk_buff *skb, struct fl_packet *packet)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &ip, sizeof(ip)) ||
	    ip.nexthdr != IPPROTO_TCP)
		return 0;
	packet->is_ipv4 = 0;
	packet->tos = (__u8)(ip.priority << 4 | ip.flow_lbl[0] >> 4);
	packet->ip_header_length = sizeof(ip);
	packet->ip_length = (__u16)(fl_swap16(ip.payload_len) + sizeof(ip));
	fl_copy_address(packet->client, &ip.saddr);
	fl_copy_address(packet->service.address, &ip.daddr);
	return !fl_is_mapped(packet->service.address);
}

/* A TCP segment up to its flags; false where it is none. Its length is what the stack made it. */
static __always_inline int fl_read_segment(struct __sk_buff *skb, struct fl_packet *packet)
{
	struct tcphdr tcp;

	if (skb->protocol == fl_swap16(ETH_P_IP)) {
		if (!fl_read_probe4(skb, packet))
			return 0;
	} else if (skb->protocol != fl_swap16(ETH_P_IPV6) || !fl_read_probe6(skb, packet)) {
		return 0;
	}
	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr) + packet->ip_header_length, &tcp,
			       sizeof(tcp)))
		return 0;
	packet->service.proto = IPPROTO_TCP;
	packet->service.port = tcp.dest;
	packet->client_port = tcp.source;
	packet->tcp_flags = ((__u8 *)&tcp)[13];
	return 1;
}

/*
 * The backend of a segment without a mark, if it is of a check: a reset by which the stack answers
 * what comes for a socket that is gone. It would leave for whichever LB host the router chooses. A
 * SYN without a mark is somebody else's, who has got the port of a check that has ended.
 */
static __always_inline int fl_recall_probe(struct fl_probe *probe)
{
	__u32 *id = bpf_map_lookup_elem(&fl_prb_flows, &probe->hash);

	if (!id)
		return FL_PROBE_PASS_OTHER;
	if (probe->packet.tcp_flags & FL_TCP_SYN) {
		bpf_map_delete_elem(&fl_prb_flows, &probe->hash);
		return FL_PROBE_PASS_OTHER;
	}
	probe->id = *id;
	return FL_CONTINUE;
}

/* Step: is it of a check, and of which backend's? */
static __always_inline int fl_find_probe(struct __sk_buff *skb, struct fl_probe *probe)
{
	const __u64 *key = (const __u64 *)fl_rodata(fl_config.hash_key);
	struct fl_packet *packet = &probe->packet;

	probe->has_mark = (skb->mark & FL_PROBE_MARK_MASK) == FL_PROBE_MARK;
	probe->id = skb->mark & ~FL_PROBE_MARK_MASK;
	if (probe->has_mark && probe->id == FL_NO_BACKEND)
		return FL_PROBE_PASS_SENT;
	if (!fl_read_segment(skb, packet))
		return probe->has_mark ? FL_PROBE_DROP_SEGMENT : FL_PROBE_PASS_OTHER;
	probe->service = bpf_map_lookup_elem(&fl_services, &packet->service);
	if (!probe->service)
		return probe->has_mark ? FL_PROBE_DROP_NOT_SERVICE : FL_PROBE_PASS_OTHER;
	probe->hash = fl_hash_tuple(key, packet->client, packet->service.address,
				    packet->client_port, packet->service.port);
	if (!probe->has_mark && fl_recall_probe(probe) != FL_CONTINUE)
		return FL_PROBE_PASS_OTHER;
	return probe->service->flags & FL_SERVICE_TOMBSTONE ? FL_PROBE_DROP_NOT_SERVICE
							    : FL_CONTINUE;
}

/* Step: can it be sent? What the device is to cut into segments is not too big for the path. */
static __always_inline int fl_check_probe(struct __sk_buff *skb, struct fl_probe *probe)
{
	struct fl_backend *backend = fl_backend_at(probe->id);
	__u64 state = backend ? fl_load64(&backend->state) : 0;
	__u32 mtu;

	if (!backend || !(state & FL_BACKEND_USED) || backend->service != probe->service->id)
		return FL_PROBE_DROP_NO_BACKEND;
	mtu = (__u32)(fl_load64(&backend->next_hop) >> 48);
	if (!(state & FL_BACKEND_NEXT_HOP) || mtu < FL_MIN_PATH_MTU)
		return FL_PROBE_DROP_NO_NEXT_HOP;
	probe->backend = backend;
	return skb->gso_segs > 1 || probe->packet.ip_length <=
					    mtu - fl_encap_bytes(probe->service->encap)
		       ? FL_CONTINUE
		       : FL_PROBE_DROP_TOO_BIG;
}

/*
 * The hop list of a check: this backend and nobody else. It takes the SYN whether it drains or not,
 * and as the last of the list it hands nothing on. Without SETTLED it says nothing for others:
 * what it has no socket for is dropped.
 */
static __always_inline void fl_fill_one_hop(struct fl_hops *wire, const struct fl_probe *probe)
{
	const __u64 *key = (const __u64 *)fl_rodata(fl_config.hash_key);
	const struct fl_service *service = probe->service;
	__u64 row_hash = service->policy == FL_POLICY_SOURCE
				 ? fl_hash_source(key, probe->packet.client)
				 : probe->hash;

	__builtin_memset(wire, 0, sizeof(*wire));
	wire->version = FL_WIRE_VERSION;
	wire->count = 1;
	wire->acceptors = fl_tcp_is_syn(probe->packet.tcp_flags);
	wire->weak = FL_WIRE_NO_WEAK;
	wire->lb_id = fl_swap16(fl_config.lb_id);
	wire->row = fl_swap16((__u16)fl_row_of(row_hash, service->row_mask));
	wire->epoch = fl_swap32(service->epoch);
	wire->hop[0] = fl_swap16((__u16)probe->id);
}

/* Makes room behind Ethernet, and has the kernel know that a packet is inside. */
static __always_inline int fl_make_room(struct __sk_buff *skb, const struct fl_outer *outer,
					__u8 encap)
{
	__u64 flags = fl_is_mapped(outer->destination) ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV4
						       : BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;

	if (encap == FL_ENCAP_L2)
		return 1;
	if (encap == FL_ENCAP_IPIP)
		return !bpf_skb_adjust_room(skb, (int)fl_outer_ip_bytes(outer->destination),
					    BPF_ADJ_ROOM_MAC, flags);
	return !bpf_skb_adjust_room(skb, (int)fl_gue_bytes(outer), BPF_ADJ_ROOM_MAC,
				    flags | BPF_F_ADJ_ROOM_ENCAP_L4_UDP);
}

static __always_inline int fl_write_outer(struct __sk_buff *skb, const struct fl_outer *outer,
					  const struct fl_hops *wire, __u8 encap)
{
	void *frame = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (encap == FL_ENCAP_L2)
		return fl_write_l2(frame, end, outer);
	if (encap == FL_ENCAP_IPIP)
		return fl_write_ipip(frame, end, outer);
	return fl_write_gue(frame, end, outer, wire);
}

/* Step: puts on what fl_lb would, and the tag of the next hop's VLAN. */
static __always_inline int fl_wrap_probe(struct __sk_buff *skb, struct fl_probe *probe)
{
	struct fl_backend *backend = probe->backend;
	__u32 vlan = (__u32)(fl_load64(&backend->source) >> 48);
	__u8 encap = probe->service->encap;
	struct fl_hops wire __attribute__((aligned(8)));
	struct fl_outer outer;

	fl_fill_outer(&outer, &probe->packet, probe->service, backend, probe->hash);
	fl_fill_one_hop(&wire, probe);
	if (!fl_make_room(skb, &outer, encap) || !fl_write_outer(skb, &outer, &wire, encap))
		return FL_PROBE_DROP_INTERNAL;
	if (vlan && bpf_skb_vlan_push(skb, fl_swap16(ETH_P_8021Q), vlan & FL_VLAN_MASK))
		return FL_PROBE_DROP_INTERNAL;
	return FL_CONTINUE;
}

static __always_inline void fl_remember_probe(const struct fl_probe *probe)
{
	__u64 *sent = bpf_map_lookup_elem(&fl_prb_sent, &probe->id);

	if (sent)
		__sync_fetch_and_add(sent, 1);
	if (probe->has_mark && fl_tcp_is_syn(probe->packet.tcp_flags))
		bpf_map_update_elem(&fl_prb_flows, &probe->hash, &probe->id, BPF_ANY);
}
