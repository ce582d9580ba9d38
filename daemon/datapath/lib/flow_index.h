/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Flow handles and who pays for them. An index is taken from the queue of those given back, else from the end of what was used so
 * far; each entry counts against the limit of one vif.
 */
#pragma once
#include "packet.h"

static __always_inline struct flow_alloc *flow_allocation(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&flow_alloc, &zero);
}

/* Returns an index, or FLOW_NONE when the table is full. */
static __always_inline __u32 flow_index_take(struct flow_alloc *alloc)
{
	__u32 index;

	if (!bpf_map_pop_elem(&flow_free, &index))
		return index;
	if (*(volatile __u32 *)&alloc->next >= alloc->size)
		return FLOW_NONE;
	index = __sync_fetch_and_add(&alloc->next, 1);
	if (index < alloc->size)
		return index;
	__sync_fetch_and_add(&alloc->next, -1);
	return FLOW_NONE;
}

static __always_inline void flow_index_give(__u32 index)
{
	bpf_map_push_elem(&flow_free, &index, 0);
}

#define FLOW_SHARE 2 /* a workload may own as many entries as a half of those that are free */

/*
 * What a workload may own now: its configured limit, and never so much that the others find the table full. The more of it is in
 * use, the less one vif may hold: a single one ends at a third, two at a quarter each.
 */
static __always_inline __u32 flow_limit(const struct flow_alloc *alloc, __u32 vif, __u32 configured)
{
	__u64 used = alloc->created - alloc->deleted;
	__u32 share;

	if (vif <= VIF_ID_AGENT)
		return configured;
	share = used < alloc->size ? (alloc->size - (__u32)used) / FLOW_SHARE : 0;
	if (share < 2)
		share = 2;
	return configured && configured < share ? configured : share;
}

/* Charges `entries` to the vif. Returns 1, or 0 when that would exceed `limit` (0 = none). */
static __always_inline int flow_charge(__u32 vif, __u32 entries, __u32 limit)
{
	struct vif_state *state = bpf_map_lookup_elem(&vif_state, &vif);

	if (!state)
		return 1;
	if (__sync_fetch_and_add(&state->flows, entries) + entries <= limit || !limit)
		return 1;
	__sync_fetch_and_add(&state->flows, -entries);
	return 0;
}

static __always_inline void flow_refund(__u32 vif, __u32 entries)
{
	struct vif_state *state = bpf_map_lookup_elem(&vif_state, &vif);

	if (state)
		__sync_fetch_and_add(&state->flows, -entries);
}

/* The first four bytes of a slot as one word, which changes atomically. */
union flow_slot_word {
	struct {
		__u8 family;
		__u8 gen;
		__u16 vif;
	};
	__u32 word;
};
