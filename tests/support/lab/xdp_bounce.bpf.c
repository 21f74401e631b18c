// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
//
// Sends every packet for a VIP back where it came from, by XDP_TX with the MAC
// addresses swapped. The lab's own test puts it in the place of the load
// balancer, to prove that packets survive the way that Fairlead's take: veth,
// XDP_TX, veth, with correct checksums.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// 198.51.100.0/24 and 2001:db8:100::/64 only: the host's own traffic must still
// reach it.
static __always_inline int is_for_vip(const struct ethhdr *eth, const void *end)
{
	const __u8 *ip = (const __u8 *)(eth + 1);

	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		if ((const void *)(ip + 20) > end)
			return 0;
		return ip[16] == 198 && ip[17] == 51 && ip[18] == 100;
	}
	if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		if ((const void *)(ip + 40) > end)
			return 0;
		return ip[24] == 0x20 && ip[25] == 0x01 && ip[28] == 0x01 && ip[29] == 0x00;
	}
	return 0;
}

SEC("xdp")
int lab_bounce(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	__u8 mac[ETH_ALEN];

	if ((void *)(eth + 1) > end || !is_for_vip(eth, end))
		return XDP_PASS;
	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
	return XDP_TX;
}

char LICENSE[] SEC("license") = "GPL";
