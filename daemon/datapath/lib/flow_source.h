/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Whether a packet of a flow may come from where it comes from: a workload of this node, or what another node brings. */
#pragma once
#include "packet.h"
#include "handover.h"
#include "source.h"
#include "vif.h"
#include "vif_address.h"

/* A workload may use its own addresses only. ICMP errors are checked where they are keyed (tap.bpf.c). */
__noinline int flow_source_is_own(const struct packet *p, const struct vif *vif)
{
	struct address source = {};

	if (!p || !vif)
		return 0;
	if (vif->flags & VIF_NO_SPOOF_CHECK)
		return 1;
	packet_source(p, &source);
	return vif_has_address(vif, p->family, &source);
}

/*
 * Whose name a packet may have that a node hands over: any workload's, whose network this node needn't know, the node's own, or somebody's
 * outside for whom it forwards; never another node's, nor this one's. Returns 0 or a drop reason.
 */
__noinline __u32 handed_source(const struct packet *p)
{
	const struct globals *g = node_globals();
	struct address source = {};
	__be32 node;

	if (!p || !g)
		return DROP_MISC;
	packet_source(p, &source);
	node = peer_of(p->family, &source);
	if (node)
		return node == p->outer_sip ? 0 : DROP_INVALID_SOURCE;
	return address_is_global(p->family, &source) && !source_is_own(p, g) ? 0 : DROP_INVALID_SOURCE;
}

/* Whether who sent the packet here may do so. Returns 0 or a drop reason. */
static __always_inline __u32 flow_source(struct packet *p)
{
	__u32 reason;

	if (!TAKES_TUNNELS || !(p->bits & PACKET_FROM_TUNNEL) || !(p->flow_flags & FLOW_SERVICE))
		return source_stage(p);
	reason = handover_source(p);
	return !reason && packet_is_handed(p) ? handed_source(p) : reason;
}
