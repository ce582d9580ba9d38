/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Route lookup: the host route if there is one, otherwise the longest prefix. Cost: one hash lookup, and a trie walk on a miss. */
#pragma once
#include "packet.h"

/* The VRF whose routes count for `vrf`: the fabric policy VRF uses those of VRF 0. */
static __always_inline __u32 vrf_forwarding(__u32 vrf)
{
	const struct vrf *entry = bpf_map_lookup_elem(&vrfs, &vrf);

	return entry && (entry->flags & VRF_VALID) ? entry->forwarding_vrf : vrf;
}

static __always_inline const struct route *route4_find(__u32 vrf, __be32 ip)
{
	struct route4_key host = { .vrf = vrf, .ip = ip };
	struct route4_lpm_key prefix = { .prefixlen = 64, .vrf_be = bpf_htonl(vrf), .ip = ip };
	const struct route *route = bpf_map_lookup_elem(&route4_host, &host);

	return route ? route : bpf_map_lookup_elem(&route4_lpm, &prefix);
}

static __always_inline const struct route *route6_find(__u32 vrf, const void *ip)
{
	struct route6_lpm_key prefix = { .prefixlen = 160, .vrf_be = bpf_htonl(vrf) };
	struct route6_key host = { .vrf = vrf };
	const struct route *route;

	ip6_copy(host.ip, ip);
	route = bpf_map_lookup_elem(&route6_host, &host);
	if (route)
		return route;
	ip6_copy(prefix.ip, ip);
	return bpf_map_lookup_elem(&route6_lpm, &prefix);
}

/* An address of either family; IPv4 in the first four bytes. */
struct address {
	__u8 bytes[16];
} __attribute__((aligned(4)));

static __always_inline const struct route *route_lookup(__u32 vrf, __u32 family, const struct address *address)
{
	vrf = vrf_forwarding(vrf);
	return family == AF_INET ? route4_find(vrf, *(const __be32 *)address->bytes) : route6_find(vrf, address->bytes);
}

/* Copies the route of `address` (4 bytes if `family` is AF_INET, else 16) in `vrf`. Returns 1, or 0 if there is none. */
__noinline int route_find(__u32 vrf, __u32 family, const struct address *address, struct route *out)
{
	const struct route *route;

	if (!address || !out)
		return 0;
	route = route_lookup(vrf, family, address);
	if (!route)
		return 0;
	*out = *route;
	return 1;
}

/* Where the packet goes: the destination that it becomes. */
static __always_inline void packet_destination(const struct packet *p, struct address *address)
{
	ip6_copy(address->bytes, p->to.dip);
}

/* Its source, as its flow key has it. */

static __always_inline void packet_source(const struct packet *p, struct address *address)
{
	if (p->family == AF_INET)
		*(__be32 *)address->bytes = p->key.k4.sip;
	else
		ip6_copy(address->bytes, p->key.k6.sip);
}

static __always_inline __u32 route_label(const struct route *route)
{
	return route->flags & ROUTE_LABEL_VALID ? route->label : LABEL_NONE;
}
