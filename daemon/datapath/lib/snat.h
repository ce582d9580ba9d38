/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Workloads speak to addresses outside the cluster with the node's address (vRouter introspect reference 5.6, fabric SNAT).
 *
 * A route to a VRF_TRANSLATE nexthop with NH_FLAG_SNAT leads here. The first packet of a flow takes a source port: the entry of the
 * way back, keyed with the node's address and that port, is entered only if no other has the key, so the flow table itself is the
 * register of ports in use, and ageing gives them back. Where none is free, what is over or was never answered gives its port up, and
 * no pod holds more than its share of those towards one destination. The forward entry holds the port (flow.udp_src_port) and the nexthop in the
 * underlay's VRF (flow.label). Where that is a neighbour whose MAC is known, the frame goes to the NIC; otherwise the kernel routes
 * it out of vhost0 and finds the neighbour, as it does for the host's own packets. What the kernel's routes lead out of another device
 * leaves there with the node's address on it, if the device is an exit (exit.h), and is refused if it isn't.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "exit.h"
#include "flow.h"
#include "flow_remove.h"
#include "kernel_route.h"
#include "nat.h"
#include "nexthop.h"

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
		__u32 dip = bpf_ntohl(p->key.k4.dip), first = dip >> 24;

		if (dip >> 16 == 0xa9fe) /* 169.254/16 */
			return g->options & OPTION_SNAT_LINK_LOCAL;
		return first && first != 127 && first < 224 && p->key.k4.dip != g->underlay_ip;
	} else {
		const __u8 *dip = p->key.k6.dip;

		if (ip6_is_metadata(dip))
			return g->options & OPTION_SNAT_LINK_LOCAL;
		return *(const __u32 *)dip && dip[0] != 0xff && !(dip[0] == 0xfe && (dip[1] & 0xc0) == 0x80) &&
		       !ip6_equal(dip, g->underlay_ip6);
	}
}

/* Whether another node could take the packet for a tunnel of this node. */
static __always_inline int snat_looks_like_tunnel(const struct packet *p, const struct globals *g)
{
	return p->proto == IPPROTO_UDP && tunnel_has_port(p->family == AF_INET ? p->key.k4.dport : p->key.k6.dport, g);
}

/* The node's address that the packet leaves with, by its way out p->label; NULL: it has none there. */
static __always_inline const void *snat_source(const struct packet *p, const struct globals *g)
{
	const struct exit *exit;

	if (unlikely(exit_is_label(p->label))) {
		exit = exit_find(exit_ifindex(p->label), p->family);
		if (!exit)
			return NULL;
		return p->family == AF_INET ? (const void *)&exit->ip : exit->ip6;
	}
	if (p->family == AF_INET)
		return g->underlay_ip ? &g->underlay_ip : NULL;
	return ip6_is_zero(g->underlay_ip6) ? NULL : g->underlay_ip6;
}

/*
 * The way out: p->label becomes the underlay's ENCAP nexthop, or LABEL_NONE where the kernel has to route. What the underlay's VRF
 * knows as a workload, as another node's workload or as the node itself isn't outside: networks stay apart. p->nh is the SNAT
 * nexthop, and stays. Returns 0 or a drop reason.
 */
__noinline __u32 snat_route(struct packet *p)
{
	const struct globals *g = node_globals();
	const struct nexthop *nh;
	struct address destination = {};
	struct route route;
	__u32 snat;

	if (!p || !g)
		return DROP_MISC;
	snat = p->nh;
	nh = bpf_map_lookup_elem(&nexthops, &snat);
	if (!nh)
		return DROP_INVALID_NH;
	p->dvrf = nh->vrf;
	p->label = LABEL_NONE;
	p->flow_flags = FLOW_TO_OUTSIDE;
	if (!g->snat_ports)
		return DROP_NOWHERE_TO_GO;
	if (!snat_is_outside(p, g))
		return DROP_DISCARD;
	if (snat_looks_like_tunnel(p, g))
		return DROP_FLOW_INVALID_PROTOCOL;
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
			p->label = route.nh;
		return 0;
	case NH_RESOLVE:
		return 0;
	default:
		return DROP_DISCARD;
	}
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

/* The way back to the node's address; its port is still missing. Returns 0 if the node has no address on the way out. */
static __always_inline int snat_way_back(const struct packet *p, const struct globals *g, struct flow6_key *key)
{
	const void *source = snat_source(p, g);

	if (!source)
		return 0;
	flow_reverse_key(p, g->host_nh, key);
	if (p->family == AF_INET)
		((struct flow4_key *)key)->dip = *(const __be32 *)source;
	else
		ip6_copy(key->dip, source);
	return 1;
}

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

