/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * ECMP: one member of a COMPOSITE nexthop for the packet's flow. The member is chosen by the hash of the 5-tuple once; the flow
 * keeps it (flow.ecmp) as long as it stays usable. Runs when a flow is made or its route changed, not for each packet.
 */
#pragma once
#include "packet.h"
#include "hash.h"
#include "stats.h"
#include "vif.h"

/* A search through the members: bpf_loop's context, so that the verifier sees one step instead of 64. */
struct composite_search {
	__u32 id;
	__u32 count;
	__u32 member; /* the first one to look at; at the end, the one found */
	__be32 dip;   /* what to look for: a tunnel to there; 0 = any usable member */
	__u32 nh;     /* found: its nexthop, 0 = none yet */
	__u32 label;
};

static long composite_step(__u32 index, void *context)
{
	struct composite_search *search = context;
	const struct composite *composite = bpf_map_lookup_elem(&composites, &search->id);
	const struct composite_member *member;
	const struct nexthop *nh;
	__u32 nh_id, at = search->member + index;

	if (!composite || index >= search->count)
		return 1;
	if (at >= search->count)
		at -= search->count;
	member = &composite->members[at & (COMPOSITE_MAX - 1)];
	nh_id = member->nh;
	nh = nh_id ? bpf_map_lookup_elem(&nexthops, &nh_id) : NULL;
	if (nh && (nh->flags & NH_FLAG_VALID) && (search->dip ? nh->type == NH_TUNNEL && nh->dip == search->dip :
		   nh->type == NH_ENCAP || nh->type == NH_TUNNEL || nh->type == NH_RCV)) {
		search->nh = nh_id;
		search->label = member->label;
		search->member = at;
		return 1;
	}
	return 0;
}

/* Sets p->nh, label and ecmp to a member of composite `id`; p->ecmp is tried first. Returns 0 or a drop reason. */
__noinline __u32 composite_select(struct packet *p, __u32 id)
{
	struct composite_search search = { .id = id };
	const struct globals *g = node_globals();
	const struct composite *composite;

	if (!p || !g)
		return DROP_MISC;
	composite = bpf_map_lookup_elem(&composites, &id);
	if (!composite)
		return DROP_INVALID_NH;
	search.count = composite->count;
	if (!search.count)
		return DROP_DISCARD;
	if (search.count > COMPOSITE_MAX)
		search.count = COMPOSITE_MAX;
	COUNT_VRF(p->dvrf, ecmp_composites);
	search.member = p->ecmp < search.count ? p->ecmp : hash_packet(p, g->hash_seed, composite->hash_fields) % search.count;
	bpf_loop(COMPOSITE_MAX, composite_step, &search, 0);
	if (!search.nh)
		return DROP_INVALID_NH;
	p->nh = search.nh;
	p->label = search.label;
	p->ecmp = search.member;
	return 0;
}

/* Whether a tunnel of composite `id` leads to `outer_sip`: the source check of a packet whose way back is ECMP. */
__noinline int composite_has_tunnel(__u32 id, __be32 outer_sip)
{
	struct composite_search search = { .id = id, .dip = outer_sip };
	const struct composite *composite = bpf_map_lookup_elem(&composites, &id);

	if (!composite)
		return 0;
	search.count = composite->count;
	bpf_loop(COMPOSITE_MAX, composite_step, &search, 0);
	return search.nh != 0;
}
