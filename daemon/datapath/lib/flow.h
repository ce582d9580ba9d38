/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The flow stage: an established packet gets its answer from its entry. For all others it is decided what they belong to and where they go,
 * by stages called one after the other from the program itself, so that the stack holds one of them at a time: what the entry says, or whose
 * source it is → route (a service's address → its endpoint → route of that) → policy → source NAT → both entries.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "flow_entry.h"
#include "flow_index.h"
#include "flow_make.h"
#include "flow_pair.h"
#include "flow_source.h"
#include "policy.h"
#include "refuse.h"
#include "resolve.h"
#include "service.h"
#include "service_node_port.h"
#include "snat.h"
#include "source.h"
#include "tcp_state.h"
#include "translate.h"
#include "vif.h"
#include "vif_address.h"

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
	return nh && (nh->type == NH_ENCAP || nh->type == NH_RCV) && nh->key_nh == p->key.k4.nh_id ? 0 : DROP_DISCARD;
}

/*
 * Whether it is a direction of source NAT's, of which packets come from the workload or from outside (snat_return.h): a tunnel that
 * brings its key has it from nobody whose flow it is.
 */
static __always_inline int flow_is_snat(const struct packet *p, const struct flow *flow)
{
	const struct globals *g = node_globals();

	if (flow->out)
		return 1;
	return p->bits & PACKET_FROM_TUNNEL && flow->action == FLOW_ACTION_NAT && (flow->flags & (FLOW_DNAT | FLOW_SERVICE)) == FLOW_DNAT && g && flow->key_nh == g->host_nh;
}

/* Whether it is a workload's answer to who came from outside by way of this node, from the node that it was sent to (service_outside.h). */
static __always_inline int flow_is_inbound_answer(const struct packet *p, const struct flow *flow)
{
	return flow->flags & FLOW_INBOUND && flow->out && flow->src_info == p->outer_sip;
}

/* What a stage says beside 0 and drop reasons. */
#define FLOW_PASSES 0xffff0010 /* from the host, and not for us */
#define FLOW_NONE_NEEDED 0xffff0011 /* goes on without a flow */
#define FLOW_LEAVES 0xffff0012 /* leaves the overlay: source NAT has to be chosen */

/*
 * The first stage of a packet whose flow has no fresh answer: its entry says what is known (p->flow_index is its handle), or there is none
 * (FLOW_NONE), and then its source must be its own. FLOW_NEW: none was found just now. Returns 0 or a drop reason.
 */
__noinline __u32 flow_admit(struct __sk_buff *skb, struct packet *p)
{
	const struct globals *g = node_globals();
	const struct vif *vif = vif_of(skb);
	struct flow *flow;
	__u32 reason;

	if (!p)
		return DROP_MISC;
	p->bits |= PACKET_NEW_TICK;
	p->flow_index = FLOW_NONE;
	flow = p->flow_flags & FLOW_NEW ? NULL : flow_find(p);
	if (flow && flow->flags & FLOW_EVICT_CANDIDATE) { /* user space wants it gone: what comes now begins anew */
		flow_end_own(p, flow);
		flow = NULL;
	}
	ends_keep(p);
	if (!flow) {
		p->flow_flags = FLOW_NEW;
		if (p->vif_type == VIF_VIRTUAL && !flow_source_is_own(p, vif) && !(p->bits & PACKET_ICMP_ERROR))
			return DROP_INVALID_SOURCE;
		return 0;
	}
	if (flow->action == FLOW_ACTION_HOLD || flow->action > FLOW_ACTION_NAT)
		return DROP_FLOW_ACTION_INVALID;
	if (flow->action == FLOW_ACTION_DROP && !flow->drop_reason) /* user space says so */
		return DROP_FLOW_ACTION_DROP;
	if (flow->action == FLOW_ACTION_DROP && g && flow->epoch == epoch_before(g) && p->bits & PACKET_TO_ROUTER) {
		flow_count(flow, skb->len);
		if (flow->drop_reason == FLOW_DROP_NO_DESTINATION_ROUTE)
			COUNT_VRF(flow->dvrf, discards);
		return DROP_DISCARD;
	}
	if (!TRANSLATES_SOURCE && flow_is_snat(p, flow) && !flow_is_inbound_answer(p, flow))
		return DROP_FLOW_ACTION_INVALID;
	p->flow_index = flow->index;
	p->flow_flags = flow->flags;
	p->ecmp = flow->ecmp;
	p->out = flow->out;
	if (!(p->bits & PACKET_FROM_TUNNEL)) {
		p->nh = flow->nh;
		p->label = flow->label;
		p->dvrf = flow->dvrf;
	}
	if (!(flow->flags & FLOW_TRANSLATED))
		return 0;
	reason = translation_load(p, flow->rindex, flow->rgen);
	if (reason)
		flow_end_own(p, flow);
	return reason;
}

