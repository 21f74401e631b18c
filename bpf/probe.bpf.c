// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The LB host's program on the way out: health checks take the road of clients' packets. A check's
 * socket connects to the VIP, and its mark says which backend is meant; the answers come back
 * straight to the host. Only this file counts verdicts and turns them into actions of TC.
 */
#include "lib/probe.h"

static __always_inline int fl_judge(struct __sk_buff *skb, __u32 *egress)
{
	struct fl_probe probe = {};
	int verdict = fl_find_probe(skb, &probe);

	if (verdict == FL_CONTINUE)
		verdict = fl_check_probe(skb, &probe);
	if (verdict == FL_CONTINUE)
		verdict = fl_wrap_probe(skb, &probe);
	if (verdict != FL_CONTINUE)
		return verdict;
	fl_remember_probe(&probe);
	skb->mark = FL_PROBE_MARK;
	*egress = probe.backend->egress;
	return probe.has_mark ? FL_PROBE_TX_PROBE : FL_PROBE_TX_UNMARKED;
}

/* What is nobody's business here goes on to programs behind this one. */
static __always_inline int fl_action(int verdict)
{
#define FL_ACTION_PASS TC_ACT_UNSPEC
#define FL_ACTION_TX   TC_ACT_OK
#define FL_ACTION_DROP TC_ACT_SHOT
#define FL_CASE(name, action, help)                                                                \
	case FL_PROBE_##name:                                                                      \
		return FL_ACTION_##action;
	switch (verdict) {
		FL_PROBE_VERDICTS(FL_CASE)
	}
	return TC_ACT_SHOT;
}

SEC("tc")
int fl_probe(struct __sk_buff *skb)
{
	__u32 egress = 0;
	int verdict = fl_judge(skb, &egress);
	__u32 key = (__u32)verdict;
	__u64 *count = bpf_map_lookup_elem(&fl_prb_verdicts, &key);

	if (count)
		*count += 1;
	if (egress && egress != skb->ifindex)
		return (int)bpf_redirect(egress, 0);
	return fl_action(verdict);
}

char fl_license[] SEC("license") = "GPL";
