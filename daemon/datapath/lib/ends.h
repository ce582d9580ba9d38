/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Both ends of a packet, and how they follow from flow keys: what a packet becomes (p->to) and the key of its flow's way back say the
 * same. Whoever answers sends to the source that the packet left with, from the destination that it got.
 */
#pragma once
#include "packet.h"

/* The packet becomes what it is: nothing is translated, as long as no stage says otherwise. */
static __always_inline void ends_keep(struct packet *p)
{
	if (p->family == AF_INET) {
		p->to.sip[0] = p->key.k4.sip;
		p->to.dip[0] = p->key.k4.dip;
		p->to.sport = p->key.k4.sport;
		p->to.dport = p->key.k4.dport;
	} else {
		ip6_copy(p->to.sip, p->key.k6.sip);
		ip6_copy(p->to.dip, p->key.k6.dip);
		p->to.sport = p->key.k6.sport;
		p->to.dport = p->key.k6.dport;
	}
}

/* Whether the packet becomes one with the node's own source. */
static __always_inline int ends_have_own_source(const struct packet *p, const struct globals *g)
{
	return p->family == AF_INET ? p->to.sip[0] == g->underlay_ip : ip6_equal(p->to.sip, g->underlay_ip6);
}

/* The protocol of the packet's flow. */
static __always_inline __u8 flow_proto(const struct packet *p)
{
	return p->family == AF_INET ? p->key.k4.proto : p->key.k6.proto;
}

/* The key of the way back, in the context of who answers: addresses and ports of what the packet becomes, swapped (an ICMP id stays). */
static __always_inline void flow_reverse_key(const struct packet *p, __u32 nh_id, struct flow6_key *reverse)
{
	int swap = proto_has_ports(flow_proto(p));

	__builtin_memset(reverse, 0, sizeof(*reverse));
	if (p->family == AF_INET) {
		struct flow4_key *key = (struct flow4_key *)reverse;

		key->nh_id = nh_id;
		key->sip = p->to.dip[0];
		key->dip = p->to.sip[0];
		key->sport = swap ? p->to.dport : p->to.sport;
		key->dport = swap ? p->to.sport : p->to.dport;
		key->proto = p->key.k4.proto;
	} else {
		reverse->nh_id = nh_id;
		ip6_copy(reverse->sip, p->to.dip);
		ip6_copy(reverse->dip, p->to.sip);
		reverse->sport = swap ? p->to.dport : p->to.sport;
		reverse->dport = swap ? p->to.sport : p->to.dport;
		reverse->proto = p->key.k6.proto;
	}
}

/* And the other way round: what the packet becomes, by the key of its flow's way back, which slot `index` holds. */
static __always_inline void ends_from_reverse(struct packet *p, const struct flow_slot *slot)
{
	int swap = proto_has_ports(flow_proto(p));
	__be16 sport, dport;

	if (p->family == AF_INET) {
		p->to.sip[0] = slot->k4.dip;
		p->to.dip[0] = slot->k4.sip;
		sport = slot->k4.sport;
		dport = slot->k4.dport;
	} else {
		ip6_copy(p->to.sip, slot->k6.dip);
		ip6_copy(p->to.dip, slot->k6.sip);
		sport = slot->k6.sport;
		dport = slot->k6.dport;
	}
	p->to.sport = swap ? dport : sport;
	p->to.dport = swap ? sport : dport;
}
