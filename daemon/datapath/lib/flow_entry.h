/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* An entry of the flow table: what an established packet costs there, how the answer is renewed, and how a flow is ended. */
#pragma once
#include "packet.h"
#include "flow_index.h"
#include "tcp_state.h"
#include "vif.h"

static __always_inline void flow_count(struct flow *flow, __u32 bytes)
{
	__sync_fetch_and_add(&flow->packets, 1);
	__sync_fetch_and_add(&flow->bytes, bytes);
}

/* Counts the packet in its flow, and takes over what the flow knows. */
static __always_inline void flow_use(struct packet *p, struct flow *flow, __u32 bytes)
{
	__u64 now = bpf_ktime_get_coarse_ns();

	if (flow->last_seen_ns != now) {
		flow->last_seen_ns = now;
		p->bits |= PACKET_NEW_TICK;
	}
	flow_count(flow, bytes);
	p->flow_index = flow->index;
	p->entropy = flow->udp_src_port;
	p->nh = flow->nh;
	p->label = flow->label;
	p->dvrf = flow->dvrf;
	p->ecmp = flow->ecmp;
	p->flow_flags = flow->flags;
}

/*
 * Whether what was read of the entry was for a packet of this ingress context. An entry that another CPU removes is memory for the
 * next one at once: what was read meanwhile could be a stranger's.
 */
static __always_inline int flow_is_of(const struct flow *flow, const struct packet *p)
{
	return *(volatile const __u32 *)&flow->key_nh == p->key.k4.nh_id;
}

/* Whether the flow's answer may be used as it is: most packets of most flows. */
static __always_inline int flow_is_fresh(const struct packet *p, const struct flow *flow, __u32 epoch)
{
	if (flow->action < FLOW_ACTION_FORWARD || (flow->flags & FLOW_EVICT_CANDIDATE))
		return 0;
	if (p->bits & PACKET_FROM_TUNNEL)
		return flow->epoch == epoch && flow->src_info == p->outer_sip && (flow->nh == p->nh || flow->ecmp != ECMP_NONE);
	if (flow->epoch != epoch)
		return 0;
	/* bridged or routed is for each frame's MAC to say, unless the flow changed its VRF */
	return p->vif_type != VIF_VIRTUAL || (flow->flags & FLOW_VRFT) || !(flow->flags & FLOW_L2) == !!(p->bits & PACKET_TO_ROUTER);
}

/* The packets become others (translate.h). */
#define FLOW_TRANSLATED (FLOW_SNAT | FLOW_SPAT | FLOW_DNAT | FLOW_DPAT)
#define FLOW_TO_OUTSIDE (FLOW_SNAT | FLOW_SPAT | FLOW_VRFT)

/* Whether the slot is that of the entry under this key. */
static __always_inline int slot_has_key(const struct flow_slot *slot, union flow_slot_word seen, const struct flow6_key *key)
{
	const __u32 *a = (const __u32 *)&slot->k6, *b = (const __u32 *)key;
	__u32 words = flow_slot_family(seen.family) == AF_INET ? sizeof(struct flow4_key) / 4 : sizeof(struct flow6_key) / 4;
	__u32 differs = 0;

	for (__u32 i = 0; i < sizeof(struct flow6_key) / 4; i++)
		if (i < words)
			differs |= a[i] ^ b[i];
	return !differs;
}

/*
 * Ends the flow with that key: both entries, the one of slot `index` and its other direction, are removed here and now, so that the next
 * packet, whichever way it goes, is decided anew. `index` was read from an entry that may be a stranger's by now: such a one stays.
 * Returns 1, or 0: it isn't there any more.
 */
__noinline int flow_end(__u32 family, const struct flow6_key *key, __u32 index)
{
	struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &index);
	struct flow_alloc *alloc = flow_allocation();
	union flow_slot_word seen;

	if (!key || !slot || !alloc)
		return 0;
	seen.word = *(volatile __u32 *)slot;
	if (flow_slot_family(seen.family) != family || !slot_has_key(slot, seen, key))
		return 0;
	if (!flow_remove_pair(index, seen.word))
		return 0;
	__sync_fetch_and_add(&alloc->evicted, 1);
	return 1;
}

/* The same for the packet's own flow. */
static __always_inline int flow_end_own(const struct packet *p, const struct flow *flow)
{
	return flow_end(p->family, &p->key.k6, flow->index);
}

#define FLOW_RENEWS 4 /* tries: so often others may change a flow's flags meanwhile */

/* Changes how the flow's packets are forwarded, and no flag that others set. Returns 0 if they were at it all the time. */
static __always_inline int flow_change_how(struct flow *flow, __u32 how)
{
	const __u32 mask = FLOW_L2 | FLOW_TTL_KEEP | FLOW_VRF_TRANSLATED;
	__u32 old, new;

	for (int i = 0; i < FLOW_RENEWS; i++) {
		old = *(volatile __u32 *)&flow->flags;
		new = (old & ~mask) | (how & mask);
		if (old == new || __sync_val_compare_and_swap(&flow->flags, old, new) == old)
			return 1;
	}
	return 0;
}

/*
 * Puts what was resolved into the flow. The epoch goes last: until then others resolve for themselves. So does whoever got the memory,
 * if another CPU has removed the entry meanwhile.
 */
static __always_inline void flow_renew(struct flow *flow, const struct packet *p, __u32 epoch)
{
	struct flow_alloc *alloc = flow_allocation();

	if (flow->nh != p->nh || flow->label != p->label) {
		struct flow *reverse = flow_reverse(flow);

		if (alloc)
			__sync_fetch_and_add(&alloc->changed, 1);
		/* whether anybody is there has to show again: until then it is no established connection */
		flow->tcp_flags &= ~TCP_PROVED;
		if (reverse)
			reverse->tcp_flags &= ~TCP_PROVED;
	}
	flow->nh = p->nh;
	flow->label = p->label;
	flow->dvrf = p->dvrf;
	flow->ecmp = p->ecmp;
	flow->out = p->out;
	if (p->bits & PACKET_FROM_TUNNEL)
		flow->src_info = p->outer_sip;
	if (unlikely(flow->action == FLOW_ACTION_DROP)) { /* until now it was blocked */
		flow->drop_reason = 0;
		flow->action = flow->flags & FLOW_TRANSLATED ? FLOW_ACTION_NAT : FLOW_ACTION_FORWARD;
	}
	*(volatile __u32 *)&flow->epoch = flow_change_how(flow, p->flow_flags) && flow_is_of(flow, p) ? epoch : epoch - 1;
}

/* The flow's packets are dropped, by the routes of `epoch`: another epoch, and its next packet is decided again. They count, but prolong nothing. */
static __always_inline void flow_block(struct flow *flow, const struct packet *p, enum flow_drop_reason why, __u32 epoch, __u32 bytes)
{
	flow_count(flow, bytes);
	flow->drop_reason = why;
	flow->action = FLOW_ACTION_DROP;
	*(volatile __u32 *)&flow->epoch = flow_is_of(flow, p) ? epoch : epoch - 1;
}

/* A flow that was made while routes changed, since `epoch`, may have an answer from before: its next packets look again, both ways. */
static __always_inline void flow_confirm(struct flow *flow, const struct globals *g, __u32 epoch)
{
	struct flow *reverse;

	if (likely(epoch_before(g) == epoch))
		return;
	flow->epoch = epoch;
	reverse = flow_reverse(flow);
	if (reverse)
		reverse->epoch = epoch;
}