/* Counts one more port of the pod towards the destination, or one less. Returns whether it is within its share. */
static __always_inline int snat_port_count(const struct packet *p, const struct globals *g, __u32 ports)
{
	struct snat_share share;

	if (p->family == AF_INET)
		snat_share_places(p->family, &p->key.k4.dip, p->key.k4.dport, p->key.k4.proto, p->vif, &share);
	else
		snat_share_places(p->family, p->key.k6.dip, p->key.k6.dport, p->key.k6.proto, p->vif, &share);
	return snat_share_count(&share, ports, g->snat_ports);
}

/*
 * By which device the kernel leads to the destination: the underlay's, or an exit, which p->label then names. Any other would be the
 * wrong wire, and its answers would come to no program. Asked once for a flow and change of routes. Returns 0 or a drop reason.
 */
static __always_inline __u32 snat_choose_way(struct __sk_buff *skb, struct packet *p, const struct globals *g)
{
	__u32 ifindex = kernel_route(skb, p);

	if (ifindex == KERNEL_ROUTE_NONE)
		return DROP_NOWHERE_TO_GO;
	if (ifindex == KERNEL_ROUTE_UNKNOWN || ifindex == g->vhost_ifindex)
		return snat_source(p, g) ? 0 : DROP_NOWHERE_TO_GO;
	p->label = exit_label(ifindex);
	return snat_source(p, g) ? 0 : DROP_OTHER_NIC;
}

/*
 * Takes a port, by entering the way back under it: p->entropy. p->flow_index and reverse_index are reserved. Returns 0 or a drop
 * reason, FLOW_NO_MEMORY if no port was found, NEW_FLOWS if the pod has its share.
 */
__noinline __u32 snat_claim(struct packet *p)
{
	struct flow_alloc *alloc = flow_allocation();
	const struct globals *g = node_globals();
	struct flow6_key key;
	struct flow flow = {};
	struct snat_walk walk;
	__u32 reason = DROP_NEW_FLOWS;
	__be16 port;

	if (!p || !g || !alloc || !g->snat_ports)
		return DROP_MISC;
	if (!snat_way_back(p, g, &key))
		return DROP_OTHER_NIC;
	if (!snat_port_count(p, g, 1))
		goto refuse;
	flow.last_seen_ns = bpf_ktime_get_coarse_ns();
	flow.index = p->reverse_index;
	flow.rindex = p->flow_index;
	flow.gen = flow_next_gen(p->reverse_index);
	flow.key_nh = g->host_nh;
	flow.flags = FLOW_ACTIVE | FLOW_RFLOW_VALID | FLOW_FROM_OUTSIDE;
	flow.epoch = g->epoch;
	flow.nh = p->own_nh;
	flow.label = LABEL_NONE;
	flow.vrf = p->dvrf;
	flow.dvrf = p->vrf;
	flow.src_nh = p->nh;
	flow.vif = p->vif;
	flow.ecmp = ECMP_NONE;
	flow.action = FLOW_ACTION_NAT;

	snat_walk_begin(&walk, p, g);
	for (int i = 0; i < 2 * SNAT_PROBES; i++) {
		port = bpf_htons(g->snat_port + walk.place);
		snat_set_port(p->family, p->proto, &key, port);
		reason = flow_put(p, &key, &flow);
		if (!reason) {
			p->entropy = bpf_ntohs(port);
			__sync_fetch_and_add(&alloc->created, 1);
			__sync_fetch_and_add(&alloc->added, 1);
			return 0;
		}
		if (reason != FLOW_EXISTS)
			goto refuse;
		snat_walk_on(&walk, i, g->snat_ports);
	}
	reason = DROP_FLOW_NO_MEMORY;
refuse:
	snat_port_count(p, g, -1);
	return reason;
}

/* The search for a port that may be freed, and the best found so far. */
struct snat_search {
	struct flow6_key key;
	struct snat_walk walk;
	__u32 own_only;
	__u32 at, word, oldest, mine; /* FLOW_NONE = none */
	__u32 family, proto, vif;
	__u32 first, ports; /* the range */
};

