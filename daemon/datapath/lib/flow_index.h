/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Finding flows: by a packet's key, or by a handle. An index is taken from the queue of those given back, else from the end of what was
 * used so far.
 */
#pragma once
#include "packet.h"

static __always_inline struct flow *flow_find(const struct packet *p)
{
	return p->family == AF_INET ? bpf_map_lookup_elem(&flow4, &p->key.k4) : bpf_map_lookup_elem(&flow6, &p->key.k6);
}

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

/* The first four bytes of a slot as one word, which changes atomically. */
union flow_slot_word {
	struct {
		__u8 family; /* and enum flow_slot_bits */
		__u8 gen;
		__u16 vif;
	};
	__u32 word;
};

static __always_inline __u8 flow_slot_family(__u8 family)
{
	return family & ~FLOW_SLOT_STATE;
}

/* The entry of a slot, whoever's it is by now. */
static __always_inline struct flow *slot_flow(const struct flow_slot *slot, __u8 family)
{
	if (flow_slot_family(family) == AF_INET)
		return bpf_map_lookup_elem(&flow4, &slot->k4);
	if (flow_slot_family(family) == AF_INET6)
		return bpf_map_lookup_elem(&flow6, &slot->k6);
	return NULL;
}

/* The entry that slot `index` names, or NULL: freed, or used again for another flow meanwhile. */
static __always_inline struct flow *flow_at(__u32 index)
{
	const struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &index);
	struct flow *flow = slot ? slot_flow(slot, slot->family) : NULL;

	return flow && flow->index == index ? flow : NULL;
}

/* The other direction, or NULL. Its handle may be a stranger's by now: where somebody deleted that entry alone, or is at it. */
static __always_inline struct flow *flow_reverse(const struct flow *flow)
{
	struct flow *reverse = flow->rindex == FLOW_NONE ? NULL : flow_at(flow->rindex);

	return reverse && reverse->rindex == flow->index ? reverse : NULL;
}
