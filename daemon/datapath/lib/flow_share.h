/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Who pays for flows, and how much each may have. Every entry counts against its family, against one vif, and against the VRF of that
 * vif. What the underlay or another node sends to the host, or through it, counts against the fabric's vif, and against its source.
 *
 * Shares follow what is free: the more of the family is in use, the less each may hold, so that nobody finds the table full because
 * of one pod (alone it ends at a third), one network (at a half), the fabric (at a half) or one source (at a fifth). The last of the
 * table is for the host's own connections, and a part of that for those who have hardly any. The host is refused nothing for its share,
 * which is a pod's: beyond it its unanswered flows give way (flow_room.h). Only what it holds of connections that were answered ends
 * where the last of the table begins, so that those who have hardly any find it.
 * Connections that are over count against nobody: they go as soon as room is needed (flow_room.h).
 */
#pragma once
#include "packet.h"
#include "flow_index.h"
#include "hash.h"
#include "vif.h"

/* Which limit a new flow meets. */
enum flow_shortage {
	SHORTAGE_NONE = 0,
	SHORTAGE_VIF = 1,
	SHORTAGE_GROUP = 2, /* the VRF, or the source */
	SHORTAGE_TABLE = 3,
};

struct flow_payer {
	__u32 vif;
	__u32 group;
};

#define FLOW_RESERVE 16      /* one part in so many is the host's */
#define FLOW_FIRST 1024      /* one part in so many is what a vif may have however crowded the table is, */
#define FLOW_FIRST_MAX 128   /* but no more than these */

static __always_inline struct flow_family *flow_family(struct flow_alloc *alloc, __u8 family)
{
	return family == AF_INET6 ? &alloc->ip6 : &alloc->ip4;
}

/* Whether the vif is a workload's: those have a VRF that pays, too. */
static __always_inline int vif_is_workload(__u32 vif)
{
	return vif >= VIF_ID_FIRST_POD;
}

static __always_inline struct flow_count *flow_group_count(__u32 vif, __u32 group)
{
	if (vif == VIF_ID_FABRIC)
		return bpf_map_lookup_elem(&flow_sources, &group);
	return vif_is_workload(vif) ? bpf_map_lookup_elem(&vrf_flows, &group) : NULL;
}

/* Where the source of the packet is counted: an address of IPv4, a /64 of IPv6. The seed keeps others from choosing who shares a place. */
static __always_inline __u32 flow_source_place(const struct packet *p, __u32 seed)
{
	const __u32 *sip = (const __u32 *)p->key.k6.sip;
	__u32 hash;

	if (p->family == AF_INET)
		hash = hash_add(seed, p->key.k4.sip);
	else
		hash = hash_add(hash_add(~seed, sip[0]), sip[1]);
	return hash_end(hash) % FLOW_SOURCES;
}

/* Adds to the counts of one share. Returns what the family has there now. */
static __always_inline __u32 flow_count_add(__u32 *flows, __u32 *flows6, __u8 family, __u32 entries)
{
	__u32 all = __sync_fetch_and_add(flows, entries) + entries;
	__u32 six;

	if (family == AF_INET6)
		return __sync_fetch_and_add(flows6, entries) + entries;
	six = *(volatile __u32 *)flows6;
	return all > six ? all - six : 0;
}

/*
 * Ports of SNAT are counted for each destination, and for each vif and destination: pods take them from each other only up to the
 * share that a pod may have. Two destinations in one place of `snat_shares` have less between them, which SNAT_SHARE_MIN bounds.
 */
struct snat_share {
	__u32 destination; /* indices of `snat_shares` */
	__u32 own;
};

static __always_inline void snat_share_places(__u8 family, const void *address, __be16 port, __u8 proto, __u32 vif, struct snat_share *share)
{
	const __u32 *words = address;
	__u32 hash = hash_add(family, words[0]);

	if (family == AF_INET6)
		hash = hash_add(hash_add(hash_add(hash, words[1]), words[2]), words[3]);
	hash = hash_add(hash, proto_has_ports(proto) ? ((__u32)port << 8) | proto : proto);
	share->destination = hash_end(hash) % SNAT_SHARES;
	share->own = hash_end(hash_add(hash, vif + 1)) % SNAT_SHARES;
}

static __always_inline __u32 snat_share_add(__u32 place, __u32 ports)
{
	__u32 *used = bpf_map_lookup_elem(&snat_shares, &place);

	return used ? __sync_fetch_and_add(used, ports) + ports : 0;
}

/* Takes back what flow_charge added. Returns 0. */
static __always_inline int flow_refund(__u32 family, __u32 vif, __u32 group, __u32 entries)
{
	struct vif_state *state = bpf_map_lookup_elem(&vif_state, &vif);
	struct flow_count *count = flow_group_count(vif, group);
	struct flow_alloc *alloc = flow_allocation();

	if (state)
		flow_count_add(&state->flows, &state->flows6, family, -entries);
	if (count)
		flow_count_add(&count->flows, &count->flows6, family, -entries);
	if (alloc)
		__sync_fetch_and_add(&flow_family(alloc, family)->live, -entries);
	return 0;
}

