/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Devices of the node other than the underlay's by which SNAT leaves, too (map `exits`): what the kernel's routes lead out of one of
 * them gets the node's address there, and the program `outside` takes the answers. A device that isn't in the map isn't a way out.
 */
#pragma once
#include "packet.h"

static __always_inline int exit_has_address(const struct exit *exit, __u32 family)
{
	return family == AF_INET ? exit->ip != 0 : !ip6_is_zero(exit->ip6);
}

/* The exit of that device, if the node has an address of the family there, else NULL. */
static __always_inline const struct exit *exit_find(__u32 ifindex, __u32 family)
{
	const struct exit *exit = bpf_map_lookup_elem(&exits, &ifindex);

	return exit && exit_has_address(exit, family) ? exit : NULL;
}

/* The largest packet that the way out by that device takes: the underlay's, or an exit's. */
static __always_inline __u32 exit_mtu(__u32 ifindex, const struct globals *g)
{
	const struct exit *exit = ifindex == g->vhost_ifindex ? NULL : bpf_map_lookup_elem(&exits, &ifindex);

	return exit ? exit->mtu : g->underlay_mtu;
}

/* The node's address that packets leave with by that device, NULL: it has none there. */
static __always_inline const void *exit_source(__u32 ifindex, __u32 family, const struct globals *g)
{
	const struct exit *exit;

	if (likely(ifindex == g->vhost_ifindex)) {
		if (family == AF_INET)
			return g->underlay_ip ? &g->underlay_ip : NULL;
		return ip6_is_zero(g->underlay_ip6) ? NULL : g->underlay_ip6;
	}
	exit = exit_find(ifindex, family);
	if (!exit)
		return NULL;
	return family == AF_INET ? (const void *)&exit->ip : exit->ip6;
}