/*
 * Where a packet of a flow goes that has been decided before, by the routes of today. The answer to what the host brought goes back to the
 * host: it may have translated addresses on the way (a NodePort's, with the client's own address as source), and only it can translate
 * them back; by its route the packet would leave with the pod's address. Returns 0 or a drop reason.
 */
static __always_inline __u32 flow_route_again(struct packet *p, __u32 flags)
{
	__u32 reason, vrf = p->dvrf;

	p->flow_flags = 0;
	if (p->out) /* as it was sent first: from the workload's own network */
		return resolve_route(p, p->vrf);
	reason = flags & FLOW_SERVICE ? 0 : flow_may_answer(p, vrf);
	if (reason)
		return reason;
	if (!(flags & FLOW_TO_HOST))
		return resolve_route(p, vrf);
	p->label = LABEL_NONE;
	p->ecmp = ECMP_NONE;
	return 0; /* to p->nh, since the flow was made */
}

/* The route of what the packet becomes. Returns 0 or a drop reason. */
static __always_inline __u32 flow_route(struct __sk_buff *skb, struct packet *p)
{
	__u32 flags = p->flow_flags;
	__u32 reason;

	if (!(flags & FLOW_NEW) && flags & (FLOW_VRFT | FLOW_TO_HOST) && !(p->bits & PACKET_FROM_TUNNEL))
		reason = flow_route_again(p, flags);
	else if (!(flags & FLOW_NEW) && flags & FLOW_SERVICE) { /* to p->nh, as the service chose */
		p->flow_flags = 0;
		reason = 0;
	} else
		reason = resolve(skb, p);
	p->flow_flags |= flags & (FLOW_TRANSLATED | FLOW_NEW | FLOW_SERVICE | FLOW_HANDED);
	return reason;
}

/*
 * Whether what is routed there leaves the overlay: a workload's by the way out, and the host's own by a service whose endpoint is another
 * host, which answers by the underlay.
 */
static __always_inline int flow_leaves(const struct packet *p, const struct nexthop *nh)
{
	if (ROLE == ROLE_VHOST)
		return p->flow_flags & FLOW_TRANSLATED && (nh->type == NH_RESOLVE || (nh->type == NH_ENCAP && nh->oif_type == VIF_PHYSICAL));
	return nexthop_is_snat(nh);
}

