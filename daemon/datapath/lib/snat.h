/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Source NAT: workloads speak to addresses outside the cluster with the node's address (vRouter introspect reference 5.6, fabric SNAT).
 *
 * A route to a VRF_TRANSLATE nexthop with NH_FLAG_SNAT leads here. This stage only chooses what the packet becomes: the way out, the
 * node's address there, and a source port (snat_port.h); the flow's entries hold that, and translate.h does it. A port is taken by entering
 * the way back, keyed with the node's address and that port, which is entered only if no other has the key.
 *
 * Where the way out is a neighbour of the underlay whose MAC is known, its nexthop becomes the flow's; otherwise the kernel routes it out
 * of vhost0 and finds the neighbour, as it does for the host's own packets. What the kernel's routes lead out of another device leaves
 * there with the node's address on it, if the device is an exit (exit.h), and is refused if it isn't.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "ends.h"
#include "exit.h"
#include "flow_make.h"
#include "flow_pair.h"
#include "kernel_route.h"
#include "resolve.h"
#include "snat_port.h"
#include "tunnel.h"

/* TCP, UDP, and echo requests: what has a port or an id by which the answer is found. SCTP's CRC can't be updated here. */
static __always_inline int snat_can_translate(const struct packet *p)
{
	switch (p->proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		return 1;
	case IPPROTO_ICMP:
		return p->family == AF_INET && p->icmp_type == ICMP_ECHO;
	case IPPROTO_ICMPV6:
		return p->family == AF_INET6 && p->icmp_type == ICMPV6_ECHO_REQUEST;
	default:
		return 0;
	}
}

/* Addresses beside 169.254/16 by which clouds serve their metadata, and with it the node's credentials. */
static __always_inline int ip6_is_metadata(const __u8 *ip)
{
	const __u32 *word = (const __u32 *)ip;

	return (word[0] == bpf_htonl(0xfd000ec2) || word[0] == bpf_htonl(0xfd2000ce)) && !word[1] && !word[2] && word[3] == bpf_htonl(0x254);
}

/* Whether the destination is somebody's address in the world: not a group, not a link's, not this node's own. */
static __always_inline int snat_is_outside(const struct packet *p, const struct globals *g)
{
	if (p->family == AF_INET) {
		__u32 dip = bpf_ntohl(p->to.dip[0]), first = dip >> 24;

		if (dip >> 16 == 0xa9fe) /* 169.254/16 */
			return g->options & OPTION_SNAT_LINK_LOCAL;
		return first && first != 127 && first < 224 && p->to.dip[0] != g->underlay_ip;
	} else {
		const __u8 *dip = (const __u8 *)p->to.dip;

		if (ip6_is_metadata(dip))
			return g->options & OPTION_SNAT_LINK_LOCAL;
		return *(const __u32 *)dip && dip[0] != 0xff && !(dip[0] == 0xfe && (dip[1] & 0xc0) == 0x80) &&
		       !ip6_equal(dip, g->underlay_ip6);
	}
}

/* Whether another node could take the packet for a tunnel of this node. */
static __always_inline int snat_looks_like_tunnel(const struct packet *p, const struct globals *g)
{
	return p->proto == IPPROTO_UDP && tunnel_has_port(p->to.dport, g);
}

/*
 * The underlay's ENCAP nexthop towards the destination, 0 = the kernel has to route: *way. What the underlay's VRF knows as a workload, as
 * another node's workload or as the node itself isn't outside: networks stay apart. Returns 0 or a drop reason.
 */
static __always_inline __u32 snat_route(const struct packet *p, __u32 *way)
{
	struct address destination = {};
	const struct nexthop *nh;
	struct route route;

	*way = 0;
	packet_destination(p, &destination);
	if (!route_find(p->dvrf, p->family, &destination, &route))
		return 0;
	nh = bpf_map_lookup_elem(&nexthops, &route.nh);
	if (!nh)
		return DROP_INVALID_NH;
	switch (nh->type) {
	case NH_ENCAP:
		if (nh->oif_type != VIF_PHYSICAL)
			return DROP_DISCARD;
		if ((nh->flags & NH_FLAG_VALID) && nh->ifindex)
			*way = route.nh;
		return 0;
	case NH_RESOLVE:
		return 0;
	default:
		return DROP_DISCARD;
	}
}

/* Whether the flow's source is what it would be now: the node's address on its way out, and a port of the range. */
static __always_inline int snat_is_current(const struct packet *p, const void *source, const struct globals *g)
{
	if (p->family == AF_INET ? p->to.sip[0] != *(const __be32 *)source : !ip6_equal(p->to.sip, source))
		return 0;
	return (__u16)(bpf_ntohs(p->to.sport) - g->snat_port) < g->snat_ports;
}

/*
 * Chooses how the packet leaves: p->nh (the SNAT nexthop before, and still so where the kernel has to find the neighbour), p->out and the
 * node's address there. Asks the kernel by which device it leads to the destination: any but the underlay's and exits would be the wrong
 * wire, and its answers would come to no program. Once for a flow and change of routes. Returns 0 or a drop reason; FLOW_EVICT: the flow
 * would leave with another source now.
 */
