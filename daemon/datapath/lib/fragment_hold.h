/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Later fragments that come before their first one wait for it, two seconds at most (vRouter reference 1.4; decision 13). A program
 * can't keep a packet, so what is kept is its bytes. When the first fragment comes, it and they are sent into the same device once
 * more, in this order, and pass through all that any packet passes through: nothing here knows of flows, routes, tunnels or SNAT.
 *
 * Memory is bounded, and nobody's waiting costs others theirs: slots lie in sets, and no sender has more than half of one. A pod's
 * set follows from its vif, that of what a tunnel or the outside brings from the packet's source.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "fragment.h"
#include "hash.h"
#include "stats.h"
#include "vif.h"

enum held_state {
	HELD_FREE = 0,
	HELD_BUSY = 1, /* whoever took it from free or waiting to here owns it */
	HELD_WAITING = 2,
};

#define SETS_OF_PODS (FRAGMENT_SETS / 2)
#define SETS_OF_TUNNELS (FRAGMENT_SETS / 4)
#define SETS_OF_OUTSIDE (FRAGMENT_SETS / 4)
#define SLOT_NONE 0xffffffff

struct held_search {
	struct frag_key key;
	__u32 first;   /* of the set */
	__u32 owner;
	__u32 place;   /* a free slot, SLOT_NONE = none */
	__u32 used;    /* slots of the owner */
	__u32 matches; /* bit n: slot n of the set waits for `key` */
};

/*
 * Whether a frame is one, and fits into a slot. The value is checked in two steps in the register that is used: verifiers before
 * Linux 6.18 don't follow the one comparison of a difference that compilers make of it.
 */
static __always_inline int held_length_fits(__u32 *length)
{
	__u32 bytes = *length;

	asm volatile("" : "+r"(bytes));
	if (bytes < ETH_HLEN)
		return 0;
	asm volatile("" : "+r"(bytes));
	*length = bytes;
	return bytes <= sizeof(((struct held_fragment *)0)->frame);
}

static __always_inline int held_take(struct held_fragment *slot, __u32 from)
{
	return __sync_val_compare_and_swap(&slot->state, from, HELD_BUSY) == from;
}

static __always_inline void held_count(__u32 index, __u32 by)
{
	__u32 set = index / FRAGMENT_WAYS;
	__u32 *count = bpf_map_lookup_elem(&held_counts, &set);

	if (count)
		__sync_fetch_and_add(count, by);
}

static __always_inline void held_free(struct held_fragment *slot, __u32 index)
{
	held_count(index, -1);
	*(volatile __u32 *)&slot->state = HELD_FREE;
}

/* Fills in whose fragment it is, and the set that it belongs to. */
static __always_inline void held_search_begin(struct held_search *search, const struct packet *p)
{
	const struct globals *g = node_globals();
	__u32 hash = g ? g->hash_seed : 0;
	const __u32 *sip;

	fragment_key(p, p->fragment_id, p->proto, &search->key);
	if (p->vif_type == VIF_VIRTUAL) {
		search->owner = p->vif;
		search->first = p->vif % SETS_OF_PODS * FRAGMENT_WAYS;
	} else {
		sip = (const __u32 *)search->key.sip;
		for (int i = 0; i < 4; i++)
			hash = hash_add(hash, sip[i]);
		hash = hash_end(hash_add(hash, search->key.vrf));
		search->owner = hash;
		if (p->bits & PACKET_FROM_TUNNEL)
			search->first = (SETS_OF_PODS + hash % SETS_OF_TUNNELS) * FRAGMENT_WAYS;
		else
			search->first = (SETS_OF_PODS + SETS_OF_TUNNELS + hash % SETS_OF_OUTSIDE) * FRAGMENT_WAYS;
	}
	search->place = SLOT_NONE;
	search->used = 0;
	search->matches = 0;
}

static long held_search_step(__u32 way, void *context)
{
	struct held_search *search = context;
	__u32 index = search->first + way;
	const struct held_fragment *slot = bpf_map_lookup_elem(&held_fragments, &index);
	const __u32 *a, *b;
	__u32 state, differs = 0;

	if (!slot)
		return 1;
	state = *(volatile __u32 *)&slot->state;
	if (state == HELD_FREE) {
		search->place = index;
		return 0;
	}
	search->used += slot->owner == search->owner;
	a = (const __u32 *)&slot->key;
	b = (const __u32 *)&search->key;
	for (int i = 0; i < (int)(sizeof(struct frag_key) / 4); i++)
		differs |= a[i] ^ b[i];
	if (!differs && state == HELD_WAITING)
		search->matches |= 1U << (way & 31);
	return 0;
}

/* Takes back that this packet was counted on its way in: it comes in once more. On the same CPU, so no counter gets below zero. */
static __always_inline void count_vif_rx_again(__u32 vif, __u32 bytes)
{
	struct vif_stats *stats = bpf_map_lookup_elem(&vif_stats, &vif);

	if (stats) {
		stats->rx_packets--;
		stats->rx_bytes -= bytes;
	}
}

