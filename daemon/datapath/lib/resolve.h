/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Where a packet goes: bridged or routed (vRouter reference 2.2), then down to a nexthop that says how it leaves.
 * Runs for the first packet of a flow, and after a change of routes; the flow holds the answer.
 */
#pragma once
#include "packet.h"
#include "composite.h"
#include "handover.h"
#include "nexthop_kind.h"
#include "route.h"
#include "stats.h"

#define REROUTES_MAX 4

/* In packet.flow_flags, of no entry: the route leads into a service network, whose VRF is p->dvrf (service.h). */
#define FLOW_AT_SERVICE 0x80000000u

/*
 * Routes the destination that the packet becomes (p->to), from `vrf` on. Sets p->nh, label, dvrf, ecmp and flow_flags. No route is the discard nexthop,
 * not an error. Returns 0 or a drop reason.
 */
__noinline __u32 resolve_route(struct packet *p, __u32 vrf)
{
	struct address destination = {};
	struct route route;

	if (!p)
		return DROP_MISC;
	packet_destination(p, &destination);
	for (int i = 0; i < REROUTES_MAX; i++) {
		const struct nexthop *nh;

		vrf = vrf_forwarding(vrf);
		p->dvrf = vrf;
		p->label = LABEL_NONE;
		p->nh = NH_ID_DISCARD;
		if (!route_find(vrf, p->family, &destination, &route))
			return 0;
		p->nh = route.nh;
		p->label = route_label(&route);
		nh = bpf_map_lookup_elem(&nexthops, &p->nh);
		if (!nh || !(nh->flags & NH_FLAG_VALID))
			return DROP_INVALID_NH;
		if (nh->type == NH_COMPOSITE)
			return nh->flags & NH_FLAG_COMPOSITE_ECMP ? composite_select(p, p->nh) : DROP_INVALID_NH;
		if (nh->type != NH_VRF_TRANSLATE || nexthop_is_snat(nh)) {
			p->ecmp = ECMP_NONE;
			return 0;
		}
		vrf = nh->vrf;
		p->flow_flags |= FLOW_VRF_TRANSLATED;
		COUNT_VRF(vrf, vrf_translates);
		if (unlikely(nh->flags & NH_FLAG_SERVICE)) { /* it has fronts, and no routes */
			p->flow_flags |= FLOW_AT_SERVICE;
			p->dvrf = vrf;
			p->label = LABEL_NONE;
			p->nh = NH_ID_DISCARD;
			return 0;
		}
	}
	return DROP_PKT_LOOP;
}

#define POD_MAC_FIRST 0x02 /* of pods' own MACs: 02 and five bytes of the interface's uuid */

/*
 * The MAC of a pod that is gone, which a neighbour still has for an address that others got meanwhile: the packet is routed to who has it
 * now, as it would be if it came for the router. Leads into the network only. Returns 0 or a drop reason.
 */
static __always_inline __u32 resolve_stale_mac(struct packet *p)
{
	const struct nexthop *nh;
	__u32 reason = resolve_route(p, p->vrf);

	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!reason && nh && nexthop_is_overlay(nh))
		return 0;
	p->nh = NH_ID_DISCARD;
	return DROP_L2_NO_ROUTE;
}

/* Looks the destination MAC up in the bridge table; a router's MAC leads on to the routes. Returns 0 or a drop reason. */
__noinline __u32 resolve_bridge(struct __sk_buff *skb, struct packet *p)
{
	struct bridge_key key = {};
	struct bridge_entry *entry;
	const struct nexthop *nh;

	if (!p)
		return DROP_MISC;
	if (bpf_skb_load_bytes(skb, 0, key.mac, MAC_LEN))
		return DROP_PULL;
	key.vrf = p->vrf;
	entry = bpf_map_lookup_elem(&bridge, &key);
	if (!entry || !(entry->flags & BRIDGE_VALID))
		return p->family && key.mac[0] == POD_MAC_FIRST ? resolve_stale_mac(p) : DROP_L2_NO_ROUTE;
	__sync_fetch_and_add(&entry->packets, 1);
	p->nh = entry->nh;
	p->label = entry->flags & BRIDGE_LABEL_VALID ? entry->label : LABEL_NONE;
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!nh || !(nh->flags & NH_FLAG_VALID))
		return DROP_INVALID_NH;
	switch (nh->type) {
	case NH_L2_RCV:
		if (!p->family)
			return DROP_INVALID_PROTOCOL;
		COUNT_VRF(p->vrf, l2_receives);
		return resolve_route(p, p->vrf);
	case NH_TUNNEL: /* a pod of another node, by its label. Only the packet gets there: the Ethernet header isn't carried */
		if (!p->family)
			return DROP_L2_NO_ROUTE;
		p->flow_flags |= FLOW_L2;
		return 0;
	case NH_ENCAP:
		p->flow_flags |= FLOW_L2;
		return 0;
	case NH_DISCARD:
		return DROP_L2_NO_ROUTE;
	default:
		return DROP_INVALID_NH;
	}
}

/* Leads to the service that another node hands a connection over to (handover.h). Returns 0 or a drop reason. */
static __always_inline __u32 handover_route(struct packet *p)
{
	__u32 reason = resolve_route(p, 0);

	if (reason)
		return reason;
	p->nh = NH_ID_DISCARD;
	if (handover_is_node_port(p)) {
		p->flow_flags |= FLOW_AT_SERVICE;
		p->dvrf = 0;
	}
	return p->flow_flags & FLOW_AT_SERVICE ? 0 : DROP_DISCARD;
}

/* Decides about a packet that isn't of a flow with a fresh answer. Returns 0 or a drop reason. */
static __always_inline __u32 resolve(struct __sk_buff *skb, struct packet *p)
{
	const struct nexthop *nh;

	p->flow_flags = 0;
	if (packet_is_handed(p)) /* as the host would reach that address, which sees all services; it goes nowhere else */
		return handover_route(p);
	if (p->bits & PACKET_FROM_TUNNEL) { /* its label said where it goes: p->nh */
		p->flow_flags = FLOW_TTL_KEEP;
		nh = bpf_map_lookup_elem(&nexthops, &p->nh);
		if (nh && nh->type == NH_COMPOSITE)
			return composite_select(p, p->nh);
		return 0;
	}
	if (p->vif_type == VIF_VIRTUAL && !(p->bits & PACKET_TO_ROUTER))
		return resolve_bridge(skb, p);
	return resolve_route(p, p->vrf);
}
