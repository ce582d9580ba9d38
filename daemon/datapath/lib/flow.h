/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The flow stage: an established packet gets its answer from its entry; for all others it is decided what they belong to and where they go. */
#pragma once
#include "packet.h"
#include "drop.h"
#include "flow_create.h"
#include "flow_entry.h"
#include "flow_index.h"
#include "resolve.h"
#include "service.h"
#include "source.h"
#include "tcp_state.h"
#include "vif.h"
#include "vif_address.h"

/* Whether a packet to this nexthop makes a flow. What the agent or nobody gets makes none. */
static __always_inline int nexthop_makes_flow(const struct nexthop *nh)
{
	switch (nh->type) {
	case NH_ENCAP:
		return nh->oif_type != VIF_AGENT;
	case NH_TUNNEL:
	case NH_RCV:
		return 1;
	default:
		return 0;
	}
}

/* Whether what the host sends goes to a workload or into a tunnel. The rest is the host's own business with the underlay. */
static __always_inline int nexthop_is_overlay(const struct nexthop *nh)
{
	return nh->type == NH_TUNNEL || (nh->type == NH_ENCAP && nh->oif_type == VIF_VIRTUAL);
}

/*
 * Whether the way from the VRF that asked still leads to who answers here: a leaked route that was withdrawn ends both directions of
 * its flows. Returns 0 or a drop reason.
 */
__noinline __u32 flow_may_answer(const struct packet *p, __u32 asking_vrf)
{
	struct address source = {};
	const struct nexthop *nh;
	struct route route;

	if (!p)
		return DROP_MISC;
	packet_source(p, &source);
	if (!route_find(asking_vrf, p->family, &source, &route))
		return DROP_DISCARD;
	nh = bpf_map_lookup_elem(&nexthops, &route.nh);
	if (nh && (nh->type == NH_COMPOSITE || (nh->type == NH_VRF_TRANSLATE && !nexthop_is_snat(nh)))) /* one of several; by another VRF */
		return 0;
	return nh && (nh->type == NH_ENCAP || nh->type == NH_RCV) && nh->key_nh == p->own_nh ? 0 : DROP_DISCARD;
}

/* A workload may use its own addresses only. ICMP errors are checked where they are keyed (tap.bpf.c). */
__noinline int flow_source_is_own(const struct packet *p, const struct vif *vif)
{
	struct address source = {};

	if (!p || !vif)
		return 0;
	if (vif->flags & VIF_NO_SPOOF_CHECK)
		return 1;
	packet_source(p, &source);
	return vif_has_address(vif, p->family, &source);
}

#ifdef TRANSLATES_SOURCE
/* The first packet of a flow to an address outside, and those after a change of routes (snat.h). p->nh is the SNAT nexthop. */
enum verdict snat_open(struct __sk_buff *skb, struct packet *p, __u32 bytes, __u32 epoch);
enum verdict snat_renew(struct __sk_buff *skb, struct packet *p, __u32 bytes);
#endif

/*
 * The answer to what the host brought goes back to the host: it may have translated addresses on the way (a NodePort's, with the
 * client's own address as source), and only it can translate them back. By its route the packet would leave with the pod's address.
 */
static __always_inline void resolve_host(struct packet *p, const struct flow *flow)
{
	p->nh = flow->nh; /* since the flow was made: the host's */
	p->dvrf = flow->dvrf;
	p->label = LABEL_NONE;
	p->ecmp = ECMP_NONE;
}

/* Where a packet of a flow goes that has been decided before, by the routes of today. Returns 0 or a drop reason. */
static __always_inline __u32 flow_resolve_again(struct __sk_buff *skb, struct packet *p, const struct flow *flow)
{
	__u32 reason;

	p->ecmp = flow->ecmp;
	if (!(flow->flags & (FLOW_VRFT | FLOW_TO_HOST)) || p->bits & PACKET_FROM_TUNNEL)
		return resolve(skb, p);
	p->flow_flags = 0;
	reason = flow_may_answer(p, flow->dvrf);
	if (reason)
		return reason;
	if (!(flow->flags & FLOW_TO_HOST))
		return resolve_route(p, flow->dvrf);
	resolve_host(p, flow);
	return 0;
}

/*
 * The packets that flow_is_fresh can't answer for: the first of a flow, those after a change of routes, those of flows that are
 * being removed. VERDICT_NEXT: p->nh says where to. VERDICT_PASS: from the host, not for us.
 */
