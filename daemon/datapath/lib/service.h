/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The service stage: where the destination is replaced by one of a service's endpoints, once per flow.
 *
 * A route that leads into a service network (FLOW_AT_SERVICE) leads to fronts: an address of a service, with a port and a protocol. A front
 * has two sets of backs, for who is inside and for who comes from elsewhere. This stage only chooses what the packet becomes (p->to); where
 * that is says the client's own route. The client's address stays, so that policies and servers see it.
 *
 * Reads a front once: the daemon changes its sets by one write, and gives the old ones back later.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "handover.h"
#include "nexthop_kind.h"
#include "peer.h"
#include "resolve.h"
#include "source.h"
#include "service_affinity.h"
#include "service_front.h"
#include "vif.h"

#define SERVICE_REFUSES 0xffff0040 /* answered that nobody is there (refuse.h) */
#define SERVICE_ELSEWHERE 0xffff0041 /* for outside_begin: no endpoint is on this node */

/* Whether the packet is one that a flow through a service begins with. Errors and later fragments have none of their own. */
static __always_inline int service_takes(const struct packet *p)
{
	return p->flow_flags & FLOW_NEW && !(p->bits & (PACKET_ICMP_ERROR | PACKET_LATER_FRAGMENT));
}

/* Pods of this node and its own processes. The host may forward for others: those are outside. */
static __always_inline int service_is_inside(struct __sk_buff *skb, const struct packet *p)
{
	const struct globals *g = node_globals();

	if (SERVES_OUTSIDE)
		return !skb; /* never; an argument that nobody reads isn't passed, and the verifier misses it */
	return !(p->bits & PACKET_FROM_HOST) || !skb->ingress_ifindex || (g && source_is_own(p, g));
}

static __always_inline struct service_stats *service_counters(__u32 service)
{
	return bpf_map_lookup_elem(&service_stats, &service);
}

/* Nobody takes the packet: `silent` says what becomes of it. Returns SERVICE_REFUSES or a drop reason. */
static __always_inline __u32 service_has_none(__u32 service, __u32 silent)
{
	struct service_stats *stats = service_counters(service);

	if (stats && silent)
		stats->dropped++;
	else if (stats)
		stats->refused++;
	return silent ? DROP_NOWHERE_TO_GO : SERVICE_REFUSES;
}

/* Whether the source is one of those that the service is open to. */
__noinline int service_is_open(const struct packet *p, __u32 service)
{
	struct range_key key = {};

	if (!p)
		return 0;
	key.service_be = bpf_htonl(service);
	key.family_be = bpf_htonl(p->family);
	if (p->family == AF_INET) {
		key.prefixlen = 64 + 32;
		*(__be32 *)key.ip = p->key.k4.sip;
	} else {
		key.prefixlen = 64 + 128;
		ip6_copy(key.ip, p->key.k6.sip);
	}
	return !!bpf_map_lookup_elem(&service_ranges, &key);
}

/* The packet comes from the service's address, to which its receiver answers by way of its router. */
static __always_inline void service_masks(struct packet *p)
{
	p->flow_flags |= FLOW_SNAT;
	if (p->family == AF_INET)
		p->to.sip[0] = p->key.k4.dip;
	else
		ip6_copy(p->to.sip, p->key.k6.dip);
}

/* Whether the host's own routes lead back to the workload that sends: to its address in the underlay's VRF. */
static __always_inline int service_host_knows(const struct packet *p)
{
	struct address source = {};
	const struct nexthop *nh;
	struct route route;

	packet_source(p, &source);
	if (!route_find(0, p->family, &source, &route))
		return 0;
	nh = bpf_map_lookup_elem(&nexthops, &route.nh);
	if (nh && nh->type == NH_VRF_TRANSLATE)
		return !nexthop_is_snat(nh) && nh->vrf == p->vrf;
	return nh && nh->type == NH_ENCAP && nh->key_nh == p->key.k4.nh_id;
}

/*
 * The packet becomes one for the endpoint. Where that is the client itself, or has the client's address in another network, it comes from
 * the service: its kernel takes nothing from its own address, and the answer has to come back here.
 */
static __always_inline void service_translate(struct packet *p, const struct back *back)
{
	p->flow_flags |= FLOW_DNAT;
	if (p->to.dport != back->port)
		p->flow_flags |= FLOW_DPAT;
	p->to.dport = back->port;
	if (p->family == AF_INET) {
		p->to.dip[0] = *(const __be32 *)back->ip;
		if (p->to.dip[0] == p->key.k4.sip)
			service_masks(p);
	} else {
		ip6_copy(p->to.dip, back->ip);
		if (ip6_equal(p->to.dip, p->key.k6.sip))
			service_masks(p);
	}
}

