/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a nexthop leads to. */
#pragma once
#include "packet.h"

/* A workload of this node. */
static __always_inline int nexthop_is_workload(const struct nexthop *nh)
{
	return nh->type == NH_ENCAP && nh->oif_type == VIF_VIRTUAL;
}

/* Whether the nexthop is one to this node's own: a workload, or the host. */
static __always_inline int nexthop_is_local(const struct nexthop *nh)
{
	return nh->type == NH_RCV || nexthop_is_workload(nh);
}

/* The way out of the overlay: what is routed there leaves with another source (snat.h), or not at all. */
static __always_inline int nexthop_is_snat(const struct nexthop *nh)
{
	return nh->type == NH_VRF_TRANSLATE && (nh->flags & NH_FLAG_SNAT);
}

/* Whether a packet to this nexthop makes a flow. What the agent or nobody gets makes none. */
static __always_inline int nexthop_makes_flow(const struct nexthop *nh)
{
	switch (nh->type) {
	case NH_ENCAP:
		return nh->oif_type != VIF_AGENT;
	case NH_TUNNEL:
	case NH_RCV:
		return 1;
	default:
		return 0;
	}
}

/* Whether what the host sends goes to a workload or into a tunnel. The rest is the host's own business with the underlay. */
static __always_inline int nexthop_is_overlay(const struct nexthop *nh)
{
	return nh->type == NH_TUNNEL || nexthop_is_workload(nh);
}