__noinline __u32 snat_stage(struct __sk_buff *skb, struct packet *p)
{
	const struct globals *g = node_globals();
	int is_new = p && !p->out;
	const struct nexthop *nh;
	const void *source;
	__u32 reason, way;

	if (!p || !g)
		return DROP_MISC;
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!nh)
		return DROP_INVALID_NH;
	p->dvrf = nh->vrf;
	p->label = LABEL_NONE;
	p->ecmp = ECMP_NONE;
	p->flow_flags = FLOW_TO_OUTSIDE | (p->flow_flags & (FLOW_NEW | FLOW_DNAT | FLOW_DPAT)); /* a service's, which lies outside */
	if (unlikely(is_new && g->nat_from_ns && bpf_ktime_get_coarse_ns() < g->nat_from_ns)) /* it may be a flow of the former table */
		return DROP_NEW_FLOWS;
	if (!g->snat_ports || !g->vhost_ifindex)
		return DROP_NOWHERE_TO_GO;
	if (!snat_is_outside(p, g))
		return DROP_DISCARD;
	if (snat_looks_like_tunnel(p, g))
		return DROP_FLOW_INVALID_PROTOCOL;
	reason = snat_route(p, &way);
	if (reason)
		return reason;
	p->out = kernel_route(skb, p);
	if (p->out == KERNEL_ROUTE_NONE || p->out == KERNEL_ROUTE_UNKNOWN || p->out == g->vhost_ifindex) {
		reason = p->out == KERNEL_ROUTE_NONE ? DROP_NOWHERE_TO_GO : 0;
		p->out = g->vhost_ifindex;
		if (way)
			p->nh = way;
	}
	source = exit_source(p->out, p->family, g);
	if (reason)
		return reason;
	if (!source)
		return p->out == g->vhost_ifindex ? DROP_NOWHERE_TO_GO : DROP_OTHER_NIC;
	if (!is_new)
		return snat_is_current(p, source, g) ? 0 : DROP_FLOW_EVICT;
	if (!snat_can_translate(p))
		return DROP_FLOW_INVALID_PROTOCOL;
	if (p->family == AF_INET)
		p->to.sip[0] = *(const __be32 *)source;
	else
		ip6_copy(p->to.sip, source);
	return 0;
}

/*
 * By which way the answers to who came from outside to a service leave now (FLOW_INBOUND): as the kernel's routes lead to the client, with
 * the address that it had called. The host's own are on their way already. Returns 0 or a drop reason.
 */
__noinline __u32 answer_way(struct __sk_buff *skb, struct packet *p)
{
	const struct globals *g = node_globals();
	__u32 reason, way, out;

	if (!p || !g)
		return DROP_MISC;
	p->dvrf = 0;
	p->label = LABEL_NONE;
	p->ecmp = ECMP_NONE;
	p->nh = g->host_nh;
	p->out = g->vhost_ifindex;
	if (!p->out)
		return DROP_NOWHERE_TO_GO;
	if (ROLE == ROLE_VHOST)
		return skb ? 0 : DROP_MISC; /* an argument that nobody reads isn't passed, and the verifier misses it */
	reason = snat_route(p, &way);
	if (reason)
		return reason;
	out = kernel_route(skb, p);
	if (out != KERNEL_ROUTE_NONE && exit_find(out, p->family))
		p->out = out;
	else if (way && ROLE == ROLE_TAP) /* a tunnel's label has named the nexthop */
		p->nh = way;
	return 0;
}

#define SNAT_TRIES 3 /* another CPU may take the port that was found free */

/* Enters the way back under a port that is free, which takes the port. Returns 0 or a drop reason. */
static __always_inline __u32 snat_take_port(struct packet *p)
{
	__u32 reason = snat_count(p);

	if (reason == DROP_NEW_FLOWS && snat_reclaim(p, 1))
		reason = snat_count(p);
	if (reason)
		return reason;
	reason = flow_enter(p, 1, FLOW_ACTION_NAT);
	for (int i = 0; i < SNAT_TRIES && reason == FLOW_EXISTS; i++) {
		reason = snat_port(p);
		if (reason == DROP_FLOW_NO_MEMORY && snat_reclaim(p, 0))
			reason = snat_port(p);
		if (!reason)
			reason = flow_enter(p, 1, FLOW_ACTION_NAT);
	}
	if (reason)
		snat_uncount(p);
	return reason == FLOW_EXISTS ? DROP_FLOW_NO_MEMORY : reason;
}

/* Makes both entries, the way back first. Returns 0, also when another CPU made them first, or a drop reason. */
static __always_inline __u32 snat_make(struct packet *p)
{
	__u32 reason = snat_take_port(p);

	if (reason) {
		flow_unreserve(p, p->flow_index);
		flow_unreserve(p, p->reverse_index);
		return reason;
	}
	reason = flow_enter(p, 0, FLOW_ACTION_NAT);
	if (!reason)
		return 0;
	flow_yield(p);
	return reason == FLOW_EXISTS ? 0 : reason;
}
