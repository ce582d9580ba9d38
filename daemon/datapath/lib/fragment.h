/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Fragments. The first one has the L4 header: its ports are kept for those that follow, which then belong to the same flow.
 * A fragment that arrives two seconds after it, or before it, can't be keyed (DROP_FRAGMENTS): fragment_hold.h lets it wait.
 */
#pragma once
#include "packet.h"

#define FRAGMENT_LIFETIME_NS (2 * 1000000000ULL)

static __always_inline void fragment_key(const struct packet *p, __u32 id, __u8 proto, struct frag_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	if (p->family == AF_INET) {
		*(__be32 *)key->sip = p->key.k4.sip;
		*(__be32 *)key->dip = p->key.k4.dip;
	} else {
		ip6_copy(key->sip, p->key.k6.sip);
		ip6_copy(key->dip, p->key.k6.dip);
	}
	key->id = id;
	key->vrf = p->dvrf;
	key->proto = proto;
	key->family = p->family;
	key->vif = p->vif;
}

/* Remembers the ports of a first fragment, as its key has them. Returns 0 or a drop reason. */
__noinline __u32 fragment_record(struct packet *p, __u32 id)
{
	struct frag_entry entry = { .time_ns = bpf_ktime_get_coarse_ns() };
	struct frag_key key;

	if (!p)
		return DROP_MISC;
	entry.sport = p->family == AF_INET ? p->key.k4.sport : p->key.k6.sport;
	entry.dport = p->family == AF_INET ? p->key.k4.dport : p->key.k6.dport;
	p->fragment_id = id;
	fragment_key(p, id, p->proto, &key);
	return bpf_map_update_elem(&fragments, &key, &entry, BPF_ANY) ? DROP_NO_MEMORY : 0;
}

/* Gives a later fragment the ports of its first one. Returns 0 or a drop reason. */
__noinline __u32 fragment_follow(struct packet *p, __u32 id)
{
	const struct frag_entry *entry;
	struct frag_key key;

	if (!p)
		return DROP_MISC;
	p->fragment_id = id;
	fragment_key(p, id, p->proto, &key);
	entry = bpf_map_lookup_elem(&fragments, &key);
	if (!entry || bpf_ktime_get_coarse_ns() - entry->time_ns > FRAGMENT_LIFETIME_NS)
		return DROP_FRAGMENTS;
	if (p->family == AF_INET) {
		p->key.k4.sport = entry->sport;
		p->key.k4.dport = entry->dport;
	} else {
		p->key.k6.sport = entry->sport;
		p->key.k6.dport = entry->dport;
	}
	p->bits |= PACKET_LATER_FRAGMENT;
	return 0;
}
