/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The two entries of a new flow become a pair, whoever else enters one of them at the same time: they are joined, given way to, or the
 * flow takes another source port.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "ends.h"
#include "flow_entry.h"
#include "flow_index.h"
#include "flow_make.h"
#include "flow_remove.h"
#include "hash.h"

/* Makes a pair of two entries. */
static __always_inline void flow_pair(struct flow *a, struct flow *b)
{
	a->rgen = b->gen;
	b->rgen = a->gen;
	a->rindex = b->index;
	b->rindex = a->index;
}

#define FLOW_GONE 0xffff0001 /* flow_join: there was one that had ended, and now there is none */
#define FLOW_MADE 0xffff0002 /* flow_join: another CPU has made both entries meanwhile */
#define FLOW_TAKEN 0xffff0003 /* flow_join: it is the other half of a flow that lives */

/*
 * The way back has an entry already. When both ends spoke at once, or that direction outlived this one, it becomes this flow's, unless
 * one of the two is translated: p->reverse_index. Returns 0, FLOW_GONE, FLOW_MADE, FLOW_TAKEN or a drop reason.
 */
__noinline __u32 flow_join(struct packet *p)
{
	const struct globals *g = node_globals();
	struct flow *other, *mine, *reverse;
	const struct nexthop *nh;
	struct flow6_key key;

	if (!p || !g)
		return DROP_MISC;
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!nh)
		return DROP_INVALID_NH;
	flow_reverse_key(p, flow_answers_in(p, nh, g), &key);
	other = p->family == AF_INET ? bpf_map_lookup_elem(&flow4, (struct flow4_key *)&key) : bpf_map_lookup_elem(&flow6, &key);
	if (!other || other->flags & FLOW_EVICT_CANDIDATE) {
		if (other)
			flow_end(p->family, &key, other->index);
		return FLOW_GONE;
	}
	reverse = flow_reverse(other);
	if (reverse) {
		mine = flow_find(p);
		return mine && mine->index == reverse->index ? FLOW_MADE : FLOW_TAKEN;
	}
	if (other->action == FLOW_ACTION_NAT || p->flow_flags & FLOW_TRANSLATED)
		return FLOW_TAKEN;
	flow_unreserve(p, p->reverse_index);
	p->reverse_index = other->index;
	p->reverse_gen = other->gen;
	return 0;
}

/* The packet's own direction is in: an entry that was joined becomes its other one. Returns 0. */
__noinline int flow_adopt(const struct packet *p)
{
	struct flow *mine, *other;

	if (!p)
		return 0;
	mine = flow_find(p);
	other = flow_at(p->reverse_index);
	if (mine && other && other->gen == p->reverse_gen && !flow_reverse(other))
		flow_pair(mine, other);
	return 0;
}

/*
 * The packet's own direction has an entry already, or there was no room for it: its handle is given back, and the way back, which was
 * entered by this packet, goes, if no other entry is its pair. Returns 0.
 */
__noinline int flow_yield(const struct packet *p)
{
	struct flow *mine, *other, *reverse;
	union flow_slot_word seen;
	struct flow_slot *slot;
	__u32 index;

	if (!p)
		return 0;
	flow_unreserve(p, p->flow_index);
	index = p->reverse_index;
	slot = bpf_map_lookup_elem(&flow_slots, &index);
	if (!slot)
		return 0;
	seen.word = *(volatile __u32 *)slot;
	other = flow_at(index);
	if (!other || other->gen != p->reverse_gen) /* it was removed to make room, and its slot may be another flow's by now */
		return 0;
	mine = flow_find(p);
	reverse = mine ? flow_reverse(mine) : NULL;
	if (reverse && reverse->index == index)
		return 0;
	if (mine && !reverse && mine->action == other->action && mine->action != FLOW_ACTION_NAT) /* both ends spoke at once */
		flow_pair(mine, other);
	else if (!flow_reverse(other))
		flow_remove(index, seen.word, 1);
	return 0;
}

/* Source port of the flow's tunnel packets. */
static __always_inline __u16 flow_entropy(const struct packet *p)
{
	const struct globals *g = node_globals();

	return g ? entropy_port(hash_packet(p, g->hash_seed, 0)) : 0;
}

#define OTHER_PORT_TRIES 16
#define OTHER_PORT_FIRST 1024

/*
 * The packet goes on with another source port, where its checksum can follow: with the node's address one of SNAT's range, which none of
 * the host's own connections has. Returns 0: it can't.
 */
__noinline int flow_other_port(struct packet *p)
{
	const struct globals *g = node_globals();
	__u32 first = OTHER_PORT_FIRST, count = 65536 - OTHER_PORT_FIRST;

	if (!p || !g || (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP))
		return 0;
	if (SERVES_OUTSIDE && p->flow_flags & FLOW_SNAT && ends_have_own_source(p, g)) {
		first = g->snat_port;
		count = g->snat_ports;
	}
	p->to.sport = bpf_htons(first + (__u16)(((__u64)bpf_get_prandom_u32() * count) >> 32));
	p->flow_flags |= FLOW_SPAT;
	return 1;
}

static __always_inline __u32 flow_action(const struct packet *p)
{
	return p->flow_flags & FLOW_TRANSLATED ? FLOW_ACTION_NAT : FLOW_ACTION_FORWARD;
}

/*
 * Makes both entries of a flow whose way back isn't chosen by source NAT (snat.h): under the key of what the packet becomes. An entry that
 * is there already is joined, unless one of the two is translated: who speaks to one endpoint from one port directly and through a
 * service has two flows, and the second one gets another source port. Returns 0, also when another CPU made them first, or a drop reason.
 */
static __always_inline __u32 flow_make_pair(struct packet *p)
{
	__u32 reason, joined = 0;

	p->entropy = flow_entropy(p);
	reason = flow_enter(p, 1, flow_action(p));
	if (unlikely(reason == FLOW_EXISTS)) {
		reason = flow_join(p);
		joined = !reason;
		if (reason == FLOW_GONE)
			reason = flow_enter(p, 1, flow_action(p));
		for (int i = 0; PICKS_PORTS && i < OTHER_PORT_TRIES && (reason == FLOW_TAKEN || reason == FLOW_EXISTS) && flow_other_port(p); i++)
			reason = flow_enter(p, 1, FLOW_ACTION_NAT);
	}
	if (reason) {
		flow_unreserve(p, p->flow_index);
		flow_unreserve(p, p->reverse_index);
		return reason == FLOW_MADE ? 0 : reason == FLOW_EXISTS || reason == FLOW_TAKEN ? DROP_FLOW_UNUSABLE : reason;
	}
	reason = flow_enter(p, 0, flow_action(p));
	if (reason) {
		flow_yield(p);
		return reason == FLOW_EXISTS ? 0 : reason;
	}
	if (joined)
		flow_adopt(p);
	return 0;
}

/*
 * Whether answers from where a translated flow leads by now come in the context that its way back is keyed with: an endpoint that has moved
 * to another node is answered for by another entry.
 */
static __always_inline int flow_is_answered(const struct packet *p, const struct flow *flow, const struct globals *g)
{
	const struct nexthop *nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	const struct flow *reverse;

	if (p->out || p->bits & PACKET_FROM_TUNNEL)
		return 1;
	reverse = flow_reverse(flow);
	if (nh && nh->type == NH_TUNNEL && p->flow_flags & FLOW_SERVICE) /* the answer to what was handed over */
		return reverse && (reverse->key_nh == p->nh || reverse->key_nh == g->host_nh);
	return nh && reverse && reverse->key_nh == flow_answers_in(p, nh, g);
}
