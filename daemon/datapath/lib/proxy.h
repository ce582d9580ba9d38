/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Who answers ARP requests and neighbour solicitations, and with which MAC (vRouter reference 2.4): the real MAC where the route
 * has one stitched to it (the traffic is then bridged), the vif's own where the route is proxied (it is then routed).
 */
#pragma once
#include "packet.h"
#include "link_answer.h"
#include "nexthop_kind.h"
#include "route.h"
#include "stats.h"
#include "vif.h"

enum proxy_decision {
	PROXY_FLOOD = 0,  /* not ours to answer */
	PROXY_ANSWER = 1,
	PROXY_DROP = 2,
};

static __always_inline int nexthop_is_gateway(const struct nexthop *nh)
{
	return nh && nh->type == NH_ENCAP && nh->oif_type == VIF_AGENT;
}

/* Decides for a request by `vif` for `target`. Counts the ARP counters of the VRF. Returns an enum proxy_decision. */
__noinline int proxy_decide(const struct vif *vif, __u32 family, const struct address *target, struct proxy *answer)
{
	const struct nexthop *nh = NULL;
	const struct route *route;
	__u32 nh_id, flags = 0;
	int host;

	if (!vif || !target || !answer)
		return PROXY_DROP;
	host = vif->type == VIF_HOST;
	route = route_lookup(vif->vrf, family, target);
	if (route) {
		flags = route->flags;
		nh_id = route->nh;
		nh = bpf_map_lookup_elem(&nexthops, &nh_id);
	}
	mac_copy(answer->mac, vif->mac);
	answer->own = 1;
	answer->trap = !!(flags & ROUTE_ARP_TRAP);
	if (vif->flags & VIF_MAC_PROXY) {
		COUNT_VRF(vif->vrf, arp_virtual_proxys);
		return PROXY_ANSWER;
	}
	if (host) /* the host reaches workloads and services through us, whatever their networks say about ARP */
		return nh && ((flags & ROUTE_ARP_PROXY) || nh->type == NH_TUNNEL ||
				       nexthop_is_workload(nh) ||
				       (nh->type == NH_VRF_TRANSLATE && (nh->flags & NH_FLAG_SERVICE))) ? PROXY_ANSWER : PROXY_FLOOD;
	if (!route || !(flags & ROUTE_ARP_PROXY)) {
		COUNT_VRF(vif->vrf, arp_virtual_floods);
		return PROXY_FLOOD;
	}
	if ((vif->flags & VIF_NO_ARP_PROXY) && !nexthop_is_gateway(nh))
		return PROXY_DROP;
	if (flags & ROUTE_HAS_MAC) {
		mac_copy(answer->mac, route->mac);
		answer->own = 0;
		COUNT_VRF(vif->vrf, arp_virtual_stitchs);
		return PROXY_ANSWER;
	}
	if (flags & ROUTE_ARP_FLOOD) {
		COUNT_VRF(vif->vrf, arp_virtual_floods);
		return PROXY_FLOOD;
	}
	COUNT_VRF(vif->vrf, arp_virtual_proxys);
	return PROXY_ANSWER;
}
