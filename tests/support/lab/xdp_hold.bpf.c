// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
//
// A network that has nothing left for TCP but SYNs: every other segment to a
// VIP is dropped. At the router's end of the client's link it keeps handshakes
// half-way, their SYN+ACKs received, for as long as it is attached.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

static __always_inline int is_held(const struct tcphdr *tcp, const void *end)
{
	return (const void *)(tcp + 1) <= end && !tcp->syn;
}

// No header has options in the lab; 198.51.100.0/24 and 2001:db8:100::/64.
SEC("xdp")
int lab_hold(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct ipv6hdr *ip6 = (void *)(eth + 1);
	struct iphdr *ip4 = (void *)(eth + 1);

	if ((void *)(ip4 + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP) && ip4->protocol == IPPROTO_TCP &&
	    (ip4->daddr & bpf_htonl(0xffffff00)) == bpf_htonl(0xc6336400))
		return is_held((void *)(ip4 + 1), end) ? XDP_DROP : XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IPV6) || (void *)(ip6 + 1) > end)
		return XDP_PASS;
	if (ip6->nexthdr == IPPROTO_TCP && ip6->daddr.in6_u.u6_addr32[0] == bpf_htonl(0x20010db8) &&
	    ip6->daddr.in6_u.u6_addr32[1] == bpf_htonl(0x01000000))
		return is_held((void *)(ip6 + 1), end) ? XDP_DROP : XDP_PASS;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
