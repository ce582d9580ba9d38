/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Room for a new flow, when there is none: connections that are over go first, then what was never answered. What both sides have
 * spoken in stays. Work is bounded: a few closed pairs are looked at, in the order of their end, or a few slots at random places.
 */
#pragma once
#include "packet.h"
#include "flow_index.h"
#include "flow_remove.h"
#include "flow_share.h"

#define FLOW_CLOSED_PART 8  /* one part in so many of a family may be closed flows, for late retransmissions */
#define FLOW_CLOSED_LOOKS 8
#define FLOW_PROBES 24
#define FLOW_CANDIDATES 3   /* the oldest of so many is old enough: each costs two or three cache misses */

/*
 * Whether both sides have spoken, with TCP so that the connection stands, and neither's packets are dropped by now. Such a pair gives way
 * to nobody.
 */
static __always_inline int flow_is_settled(const struct flow *flow, const struct flow *reverse, __u8 proto)
{
	const __u16 established = TCP_ESTABLISHED | TCP_ESTABLISHED_R;

	if (!reverse || flow->action == FLOW_ACTION_DROP || reverse->action == FLOW_ACTION_DROP)
		return 0;
	if (proto == IPPROTO_TCP)
		return (flow->tcp_flags & established) == established;
	return flow->packets && reverse->packets;
}

static __always_inline __u8 slot_proto(const struct flow_slot *slot, __u8 family)
{
	return flow_slot_family(family) == AF_INET ? slot->k4.proto : slot->k6.proto;
}

/* Removes a pair to make room. Returns 1, or 0 when somebody else was at it. */
static __always_inline int flow_evict(__u32 index, __u32 word)
{
	struct flow_alloc *alloc = flow_allocation();

	if (!flow_remove_pair(index, word))
		return 0;
	if (alloc)
		__sync_fetch_and_add(&alloc->evicted, 1);
	return 1;
}

struct flow_collecting {
	__u32 at, word; /* FLOW_NONE = none */
};

static long flow_collect_step(__u32 step, struct flow_collecting *closed)
{
	const struct flow_slot *slot;
	union flow_slot_word seen;
	__u32 index;

	(void)step;
	if (bpf_map_pop_elem(&flow_closed, &index))
		return 1;
	slot = bpf_map_lookup_elem(&flow_slots, &index);
	if (!slot)
		return 0;
	seen.word = *(volatile __u32 *)slot;
	if (!(seen.family & FLOW_SLOT_CLOSED)) /* gone, or another flow's by now */
		return 0;
	closed->at = index;
	closed->word = seen.word;
	return 1;
}

/* Removes the pair that has been closed longest. Returns 1, or 0: none was found. */
__noinline int flow_collect(void)
{
	struct flow_collecting closed = { .at = FLOW_NONE };

	bpf_loop(FLOW_CLOSED_LOOKS, flow_collect_step, &closed, 0);
	return closed.at != FLOW_NONE && flow_evict(closed.at, closed.word);
}

/*
 * When the pair of slot `index` was last heard of, in ms, if it may give way to a new flow of that family and payer; 0 if not. With
 * `shortage` SHORTAGE_TABLE it may be anybody's. `word` becomes the slot's.
 */
__noinline __u32 flow_gives_way(__u32 index, __u32 family, __u32 shortage, const struct flow_payer *payer, __u32 *word)
{
	const struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &index);
	const struct flow *flow;
	union flow_slot_word seen;
	__u32 ms;

	if (!slot || !payer || !word)
		return 0;
	seen.word = *(volatile __u32 *)slot;
	*word = seen.word;
	if (!seen.family || flow_slot_family(seen.family) != family)
		return 0;
	if (seen.family & FLOW_SLOT_CLOSED) /* counts against nobody */
		return shortage == SHORTAGE_TABLE;
	if (shortage == SHORTAGE_VIF && seen.vif != payer->vif)
		return 0;
	if (shortage == SHORTAGE_GROUP &&
	    (slot->group != payer->group || (payer->vif == VIF_ID_FABRIC ? seen.vif != VIF_ID_FABRIC : !vif_is_workload(seen.vif))))
		return 0;
	flow = slot_flow(slot, seen.family);
	if (!flow || flow->index != index)
		return 0;
	if (flow_is_settled(flow, flow_reverse(flow), slot_proto(slot, seen.family)))
		return 0;
	ms = flow->last_seen_ns >> 20;
	return ms ? ms : 1;
}

/* What is looked for among a few pairs, and the best found so far. */
struct flow_search {
	struct flow_payer payer;
	__u32 family, shortage;
	__u32 random, used, found;
	__u32 at, word, oldest; /* FLOW_NONE = none */
};

static long flow_search_step(__u32 step, struct flow_search *search)
{
	__u32 index, seen, word;

	(void)step;
	search->random = hash_end(search->random + 1);
	index = ((__u64)search->random * search->used) >> 32;
	seen = flow_gives_way(index, search->family, search->shortage, &search->payer, &word);
	if (!seen)
		return 0;
	if (seen < search->oldest) {
		search->at = index;
		search->word = word;
		search->oldest = seen;
	}
	return ++search->found == FLOW_CANDIDATES;
}

/* Removes the oldest unsettled pair of those at a few random places. Returns 1, or 0: there was none. */
__noinline int flow_displace(__u32 family, __u32 shortage, const struct flow_payer *payer)
{
	struct flow_alloc *alloc = flow_allocation();
	struct flow_search search = { .family = family, .shortage = shortage, .at = FLOW_NONE, .oldest = ~0u };

	if (!alloc || !payer)
		return 0;
	search.payer = *payer;
	search.used = *(volatile __u32 *)&alloc->next;
	search.random = bpf_get_prandom_u32();
	bpf_loop(FLOW_PROBES, flow_search_step, &search, 0);
	return search.at != FLOW_NONE && flow_evict(search.at, search.word);
}

/* The same, looked for longer: where the table is full of the other family, or of others, places of the payer's are few. */
static __always_inline int flow_give_way(__u32 family, __u32 shortage, const struct flow_payer *payer)
{
	return flow_displace(family, shortage, payer) || flow_displace(family, shortage, payer) || flow_displace(family, shortage, payer);
}

/*
 * Makes room for two entries of the family, which are promised already. Returns 1, or 0: the family is full.
 * The host isn't refused for being over its share, but two of its own that were never answered go for each new one.
 */
static __always_inline int flow_make_room(struct flow_alloc *alloc, __u8 family, const struct flow_payer *payer)
{
	struct flow_family *table = flow_family(alloc, family);

	if (payer->vif == VIF_ID_VHOST && flow_host_is_over(table, family)) {
		flow_displace(family, SHORTAGE_VIF, payer);
		flow_displace(family, SHORTAGE_VIF, payer);
	}
	if (table->entries <= table->size && table->entries - table->live <= table->size / FLOW_CLOSED_PART)
		return 1;
	if (!flow_collect() && table->entries > table->size)
		flow_displace(family, SHORTAGE_TABLE, payer);
	return table->entries <= table->size;
}
