/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The end of a flow entry. */
#pragma once
#include "packet.h"
#include "flow_index.h"

/*
 * Frees slot `index`, and removes its entry if that is there. Only who takes the slot's word to "free" may give the index back,
 * so none is given back twice, whoever else removes flows. The key of a slot without an entry may be another flow's by now.
 */
static __always_inline void flow_remove(struct flow_slot *slot, __u32 index, union flow_slot_word seen, int has_entry,
					struct flow_alloc *alloc)
{
	union flow_slot_word free = { .gen = seen.gen };
	struct flow6_key key;

	key = slot->k6; /* holds k4 as well */
	if (__sync_val_compare_and_swap((__u32 *)slot, seen.word, free.word) != seen.word)
		return;
	if (has_entry && seen.family == AF_INET)
		bpf_map_delete_elem(&flow4, (struct flow4_key *)&key);
	else if (has_entry)
		bpf_map_delete_elem(&flow6, &key);
	flow_refund(seen.vif, 1);
	flow_index_give(index);
	__sync_fetch_and_add(&alloc->deleted, 1);
}
