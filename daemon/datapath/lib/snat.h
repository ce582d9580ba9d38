/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Source NAT: workloads speak to addresses outside the cluster with the node's address (vRouter introspect reference 5.6, fabric SNAT).
 *
 * A route to a VRF_TRANSLATE nexthop with NH_FLAG_SNAT leads here. This stage only chooses what the packet becomes: the way out, the
 * node's address there, and a source port; the flow's entries hold that, and translate.h does it. A port is taken by entering the way
 * back, keyed with the node's address and that port, which is entered only if no other has the key: the flow table itself is the register
 * of ports in use, and ageing gives them back. Where none is free, what is over or was never answered gives its port up, and no pod holds
 * more than its share of those towards one destination.
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
#include "flow_remove.h"
#include "kernel_route.h"
#include "resolve.h"
#include "tunnel.h"

#define SNAT_PROBES 16  /* ports tried at random places, then as many next to the last one */
#define SNAT_HASH_STEP 0x9e3779b9u

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
	p->flow_flags = FLOW_TO_OUTSIDE | (p->flow_flags & FLOW_NEW);
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

/* Ports are tried in an order that follows from the flow: at random places, then one next to the other. */
struct snat_walk {
	__u32 hash;
	__u32 place;
};

static __always_inline void snat_walk_begin(struct snat_walk *walk, const struct packet *p, const struct globals *g)
{
	walk->hash = hash_packet(p, g->hash_seed, 0);
	walk->place = ((__u64)walk->hash * g->snat_ports) >> 32;
}

static __always_inline void snat_walk_on(struct snat_walk *walk, __u32 tried, __u32 ports)
{
	if (tried < SNAT_PROBES - 1) {
		walk->hash = hash_end(walk->hash + SNAT_HASH_STEP);
		walk->place = ((__u64)walk->hash * ports) >> 32;
	} else if (++walk->place >= ports) {
		walk->place = 0;
	}
}

/* Counts one more port of the pod towards the destination, or one less. Returns whether it is within its share. */
static __always_inline int snat_port_count(const struct packet *p, const struct globals *g, __u32 ports)
{
	struct snat_share share;

	snat_share_places(p->family, p->to.dip, p->to.dport, flow_proto(p), p->vif, &share);
	return snat_share_count(&share, ports, g->snat_ports);
}

/* Puts the port into the key of a way back (an ICMP id is where the other port would be). */
static __always_inline void snat_set_port(__u32 family, __u32 proto, struct flow6_key *key, __be16 port)
{
	struct flow4_key *key4 = (struct flow4_key *)key;
	int has_ports = proto_has_ports(proto);

	if (family == AF_INET && has_ports)
		key4->dport = port;
	else if (family == AF_INET)
		key4->sport = port;
	else if (has_ports)
		key->dport = port;
	else
		key->sport = port;
}

/* The range of ports in the order of a packet's flow, and the way back under each. */
struct snat_ways {
	struct flow6_key key;
	struct snat_walk walk;
	__u32 family, proto;
	__u32 first, ports; /* the range */
};

static __always_inline void snat_ways_begin(struct snat_ways *ways, const struct packet *p, const struct globals *g)
{
	flow_reverse_key(p, g->host_nh, &ways->key);
	ways->family = p->family;
	ways->proto = p->proto;
	ways->first = g->snat_port;
	ways->ports = g->snat_ports;
	snat_walk_begin(&ways->walk, p, g);
}

static __always_inline __be16 snat_way_port(const struct snat_ways *ways)
{
	return bpf_htons(ways->first + ways->walk.place);
}

/* Who has the port; NULL: it is free. */
static __always_inline const struct flow *snat_way_flow(struct snat_ways *ways)
{
	snat_set_port(ways->family, ways->proto, &ways->key, snat_way_port(ways));
	if (ways->family == AF_INET)
		return bpf_map_lookup_elem(&flow4, (struct flow4_key *)&ways->key);
	return bpf_map_lookup_elem(&flow6, &ways->key);
}

/* The search for a free port. */
struct snat_probe {
	struct snat_ways ways;
	__u32 found;
};

static long snat_probe_step(__u32 step, struct snat_probe *probe)
{
	if (!snat_way_flow(&probe->ways)) {
		probe->found = 1;
		return 1;
	}
	snat_walk_on(&probe->ways.walk, step, probe->ways.ports);
	return 0;
}

/*
 * Counts the port that the flow will have, and takes the first in its order, which mostly is free: p->to.sport. Returns 0 or a drop reason:
 * NEW_FLOWS if the pod has its share.
 */
__noinline __u32 snat_count(struct packet *p)
{
	const struct globals *g = node_globals();
	struct snat_walk walk;

	if (!p || !g || !g->snat_ports)
		return DROP_MISC;
	if (!snat_port_count(p, g, 1)) {
		snat_port_count(p, g, -1);
		return DROP_NEW_FLOWS;
	}
	snat_walk_begin(&walk, p, g);
	p->to.sport = bpf_htons(g->snat_port + walk.place);
	return 0;
}

/* Takes back what snat_count counted. Returns 0. */
__noinline int snat_uncount(const struct packet *p)
{
	const struct globals *g = node_globals();

	if (p && g)
		snat_port_count(p, g, -1);
	return 0;
}

/* Finds a port that is free: p->to.sport. Returns 0 or a drop reason. */
__noinline __u32 snat_port(struct packet *p)
{
	const struct globals *g = node_globals();
	struct snat_probe probe = {};

	if (!p || !g || !g->snat_ports)
		return DROP_MISC;
	snat_ways_begin(&probe.ways, p, g);
	bpf_loop(2 * SNAT_PROBES, snat_probe_step, &probe, 0);
	p->to.sport = snat_way_port(&probe.ways);
	return probe.found ? 0 : DROP_FLOW_NO_MEMORY;
}

/* The search for a port that may be freed, and the best found so far. */
struct snat_search {
	struct snat_ways ways;
	__u32 own_only, vif;
	__u32 at, word, oldest, mine; /* FLOW_NONE = none */
};

static long snat_search_step(__u32 step, struct snat_search *search)
{
	struct flow_payer payer = {};
	union flow_slot_word word = {};
	const struct flow *flow;
	__u32 index, seen, mine;

	flow = snat_way_flow(&search->ways);
	snat_walk_on(&search->ways.walk, step, search->ways.ports);
	if (!flow)
		return 0;
	index = flow->index;
	seen = flow_gives_way(index, search->ways.family, SHORTAGE_TABLE, &payer, &word.word);
	mine = word.family & FLOW_SLOT_CLOSED || word.vif == search->vif;
	if (!seen || (!mine && search->own_only))
		return 0;
	if (mine < search->mine || (mine == search->mine && seen >= search->oldest))
		return 0;
	search->at = index;
	search->word = word.word;
	search->mine = mine;
	search->oldest = seen;
	return 0;
}

/*
 * Frees a port that the packet's flow may have: of a connection that is over, or of one that was never answered, of its own pod if
 * there is one. A pod that has its share (`own_only`) takes none of another's. Returns 1, or 0: all are in use.
 */
__noinline int snat_reclaim(const struct packet *p, __u32 own_only)
{
	const struct globals *g = node_globals();
	struct snat_search search = { .own_only = own_only, .at = FLOW_NONE, .oldest = ~0u };

	if (!p || !g || !g->snat_ports)
		return 0;
	search.vif = p->vif;
	snat_ways_begin(&search.ways, p, g);
	bpf_loop(2 * SNAT_PROBES, snat_search_step, &search, 0);
	return search.at != FLOW_NONE && flow_evict(search.at, search.word);
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