/* The front of the packet's destination in VRF p->dvrf: with its port, or (`whole`) the address itself. Another node's NodePort is this one's. */
static __always_inline const struct front *service_front(const struct packet *p, __u32 whole)
{
	struct front_key key = { .vrf = p->dvrf, .family = p->family };
	const struct globals *g = node_globals();

	if (p->family == AF_INET) {
		*(__be32 *)key.ip = p->key.k4.dip;
		key.port = whole ? 0 : p->key.k4.dport;
	} else {
		ip6_copy(key.ip, p->key.k6.dip);
		key.port = whole ? 0 : p->key.k6.dport;
	}
	key.proto = whole ? 0 : p->proto;
	if (!p->dvrf && g && (ROLE == ROLE_TAP ? peer_of_destination(p) : handover_is_node_port(p))) {
		if (p->family == AF_INET)
			*(__be32 *)key.ip = g->underlay_ip;
		else
			ip6_copy(key.ip, g->underlay_ip6);
	}
	return bpf_map_lookup_elem(&service_fronts, &key);
}

/* One of `count` backs, by chance or as the client had it before. */
static __always_inline __u32 service_place(const struct packet *p, const struct front *front, __u32 first, __u32 count)
{
	__u32 place = front->affinity_s ? affinity_find(p, front->service, first, count) : NO_AFFINITY;

	return place != NO_AFFINITY ? place : (__u32)(((__u64)bpf_get_prandom_u32() * count) >> 32);
}

/* Whether the endpoint is on this node: a workload, or the host itself. */
static __always_inline int back_is_here(const struct back *back, __u32 family, const struct globals *g)
{
	__u32 index = back->nh;
	const struct nexthop *nh;

	if (back->flags & BACK_HOST)
		return family == AF_INET ? *(const __be32 *)back->ip == g->underlay_ip : ip6_equal(back->ip, g->underlay_ip6);
	nh = bpf_map_lookup_elem(&nexthops, &index);
	return nh && nh->flags & NH_FLAG_VALID && nexthop_is_workload(nh);
}

/*
 * Whether the endpoint is a workload of another node that this node's host reaches: one of the default network. The answers to the node's
 * address come back by the tunnel.
 */
__noinline int back_is_by_tunnel(__u32 index, __u32 family)
{
	const struct back *back = bpf_map_lookup_elem(&service_backs, &index);
	struct address address = {};
	const struct nexthop *nh;
	struct route route;

	if (!back || back->flags & BACK_HOST || !back->nh)
		return 0;
	if (back->flags & BACK_HANDED)
		return 1;
	if (back->flags & BACK_TENANT)
		return 0;
	ip6_copy(address.bytes, back->ip);
	if (!route_find(0, family, &address, &route) || route.nh != back->nh)
		return 0;
	nh = bpf_map_lookup_elem(&nexthops, &route.nh);
	return nh && nh->flags & NH_FLAG_VALID && nh->type == NH_TUNNEL;
}

struct here_search {
	struct back_set set;
	__u32 from; /* where in the set it begins */
	__u32 place; /* NO_AFFINITY = none found */
	__u32 family;
};

static long here_search_step(__u32 step, struct here_search *search)
{
	const struct globals *g = node_globals();
	const struct back *back;
	__u32 place, index;

	if (!g || !search->set.count)
		return 1;
	place = (search->from + step) % search->set.count;
	index = search->set.first + place;
	back = bpf_map_lookup_elem(&service_backs, &index);
	if (!back || !back_is_here(back, search->family, g))
		return 0;
	search->place = place;
	return 1;
}

#define HERE_SEARCHED 1024

/* The first endpoint of this node from `place` on; NO_AFFINITY: there is none. */
__noinline __u32 service_place_here(__u32 first, __u32 count, __u32 place, __u32 family)
{
	struct here_search search = { .set = { .first = first, .count = count }, .from = place, .place = NO_AFFINITY, .family = family };
	bpf_loop(count < HERE_SEARCHED ? count : HERE_SEARCHED, here_search_step, &search, 0);
	return search.place;
}

/* Chooses the endpoint: what the packet becomes. Returns 0, SERVICE_REFUSES or a drop reason. */
__noinline __u32 service_stage(struct __sk_buff *skb, struct packet *p)
{
	const struct globals *g = node_globals();
	const struct front *front = NULL;
	struct service_stats *stats;
	const struct back *back;
	struct back_set set;
	__u32 place, silent;

	if (!p || !g)
		return DROP_MISC;
	if (proto_has_ports(p->proto))
		front = service_front(p, 0);
	if (!front) {
		front = service_front(p, 1);
		if (front)
			return service_has_none(front->service, 0);
		COUNT_VRF(p->dvrf, discards);
		return DROP_DISCARD; /* nobody has the address */
	}
	if (front->flags & FRONT_SOURCE_RANGES && !service_is_open(p, front->service)) {
		service_has_none(front->service, 1);
		return DROP_FLOW_ACTION_DROP;
	}
	if (unlikely(g->nat_from_ns && bpf_ktime_get_coarse_ns() < g->nat_from_ns)) /* it may be a flow of the former table */
		return DROP_NEW_FLOWS;
	if (p->bits & PACKET_FROM_TUNNEL) {
		set = front->local;
		silent = 0;
	} else if (service_is_inside(skb, p)) {
		set = front->inside;
		silent = front->flags & FRONT_DROP_INSIDE;
	} else {
		set = front->outside;
		silent = front->flags & FRONT_DROP_OUTSIDE;
	}
	if (!set.count)
		return service_has_none(front->service, silent);
	place = service_place(p, front, set.first, set.count);
	if (SERVES_OUTSIDE && !back_is_by_tunnel(set.first + place, p->family)) { /* nobody leads those outside to others */
		place = service_place_here(set.first, set.count, place, p->family);
		if (place == NO_AFFINITY)
			return SERVICE_ELSEWHERE;
	}
	set.first += place;
	back = bpf_map_lookup_elem(&service_backs, &set.first);
	if (!back)
		return DROP_NOWHERE_TO_GO;
	p->reverse_index = set.first;
	service_translate(p, back);
	if (front->affinity_s)
		affinity_keep(p, front, back, place);
	stats = service_counters(front->service);
	if (stats)
		stats->connections++;
	return 0;
}

