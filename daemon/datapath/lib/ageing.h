/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * When flows end. The timer walks the slots in use, a slice at a time, and removes pairs that nothing was heard of for long enough
 * in either direction. Needs nobody in user space.
 */
#pragma once
#include "packet.h"
#include "flow_remove.h"
#include "fragment_hold.h"

#define AGEING_PERIOD_NS (25 * 1000000ULL)
#define AGEING_ROUND 40         /* periods for one walk over all slots in use: one second */
#define AGEING_SLICE_MIN 64     /* slots per period */
#define AGEING_SLICE_MAX 8192

#define AGE_CLOSED_S 2      /* TCP that both ends have closed or one has reset: late retransmissions still pass */
#define AGE_CLOSING_S 30    /* both have sent FIN, not both were acknowledged */
#define AGE_EMBRYONIC_S 20  /* TCP that isn't established: longer than the retransmission of a SYN takes */

static __always_inline struct flow *slot_flow(const struct flow_slot *slot, __u32 family)
{
	return family == AF_INET ? bpf_map_lookup_elem(&flow4, &slot->k4) : bpf_map_lookup_elem(&flow6, &slot->k6);
}

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

/* Looks at one slot. */
__noinline int ageing_visit(__u32 index)
{
	struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &index), *other_slot;
	struct flow_alloc *alloc = flow_allocation();
	union flow_slot_word seen, other_seen;
	__u32 zero = 0, lifetime, proto, other;
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
		flow_remove(slot, index, seen, 0, alloc);
		return 0;
	}
	proto = seen.family == AF_INET ? slot->k4.proto : slot->k6.proto;
	other = flow->rindex;
	other_slot = other == FLOW_NONE ? NULL : bpf_map_lookup_elem(&flow_slots, &other);
	other_seen.word = 0;
	reverse = NULL;
	if (other_slot) {
		other_seen.word = *(volatile __u32 *)other_slot;
		if (other_seen.family)
			reverse = slot_flow(other_slot, other_seen.family);
		if (reverse && (reverse->index != other || reverse->rindex != index))
			reverse = NULL;
	}

	if (!(flow->flags & FLOW_EVICT_CANDIDATE) && !(flow->flags & FLOW_SNAT && !reverse)) {
		lifetime = flow->flags & FLOW_DNAT && !reverse ? AGE_CLOSED_S : flow_lifetime(flow, proto, g);
		if (!lifetime)
			return 0;
		now = bpf_ktime_get_ns(); /* the coarse clock of last_seen_ns, only finer */
		last = flow->last_seen_ns;
		if (reverse && reverse->last_seen_ns > last)
			last = reverse->last_seen_ns;
		if (now < last || now - last < lifetime * 1000000000ULL)
			return 0;
		__sync_fetch_and_add(&alloc->aged, 1);
	} else {
		__sync_fetch_and_add(&alloc->evicted, 1);
	}
	flow_remove(slot, index, seen, 1, alloc);
	if (reverse && other_slot)
		flow_remove(other_slot, other, other_seen, 1, alloc);
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

/* A fragment that waited long enough is dropped; a copy of one that the host has got is no loss. */
static long held_expire_step(__u32 way, void *context)
{
	__u32 index = *(__u32 *)context * FRAGMENT_WAYS + way;
	struct held_fragment *slot = bpf_map_lookup_elem(&held_fragments, &index);

	if (!slot || *(volatile __u32 *)&slot->state != HELD_WAITING)
		return 0;
	if (bpf_ktime_get_ns() - slot->time_ns <= FRAGMENT_LIFETIME_NS || !held_take(slot, HELD_WAITING))
		return 0;
	if (!slot->copy) {
		count_vif_rx(slot->key.vif, slot->length);
		drop_count(slot->key.vif, DROP_FRAGMENTS);
	}
	held_free(slot, index);
	return 0;
}

static long held_expire_set(__u32 set, void *context)
{
	const __u32 *count = bpf_map_lookup_elem(&held_counts, &set);

	(void)context;
	if (count && *(volatile const __u32 *)count)
		bpf_loop(FRAGMENT_WAYS, held_expire_step, &set, 0);
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
	bpf_loop(FRAGMENT_SETS, held_expire_set, NULL, 0);
}
