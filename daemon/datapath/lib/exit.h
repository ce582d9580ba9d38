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

/* p->label, or flow.label, of a flow that leaves by this device. */
static __always_inline __u32 exit_label(__u32 ifindex)
{
	return SNAT_EXIT | ifindex;
}

static __always_inline int exit_is_label(__u32 label)
{
	return label & SNAT_EXIT && label != LABEL_NONE;
}

static __always_inline __u32 exit_ifindex(__u32 label)
{
	return label & ~SNAT_EXIT;
}

/* The exit of that device, if the node has an address of the family there, else NULL. */
static __always_inline const struct exit *exit_find(__u32 ifindex, __u32 family)
{
	const struct exit *exit = bpf_map_lookup_elem(&exits, &ifindex);

	return exit && exit_has_address(exit, family) ? exit : NULL;
}
