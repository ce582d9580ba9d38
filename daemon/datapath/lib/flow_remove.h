/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The end of a flow: its connection is over (closed), it is taken out of the table (removed), or it begins again (reopened). */
#pragma once
#include "packet.h"
#include "flow_index.h"
#include "flow_share.h"

/*
 * Frees slot `index`, and removes its entry if that is there. Only who takes the slot's word to "free" may give the index back and
 * refund, so that happens once, whoever else removes flows. The key of a slot without an entry may be another flow's by now.
 * Returns 1, or 0 when somebody else did it.
 */
static __always_inline int flow_remove(__u32 index, __u32 word, __u32 has_entry)
{
	struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &index);
	struct flow_alloc *alloc = flow_allocation();
	union flow_slot_word seen = { .word = word }, free = { .gen = seen.gen };
	__u8 family = flow_slot_family(seen.family);

	if (!slot || !alloc)
		return 0;
	if (__sync_val_compare_and_swap((__u32 *)slot, seen.word, free.word) != seen.word)
		return 0;
	/* until its index is given back, nobody writes to the slot */
	if (has_entry && family == AF_INET)
		bpf_map_delete_elem(&flow4, &slot->k4);
	else if (has_entry)
		bpf_map_delete_elem(&flow6, &slot->k6);
	if (!(seen.family & FLOW_SLOT_CLOSED))
		flow_entry_refund(slot, seen.word, slot->group, 1);
	__sync_fetch_and_add(&flow_family(alloc, family)->entries, -1);
	flow_index_give(index);
	__sync_fetch_and_add(&alloc->deleted, 1);
	return 1;
}

/*
 * Removes the pair that slot `index` belongs to, if its word still is `word`. Returns 1, or 0 when somebody else was at it.
 */
__noinline int flow_remove_pair(__u32 index, __u32 word)
{
	struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &index);
	union flow_slot_word seen = { .word = word };
	struct flow *flow, *reverse;
	__u32 other = FLOW_NONE;

	if (!slot || !seen.family || *(volatile __u32 *)slot != word)
		return 0;
	flow = slot_flow(slot, seen.family);
	if (flow && flow->index != index)
		flow = NULL;
	reverse = flow ? flow_reverse(flow) : NULL;
	if (reverse)
		other = reverse->index;
	flow_remove(index, word, !!flow);
	if (other == FLOW_NONE)
		return 1;
	slot = bpf_map_lookup_elem(&flow_slots, &other);
	if (!slot)
		return 1;
	seen.word = *(volatile __u32 *)slot;
	reverse = seen.family ? slot_flow(slot, seen.family) : NULL;
	if (reverse && reverse->index == other && reverse->rindex == index)
		flow_remove(other, seen.word, 1);
	return 1;
}

/* The entry counts against nobody from now on. Returns 1, or 0 when that was so already. */
__noinline int flow_close(__u32 index)
{
	struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &index);
	union flow_slot_word seen, closed;
	__u32 group;

	if (!slot)
		return 0;
	group = slot->group;
	seen.word = *(volatile __u32 *)slot;
	if (!seen.family || seen.family & FLOW_SLOT_CLOSED)
		return 0;
	closed = seen;
	closed.family |= FLOW_SLOT_CLOSED;
	if (__sync_val_compare_and_swap((__u32 *)slot, seen.word, closed.word) != seen.word)
		return 0;
	flow_entry_refund(slot, seen.word, group, 1);
	return 1;
}

/* The configured limit of a workload's entries; 0 = none. */
static __always_inline __u32 flow_limit(__u32 vif)
{
	const __u32 *ifindex = vif_is_workload(vif) ? bpf_map_lookup_elem(&vif_devices, &vif) : NULL;
	const struct vif *found = ifindex ? bpf_map_lookup_elem(&vifs, ifindex) : NULL;

	return found ? found->max_flows : 0;
}

/*
 * The ports are used again: the entry counts again, if its payer's share allows that. Returns 1, or 0: it goes on as it is, counts
 * against nobody, and goes when room is needed.
 */
__noinline int flow_reopen(__u32 index)
{
	struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &index);
	union flow_slot_word seen, open;
	struct flow_payer payer;

	if (!slot)
		return 0;
	payer.group = slot->group;
	seen.word = *(volatile __u32 *)slot;
	if (!(seen.family & FLOW_SLOT_CLOSED))
		return 0;
	payer.vif = seen.vif;
	open = seen;
	open.family &= ~FLOW_SLOT_CLOSED;
	if (flow_charge(flow_slot_family(seen.family), &payer, flow_limit(seen.vif), 1) != SHORTAGE_NONE)
		return 0;
	if (!flow_port_charge(slot, seen.word)) {
		flow_entry_refund(slot, seen.word, payer.group, 0);
		return 0;
	}
	if (__sync_val_compare_and_swap((__u32 *)slot, seen.word, open.word) == seen.word)
		return 1;
	flow_entry_refund(slot, seen.word, payer.group, 1);
	return 0;
}

/* Both directions begin again. What may not count goes to the end of the queue of those that are over. */
static __always_inline void flow_reopen_pair(__u32 index, __u32 rindex)
{
	if (!flow_reopen(index))
		bpf_map_push_elem(&flow_closed, &index, BPF_EXIST);
	if (rindex != FLOW_NONE && !flow_reopen(rindex))
		bpf_map_push_elem(&flow_closed, &rindex, BPF_EXIST);
}

/* The connection is over, in both directions. */
static __always_inline void flow_close_pair(__u32 index, __u32 rindex)
{
	if (flow_close(index))
		bpf_map_push_elem(&flow_closed, &index, BPF_EXIST); /* if it is full, the oldest goes: ageing finds that one */
	if (rindex != FLOW_NONE)
		flow_close(rindex);
}