/* What the nexthop means for the flow. `reason` is why there is none. Returns 0, one of the words above, or a drop reason. */
__noinline __u32 flow_check(struct packet *p, __u32 reason)
{
	const struct globals *g = node_globals();
	const struct nexthop *nh;

	if (!p || !g)
		return DROP_MISC;
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (p->flow_flags & FLOW_AT_SERVICE) { /* an ICMP error or a later fragment of no flow: it's nobody's, the host's too */
		COUNT_VRF(p->dvrf, discards);
		return DROP_DISCARD;
	}
	if (p->bits & PACKET_FROM_HOST && !(p->flow_flags & FLOW_TRANSLATED) && (reason || !nh || !nexthop_is_overlay(nh)))
		return FLOW_PASSES;
	if (reason)
		return reason;
	/* the host reaches the pods of tenants' networks by its own address only: it forwards nobody's packets into them */
	if (p->bits & PACKET_FROM_HOST && p->dvrf != p->vrf && !source_is_own(p, g))
		return DROP_INVALID_SOURCE;
	if (!nh || !(nh->flags & NH_FLAG_VALID))
		return DROP_INVALID_NH;
	if (!(p->flow_flags & FLOW_NEW)) { /* what leaves the overlay, and what doesn't, are no longer the same flow */
		if (TRANSLATES_SOURCE && flow_leaves(p, nh) != !!p->out)
			return DROP_FLOW_EVICT;
		if (nh->type == NH_DISCARD) {
			COUNT_VRF(p->dvrf, discards);
			return DROP_DISCARD;
		}
		return p->out ? FLOW_LEAVES : 0;
	}
	if (p->bits & PACKET_FROM_TUNNEL && nh->type == NH_TUNNEL) {
		reason = source_stage(p);
		return reason ? reason : FLOW_NONE_NEEDED;
	}
	if (!nexthop_makes_flow(nh) && !(TRANSLATES_SOURCE && flow_leaves(p, nh)))
		return FLOW_NONE_NEEDED;
	if (p->bits & PACKET_ICMP_ERROR && nexthop_is_snat(nh))
		return DROP_ICMP_ERROR;
	if (p->bits & PACKET_LATER_FRAGMENT)
		return DROP_FLOW_UNUSABLE;
	if (p->bits & PACKET_ICMP_ERROR)
		return DROP_ICMP_ERROR;
	return flow_leaves(p, nh) ? FLOW_LEAVES : 0;
}

/* Both entries of a new flow, by who chose its way back. Returns 0, also when another CPU made them first, or a drop reason. */
static __always_inline __u32 flow_make(struct __sk_buff *skb, struct packet *p)
{
	__u32 reason = flow_reserve(skb, p);

	if (reason)
		return reason;
	if (TRANSLATES_SOURCE && p->out)
		return snat_make(p);
	return flow_make_pair(p);
}

/*
 * The packet's entry is there, and gets the answer that was found since `epoch`, unless it was made with that. The packet is counted, and
 * takes over what the entry says by now. Returns 0 or a drop reason.
 */
__noinline __u32 flow_settle(struct packet *p, __u32 bytes, __u32 epoch)
{
	const struct globals *g = node_globals();
	struct flow *flow;

	if (!p || !g)
		return DROP_MISC;
	flow = flow_find(p);
	if (!flow || !flow->out != !p->out)
		return DROP_FLOW_UNUSABLE;
	if (!(p->flow_flags & FLOW_NEW) && p->flow_flags & FLOW_TRANSLATED && !flow_is_answered(p, flow, g))
		return DROP_FLOW_EVICT;
	if (p->flow_flags & FLOW_NEW)
		flow_confirm(flow, g, epoch);
	else
		flow_renew(flow, p, epoch);
	flow_use(p, flow, bytes);
	p->out = flow->out;
	return flow->flags & FLOW_TRANSLATED ? translation_load(p, flow->rindex, flow->rgen) : 0;
}

/*
 * Drops a packet of a flow. One that can't go on as it was, or out of the overlay at all, ends with it. One whose way is withdrawn becomes
 * a dropped flow, until routes change again: its packets cost a look at the entry and keep nothing alive, it says why, lives shortly
 * (ageing.h) and gives way to any other (flow_room.h). What is refused as the first packet of a flow makes none.
 */
__noinline enum verdict flow_refuse(struct packet *p, __u32 reason, __u32 epoch, __u32 bytes)
{
	struct flow *flow;

	if (!p)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	flow = p->flow_flags & FLOW_NEW ? NULL : flow_find(p);
	/* a node without a route or an address may have it back soon: the flow waits for that, as long as flows live */
	if (flow && (reason == DROP_FLOW_EVICT || (p->out && reason != DROP_NOWHERE_TO_GO)))
		flow_end_own(p, flow);
	else if (flow && reason == DROP_DISCARD && p->bits & PACKET_TO_ROUTER) { /* a workload's, and not by one frame's MAC */
		if (p->nh == NH_ID_DISCARD)
			flow_block(flow, p, FLOW_DROP_NO_DESTINATION_ROUTE, epoch, bytes);
		else if (p->nh == flow->nh) /* that is as it was: it was asked for the way to here */
			flow_block(flow, p, FLOW_DROP_NO_SOURCE_ROUTE, epoch, bytes);
	}
	return DROP(p, reason);
}

