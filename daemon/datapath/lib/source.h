/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Whose a source address may be. Tunnels come from known nodes only (tunnel.h); here is what such a node may send: packets of its own
 * workloads, its own, and, into networks that the underlay routes, what it forwards for others. Never an address of this node, of a
 * workload of this node, of another node, of a gateway, or one that nobody has.
 */
#pragma once
#include "packet.h"
#include "composite.h"
#include "peer.h"
#include "resolve.h"
#include "route.h"
#include "vif.h"

static __always_inline int source_is_own(const struct packet *p, const struct globals *g)
{
	return p->family == AF_INET ? p->key.k4.sip == g->underlay_ip : ip6_equal(p->key.k6.sip, g->underlay_ip6);
}

static __always_inline int destination_is_own(const struct packet *p, const struct globals *g)
{
	return p->family == AF_INET ? p->key.k4.dip == g->underlay_ip : ip6_equal(p->key.k6.dip, g->underlay_ip6);
}

/* An address that packets come from over more than one link: no group, no loopback, no link-local address, not none. */
static __always_inline int address_is_global(__u32 family, const struct address *address)
{
	const __u8 *ip = address->bytes;

	if (family == AF_INET)
		return ip[0] && ip[0] != 127 && ip[0] < 224 && !(ip[0] == 169 && ip[1] == 254);
	return *(const __u32 *)ip && ip[0] != 0xff && !(ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80);
}

/* A source that no workload has: the sending node itself, or somebody outside for whom it forwards. Returns 0 or a drop reason. */
static __always_inline __u32 source_check_outside(const struct packet *p, const struct address *source)
{
	const struct globals *g = node_globals();
	__u32 vrf = vrf_forwarding(p->dvrf);
	const struct vrf *entry = bpf_map_lookup_elem(&vrfs, &vrf);
	__be32 node = peer_of(p->family, source);

	if (node)
		return node == p->outer_sip ? 0 : DROP_INVALID_SOURCE;
	return g && entry && (entry->flags & VRF_TAKES_OUTSIDE) && address_is_global(p->family, source) && !source_is_own(p, g)
		       ? 0 : DROP_INVALID_SOURCE;
}

/*
 * Whether the node whose tunnel brought the packet may send it. Sets p->back_nh and back_label, the way back to its source. Returns 0
 * or a drop reason. For the first packet of a flow, and once more after a change of routes or when it comes from another node.
 */
__noinline __u32 source_check(struct packet *p)
{
	const struct globals *g = node_globals();
	struct address source = {};
	const struct nexthop *nh;
	struct route route;

	if (!p || !g)
		return DROP_MISC;
	p->back_nh = NH_ID_DISCARD;
	p->back_label = LABEL_NONE;
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (nh && nh->type == NH_RCV && !destination_is_own(p, g)) /* under the host's label: what is for the host, nothing to be forwarded */
		return DROP_DISCARD;
	packet_source(p, &source);
	if (!route_find(p->dvrf, p->family, &source, &route))
		return source_check_outside(p, &source);
	nh = bpf_map_lookup_elem(&nexthops, &route.nh);
	if (!nh)
		return DROP_INVALID_SOURCE;
	if (nexthop_is_snat(nh)) /* the way out of the overlay leads to nobody in it */
		return source_check_outside(p, &source);
	p->back_nh = route.nh;
	p->back_label = route_label(&route);
	switch (nh->type) {
	case NH_TUNNEL:
		return nh->dip == p->outer_sip ? 0 : DROP_INVALID_SOURCE;
	case NH_COMPOSITE:
		return composite_has_tunnel(p->back_nh, p->outer_sip) ? 0 : DROP_INVALID_SOURCE;
	case NH_RESOLVE:
		return source_check_outside(p, &source);
	case NH_ENCAP:
		return nh->oif_type == VIF_PHYSICAL ? source_check_outside(p, &source) : DROP_INVALID_SOURCE;
	default:
		return DROP_INVALID_SOURCE;
	}
}

/* The same for any packet: what a tunnel didn't bring has been checked where it came in. */
static __always_inline __u32 source_stage(struct packet *p)
{
	return TAKES_TUNNELS && p->bits & PACKET_FROM_TUNNEL ? source_check(p) : 0;
}
