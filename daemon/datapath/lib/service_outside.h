/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Connections from outside to services: what the NIC brings, untunnelled, to a port of the node (NodePort) or to an address that is services'
 * alone (of load balancers, external IPs). A front of the underlay's VRF says which endpoints may be chosen for those outside. The client's
 * address stays, and the endpoint's answers leave the node with the address that was called (FLOW_INBOUND, answer_way in snat.h).
 *
 * What isn't a service's is the host's. At an address of services nothing is: what no front takes is refused, and never routed on.
 * Flows count against the fabric, with a share for each source, so a flood takes no pod's (flow_share.h).
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "flow.h"
#include "refuse.h"
#include "service.h"
#include "service_front.h"
#include "snat_return.h"

/* Whether the packet's destination is an address of services alone: nothing of what comes there is the host's. */
__noinline int outside_is_services(const struct packet *p)
{
	const struct globals *g = node_globals();

	return p && g && p->family && !destination_is_own(p, g) && service_front(p, 1);
}

/* Whether a packet without a flow is for a service. */
static __always_inline int outside_has_front(const struct packet *p)
{
	return (proto_has_ports(p->proto) && service_front(p, 0)) || outside_is_services(p);
}

/* Whether the first fragment at hand is no business of the host's. */
__noinline int outside_is_ours(struct packet *p)
{
	const struct globals *g = node_globals();
	const struct flow *flow;

	if (!p || !g)
		return 0;
	p->key.k4.nh_id = g->host_nh;
	flow = flow_find(p);
	return flow ? !!(flow->flags & FLOW_INBOUND) : outside_has_front(p);
}

#define OUTSIDE_NEW 0xffff0050 /* outside_admit: it has no flow */

/*
 * Whether the packet has a flow, whose answer it gets then. Returns 0, or SNAT_TRACK: it has, and with the latter the state of its TCP
 * connection is to be looked at; OUTSIDE_NEW; FLOW_PASSES: it is the host's, untouched; or a drop reason.
 */
__noinline __u32 outside_admit(struct packet *p, __u32 bytes)
{
	const struct globals *g = node_globals();
	const struct nexthop *nh;
	struct flow *flow;

	if (!p || !g)
		return FLOW_PASSES;
	p->key.k4.nh_id = g->host_nh;
	flow = flow_find(p);
	if (flow && flow->flags & FLOW_EVICT_CANDIDATE) { /* user space wants it gone: what comes now begins anew */
		flow_end_own(p, flow);
		flow = NULL;
	}
	if (flow && !(flow->flags & FLOW_INBOUND))
		return FLOW_PASSES;
	if (!flow && !outside_has_front(p))
		return FLOW_PASSES;
	if (!flow)
		return p->bits & PACKET_LATER_FRAGMENT ? DROP_FLOW_UNUSABLE : p->bits & PACKET_ICMP_ERROR ? DROP_ICMP_ERROR : OUTSIDE_NEW;
	if (flow->action < FLOW_ACTION_FORWARD)
		return DROP_FLOW_ACTION_DROP;
	if (flow->out) /* the way back of such a flow: its packets come by the tunnel */
		return DROP_INVALID_SOURCE;
	if (flow->epoch != epoch_before(g)) {
		__u32 epoch = epoch_before(g), index = flow->nh;

		nh = bpf_map_lookup_elem(&nexthops, &index);
		if (!nh || !(nh->flags & NH_FLAG_VALID) || (nh->type != NH_TUNNEL && !nexthop_is_local(nh))) {
			flow_end_own(p, flow);
			return DROP_FLOW_EVICT;
		}
		flow->epoch = epoch;
	}
	return arrival_take(p, flow, bytes);
}

/* Whether that VRF leads to the address as to one of the overlay. */
static __always_inline int outside_is_overlay(__u32 vrf, __u32 family, const struct address *address)
{
	const struct nexthop *nh;
	struct route route;

	if (!route_find(vrf, family, address, &route))
		return 0;
	nh = bpf_map_lookup_elem(&nexthops, &route.nh);
	if (!nh)
		return 0;
	return nh->type == NH_TUNNEL || nh->type == NH_COMPOSITE || nexthop_is_local(nh) ||
	       (nh->type == NH_VRF_TRANSLATE && !nexthop_is_snat(nh));
}

/* Whose source may come by the wire: nobody's of the overlay, no service's. Returns 0 or a drop reason. */
__noinline __u32 outside_source(const struct packet *p)
{
	struct address source = {};

	if (!p)
		return DROP_MISC;
	packet_source(p, &source);
	if (p->family == AF_INET ? p->key.k4.sip == p->key.k4.dip : ip6_equal(p->key.k6.sip, p->key.k6.dip))
		return DROP_INVALID_SOURCE;
	if (!address_is_global(p->family, &source) || outside_is_overlay(0, p->family, &source))
		return DROP_INVALID_SOURCE;
	return 0;
}

/*
 * To a workload of another node, as the host's own packets go there: with the node's address, and a port that no connection of the host has.
 * Returns 0 or a drop reason.
 */