/*
 * The packets that flow_is_fresh can't answer for: the first of a flow, those after a change of routes, those of flows that are
 * being removed. VERDICT_NEXT: p->nh says where to. VERDICT_PASS: from the host, not for us.
 */
static __always_inline enum verdict flow_decide(struct __sk_buff *skb, struct packet *p, const struct globals *g, __u32 bytes)
{
	__u32 epoch = epoch_before(g);
	__u32 reason;

	reason = flow_admit(skb, p);
	if (reason)
		return DROP(p, reason);
	if ((TRANSLATES_SOURCE || TAKES_TUNNELS) && unlikely(p->flow_flags & FLOW_INBOUND)) {
		reason = answer_way(skb, p);
		if (!reason)
			reason = policy_decide(p) == FLOW_ACTION_DROP ? DROP_FLOW_ACTION_DROP : flow_settle(p, bytes, epoch);
		if (reason)
			return flow_refuse(p, reason, epoch, bytes);
		if (p->proto == IPPROTO_TCP)
			tcp_track(skb, p);
		return VERDICT_NEXT;
	}
	reason = flow_route(skb, p);
	if ((ROLE == ROLE_TAP || TAKES_TUNNELS) && !reason && p->flow_flags & FLOW_NEW && !packet_is_handed(p) && unlikely(service_is_node_port(p))) {
		p->flow_flags |= FLOW_AT_SERVICE;
		reason = source_stage(p);
	}
	if (TAKES_TUNNELS && unlikely(p->flow_flags & FLOW_AT_SERVICE) && service_takes(p)) {
		reason = reason ? reason : service_stage(skb, p);
		reason = reason ? reason : service_handed(p);
		if (reason)
			return DROP(p, reason == SERVICE_REFUSES || reason == SERVICE_ELSEWHERE ? DROP_NOWHERE_TO_GO : reason);
	}
	if (SERVES && unlikely(p->flow_flags & FLOW_AT_SERVICE) && service_takes(p)) {
		reason = service_stage(skb, p);
		if (reason == SERVICE_REFUSES)
			return refuse(skb, p);
		if (reason)
			return DROP(p, reason);
		reason = service_way(p, flow_route(skb, p));
		if (reason)
			return DROP(p, reason);
	}
	reason = flow_check(p, reason);
	if (reason == FLOW_PASSES)
		return VERDICT_PASS;
	if (reason == FLOW_NONE_NEEDED)
		return VERDICT_NEXT;
	if (TRANSLATES_SOURCE && reason == FLOW_LEAVES)
		reason = policy_decide(p) == FLOW_ACTION_DROP ? DROP_FLOW_ACTION_DROP : snat_stage(skb, p);
	else if (!reason)
		reason = policy_decide(p) == FLOW_ACTION_DROP ? DROP_FLOW_ACTION_DROP : flow_source(p);
	if (!reason && p->flow_flags & FLOW_NEW)
		reason = flow_make(skb, p);
	if (!reason)
		reason = flow_settle(p, bytes, epoch);
	if (reason)
		return flow_refuse(p, reason, epoch, bytes);
	if (p->proto == IPPROTO_TCP)
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
	__u32 reason;

	if (unlikely(!flow || !flow_is_fresh(p, flow, g->epoch))) {
		if (!flow)
			p->flow_flags = FLOW_NEW;
		return flow_decide(skb, p, g, bytes);
	}
	flow_use(p, flow, bytes);
	if (unlikely(p->flow_flags & FLOW_TRANSLATED)) {
		p->out = flow->out;
		reason = translation_load(p, flow->rindex, flow->rgen);
		if (unlikely(reason)) {
			flow_end_own(p, flow);
			return DROP(p, reason);
		}
	}
	if (TAKES_TUNNELS && unlikely(p->flow_flags & FLOW_INBOUND)) /* untranslated, where it was handed over */
		p->out = flow->out;
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
