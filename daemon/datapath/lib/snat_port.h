/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which source port a flow by source NAT gets. The flow table itself is the register of ports in use, and ageing gives them back. Where
 * none is free, what is over or was never answered gives its port up, and no pod holds more than its share of those towards one
 * destination.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "ends.h"
#include "flow_make.h"
#include "flow_remove.h"
#include "flow_room.h"
#include "flow_share.h"
#include "hash.h"

#define SNAT_PROBES 16  /* ports tried at random places, then as many next to the last one */
#define SNAT_HASH_STEP 0x9e3779b9u

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