static __always_inline __u32 outside_masks(struct packet *p, const struct globals *g)
{
	struct address address = {};
	struct route route;

	if (!g->snat_ports || (p->family == AF_INET ? !g->underlay_ip : ip6_is_zero(g->underlay_ip6)))
		return DROP_NOWHERE_TO_GO;
	packet_destination(p, &address);
	if (!route_find(0, p->family, &address, &route) || route.nh != p->nh) /* it has changed since it was chosen */
		return DROP_NOWHERE_TO_GO;
	p->label = route_label(&route);
	p->flow_flags |= FLOW_SNAT;
	if (p->family == AF_INET)
		p->to.sip[0] = g->underlay_ip;
	else
		ip6_copy(p->to.sip, g->underlay_ip6);
	return flow_other_port(p) ? 0 : DROP_FLOW_INVALID_PROTOCOL;
}

/*
 * Where the endpoint is that was chosen: p->nh. A client that has an address of the endpoint's own network comes from the service's address,
 * so that it is taken for nobody there. Returns 0, FLOW_PASSES or a drop reason.
 */
__noinline __u32 outside_way(struct packet *p)
{
	const struct globals *g = node_globals();
	struct address source = {};
	const struct nexthop *nh;
	const struct back *back;
	__u32 index;

	if (!p || !g)
		return DROP_MISC;
	index = p->reverse_index;
	back = bpf_map_lookup_elem(&service_backs, &index);
	if (!back)
		return DROP_DISCARD;
	p->flow_flags |= FLOW_INBOUND;
	p->nh = back->nh;
	if (back->flags & BACK_HOST) {
		if (p->family == AF_INET ? p->to.dip[0] != g->underlay_ip : !ip6_equal(p->to.dip, g->underlay_ip6))
			return DROP_NOWHERE_TO_GO;
		p->nh = g->host_nh;
	}
	index = p->nh;
	nh = bpf_map_lookup_elem(&nexthops, &index);
	if (nh && nh->flags & NH_FLAG_VALID && nh->type == NH_TUNNEL && back->flags & BACK_HANDED) {
		service_hands_over(p, back);
		return 0;
	}
	if (nh && nh->flags & NH_FLAG_VALID && nh->type == NH_TUNNEL)
		return outside_masks(p, g);
	if (!nh || !(nh->flags & NH_FLAG_VALID) || !nexthop_is_local(nh))
		return DROP_NOWHERE_TO_GO;
	if (nh->type == NH_RCV)
		return 0;
	p->dvrf = nh->vrf;
	packet_source(p, &source);
	if (!peer_of(p->family, &source) && outside_is_overlay(nh->vrf, p->family, &source))
		service_masks(p);
	return 0;
}

/* The first packet of a connection. VERDICT_NEXT: it goes on; VERDICT_PASS: it is the host's. */
static __always_inline enum verdict outside_begin(struct __sk_buff *skb, struct packet *p, const struct globals *g)
{
	__u32 reason;

	p->epoch = epoch_before(g);
	ends_keep(p);
	p->flow_flags = FLOW_NEW;
	p->bits |= PACKET_NEW_TICK;
	p->out = 0;
	reason = outside_source(p);
	if (!reason)
		reason = service_stage(skb, p);
	if (reason == SERVICE_REFUSES)
		return refuse(skb, p);
	if (reason == SERVICE_ELSEWHERE) /* the host may know a way: a kube-proxy beside us */
		return outside_is_services(p) ? DROP(p, DROP_NOWHERE_TO_GO) : VERDICT_PASS;
	if (!reason)
		reason = outside_way(p);
	if (!reason && p->ttl <= 1)
		reason = DROP_TTL_EXCEEDED;
	if (!reason)
		reason = policy_decide(p) == FLOW_ACTION_DROP ? DROP_FLOW_ACTION_DROP : flow_make(skb, p);
	if (!reason)
		reason = flow_settle(p, skb->len, p->epoch);
	if (reason)
		return DROP(p, reason);
	if (p->proto == IPPROTO_TCP)
		tcp_track(skb, p);
	return VERDICT_NEXT;
}

__noinline int outside_is_tunnelled(const struct packet *p)
{
	const struct nexthop *nh;
	__u32 index;

	if (!p)
		return 0;
	index = p->nh;
	nh = bpf_map_lookup_elem(&nexthops, &index);
	return nh && nh->type == NH_TUNNEL;
}

/* A parsed packet that is no answer to a workload (snat_return.h). VERDICT_NEXT: it is the host's, untouched. */
static __always_inline enum verdict outside_to_service(struct __sk_buff *skb, struct packet *p)
{
	const struct globals *g = node_globals();
	enum verdict verdict;
	__u32 reason;

	if (!g)
		return VERDICT_NEXT;
	reason = outside_admit(p, skb->len);
	if (reason == FLOW_PASSES)
		return VERDICT_NEXT;
	if (reason == OUTSIDE_NEW) {
		verdict = outside_begin(skb, p, g);
		if (verdict != VERDICT_NEXT)
			return verdict == VERDICT_PASS ? VERDICT_NEXT : verdict;
		reason = 0;
	}
	if (reason == SNAT_TRACK) {
		tcp_track(skb, p);
		reason = 0;
	}
	if (reason)
		return DROP(p, reason);
	if (outside_is_tunnelled(p)) {
		verdict = translate_stage(skb, p);
		return verdict == VERDICT_NEXT ? tunnel_output(skb, p) : verdict;
	}
	reason = translate_packet(skb, p);
	return reason ? DROP(p, reason) : snat_deliver(skb, p);
}
