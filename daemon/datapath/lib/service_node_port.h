/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* NodePorts and host ports, called by workloads and over tunnels. What the NIC brings untunnelled: service_outside.h. */
#pragma once
#include "packet.h"
#include "resolve.h"
#include "service.h"
#include "service_front.h"
#include "source.h"
#include "vif.h"

/* Whether the route leads to the node of that address, and not to a workload that has it in the client's network. */
static __always_inline int service_leads_to_node(const struct packet *p, int is_own)
{
	const struct nexthop *nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	const struct vrf *vrf;
	__u32 id = p->vrf;

	if (!nh || is_own)
		return nh && nh->type == NH_RCV;
	if (nexthop_is_snat(nh))
		return 1;
	vrf = bpf_map_lookup_elem(&vrfs, &id);
	return nh->type == NH_TUNNEL && vrf && vrf->flags & VRF_TAKES_OUTSIDE;
}

/*
 * Whether a node's own address is called at a port that a front has: a NodePort, or a pod's host port. Sets p->dvrf then. A workload is served
 * here also for another node's NodePort, unless that leads to its own endpoints alone; what other nodes bring under the host's
 * label gets an endpoint of this one. Everything else at that address is the host's, as it was.
 */
__noinline int service_is_node_port(struct packet *p)
{
	const struct globals *g = node_globals();
	const struct front *front;
	__u16 vrf;
	int is_own;

	if (!p || !g || !service_takes(p) || !proto_has_ports(p->proto) ||
	    !node_port_is_used(p->family == AF_INET ? p->key.k4.dport : p->key.k6.dport))
		return 0;
	is_own = destination_is_own(p, g);
	if (!service_leads_to_node(p, is_own))
		return 0;
	vrf = p->dvrf;
	p->dvrf = 0;
	front = is_own || (ROLE == ROLE_TAP && peer_of_destination(p)) ? service_front(p, 0) : NULL;
	if (front && (is_own || front->flags & FRONT_EVERY_NODE))
		return 1;
	p->dvrf = vrf;
	return 0;
}

/* What comes to the host at a port of the node may be of a flow that a service led to a workload: then p->nh says where to. Returns 0. */
__noinline int node_port_follow(struct packet *p)
{
	const struct flow *flow;

	if (!p || !node_port_is_used(p->family == AF_INET ? p->key.k4.dport : p->key.k6.dport))
		return 0;
	flow = flow_find(p);
	if (flow && flow->flags & FLOW_SERVICE)
		p->nh = flow->nh;
	return 0;
}
