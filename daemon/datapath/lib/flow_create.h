/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * How the two entries of a flow are made from its first packet. Keys follow the vRouter (reference 1.5): nh_id of the ingress vif, from
 * the fabric that of the destination's vif.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "flow_entry.h"
#include "flow_index.h"
#include "flow_remove.h"
#include "flow_room.h"
#include "flow_share.h"
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
__noinline __u32 flow_put(const struct packet *p, const struct flow6_key *key, const struct flow *flow)
{
	union flow_slot_word word;
	struct flow_slot *slot;
	__u32 index;
	long error;

	if (!p || !key || !flow)
		return DROP_MISC;
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
	if ((flow->flags & FLOW_FROM_OUTSIDE) == FLOW_FROM_OUTSIDE)
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

/* The key of the way back: addresses and ports swapped (an ICMP id stays), in the context of the vif that will answer. */
static __always_inline void flow_reverse_key(const struct packet *p, __u32 nh_id, struct flow6_key *reverse)
{
	__builtin_memset(reverse, 0, sizeof(*reverse));
	if (p->family == AF_INET) {
		struct flow4_key *key = (struct flow4_key *)reverse;
		int swap = proto_has_ports(p->key.k4.proto);

		key->nh_id = nh_id;
		key->sip = p->key.k4.dip;
		key->dip = p->key.k4.sip;
		key->sport = swap ? p->key.k4.dport : p->key.k4.sport;
		key->dport = swap ? p->key.k4.sport : p->key.k4.dport;
		key->proto = p->key.k4.proto;
	} else {
		int swap = proto_has_ports(p->key.k6.proto);

		reverse->nh_id = nh_id;
		ip6_copy(reverse->sip, p->key.k6.dip);
		ip6_copy(reverse->dip, p->key.k6.sip);
		reverse->sport = swap ? p->key.k6.dport : p->key.k6.sport;
		reverse->dport = swap ? p->key.k6.sport : p->key.k6.dport;
		reverse->proto = p->key.k6.proto;
	}
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
__noinline __u32 flow_reserve(struct packet *p)
{
	struct flow_alloc *alloc = flow_allocation();
	enum flow_shortage shortage;
	struct flow_family *table;
	const struct nexthop *nh;
	struct flow_payer payer;
	const struct vif *vif;
	__u32 ifindex, limit;

	if (!p || !alloc)
		return DROP_MISC;
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!nh)
		return DROP_INVALID_NH;
	payer.vif = flow_owner(p, nh);
	payer.group = flow_group(p, payer.vif);
	ifindex = p->bits & PACKET_FROM_TUNNEL ? nh->ifindex : p->ifindex;
	vif = bpf_map_lookup_elem(&vifs, &ifindex);
	if (vif && (vif->flags & VIF_DROP_NEW_FLOWS))
		return DROP_NEW_FLOWS;
	limit = vif ? vif->max_flows : 0;
	shortage = flow_charge(p->family, &payer, limit, 2);
	if (shortage != SHORTAGE_NONE && flow_displace(p->family, shortage, &payer))
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

/* Gives back what flow_reserve took for the packet's own direction. */
static __always_inline void flow_unreserve(const struct packet *p, __u32 owner, __u32 index)
{
	struct flow_alloc *alloc = flow_allocation();

	flow_index_give(index);
	flow_refund(p->family, owner, flow_group(p, owner), 1);
	if (alloc)
		__sync_fetch_and_add(&flow_family(alloc, p->family)->entries, -1);
}

/* Enters the packet's own direction. Returns 0, FLOW_EXISTS when another CPU was faster, or a drop reason. */
__noinline __u32 flow_create(struct packet *p, __u32 action)
{
	struct flow_alloc *alloc = flow_allocation();
	const struct globals *g = node_globals();
	const struct nexthop *nh;
	struct flow flow = {};
	__u32 reason;
	int tunnelled;

	if (!p || !g || !alloc)
		return DROP_MISC;
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!nh)
		return DROP_INVALID_NH;
	tunnelled = !!(p->bits & PACKET_FROM_TUNNEL);
	flow.last_seen_ns = bpf_ktime_get_coarse_ns();
	flow.index = p->flow_index;
	flow.rindex = p->reverse_index;
	flow.gen = flow_next_gen(p->flow_index);
	flow.key_nh = p->key.k4.nh_id;
	flow.flags = FLOW_ACTIVE | FLOW_RFLOW_VALID | (p->flow_flags & (FLOW_L2 | FLOW_TTL_KEEP | FLOW_VRF_TRANSLATED | FLOW_TO_OUTSIDE));
	flow.epoch = g->epoch;
	flow.nh = p->nh;
	flow.label = p->label;
	flow.vrf = tunnelled ? p->dvrf : p->vrf;
	flow.dvrf = p->dvrf;
	flow.src_nh = tunnelled ? p->back_nh : p->own_nh;
	flow.src_info = tunnelled ? p->outer_sip : p->vif;
	flow.vif = flow_owner(p, nh);
	flow.udp_src_port = p->entropy ? p->entropy : entropy_port(hash_packet(p, g->hash_seed, 0));
	flow.ecmp = p->ecmp;
	flow.action = action;
	reason = flow_put(p, &p->key.k6, &flow);
	if (reason) {
		flow_unreserve(p, flow.vif, p->flow_index);
		if (action != FLOW_ACTION_NAT) /* the way back of the others isn't there yet */
			flow_unreserve(p, flow.vif, p->reverse_index);
		return reason;
	}
	__sync_fetch_and_add(&alloc->created, 1);
	__sync_fetch_and_add(&alloc->added, 1);
	return 0;
}

/* Takes the packet's own direction back, which was entered. */
static __always_inline void flow_withdraw(const struct packet *p)
{
	__u32 index = p->flow_index;
	struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &index);
	struct flow *flow = flow_find(p);

	if (slot && flow && flow->index == index)
		flow_remove_pair(index, *(volatile __u32 *)slot);
}

