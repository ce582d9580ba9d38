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

/* Whether who sent the packet here may do so. Returns 0 or a drop reason. */
static __always_inline __u32 flow_source(struct packet *p)
{
	return TAKES_TUNNELS && p->bits & PACKET_FROM_TUNNEL && p->flow_flags & FLOW_SERVICE ? handover_source(p) : source_stage(p);
}
