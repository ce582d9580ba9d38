/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Other nodes, by their addresses in the underlay. */
#pragma once
#include "packet.h"
#include "route.h"

/* The node that has the address in the underlay, as its tunnels' source; 0 = none that is known, or this one. */
static __always_inline __be32 peer_of(__u32 family, const struct address *address)
{
	const struct peer *peer;

	if (family == AF_INET) {
		struct peer4_key key = { .ip = *(const __be32 *)address->bytes };

		peer = bpf_map_lookup_elem(&peers4, &key);
	} else {
		peer = bpf_map_lookup_elem(&peers6, (const struct peer6_key *)address);
	}
	return peer ? peer->node : 0;
}

/* The node that the packet is for, as it came; 0 = none that is known, or this one. */
__noinline __u32 peer_of_destination(const struct packet *p)
{
	struct address destination = {};

	if (!p)
		return 0;
	if (p->family == AF_INET)
		*(__be32 *)destination.bytes = p->key.k4.dip;
	else
		ip6_copy(destination.bytes, p->key.k6.dip);
	return peer_of(p->family, &destination);
}