static long snat_search_step(__u32 step, struct snat_search *search)
{
	struct flow_payer payer = {};
	union flow_slot_word word = {};
	const struct flow *flow;
	__u32 index, seen, mine;

	snat_set_port(search->family, search->proto, &search->key, bpf_htons(search->first + search->walk.place));
	snat_walk_on(&search->walk, step, search->ports);
	if (search->family == AF_INET)
		flow = bpf_map_lookup_elem(&flow4, (struct flow4_key *)&search->key);
	else
		flow = bpf_map_lookup_elem(&flow6, &search->key);
	if (!flow)
		return 0;
	index = flow->index;
	seen = flow_gives_way(index, search->family, SHORTAGE_TABLE, &payer, &word.word);
	mine = word.family & FLOW_SLOT_CLOSED || word.vif == search->vif;
	if (!seen || (!mine && search->own_only))
		return 0;
	if (search->at != FLOW_NONE && (mine < search->mine || (mine == search->mine && seen >= search->oldest)))
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
	struct snat_search search = { .own_only = own_only, .at = FLOW_NONE };

	if (!p || !g || !g->snat_ports || !snat_way_back(p, g, &search.key))
		return 0;
	search.family = p->family;
	search.proto = p->proto;
	search.vif = p->vif;
	search.first = g->snat_port;
	search.ports = g->snat_ports;
	snat_walk_begin(&search.walk, p, g);
	bpf_loop(2 * SNAT_PROBES, snat_search_step, &search, 0);
	return search.at != FLOW_NONE && flow_evict(search.at, search.word);
}

/* Gives the port and the way back up again. */
static __always_inline void snat_unclaim(const struct packet *p)
{
	__u32 index = p->reverse_index;
	struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &index);
	struct flow *flow = flow_at(index);

	if (slot && flow && flow->rindex == p->flow_index)
		flow_remove_pair(index, *(volatile __u32 *)slot);
}

/* Makes both entries. Returns 0, also when another CPU made them first, or a drop reason. */
static __always_inline __u32 snat_make(struct packet *p)
{
	__u32 reason;

	if (policy_decide(p) == FLOW_ACTION_DROP)
		return DROP_FLOW_ACTION_DROP;
	reason = flow_reserve(p);
	if (reason)
		return reason;
	reason = snat_claim(p);
	if ((reason == DROP_FLOW_NO_MEMORY || reason == DROP_NEW_FLOWS) && snat_reclaim(p, reason == DROP_NEW_FLOWS))
		reason = snat_claim(p);
	if (reason) {
		flow_unreserve(p, p->vif, p->flow_index);
		flow_unreserve(p, p->vif, p->reverse_index);
		return reason;
	}
	reason = flow_create(p, FLOW_ACTION_NAT);
	if (reason) {
		snat_unclaim(p);
		return reason == FLOW_EXISTS ? 0 : reason;
	}
	return 0;
}

/* Counts the packet in its flow; p->entropy, label and flow_flags then say how it leaves. */
static __always_inline enum verdict snat_use(struct __sk_buff *skb, struct packet *p, struct flow *flow, __u32 bytes)
{
	flow_use(p, flow, bytes);
	if (tcp_needs_tracking(p, flow))
		tcp_track(skb, p);
	return VERDICT_NEXT;
}

/* The first packet of a flow. p->nh is the SNAT nexthop, found since `epoch`. VERDICT_NEXT: its flow is there. */
__noinline enum verdict snat_open(struct __sk_buff *skb, struct packet *p, __u32 bytes, __u32 epoch)
{
	const struct globals *g = node_globals();
	struct flow *flow;
	__u32 reason;

	if (!p || !g)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	if (p->bits & PACKET_ICMP_ERROR)
		return DROP(p, DROP_ICMP_ERROR);
	if (p->bits & PACKET_LATER_FRAGMENT)
		return DROP(p, DROP_FLOW_UNUSABLE);
	if (unlikely(g->nat_from_ns && bpf_ktime_get_coarse_ns() < g->nat_from_ns)) /* it may be a flow of the former table */
		return DROP(p, DROP_NEW_FLOWS);
	reason = snat_route(p);
	if (!reason)
		reason = snat_choose_way(skb, p, g);
	if (!reason && !snat_can_translate(p))
		reason = DROP_FLOW_INVALID_PROTOCOL;
	if (!reason)
		reason = snat_make(p);
	if (reason)
		return DROP(p, reason);
	flow = flow_find(p);
	if (!flow || !(flow->flags & FLOW_SNAT))
		return DROP(p, DROP_FLOW_UNUSABLE);
	flow_confirm(flow, g, epoch);
	return snat_use(skb, p, flow, bytes);
}

/* Whether the way back of the flow is what it would be now: to the node's address on the way out p->label, at a port of the range. */
static __always_inline int snat_is_current(const struct packet *p, const struct flow *flow, const struct globals *g)
{
	__u32 rindex = flow->rindex;
	const struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &rindex);
	const void *source = snat_source(p, g);

	if (!slot || flow_slot_family(slot->family) != p->family || !source)
		return 0;
	if (p->family == AF_INET ? slot->k4.dip != *(const __be32 *)source : !ip6_equal(slot->k6.dip, source))
		return 0;
	return (__u16)(flow->udp_src_port - g->snat_port) < g->snat_ports;
}

