/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Fan-out composites: a copy of the frame for every member (vRouter reference 1.3, 2.8). A network's L2 multicast composite has lists as
 * its members, of one kind each; those of kind ENCAP hold the workloads of this node. Nobody gets back what is his own, and a list that
 * leads to other nodes isn't for what came from one (split horizon): only workloads' frames come here so far, and lists of other kinds
 * are passed over until an encapsulation carries frames.
 *
 * Whoever sends pays with one copy per member, COMPOSITE_MAX * COMPOSITE_MAX at most.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "stats.h"
#include "vif.h"

#define FAN_OUT_STEPS (COMPOSITE_MAX * (COMPOSITE_MAX + 1))

/* A walk through the lists: bpf_loop's context, so that the verifier sees one step. */
struct fan_out {
	struct __sk_buff *skb;
	__u32 id;   /* the composite */
	__u32 list; /* where the walk is */
	__u32 member;
	__u32 vif; /* who sends, and gets no copy */
	__u32 vrf;
	__u32 next_vif; /* who gets the next one: the last gets the frame itself */
	__u32 next_ifindex;
};

/* The list at which the walk is, or NULL: it is over, or that one is passed over. */
static __always_inline const struct composite *fan_out_list(const struct fan_out *walk, const struct composite *lists)
{
	__u32 id = lists->members[walk->list & (COMPOSITE_MAX - 1)].nh;
	const struct nexthop *nh = bpf_map_lookup_elem(&nexthops, &id);

	if (!nh || nh->type != NH_COMPOSITE || !(nh->flags & NH_FLAG_VALID) || !(nh->flags & NH_FLAG_COMPOSITE_ENCAP))
		return NULL;
	return bpf_map_lookup_elem(&composites, &id);
}

static long fan_out_step(__u32 index, void *context)
{
	struct fan_out *walk = context;
	const struct composite *list, *lists = bpf_map_lookup_elem(&composites, &walk->id);
	const struct nexthop *nh;
	__u32 nh_id;

	(void)index;
	if (!lists || walk->list >= lists->count || walk->list >= COMPOSITE_MAX)
		return 1;
	list = fan_out_list(walk, lists);
	if (!list || walk->member >= list->count || walk->member >= COMPOSITE_MAX) {
		walk->list++;
		walk->member = 0;
		return 0;
	}
	if (!walk->member)
		COUNT_VRF(walk->vrf, encap_composites);
	nh_id = list->members[walk->member & (COMPOSITE_MAX - 1)].nh;
	walk->member++;
	nh = nh_id ? bpf_map_lookup_elem(&nexthops, &nh_id) : NULL;
	if (!nh || !(nh->flags & NH_FLAG_VALID) || nh->type != NH_ENCAP || nh->family != NH_AF_BRIDGE || nh->oif == walk->vif || !nh->ifindex)
		return 0;
	if (walk->next_ifindex) {
		if (bpf_clone_redirect(walk->skb, walk->next_ifindex, 0))
			drop_count(walk->vif, DROP_MCAST_CLONE_FAIL);
		else
			count_vif_tx(walk->next_vif, walk->skb->len);
	}
	walk->next_vif = nh->oif;
	walk->next_ifindex = nh->ifindex;
	return 0;
}

/* Sends the frame, as it is, to all members of composite p->nh but its sender. Invalidates pointers into the packet. */
__noinline enum verdict fan_out(struct __sk_buff *skb, struct packet *p)
{
	struct fan_out walk = { .skb = skb };

	if (!p)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	walk.id = p->nh;
	walk.vif = p->vif;
	walk.vrf = p->vrf;
	COUNT_VRF(p->vrf, l2_mcast_composites);
	bpf_loop(FAN_OUT_STEPS, fan_out_step, &walk, 0);
	if (!walk.next_ifindex) /* nobody else is there */
		return DROP(p, DROP_CLONED_ORIGINAL);
	count_vif_tx(walk.next_vif, skb->len);
	if (bpf_redirect(walk.next_ifindex, 0) != TC_ACT_REDIRECT)
		return DROP(p, DROP_INTERFACE_TX_DISCARD);
	return VERDICT_REDIRECT;
}
