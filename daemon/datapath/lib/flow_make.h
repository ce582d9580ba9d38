/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * How the two entries of a flow are made from its first packet. Keys follow the vRouter (reference 1.5): nh_id of the ingress vif, from
 * the fabric that of the destination's vif.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "ends.h"
#include "flow_entry.h"
#include "flow_index.h"
#include "flow_remove.h"
#include "flow_room.h"
#include "flow_share.h"
#include "nexthop_kind.h"
#include "policy.h"
#include "source.h"
#include "vif.h"

/* What the packet's flow counts against beside the vif: see struct flow_slot. */
static __always_inline __u32 flow_group(const struct packet *p, __u32 vif)
{
	const struct globals *g = node_globals();

	if (vif == VIF_ID_FABRIC)
		return g ? flow_source_place(p, g->hash_seed) : 0;
	return p->bits & PACKET_FROM_TUNNEL ? p->dvrf : p->vrf;
}

#define FLOW_EXISTS 0xffff0000 /* flow_put: somebody else was faster */

/* Enters `flow` under `key` and makes its index name it. Returns 0, FLOW_EXISTS or a drop reason. */
static __always_inline __u32 flow_put(const struct packet *p, const struct flow6_key *key, const struct flow *flow)
{
	union flow_slot_word word;
	struct flow_slot *slot;
	__u32 index;
	long error;

	index = flow->index;
	slot = bpf_map_lookup_elem(&flow_slots, &index);
	if (!slot)
		return DROP_FLOW_TABLE_FULL;
	if (p->family == AF_INET)
		error = bpf_map_update_elem(&flow4, (const struct flow4_key *)key, flow, BPF_NOEXIST);
	else
		error = bpf_map_update_elem(&flow6, key, flow, BPF_NOEXIST);
	if (error == -17 /* EEXIST */)
		return FLOW_EXISTS;
	if (error)
		return DROP_FLOW_TABLE_FULL;
	if (p->family == AF_INET)
		slot->k4 = *(const struct flow4_key *)key;
	else
		slot->k6 = *key;
	slot->group = flow_group(p, flow->vif);
	word.family = p->family;
	if (p->out && flow->flags & FLOW_DNAT && key->nh_id != p->key.k4.nh_id)
		word.family |= FLOW_SLOT_SNAT_PORT;
	word.gen = flow->gen;
	word.vif = flow->vif;
	*(volatile __u32 *)slot = word.word;
	return 0;
}

static __always_inline __u8 flow_next_gen(__u32 index)
{
	const struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &index);

	return slot ? slot->gen + 1 : 0;
}

/*
 * Whose share the packet's flow counts against: the workload's that sends, or that gets what a tunnel brings. What others send to the
 * host, or through it, is the fabric's; the host's own is its own.
 */
static __always_inline __u32 flow_owner(const struct packet *p, const struct nexthop *nh)
{
	const struct globals *g = node_globals();

	if (p->bits & PACKET_FROM_TUNNEL)
		return nh->oif == VIF_ID_VHOST ? VIF_ID_FABRIC : nh->oif;
	if (p->bits & PACKET_FROM_HOST && g && !source_is_own(p, g))
		return VIF_ID_FABRIC;
	return p->vif;
}

/*
 * Charges the owner and takes two handles: p->flow_index, reverse_index. Where a limit is met, something that was never answered and
 * counts against the same limit gives way. Returns 0 or a drop reason.
 */
__noinline __u32 flow_reserve(struct __sk_buff *skb, struct packet *p)
{
	struct flow_alloc *alloc = flow_allocation();
	enum flow_shortage shortage;
	struct flow_family *table;
	const struct nexthop *nh;
	__u32 limit, ifindex = skb->ifindex;
	struct flow_payer payer;
	const struct vif *vif;

	if (!p || !alloc)
		return DROP_MISC;
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!nh)
		return DROP_INVALID_NH;
	payer.vif = flow_owner(p, nh);
	payer.group = flow_group(p, payer.vif);
	if (p->bits & PACKET_FROM_TUNNEL)
		ifindex = nh->ifindex;
	vif = bpf_map_lookup_elem(&vifs, &ifindex);
	if (vif && (vif->flags & VIF_DROP_NEW_FLOWS))
		return DROP_NEW_FLOWS;
	limit = vif ? vif->max_flows : 0;
	shortage = flow_charge(p->family, &payer, limit, 2);
	if (shortage != SHORTAGE_NONE && flow_give_way(p->family, shortage, &payer))
		shortage = flow_charge(p->family, &payer, limit, 2);
	if (shortage != SHORTAGE_NONE)
		return shortage == SHORTAGE_TABLE ? DROP_FLOW_TABLE_FULL : DROP_NEW_FLOWS;

	table = flow_family(alloc, p->family);
	__sync_fetch_and_add(&table->entries, 2);
	if (flow_make_room(alloc, p->family, &payer)) {
		p->flow_index = flow_index_take(alloc);
		p->reverse_index = p->flow_index == FLOW_NONE ? FLOW_NONE : flow_index_take(alloc);
		if (p->reverse_index != FLOW_NONE)
			return 0;
		if (p->flow_index != FLOW_NONE)
			flow_index_give(p->flow_index);
	}
	__sync_fetch_and_add(&table->entries, -2);
	flow_refund(p->family, payer.vif, payer.group, 2);
	return DROP_FLOW_TABLE_FULL;
}