__noinline enum verdict flow_decide(struct __sk_buff *skb, struct packet *p, __u32 bytes)
{
	const struct globals *g = node_globals();
	const struct nexthop *nh;
	const struct vif *vif;
	struct flow *flow;
	__u32 reason, epoch;

	if (!p || !g)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	epoch = epoch_before(g);
	p->bits |= PACKET_NEW_TICK;
	flow = flow_find(p);
	if (flow && flow->flags & FLOW_EVICT_CANDIDATE) { /* user space wants it gone: what comes now begins anew */
		flow_end_own(p, flow);
		flow = NULL;
	}
	if (flow) {
		if (flow->action == FLOW_ACTION_DROP)
			return DROP(p, DROP_FLOW_ACTION_DROP);
#ifdef TRANSLATES_SOURCE
		if (flow->action == FLOW_ACTION_NAT)
			return snat_renew(skb, p, bytes);
#endif
		if (flow->action != FLOW_ACTION_FORWARD)
			return DROP(p, DROP_FLOW_ACTION_INVALID);
		reason = flow_resolve_again(skb, p, flow);
	} else {
		vif = vif_of(skb);
		if (p->vif_type == VIF_VIRTUAL && !flow_source_is_own(p, vif) && !(p->bits & PACKET_ICMP_ERROR))
			return DROP(p, DROP_INVALID_SOURCE);
		reason = service_translate(p);
		if (!reason)
			reason = resolve(skb, p);
	}
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (p->bits & PACKET_FROM_HOST && (reason || !nh || !nexthop_is_overlay(nh)))
		return VERDICT_PASS;
	if (reason)
		return DROP(p, reason);
	/* the host reaches the pods of tenants' networks by its own address only: it forwards nobody's packets into them */
	if (p->bits & PACKET_FROM_HOST && p->dvrf != p->vrf && !source_is_own(p, g))
		return DROP(p, DROP_INVALID_SOURCE);
	if (!nh || !(nh->flags & NH_FLAG_VALID))
		return DROP(p, DROP_INVALID_NH);
#ifdef TRANSLATES_SOURCE
	if (nexthop_is_snat(nh)) {
		if (!flow)
			return snat_open(skb, p, bytes, epoch);
		flow_end_own(p, flow); /* it went elsewhere until now, and doesn't leave with its own source */
		return DROP(p, DROP_FLOW_EVICT);
	}
#endif

	if (!flow) {
		if (p->bits & PACKET_FROM_TUNNEL && nh->type == NH_TUNNEL) {
			reason = SOURCE_CHECK(p);
			return reason ? DROP(p, reason) : VERDICT_NEXT;
		}
		if (!nexthop_makes_flow(nh))
			return VERDICT_NEXT;
		if (p->bits & PACKET_LATER_FRAGMENT)
			return DROP(p, DROP_FLOW_UNUSABLE);
		if (p->bits & PACKET_ICMP_ERROR)
			return DROP(p, DROP_ICMP_ERROR);
		reason = flow_make(p);
		if (reason)
			return DROP(p, reason);
		flow = flow_find(p);
		if (!flow)
			return DROP(p, DROP_FLOW_UNUSABLE);
		flow_confirm(flow, g, epoch);
	} else {
		reason = SOURCE_CHECK(p);
		if (reason)
			return DROP(p, reason);
		flow_renew(flow, p, epoch);
	}
	flow_use(p, flow, bytes);
	if (tcp_needs_tracking(p, flow))
		tcp_track(skb, p);
	return VERDICT_NEXT;
}

/*
 * The flow stage: from the flow table, or by deciding now. `bytes` is the frame's length without tunnel headers.
 * An established packet costs one hash lookup here.
 */
static __always_inline enum verdict flow_stage(struct __sk_buff *skb, struct packet *p, const struct globals *g, __u32 bytes)
{
	struct flow *flow = flow_find(p);

	if (unlikely(!flow || !flow_is_fresh(p, flow, g->epoch)))
		return flow_decide(skb, p, bytes);
	flow_use(p, flow, bytes);
	if (unlikely(!flow_is_of(flow, p)))
		return DROP(p, DROP_FLOW_EVICT);
	if (unlikely(p->ecmp != ECMP_NONE))
		COUNT_VRF(p->dvrf, ecmp_composites);
	if (unlikely(p->flow_flags & FLOW_VRF_TRANSLATED))
		COUNT_VRF(p->dvrf, vrf_translates);
	if (p->proto == IPPROTO_TCP) {
		if (unlikely(tcp_needs_tracking(p, flow)))
			tcp_track(skb, p);
		else if (flow->tcp_ack != p->tcp_ack)
			flow->tcp_ack = p->tcp_ack;
	}
	return VERDICT_NEXT;
}