/* The packet goes to an endpoint of this node by its interface, wherever routes lead. Returns 0: it has none here. */
static __always_inline int service_reaches(struct packet *p, __u32 interface)
{
	const struct nexthop *nh = bpf_map_lookup_elem(&nexthops, &interface);

	if (!nh || !nexthop_is_workload(nh))
		return 0;
	p->nh = interface;
	p->dvrf = nh->vrf;
	p->label = LABEL_NONE;
	p->ecmp = ECMP_NONE;
	p->flow_flags |= FLOW_SERVICE;
	return 1;
}

/* The packet goes to the endpoint's node as it came (handover.h). */
static __always_inline void service_hands_over(struct packet *p, const struct back *back)
{
	ends_keep(p);
	p->flow_flags = (p->flow_flags & ~FLOW_TRANSLATED) | FLOW_HANDED;
	p->nh = back->nh;
	p->label = back->label;
	p->ecmp = ECMP_NONE;
}

/* Whether the client's own routes have led to that endpoint, and not to another one that has its address in the client's network. */
static __always_inline int service_route_leads(const struct packet *p, const struct nexthop *nh, const struct back *back)
{
	if (!nexthop_is_overlay(nh))
		return 0;
	if (back->vrf == p->vrf)
		return 1;
	if (!p->vrf && nh->type == NH_TUNNEL && back->flags & BACK_TENANT)
		return 0;
	if (!back->nh) /* it may be of no network that this node knows: only the host knows no two of an address */
		return back->vrf != LABEL_NONE || !p->vrf;
	return p->nh == back->nh; /* the label of another node's may be that of its block */
}

/*
 * The endpoint has been routed, with `reason`. One of the underlay is never a workload, and one of a network never leaves the overlay. One
 * that the client's routes don't lead to, and that is here, is reached all the same: whoever sees a service reaches its endpoints.
 * One that is this node itself takes nothing from an address of its own, and finds no way to a workload whose address it doesn't know, or
 * knows as another's: such a packet comes from the service. One of another node is handed over to that (handover.h). Returns 0 or a drop reason.
 */
__noinline __u32 service_way(struct packet *p, __u32 reason)
{
	const struct nexthop *nh;
	const struct back *back;
	__u32 index;

	if (!p)
		return DROP_MISC;
	index = p->reverse_index;
	back = bpf_map_lookup_elem(&service_backs, &index);
	nh = reason ? NULL : bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!back)
		return DROP_DISCARD;
	if (back->flags & BACK_HOST) {
		if (nh && nexthop_is_workload(nh))
			return DROP_DISCARD;
		if (nh && nh->type == NH_RCV && (p->bits & PACKET_FROM_HOST || !service_host_knows(p)))
			service_masks(p);
		return reason;
	}
	if (nh && service_route_leads(p, nh, back))
		return 0;
	index = back->nh;
	nh = bpf_map_lookup_elem(&nexthops, &index);
	if (nh && nh->type == NH_TUNNEL && back->flags & BACK_HANDED) {
		service_hands_over(p, back);
		p->flow_flags |= FLOW_SERVICE;
		p->dvrf = p->vrf;
		return 0;
	}
	return service_reaches(p, index) ? 0 : reason ? reason : DROP_DISCARD;
}

/* What another node brings for a service goes to an endpoint of this one, which is a workload, or nowhere. Returns 0 or a drop reason. */
__noinline __u32 service_handed(struct packet *p)
{
	const struct back *back;
	__u32 index;

	if (!p)
		return DROP_MISC;
	index = p->reverse_index;
	back = bpf_map_lookup_elem(&service_backs, &index);
	if (!back || !service_reaches(p, back->nh))
		return DROP_NOWHERE_TO_GO;
	p->flow_flags = (p->flow_flags & ~FLOW_AT_SERVICE) | FLOW_TTL_KEEP;
	return 0;
}
