/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Who is answered in a service's place, and how often.
 */
#pragma once

#include "lib/maps.h"
#include "lib/parse.h"
#include "lib/tick.h"

/* Answers of each kind that a CPU gives within a tick in the place of one service or address. */
#define FL_ANSWERS_PER_TICK 1000

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fl_answers);
} fl_answered SEC(".maps");

static __always_inline int fl_may_answer(__u32 id, enum fl_answer_kind kind)
{
	__u32 key = id * FL_ANSWER_KINDS + kind, now = fl_now();
	struct fl_answers *answers = bpf_map_lookup_elem(&fl_answered, &key);

	if (!answers)
		return 0;
	if (answers->tick != now) {
		answers->tick = now;
		answers->given = 0;
	}
	return answers->given++ < FL_ANSWERS_PER_TICK;
}

/* Nobody is answered at an address that is not one host's (RFC 1122, section 3.2.2; RFC 4443,
 * section 2.4). */
static __always_inline int fl_is_one_host(const struct fl_packet *packet)
{
	__u32 first = fl_swap32(packet->is_ipv4 ? packet->client[3] : packet->client[0]) >> 24;

	if (packet->is_ipv4)
		return first != 0 && first != 127 && first < 224;
	/* Unspecified, loopback and IPv4-compatible; but 64:ff9b::/96 are hosts (RFC 6052). */
	return (packet->client[0] | packet->client[1] | packet->client[2]) && first != 0xff;
}
