/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * When flows end. The timer walks the slots in use, a slice at a time, and removes pairs that nothing was heard of for long enough
 * in either direction. Needs nobody in user space.
 */
#pragma once
#include "packet.h"
#include "flow_remove.h"
#include "flow_room.h"
#include "fragment_hold.h"
#include "route.h"

#define AGEING_PERIOD_NS (25 * 1000000ULL)
#define AGEING_ROUND 40         /* periods for one walk over all slots in use: one second */
#define AGEING_SLICE_MIN 64     /* slots per period */
#define AGEING_SLICE_MAX 8192

#define AGE_CLOSED_S 2      /* TCP that both ends have closed or one has reset: late retransmissions still pass */
#define AGE_GONE_S 5        /* the other end is gone */
#define AGE_KNOWN_S 2       /* whether the other end has a route of its own is looked up while packets come */
#define AGE_DROPPED_S 10    /* its way is withdrawn: that may come back soon, and until then its packets prolong nothing */
#define AGE_CLOSING_S 30    /* both have sent FIN, not both were acknowledged */
#define AGE_EMBRYONIC_S 20  /* TCP that isn't established: longer than the retransmission of a SYN takes */

/* Seconds without a packet after which the flow may go; 0 = never. */
static __always_inline __u32 flow_lifetime(const struct flow *flow, __u32 proto, const struct globals *g)
{
	const __u16 established = TCP_ESTABLISHED | TCP_ESTABLISHED_R;
	__u32 limit = proto == IPPROTO_TCP ? g->age_tcp_s : g->age_other_s;
	__u32 lifetime = limit;

	if (proto != IPPROTO_TCP)
		return limit;
	if (flow->tcp_flags & TCP_DEAD)
		lifetime = AGE_CLOSED_S;
	else if ((flow->tcp_flags & TCP_FIN) && (flow->tcp_flags & TCP_FIN_R))
		lifetime = AGE_CLOSING_S;
	else if ((flow->tcp_flags & established) != established)
		lifetime = AGE_EMBRYONIC_S;
	return limit && limit < lifetime ? limit : lifetime;
}

/* Whether the entry's destination has a route of its own. (Programs of this kind may not look into a trie.) */
__noinline int ageing_has_host_route(const struct flow_slot *slot, __u32 word, __u32 vrf)
{
	union flow_slot_word seen = { .word = word };
	struct route4_key host4 = {};
	struct route6_key host6 = {};

	if (!slot)
		return 0;
	if (flow_slot_family(seen.family) == AF_INET) {
		host4.vrf = vrf;
		host4.ip = slot->k4.dip;
		return !!bpf_map_lookup_elem(&route4_host, &host4);
	}
	host6.vrf = vrf;
	ip6_copy(host6.ip, slot->k6.dip);
	return !!bpf_map_lookup_elem(&route6_host, &host6);
}

/*
 * Whether the other end, on another node, has gone: it had a route of its own, and that is withdrawn since the flow was decided. An end
 * that has moved has one again; what never had one, such as a network behind a gateway, can't be told from here.
 */
static __always_inline int ageing_peer_is_gone(const struct flow_slot *slot, union flow_slot_word seen, struct flow *flow, __u32 epoch,
					       __u32 idle_s)
{
	const struct nexthop *nh;
	__u32 id = flow->nh;

	if (flow->flags & FLOW_PEER_KNOWN ? idle_s < AGE_GONE_S || flow->epoch == epoch : idle_s > AGE_KNOWN_S)
		return 0;
	nh = bpf_map_lookup_elem(&nexthops, &id);
	if (!nh || nh->type != NH_TUNNEL || flow->ecmp != ECMP_NONE)
		return 0;
	if (ageing_has_host_route(slot, seen.word, vrf_forwarding(flow->dvrf))) {
		__sync_fetch_and_or(&flow->flags, FLOW_PEER_KNOWN);
		return 0;
	}
	return !!(flow->flags & FLOW_PEER_KNOWN);
}

/* Seconds without a packet after which the pair may go; 0 = never. */
static __always_inline __u32 ageing_lifetime(const struct flow_slot *slot, union flow_slot_word seen, struct flow *flow,
					     const struct flow *reverse, const struct globals *g, __u32 idle_s)
{
	if (flow->action == FLOW_ACTION_NAT && !reverse)
		return AGE_CLOSED_S;
	if (flow->action == FLOW_ACTION_DROP)
		return AGE_DROPPED_S;
	if (ageing_peer_is_gone(slot, seen, flow, g->epoch, idle_s))
		return AGE_GONE_S;
	return flow_lifetime(flow, slot_proto(slot, seen.family), g);
}

/* Looks at one slot. */
__noinline int ageing_visit(__u32 index)
{
	struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &index);
	struct flow_alloc *alloc = flow_allocation();
	union flow_slot_word seen;
	__u32 zero = 0, lifetime, idle_s;
	const struct globals *g = bpf_map_lookup_elem(&globals, &zero);
	struct flow *flow, *reverse;
	__u64 now, last;

	if (!slot || !alloc || !g)
		return 0;
	seen.word = *(volatile __u32 *)slot;
	if (!seen.family)
		return 0;
	flow = slot_flow(slot, seen.family);
	if (!flow || flow->index != index) { /* somebody removed the entry alone */
		flow_remove_pair(index, seen.word);
		return 0;
	}
	reverse = flow_reverse(flow);
	if (!(flow->flags & FLOW_EVICT_CANDIDATE) && !(flow->out && !reverse)) {
		now = bpf_ktime_get_ns(); /* the coarse clock of last_seen_ns, only finer */
		last = flow->last_seen_ns;
		if (reverse && reverse->last_seen_ns > last)
			last = reverse->last_seen_ns;
		idle_s = now > last ? (now - last) / 1000000000ULL : 0;
		lifetime = ageing_lifetime(slot, seen, flow, reverse, g, idle_s);
		if (!lifetime || idle_s < lifetime)
			return 0;
		__sync_fetch_and_add(&alloc->aged, 1);
	} else {
		__sync_fetch_and_add(&alloc->evicted, 1);
	}
	flow_remove_pair(index, seen.word);
	return 0;
}

static long ageing_step(__u32 index, void *context)
{
	struct flow_alloc *alloc = flow_allocation();
	__u32 at;

	(void)index;
	(void)context;
	if (!alloc)
		return 1;
	at = alloc->cursor;
	if (at >= alloc->next)
		at = 0;
	alloc->cursor = at + 1;
	ageing_visit(at);
	return 0;
}

/* Walks the next slice. */
static __always_inline void ageing_slice(void)
{
	struct flow_alloc *alloc = flow_allocation();
	__u32 slice, used;

	if (!alloc)
		return;
	used = alloc->next;
	slice = used / AGEING_ROUND + 1;
	if (slice < AGEING_SLICE_MIN)
		slice = AGEING_SLICE_MIN;
	if (slice > AGEING_SLICE_MAX)
		slice = AGEING_SLICE_MAX;
	if (slice > used)
		slice = used;
	bpf_loop(slice, ageing_step, NULL, 0);
	held_expire();
}
