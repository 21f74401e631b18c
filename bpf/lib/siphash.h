/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012; one compression and
 * three finalisation rounds) of a flow's tuple and of a client's address, with the tier's key:
 * nobody without the key can aim at a row, a bucket or a tag.
 *
 * Messages are taken as little-endian 64-bit words, the last word carries the length in its upper
 * byte as in the paper. IPv4 tuples are 12 bytes (client, service, ports), IPv6 tuples 36; the
 * length keeps the two apart.
 */
#pragma once

#include "lib/address.h"

struct fl_sip {
	__u64 v0, v1, v2, v3;
};

static __always_inline __u64 fl_rotate(__u64 value, int bits)
{
	return value << bits | value >> (64 - bits);
}

static __always_inline void fl_sip_round(struct fl_sip *s)
{
	s->v0 += s->v1;
	s->v1 = fl_rotate(s->v1, 13) ^ s->v0;
	s->v0 = fl_rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = fl_rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = fl_rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = fl_rotate(s->v1, 17) ^ s->v2;
	s->v2 = fl_rotate(s->v2, 32);
}

static __always_inline struct fl_sip fl_sip_start(__u64 key0, __u64 key1)
{
	struct fl_sip s;

	s.v0 = key0 ^ 0x736f6d6570736575ull;
	s.v1 = key1 ^ 0x646f72616e646f6dull;
	s.v2 = key0 ^ 0x6c7967656e657261ull;
	s.v3 = key1 ^ 0x7465646279746573ull;
	return s;
}

static __always_inline void fl_sip_word(struct fl_sip *s, __u64 word)
{
	s->v3 ^= word;
	fl_sip_round(s);
	s->v0 ^= word;
}

/* `rest` holds the bytes after the last whole word; `length` is the length of the whole message. */
static __always_inline __u64 fl_sip_finish(struct fl_sip *s, __u64 rest, unsigned int length)
{
	fl_sip_word(s, rest | (__u64)(length & 0xff) << 56);
	s->v2 ^= 0xff;
	fl_sip_round(s);
	fl_sip_round(s);
	fl_sip_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

static __always_inline __u64 fl_pair(__u32 low, __u32 high)
{
	return low | (__u64)high << 32;
}

/* The hash of a flow: client, service and both ports, all in network order. */
static __always_inline __u64 fl_hash_tuple(const __u64 *key, const __u32 client[4],
					   const __u32 service[4], __be16 client_port,
					   __be16 service_port)
{
	struct fl_sip s = fl_sip_start(key[0], key[1]);
	__u32 ports = (__u32)client_port | (__u32)service_port << 16;

	if (fl_is_mapped(service)) {
		fl_sip_word(&s, fl_pair(client[3], service[3]));
		return fl_sip_finish(&s, ports, 12);
	}
	fl_sip_word(&s, fl_pair(client[0], client[1]));
	fl_sip_word(&s, fl_pair(client[2], client[3]));
	fl_sip_word(&s, fl_pair(service[0], service[1]));
	fl_sip_word(&s, fl_pair(service[2], service[3]));
	return fl_sip_finish(&s, ports, 36);
}

/* The hash of a client's address alone, for policy `source`. */
static __always_inline __u64 fl_hash_source(const __u64 *key, const __u32 client[4])
{
	struct fl_sip s = fl_sip_start(key[0], key[1]);

	if (fl_is_mapped(client))
		return fl_sip_finish(&s, client[3], 4);
	fl_sip_word(&s, fl_pair(client[0], client[1]));
	fl_sip_word(&s, fl_pair(client[2], client[3]));
	return fl_sip_finish(&s, 0, 16);
}