#define SNAT_SHARE 3      /* a pod may hold three times as many ports towards one destination as are free: alone three of four */
#define SNAT_SHARE_MIN 16 /* one part in so many it may hold in any case */

/* Counts one more port, or one less, of `range`. Returns whether the pod is within its share. */
static __always_inline int snat_share_count(const struct snat_share *share, __u32 ports, __u32 range)
{
	__u32 all = snat_share_add(share->destination, ports);
	__u32 own = snat_share_add(share->own, ports);
	__u32 free = all < range ? range - all : 0;

	return own <= SNAT_SHARE * free + SNAT_SHARE || own <= range / SNAT_SHARE_MIN;
}

/* The same for the port that a slot holds, if it does. `word` is the slot's; its key is still the entry's. */
static __always_inline int slot_port_count(const struct flow_slot *slot, union flow_slot_word seen, __u32 ports)
{
	const struct globals *g = node_globals();
	struct snat_share share;

	if (!g || !(seen.family & FLOW_SLOT_SNAT_PORT))
		return 1;
	if (flow_slot_family(seen.family) == AF_INET)
		snat_share_places(AF_INET, &slot->k4.sip, slot->k4.sport, slot->k4.proto, seen.vif, &share);
	else
		snat_share_places(AF_INET6, slot->k6.sip, slot->k6.sport, slot->k6.proto, seen.vif, &share);
	return snat_share_count(&share, ports, g->snat_ports);
}

/* Takes a port back into use. Returns 1, or 0: the pod has its share. */
__noinline int flow_port_charge(const struct flow_slot *slot, __u32 word)
{
	union flow_slot_word seen = { .word = word };

	if (!slot || slot_port_count(slot, seen, 1))
		return 1;
	slot_port_count(slot, seen, -1);
	return 0;
}

/* Takes back what one entry counts for. `word` and `group` are its slot's, and `port` says whether that counts, too. Returns 0. */
__noinline int flow_entry_refund(const struct flow_slot *slot, __u32 word, __u32 group, __u32 port)
{
	union flow_slot_word seen = { .word = word };

	flow_refund(flow_slot_family(seen.family), seen.vif, group, 1);
	if (slot && port)
		slot_port_count(slot, seen, -1);
	return 0;
}

/* What one vif may have of a family in which `free` entries are: alone it ends at a third. */
static __always_inline __u32 flow_vif_share(__u32 free)
{
	return free / 2 + 1;
}

/* Whether the host has more than a pod might. */
static __always_inline int flow_host_is_over(const struct flow_family *table, __u8 family)
{
	__u32 vif = VIF_ID_VHOST, live = table->live, mine;
	struct vif_state *state = bpf_map_lookup_elem(&vif_state, &vif);

	if (!state)
		return 0;
	mine = flow_count_add(&state->flows, &state->flows6, family, 0);
	return mine > flow_vif_share(live < table->size ? table->size - live : 0);
}

/* Charges entries to the payer, whose configured limit is `configured` of them (0 = none), or says which limit it meets. */
__noinline enum flow_shortage flow_charge(__u32 family, const struct flow_payer *payer, __u32 configured, __u32 entries)
{
	__u32 vif, mine = 0, group = 0, live, free, keep, first;
	struct flow_alloc *alloc = flow_allocation();
	enum flow_shortage shortage = SHORTAGE_NONE;
	struct flow_family *table;
	struct vif_state *state;
	struct flow_count *count;

	if (!payer || !alloc)
		return SHORTAGE_TABLE;
	vif = payer->vif;
	state = bpf_map_lookup_elem(&vif_state, &vif);
	count = flow_group_count(vif, payer->group);
	table = flow_family(alloc, family);
	live = __sync_fetch_and_add(&table->live, entries) + entries;
	if (state)
		mine = flow_count_add(&state->flows, &state->flows6, family, entries);
	if (count)
		group = flow_count_add(&count->flows, &count->flows6, family, entries);

	free = live < table->size ? table->size - live : 0;
	first = table->size / FLOW_FIRST;
	if (first > FLOW_FIRST_MAX)
		first = FLOW_FIRST_MAX;
	keep = vif == VIF_ID_VHOST ? 0 : table->size / FLOW_RESERVE;
	if (vif_is_workload(vif) && mine <= first)
		keep /= 2;

	if (configured && state && state->flows > configured)
		shortage = SHORTAGE_VIF;
	else if (vif == VIF_ID_VHOST && mine > table->size - table->size / FLOW_RESERVE)
		shortage = SHORTAGE_VIF;
	else if (live > table->size - keep)
		shortage = SHORTAGE_TABLE;
	else if (vif == VIF_ID_VHOST || (vif_is_workload(vif) && mine <= first))
		shortage = SHORTAGE_NONE;
	else if (mine > (vif == VIF_ID_FABRIC ? free + 2 : flow_vif_share(free)))
		shortage = SHORTAGE_VIF;
	else if (count && group > (vif == VIF_ID_FABRIC ? free / 4 + 1 : free + 2))
		shortage = SHORTAGE_GROUP;
	if (shortage != SHORTAGE_NONE)
		flow_refund(family, vif, payer->group, entries);
	return shortage;
}
