/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Flows to endpoints of services that are gone: the daemon puts those into `gone_backs` and runs `end_flows` over a part of the slots. Both
 * entries of such a flow go. The next datagram chooses another endpoint; the next segment of a TCP connection meets one that knows nothing
 * of it, or none at all, and is answered with a reset either way.
 */
#define ROLE ROLE_ENDPOINTS
#include "packet.h"
#include "flow_index.h"
#include "flow_remove.h"

#define GONE_BACKS 16384

MAP(gone_backs, BPF_MAP_TYPE_HASH, struct gone_key, __u32, GONE_BACKS, BPF_F_NO_PREALLOC);

struct endpoints_context {
	__u32 from; /* the first slot */
	__u32 count;
	__u32 ended; /* out: pairs */
	__u32 pad;
};

/* Where the entry's packets were sent, and whose answers are its other direction. */
static __always_inline void gone_key_of(const struct flow_slot *slot, const struct flow_slot *reverse, __u8 family, struct gone_key *key)
{
	key->family = family;
	if (family == AF_INET) {
		*(__be32 *)key->front = slot->k4.dip;
		*(__be32 *)key->back = reverse->k4.sip;
		key->front_port = slot->k4.dport;
		key->back_port = reverse->k4.sport;
		key->proto = slot->k4.proto;
	} else {
		ip6_copy(key->front, slot->k6.dip);
		ip6_copy(key->back, reverse->k6.sip);
		key->front_port = slot->k6.dport;
		key->back_port = reverse->k6.sport;
		key->proto = slot->k6.proto;
	}
}

/* Ends the pair of slot `index` if its endpoint is gone. Returns 1, or 0. */
__noinline int endpoints_visit(__u32 index)
{
	struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &index);
	struct flow_alloc *alloc = flow_allocation();
	union flow_slot_word seen;
	struct gone_key key = {};
	struct flow_slot *other;
	struct flow *flow;
	__u32 rindex;

	if (!slot || !alloc)
		return 0;
	seen.word = *(volatile __u32 *)slot;
	flow = seen.family ? slot_flow(slot, seen.family) : NULL;
	if (!flow || flow->index != index || !flow_reverse(flow))
		return 0;
	rindex = flow->rindex;
	other = bpf_map_lookup_elem(&flow_slots, &rindex);
	if (!other)
		return 0;
	gone_key_of(slot, other, flow_slot_family(seen.family), &key);
	if (!bpf_map_lookup_elem(&gone_backs, &key))
		return 0;
	if (!flow_remove_pair(index, seen.word)) /* the slot is another flow's by now */
		return 0;
	__sync_fetch_and_add(&alloc->evicted, 1);
	return 1;
}

static long endpoints_step(__u32 at, struct endpoints_context *walk)
{
	walk->ended += endpoints_visit(walk->from + at);
	return 0;
}

SEC("syscall")
int end_flows(struct endpoints_context *context)
{
	struct endpoints_context walk = { .from = context->from };

	bpf_loop(context->count, endpoints_step, &walk, 0);
	context->ended = walk.ended;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