/* The key of the way back of the packet's flow. */
static __always_inline void flow_way_back(const struct packet *p, const struct nexthop *nh, struct flow6_key *key)
{
	int local = nh->type == NH_RCV || (nh->type == NH_ENCAP && nh->oif_type == VIF_VIRTUAL);

	flow_reverse_key(p, p->bits & PACKET_FROM_TUNNEL || local ? nh->key_nh : p->own_nh, key);
}

/* Gives back what flow_reserve took for the way back. Returns 0. */
__noinline int flow_give_reverse(const struct packet *p)
{
	const struct nexthop *nh;

	if (!p)
		return 0;
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (nh)
		flow_unreserve(p, flow_owner(p, nh), p->reverse_index);
	return 0;
}

#define FLOW_GONE 0xffff0001 /* flow_join: there was one that had ended, and now there is none */

/*
 * The way back has an entry already. When both ends spoke at once, or that direction outlived this one, the two become a pair.
 * Returns 0, FLOW_GONE, or a drop reason: it is the other half of a flow that lives.
 */
__noinline __u32 flow_join(struct packet *p)
{
	const struct nexthop *nh;
	struct flow *other, *mine;
	struct flow6_key key;

	if (!p)
		return DROP_MISC;
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!nh)
		return DROP_INVALID_NH;
	flow_way_back(p, nh, &key);
	other = p->family == AF_INET ? bpf_map_lookup_elem(&flow4, (struct flow4_key *)&key) : bpf_map_lookup_elem(&flow6, &key);
	if (!other || other->flags & FLOW_EVICT_CANDIDATE) {
		if (other)
			flow_end(p->family, &key, other->index);
		return FLOW_GONE;
	}
	mine = flow_find(p);
	if (!mine || other->action == FLOW_ACTION_NAT || flow_reverse(other))
		return DROP_FLOW_UNUSABLE;
	mine->rindex = other->index;
	other->rindex = mine->index;
	flow_give_reverse(p);
	return 0;
}

/* Enters the way back: who answers, in which VRF, and where that leads. Returns 0, FLOW_EXISTS or a drop reason. */
__noinline __u32 flow_create_reverse(struct packet *p, __u32 action)
{
	struct flow_alloc *alloc = flow_allocation();
	const struct globals *g = node_globals();
	const struct nexthop *nh;
	struct flow6_key key;
	struct flow flow = {};
	int tunnelled, local;
	__u32 reason;

	if (!p || !g || !alloc)
		return DROP_MISC;
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!nh)
		return DROP_INVALID_NH;
	tunnelled = !!(p->bits & PACKET_FROM_TUNNEL);
	local = nh->type == NH_RCV || (nh->type == NH_ENCAP && nh->oif_type == VIF_VIRTUAL);
	flow_way_back(p, nh, &key);
	flow.last_seen_ns = bpf_ktime_get_coarse_ns();
	flow.index = p->reverse_index;
	flow.rindex = p->flow_index;
	flow.gen = flow_next_gen(p->reverse_index);
	flow.key_nh = key.nh_id;
	flow.flags = FLOW_ACTIVE | FLOW_RFLOW_VALID;
	flow.epoch = tunnelled ? g->epoch : g->epoch - 1; /* its first packet looks its route up itself */
	flow.vrf = tunnelled ? p->dvrf : local ? nh->vrf : p->vrf;
	flow.dvrf = tunnelled ? p->dvrf : p->vrf;
	if (flow.vrf != flow.dvrf)
		flow.flags |= FLOW_VRFT;
	if (p->bits & PACKET_FROM_HOST)
		flow.flags |= FLOW_TO_HOST;
	flow.nh = tunnelled ? p->back_nh : p->own_nh;
	flow.label = tunnelled ? p->back_label : LABEL_NONE;
	flow.src_nh = p->nh;
	flow.src_info = nh->type == NH_TUNNEL ? nh->dip : nh->oif;
	flow.vif = flow_owner(p, nh);
	flow.udp_src_port = entropy_port(hash_packet(p, g->hash_seed, 0));
	flow.ecmp = ECMP_NONE;
	flow.action = action;
	reason = flow_put(p, &key, &flow);
	if (reason)
		return reason;
	__sync_fetch_and_add(&alloc->created, 1);
	__sync_fetch_and_add(&alloc->added, 1);
	return 0;
}

/* Makes both entries for the packet, whose nexthop is known. Returns 0, also when another CPU made them first, or a drop reason. */
static __always_inline __u32 flow_make(struct packet *p)
{
	enum flow_action action = policy_decide(p);
	__u32 reason;

	if (action == FLOW_ACTION_DROP)
		return DROP_FLOW_ACTION_DROP;
	reason = SOURCE_CHECK(p);
	if (reason)
		return reason;
	reason = flow_reserve(p);
	if (reason)
		return reason;
	reason = flow_create(p, action);
	if (reason)
		return reason == FLOW_EXISTS ? 0 : reason;
	reason = flow_create_reverse(p, action);
	if (reason == FLOW_EXISTS)
		reason = flow_join(p);
	if (reason == FLOW_GONE)
		reason = flow_create_reverse(p, action);
	if (reason) {
		flow_give_reverse(p);
		flow_withdraw(p);
	}
	return reason == FLOW_EXISTS ? DROP_FLOW_UNUSABLE : reason;
}
