/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A client of a service keeps the endpoint that it had, for a time (Service.spec.sessionAffinity). */
#pragma once
#include "packet.h"

static __always_inline int back_is(const struct back *back, const struct affinity *affinity)
{
	return back->port == affinity->port && ip6_equal(back->ip, affinity->ip);
}

/* The search for the endpoint that a client had before. */
struct back_search {
	struct affinity affinity;
	__u32 first;
	__u32 place; /* found: where in the set */
	__u32 found;
};

static long back_search_step(__u32 step, struct back_search *search)
{
	__u32 index = search->first + step;
	const struct back *back = bpf_map_lookup_elem(&service_backs, &index);

	if (!back)
		return 1;
	search->found = back_is(back, &search->affinity);
	search->place = step;
	return search->found;
}

#define BACKS_SEARCHED 16384 /* a client of a service that has more may lose its endpoint when the set changes */

static __always_inline void affinity_key_of(const struct packet *p, __u32 service, struct affinity_key *key)
{
	key->service = service;
	key->vrf = p->vrf;
	if (p->family == AF_INET)
		*(__be32 *)key->ip = p->key.k4.sip;
	else
		ip6_copy(key->ip, p->key.k6.sip);
}

#define NO_AFFINITY 0xffffffff

/* Where in the set the endpoint is that the client has; NO_AFFINITY: it has none there, or not any more. */
__noinline __u32 affinity_find(const struct packet *p, __u32 service, __u32 first, __u32 count)
{
	struct back_search search = {};
	const struct affinity *known;
	const struct back *back;
	struct affinity_key key = {};
	__u32 index;

	if (!p)
		return NO_AFFINITY;
	affinity_key_of(p, service, &key);
	known = bpf_map_lookup_elem(&service_affinity, &key);
	if (!known || known->expires_ns < bpf_ktime_get_coarse_ns())
		return NO_AFFINITY;
	search.affinity = *known;
	index = first + search.affinity.place;
	back = search.affinity.place < count ? bpf_map_lookup_elem(&service_backs, &index) : NULL;
	if (back && back_is(back, &search.affinity))
		return search.affinity.place;
	search.first = first;
	bpf_loop(count < BACKS_SEARCHED ? count : BACKS_SEARCHED, back_search_step, &search, 0);
	return search.found ? search.place : NO_AFFINITY;
}

/* The client keeps the endpoint for so many seconds without a connection. Returns 0. */
__noinline int affinity_keep(const struct packet *p, const struct front *front, const struct back *back, __u32 place)
{
	struct affinity affinity = {};
	struct affinity_key key = {};

	if (!p || !front || !back)
		return 0;
	affinity_key_of(p, front->service, &key);
	ip6_copy(affinity.ip, back->ip);
	affinity.port = back->port;
	affinity.place = place;
	affinity.expires_ns = bpf_ktime_get_coarse_ns() + front->affinity_s * 1000000000ULL;
	bpf_map_update_elem(&service_affinity, &key, &affinity, BPF_ANY);
	return 0;
}
