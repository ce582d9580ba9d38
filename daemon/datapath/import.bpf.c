/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Flows of a former table, which an upgrade carries over: the daemon puts them into `flow_imports`, in this build's layout, and runs
 * `import_flows`. Here, because only the datapath can count beside the datapath. Each pair gets handles of this table, counts where it
 * counted before, and looks its route up with its next packet. What this table has already stays as it is.
 */
#define ROLE ROLE_IMPORT
#include "packet.h"
#include "flow_entry.h"
#include "flow_remove.h"
#include "flow_share.h"

#define FLOW_IMPORTS 256
#define FLOW_FROM_OUTSIDE (FLOW_DNAT | FLOW_DPAT | FLOW_VRFT)

/* Whether it is the way back of SNAT, which holds a port. A service's flows may look like one: there the other direction says so. */
static __always_inline int import_holds_port(const struct flow *flow, __u32 other_out)
{
	if (flow->flags & FLOW_SNAT)
		return flow->flags & FLOW_DNAT && !(flow->flags & FLOW_INBOUND) && !flow->out && other_out;
	return (flow->flags & FLOW_FROM_OUTSIDE) == FLOW_FROM_OUTSIDE;
}

enum import_result {
	IMPORT_DONE = 1,
	IMPORT_EXISTS = 2, /* one of the keys is taken: the same flow, or another that was faster */
	IMPORT_FULL = 3,
};

struct flow_import_side {
	struct flow6_key key; /* of IPv4 the first bytes, struct flow4_key */
	__u32 group;          /* as in struct flow_slot */
	struct flow flow;
};
struct flow_import {
	__u32 family; /* AF_INET, AF_INET6 */
	__u32 sides;  /* 2, or 1: a direction whose other one is gone */
	__u32 result; /* enum import_result */
	__u32 pad;
	struct flow_import_side side[2];
};

MAP(flow_imports, BPF_MAP_TYPE_ARRAY, __u32, struct flow_import, FLOW_IMPORTS, 0);

static __always_inline int import_exists(__u32 family, const struct flow_import_side *side)
{
	if (family == AF_INET)
		return !!bpf_map_lookup_elem(&flow4, (const struct flow4_key *)&side->key);
	return !!bpf_map_lookup_elem(&flow6, &side->key);
}

/* Enters one direction and charges for it. */
static __always_inline enum import_result import_side(__u32 family, struct flow_import_side *side, __u32 other_out, __u32 index,
						      __u32 rindex, __u8 rgen)
{
	struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &index);
	struct flow_alloc *alloc = flow_allocation();
	const struct globals *g = node_globals();
	union flow_slot_word word = {};
	long error;

	if (!slot || !alloc || !g)
		return IMPORT_FULL;
	side->flow.index = index;
	side->flow.rindex = rindex;
	side->flow.gen = slot->gen + 1;
	side->flow.rgen = rgen;
	side->flow.key_nh = side->key.nh_id;
	side->flow.epoch = g->epoch - 1;
	if ((side->flow.flags & FLOW_TO_OUTSIDE) == FLOW_TO_OUTSIDE && !(side->flow.flags & FLOW_DNAT) && !side->flow.out)
		side->flow.out = g->vhost_ifindex; /* of a version that had no such field: the first packet says it better */
	if (family == AF_INET)
		error = bpf_map_update_elem(&flow4, (const struct flow4_key *)&side->key, &side->flow, BPF_NOEXIST);
	else
		error = bpf_map_update_elem(&flow6, &side->key, &side->flow, BPF_NOEXIST);
	if (error)
		return error == -17 /* EEXIST */ ? IMPORT_EXISTS : IMPORT_FULL;
	if (family == AF_INET)
		slot->k4 = *(const struct flow4_key *)&side->key;
	else
		slot->k6 = side->key;
	slot->group = side->group;
	word.family = family;
	if (import_holds_port(&side->flow, other_out))
		word.family |= FLOW_SLOT_SNAT_PORT;
	word.gen = side->flow.gen;
	word.vif = side->flow.vif;
	*(volatile __u32 *)slot = word.word;
	flow_refund(family, word.vif, side->group, -1);
	slot_port_count(slot, word, 1);
	__sync_fetch_and_add(&flow_family(alloc, family)->entries, 1);
	__sync_fetch_and_add(&alloc->added, 1);
	return IMPORT_DONE;
}

static __always_inline __u8 import_gen(__u32 index, __u8 step)
{
	const struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &index);

	return slot ? slot->gen + step : 0;
}

static __always_inline void import_give(__u32 index)
{
	if (index != FLOW_NONE)
		flow_index_give(index);
}

static __always_inline void import_remove(__u32 index)
{
	struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &index);

	if (slot)
		flow_remove_pair(index, *(volatile __u32 *)slot);
}

static __always_inline enum import_result import_pair(struct flow_import *import, struct flow_alloc *alloc)
{
	struct flow_family *table = flow_family(alloc, import->family);
	int both = import->sides == 2;
	__u32 first, second = FLOW_NONE;
	enum import_result result;

	if (import_exists(import->family, &import->side[0]) || (both && import_exists(import->family, &import->side[1])))
		return IMPORT_EXISTS;
	if (table->entries + import->sides > table->size)
		return IMPORT_FULL;
	first = flow_index_take(alloc);
	if (first == FLOW_NONE)
		return IMPORT_FULL;
	if (both)
		second = flow_index_take(alloc);
	if (both && second == FLOW_NONE) {
		import_give(first);
		return IMPORT_FULL;
	}
	result = import_side(import->family, &import->side[0], both ? import->side[1].flow.out : 0, first, second, import_gen(second, 1));
	if (result != IMPORT_DONE) {
		import_give(first);
		import_give(second);
		return result;
	}
	if (both)
		result = import_side(import->family, &import->side[1], import->side[0].flow.out, second, first, import_gen(first, 0));
	if (result != IMPORT_DONE) {
		import_give(second);
		import_remove(first);
		return result;
	}
	if (import->side[0].flow.tcp_flags & TCP_DEAD)
		flow_close_pair(first, second);
	return IMPORT_DONE;
}

static long import_step(__u32 at, void *context)
{
	struct flow_import *import = bpf_map_lookup_elem(&flow_imports, &at);
	struct flow_alloc *alloc = flow_allocation();

	(void)context;
	if (!import || !alloc)
		return 1;
	import->result = import_pair(import, alloc);
	return 0;
}

struct import_context {
	__u64 count; /* of entries of flow_imports, from the first */
};

SEC("syscall")
int import_flows(struct import_context *context)
{
	bpf_loop(context->count, import_step, NULL, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