/* Gives back one entry that flow_reserve took. Returns 0. */
__noinline int flow_unreserve(const struct packet *p, __u32 index)
{
	struct flow_alloc *alloc = flow_allocation();
	const struct nexthop *nh;
	__u32 owner;

	if (!p || !alloc)
		return 0;
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!nh)
		return 0;
	owner = flow_owner(p, nh);
	flow_index_give(index);
	flow_refund(p->family, owner, flow_group(p, owner), 1);
	__sync_fetch_and_add(&flow_family(alloc, p->family)->entries, -1);
	return 0;
}

/* In whose context the answer comes: nh_id of the way back's key. */
static __always_inline __u32 flow_answers_in(const struct packet *p, const struct nexthop *nh, const struct globals *g)
{
	if (p->out)
		return g->host_nh;
	return p->bits & PACKET_FROM_TUNNEL || nexthop_is_local(nh) ? nh->key_nh : p->key.k4.nh_id;
}

/* Flags of the way back: what one direction does to the source, the other does to the destination. */
static __always_inline __u32 flow_flags_back(__u32 flags)
{
	return (flags & FLOW_SNAT ? FLOW_DNAT : 0) | (flags & FLOW_SPAT ? FLOW_DPAT : 0) | (flags & FLOW_DNAT ? FLOW_SNAT : 0) |
	       (flags & FLOW_DPAT ? FLOW_SPAT : 0);
}

#define FLOW_MADE_HOW (FLOW_L2 | FLOW_TTL_KEEP | FLOW_VRF_TRANSLATED | FLOW_VRFT | FLOW_SERVICE | FLOW_INBOUND | FLOW_HANDED | FLOW_TRANSLATED)

/* The packet's own direction: where it goes. */
static __always_inline void flow_describe(const struct packet *p, struct flow *flow)
{
	int tunnelled = !!(p->bits & PACKET_FROM_TUNNEL);

	flow->flags |= p->flow_flags & FLOW_MADE_HOW;
	flow->nh = p->nh;
	flow->label = p->label;
	flow->vrf = tunnelled ? p->dvrf : p->vrf;
	flow->dvrf = p->dvrf;
	flow->src_nh = tunnelled ? p->back_nh : p->key.k4.nh_id;
	flow->src_info = tunnelled ? p->outer_sip : p->vif;
	flow->ecmp = p->ecmp;
	flow->out = p->out;
}

/* The way back: who answers, in which VRF, and where that leads. */
static __always_inline void flow_describe_back(const struct packet *p, const struct nexthop *nh, const struct globals *g, struct flow *flow)
{
	int tunnelled = !!(p->bits & PACKET_FROM_TUNNEL);

	flow->vrf = tunnelled || p->out ? p->dvrf : nexthop_is_local(nh) ? nh->vrf : p->vrf;
	flow->dvrf = tunnelled ? p->dvrf : p->vrf;
	flow->flags |= flow_flags_back(p->flow_flags) | (p->flow_flags & (FLOW_SERVICE | FLOW_INBOUND));
	if (flow->vrf != flow->dvrf || p->out)
		flow->flags |= FLOW_VRFT;
	if (p->bits & PACKET_FROM_HOST)
		flow->flags |= FLOW_TO_HOST;
	if (!tunnelled && !p->out) /* its first packet looks its route up itself */
		flow->epoch--;
	flow->nh = tunnelled ? p->back_nh : p->key.k4.nh_id;
	flow->label = tunnelled ? p->back_label : LABEL_NONE;
	flow->src_nh = p->nh;
	flow->src_info = nh->type == NH_TUNNEL ? nh->dip : nh->oif;
	flow->ecmp = ECMP_NONE;
	if (SERVES_OUTSIDE && p->flow_flags & FLOW_INBOUND) /* it leaves the node; its first packet says by which device */
		flow->out = g->vhost_ifindex;
}

/*
 * Enters one of the two: `back` 0 is the packet's own direction, and 1 the way back, which is entered first, under the key of what the
 * packet becomes. Returns 0, FLOW_EXISTS when there is an entry with that key, or a drop reason.
 */
__noinline __u32 flow_enter(struct packet *p, __u32 back, __u32 action)
{
	struct flow_alloc *alloc = flow_allocation();
	const struct globals *g = node_globals();
	const struct nexthop *nh;
	struct flow6_key key;
	struct flow flow = {};
	__u32 reason;

	if (!p || !g || !alloc)
		return DROP_MISC;
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!nh)
		return DROP_INVALID_NH;
	flow.last_seen_ns = bpf_ktime_get_coarse_ns();
	flow.flags = FLOW_ACTIVE | FLOW_RFLOW_VALID;
	flow.epoch = g->epoch;
	flow.vif = flow_owner(p, nh);
	flow.udp_src_port = p->entropy;
	flow.action = action;
	if (back) {
		flow_reverse_key(p, flow_answers_in(p, nh, g), &key);
		flow.index = p->reverse_index;
		flow.rindex = p->flow_index;
		flow.rgen = flow_next_gen(p->flow_index);
		flow_describe_back(p, nh, g, &flow);
	} else {
		key = p->key.k6;
		flow.index = p->flow_index;
		flow.rindex = p->reverse_index;
		flow.rgen = p->reverse_gen;
		flow_describe(p, &flow);
	}
	flow.gen = flow_next_gen(flow.index);
	if (back)
		p->reverse_gen = flow.gen;
	flow.key_nh = key.nh_id;
	reason = flow_put(p, &key, &flow);
	if (reason)
		return reason;
	__sync_fetch_and_add(&alloc->created, 1);
	__sync_fetch_and_add(&alloc->added, 1);
	return 0;
}