/*
 * Keeps a later fragment whose first one isn't known. `copy`: the packet itself goes on, as the host's. Returns 0 if the first one came
 * meanwhile, so that it can go on at once; FRAGMENT_KEPT; or DROP_FRAGMENTS if there is no room.
 */
#define FRAGMENT_KEPT 0xffff0000

__noinline __u32 fragment_hold(struct __sk_buff *skb, struct packet *p, __u32 copy)
{
	struct held_search search;
	struct held_fragment *slot;
	__u32 index, length = skb->len;

	if (!p)
		return DROP_FRAGMENTS;
	held_search_begin(&search, p);
	bpf_loop(FRAGMENT_WAYS, held_search_step, &search, 0);
	index = search.place;
	slot = bpf_map_lookup_elem(&held_fragments, &index);
	if (!slot || search.used >= FRAGMENT_SHARE || !held_take(slot, HELD_FREE))
		return DROP_FRAGMENTS;
	if (!held_length_fits(&length) || bpf_skb_load_bytes(skb, 0, slot->frame, length)) {
		*(volatile __u32 *)&slot->state = HELD_FREE;
		return DROP_FRAGMENTS;
	}
	slot->owner = search.owner;
	slot->time_ns = bpf_ktime_get_coarse_ns();
	slot->key = search.key;
	slot->length = length;
	slot->copy = copy;
	held_count(index, 1);
	__sync_lock_test_and_set(&slot->state, HELD_WAITING);
	/* its first fragment, on another CPU, has not seen it if it was remembered before */
	if (fragment_follow(p, p->fragment_id) || !held_take(slot, HELD_WAITING)) {
		if (!copy)
			count_vif_rx_again(p->vif, length);
		return FRAGMENT_KEPT;
	}
	held_free(slot, index);
	return 0;
}

/* Sends what waits in slot `index` into the device. The packet at hand becomes it. Always 0. */
__noinline int fragment_emit(struct __sk_buff *skb, const struct packet *p, __u32 index)
{
	struct held_fragment *slot = bpf_map_lookup_elem(&held_fragments, &index);
	__u32 length;

	if (!p || !slot || !held_take(slot, HELD_WAITING))
		return 0;
	length = slot->length;
	if (held_length_fits(&length) && !bpf_skb_change_tail(skb, length, 0) &&
	    !bpf_skb_store_bytes(skb, 0, slot->frame, length, BPF_F_RECOMPUTE_CSUM) &&
	    !bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS)) {
		held_free(slot, index);
		return 0;
	}
	if (!slot->copy) {
		count_vif_rx(p->vif, length);
		DROP(p, DROP_FRAGMENT_QUEUE_FAIL);
	}
	held_free(slot, index);
	return 0;
}

/* A first fragment: VERDICT_NEXT, or VERDICT_DROP if others waited for it. Then it comes in again, and they do behind it. */
__noinline enum verdict fragment_release(struct __sk_buff *skb, struct packet *p)
{
	struct held_search search;
	const __u32 *count;
	__u32 set;

	if (!p)
		return VERDICT_NEXT;
	held_search_begin(&search, p);
	set = search.first / FRAGMENT_WAYS;
	count = bpf_map_lookup_elem(&held_counts, &set);
	if (!count || !*(volatile const __u32 *)count || skb->gso_size)
		return VERDICT_NEXT;
	bpf_loop(FRAGMENT_WAYS, held_search_step, &search, 0);
	if (!search.matches)
		return VERDICT_NEXT;
	set = skb->len;
	if (bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS))
		return DROP(p, DROP_CLONE_FAIL);
	count_vif_rx_again(p->vif, set);
	for (int i = 0; i < FRAGMENT_WAYS; i++)
		if (search.matches & (1U << i))
			fragment_emit(skb, p, search.first + i);
	return VERDICT_DROP;
}

/* After parsing a packet that is a fragment, or that `reason` speaks against. VERDICT_NEXT: it can go on. */
static __always_inline enum verdict fragment_stage(struct __sk_buff *skb, struct packet *p, __u32 reason)
{
	if (reason == DROP_FRAGMENTS) {
		reason = fragment_hold(skb, p, 0);
		if (reason == FRAGMENT_KEPT)
			return VERDICT_DROP;
	}
	if (reason)
		return DROP(p, reason);
	return p->bits & (PACKET_LATER_FRAGMENT | PACKET_ICMP_ERROR) ? VERDICT_NEXT : fragment_release(skb, p);
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

/* Drops those whose first one never came. The ageing timer calls it: packets may not come any more. */
static __always_inline void held_expire(void)
{
	bpf_loop(FRAGMENT_SETS, held_expire_set, NULL, 0);
}
