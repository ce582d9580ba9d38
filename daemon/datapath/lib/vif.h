/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Interfaces: the vif a packet came in by, and the globals of the node. */
#pragma once
#include "packet.h"
#include "stats.h"

static __always_inline const struct globals *node_globals(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&globals, &zero);
}

/*
 * The epoch, read before routes are looked up: who reads it afterwards could take an answer from before a change for one from behind it,
 * and the flow would keep that until routes change again.
 */
static __always_inline __u32 epoch_before(const struct globals *g)
{
	return *(const volatile __u32 *)&g->epoch;
}

/* The vif of the device that the program runs on, or NULL: the device isn't programmed (yet). */
static __always_inline const struct vif *vif_of(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;

	return bpf_map_lookup_elem(&vifs, &ifindex);
}

/* Takes over what the packet has from its ingress vif, and counts it there. */
static __always_inline void vif_enter(struct packet *p, const struct vif *vif, __u32 bytes)
{
	p->vif = vif->id;
	p->vif_type = vif->type;
	p->vrf = vif->vrf;
	p->dvrf = vif->vrf;
	count_vif_rx(vif->id, bytes);
}
