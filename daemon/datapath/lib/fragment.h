/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Fragments. The first one has the L4 header: its ports are kept for those that follow, which then belong to the same flow.
 * Each sender has places of its own, so that one with ever new first fragments takes nobody else's: a pod by its vif, what a tunnel or the
 * underlay brings by groups of sources.
 * A fragment that arrives two seconds after it, or before it, can't be keyed (DROP_FRAGMENTS): fragment_hold.h lets it wait.
 */
#pragma once
#include "packet.h"
#include "hash.h"
#include "vif.h"

#define FRAGMENT_LIFETIME_NS (2 * 1000000000ULL)
#define FRAGMENT_PLACES 512 /* of a sender */
#define FRAGMENT_GROUPS 8   /* of sources that are no pods of this node, of each kind */

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
	key->vrf = p->handed ? p->back_label << 12 : p->dvrf; /* handed over: whose way back it is */
	key->proto = proto;
	key->family = p->family;
	key->vif = p->vif;
}

static __always_inline __u32 fragment_hash_address(__u32 hash, const void *address, __u8 family)
{
	const __u32 *words = address;

	hash = hash_add(hash, words[0]);
	if (family == AF_INET6)
		hash = hash_add(hash_add(hash_add(hash, words[1]), words[2]), words[3]);
	return hash;
}

/* Where the ports of the packet with this id are kept. Returns what tells it from others of that place. */
static __always_inline __u32 fragment_place(const struct packet *p, __u32 id, struct frag_place *place)
{
	const struct globals *g = node_globals();
	__u32 hash = g ? g->hash_seed : 0;
	int is_ip4 = p->family == AF_INET;

	hash = fragment_hash_address(hash, is_ip4 ? (const void *)&p->key.k4.sip : (const void *)p->key.k6.sip, p->family);
	place->sender = p->vif;
	if (p->vif_type != VIF_VIRTUAL)
		place->sender |= (hash_end(hash) % FRAGMENT_GROUPS + (p->bits & PACKET_FROM_TUNNEL ? FRAGMENT_GROUPS : 0)) << 16;
	hash = fragment_hash_address(hash, is_ip4 ? (const void *)&p->key.k4.dip : (const void *)p->key.k6.dip, p->family);
	hash = hash_end(hash_add(hash_add(hash, p->handed ? id ^ p->back_label : id), p->dvrf << 16 | p->family << 8 | p->proto));
	place->place = hash % FRAGMENT_PLACES;
	return hash;
}

/* Remembers the ports of a first fragment, as its key has them. Returns 0 or a drop reason. */
__noinline __u32 fragment_record(struct packet *p, __u32 id)
{
	struct frag_entry entry = { .time_ns = bpf_ktime_get_coarse_ns() };
	struct frag_place place;

	if (!p)
		return DROP_MISC;
	entry.sport = p->family == AF_INET ? p->key.k4.sport : p->key.k6.sport;
	entry.dport = p->family == AF_INET ? p->key.k4.dport : p->key.k6.dport;
	p->fragment_id = id;
	entry.check = fragment_place(p, id, &place);
	return bpf_map_update_elem(&fragments, &place, &entry, BPF_ANY) ? DROP_NO_MEMORY : 0;
}

/* Gives a later fragment the ports of its first one. Returns 0 or a drop reason. */
__noinline __u32 fragment_follow(struct packet *p, __u32 id)
{
	const struct frag_entry *entry;
	struct frag_place place;
	__u32 check;

	if (!p)
		return DROP_MISC;
	p->fragment_id = id;
	check = fragment_place(p, id, &place);
	entry = bpf_map_lookup_elem(&fragments, &place);
	if (!entry || entry->check != check || bpf_ktime_get_coarse_ns() - entry->time_ns > FRAGMENT_LIFETIME_NS)
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