/* The flow's packets after a change of routes. What doesn't lead out of the overlay any more ends the flow. VERDICT_NEXT: it goes on. */
__noinline enum verdict snat_renew(struct __sk_buff *skb, struct packet *p, __u32 bytes)
{
	const struct globals *g = node_globals();
	const struct nexthop *nh;
	struct flow *flow;
	__u32 reason, epoch;

	if (!p || !g)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	epoch = epoch_before(g);
	flow = flow_find(p);
	if (!flow || !(flow->flags & FLOW_SNAT))
		return DROP(p, DROP_FLOW_ACTION_INVALID);
	reason = resolve_route(p, p->vrf);
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!reason && (!nh || !nexthop_is_snat(nh)))
		reason = DROP_FLOW_EVICT;
	if (!reason)
		reason = snat_route(p);
	if (!reason)
		reason = snat_choose_way(skb, p, g);
	if (!reason && !snat_is_current(p, flow, g))
		reason = DROP_FLOW_EVICT;
	if (reason) { /* a node without a route or an address may have it back soon: the flow waits for that, as long as flows live */
		if (reason != DROP_NOWHERE_TO_GO)
			flow_end_own(p, flow);
		return DROP(p, reason);
	}
	flow_renew(flow, p, epoch);
	return snat_use(skb, p, flow, bytes);
}

/* Gives the packet the node's address on its way out and its flow's port. Returns 0 or a drop reason. */
__noinline __u32 snat_translate(struct __sk_buff *skb, const struct packet *p)
{
	const struct globals *g = node_globals();
	const void *source;
	struct nat nat = {};

	if (!p || !g)
		return DROP_MISC;
	source = snat_source(p, g);
	if (!source)
		return DROP_OTHER_NIC;
	if (p->family == AF_INET) {
		nat.from[0] = p->key.k4.sip;
		nat.to[0] = *(const __be32 *)source;
		nat.port_from = p->key.k4.sport;
	} else {
		ip6_copy(nat.from, p->key.k6.sip);
		ip6_copy(nat.to, source);
		nat.port_from = p->key.k6.sport;
	}
	nat.port_to = bpf_htons(p->entropy);
	return nat_translate(skb, p, &nat);
}

/* The device by which the kernel finds the neighbour, and the largest packet that it takes; 0 = none. */
static __always_inline __u32 snat_device(const struct packet *p, const struct globals *g, __u32 *mtu)
{
	const struct exit *exit;

	*mtu = g->underlay_mtu;
	if (likely(!exit_is_label(p->label)))
		return g->vhost_ifindex;
	exit = exit_find(exit_ifindex(p->label), p->family);
	if (!exit)
		return 0;
	*mtu = exit->mtu;
	return exit_ifindex(p->label);
}

/* Sends the packet of a SNAT flow out of the node. */
__noinline enum verdict snat_output(struct __sk_buff *skb, struct packet *p)
{
	const struct globals *g = node_globals();
	const struct nexthop *nh = NULL;
	struct vrf_stats *counters;
	__u32 reason, way, device, mtu;
	void *data;

	if (!p || !g)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	device = snat_device(p, g, &mtu);
	way = exit_is_label(p->label) ? LABEL_NONE : p->label;
	if (p->ttl <= 1 || !mtu_fits(skb, p, mtu)) { /* the agent answers as the router of the workload's network */
		p->dvrf = p->vrf;
		return p->ttl <= 1 ? ttl_expired(skb, p) : mtu_exceeded(skb, p, mtu);
	}
	if (way != LABEL_NONE && p->family == AF_INET && neighbour_is_due(p, way))
		neighbour_refresh(skb, way, p->key.k4.dip);
	reason = snat_translate(skb, p);
	if (reason)
		return DROP(p, reason);
	data = packet_data(skb);
	if (data + ETH_HLEN + ip_header_length(p) > packet_end(skb))
		return DROP(p, DROP_REWRITE_FAIL);
	ttl_decrement(p, data + ETH_HLEN);
	counters = vrf_counters(p->dvrf);
	if (counters) {
		counters->vrf_translates++;
		counters->encaps++;
	}
	if (way != LABEL_NONE)
		nh = bpf_map_lookup_elem(&nexthops, &way);
	if (nh && nh->type == NH_ENCAP && nh->oif_type == VIF_PHYSICAL && nh->ifindex) {
		macs_write(data, nh->rewrite);
		count_vif_tx(nh->oif, skb->len);
		if (bpf_redirect(nh->ifindex, 0) == TC_ACT_REDIRECT)
			return VERDICT_REDIRECT;
	} else if (device && bpf_redirect_neigh(device, NULL, 0, 0) == TC_ACT_REDIRECT) {
		return VERDICT_REDIRECT;
	}
	return DROP(p, DROP_INTERFACE_TX_DISCARD);
}
