/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* An entry of the flow table: what an established packet costs there, how the answer is renewed, and how a flow is ended. */
#pragma once
#include "packet.h"
#include "flow_index.h"
#include "tcp_state.h"
#include "vif.h"

/* Counts the packet in its flow, and takes over what the flow knows. */
static __always_inline void flow_use(struct packet *p, struct flow *flow, __u32 bytes)
{
	__u64 now = bpf_ktime_get_coarse_ns();

	if (flow->last_seen_ns != now) {
		flow->last_seen_ns = now;
		p->bits |= PACKET_NEW_TICK;
	}
	__sync_fetch_and_add(&flow->packets, 1);
	__sync_fetch_and_add(&flow->bytes, bytes);
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

#define FLOW_TO_OUTSIDE (FLOW_SNAT | FLOW_SPAT | FLOW_VRFT)
#define FLOW_FROM_OUTSIDE (FLOW_DNAT | FLOW_DPAT | FLOW_VRFT)

/* Ends the flow, both ways: packets are dropped from now on, and ageing removes the entries. */
static __always_inline void flow_end(struct flow *flow)
{
	struct flow *reverse = flow_reverse(flow);

	__sync_fetch_and_or(&flow->flags, FLOW_EVICT_CANDIDATE);
	if (reverse)
		__sync_fetch_and_or(&reverse->flags, FLOW_EVICT_CANDIDATE);
}

/* Puts what was resolved into the flow. The epoch goes last: until then others resolve for themselves. */
static __always_inline void flow_renew(struct flow *flow, const struct packet *p, __u32 epoch)
{
	const __u32 how = FLOW_L2 | FLOW_TTL_KEEP | FLOW_VRF_TRANSLATED;
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
	flow->flags = (flow->flags & ~how) | (p->flow_flags & how);
	if (p->bits & PACKET_FROM_TUNNEL)
		flow->src_info = p->outer_sip;
	flow->epoch = epoch;
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
