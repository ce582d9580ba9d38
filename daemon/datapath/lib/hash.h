/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The hash behind entropy ports and ECMP. It must spread well and stay the same for a flow; it protects nothing, so speed
 * comes first: one multiplication per word, and a final avalanche (the finalizer of MurmurHash3, which is in the public domain).
 */
#pragma once
#include "packet.h"

static __always_inline __u32 hash_add(__u32 hash, __u32 word)
{
	hash = (hash ^ word) * 0x9e3779b1u;
	return hash ^ (hash >> 15);
}

static __always_inline __u32 hash_end(__u32 hash)
{
	hash ^= hash >> 16;
	hash *= 0x85ebca6bu;
	hash ^= hash >> 13;
	hash *= 0xc2b2ae35u;
	return hash ^ (hash >> 16);
}

/* Hash of the packet's 5-tuple. `fields` = 0 means all. */
__noinline __u32 hash_packet(const struct packet *p, __u32 seed, __u32 fields)
{
	__u32 hash = seed;

	if (!p)
		return 0;
	if (!fields)
		fields = HASH_ALL;
	if (p->family == AF_INET) {
		const struct flow4_key *key = &p->key.k4;

		hash = hash_add(hash, fields & HASH_SIP ? key->sip : 0);
		hash = hash_add(hash, fields & HASH_DIP ? key->dip : 0);
		hash = hash_add(hash, (fields & HASH_SPORT ? key->sport : 0) | (fields & HASH_DPORT ? (__u32)key->dport << 16 : 0));
		hash = hash_add(hash, fields & HASH_PROTO ? key->proto : 0);
	} else {
		const struct flow6_key *key = &p->key.k6;
		const __u32 *sip = (const __u32 *)key->sip, *dip = (const __u32 *)key->dip;

		for (int i = 0; i < 4; i++) {
			hash = hash_add(hash, fields & HASH_SIP ? sip[i] : 0);
			hash = hash_add(hash, fields & HASH_DIP ? dip[i] : 0);
		}
		hash = hash_add(hash, (fields & HASH_SPORT ? key->sport : 0) | (fields & HASH_DPORT ? (__u32)key->dport << 16 : 0));
		hash = hash_add(hash, fields & HASH_PROTO ? key->proto : 0);
	}
	return hash_end(hash);
}

#define ENTROPY_PORT_FIRST 49152
#define ENTROPY_PORTS 16383

/* Source port of a tunnel for a hash: 49152..65534 (vRouter reference 2.6). */
static __always_inline __u16 entropy_port(__u32 hash)
{
	return ENTROPY_PORT_FIRST + (__u16)(((__u64)hash * ENTROPY_PORTS) >> 32);
}
