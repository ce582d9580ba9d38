/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Connections to services that one node hands over to another: where the client's own routes don't lead to the endpoint, the packet
 * travels as it is, under the service label of the endpoint's node and, below that, the label of its way back: the client's own. That node
 * chooses among its own endpoints, translates, and answers under that label. So the client's address is kept, and clients of different
 * networks that have one address stay apart: the way back is a part of the flow's key, as is the node that hands over.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "flow_index.h"
#include "peer.h"
#include "vif.h"

/* Whether another node has handed the packet over. */
static __always_inline int packet_is_handed(const struct packet *p)
{
	return TAKES_TUNNELS && p->handed;
}

/*
 * What a flow of such packets is entered and found under: the tunnel to the node in the place of a vif, and the label of the way back.
 * Sets p->nh: where a flow that is known leads. Returns 0 or a drop reason.
 */
__noinline __u32 handover_key(struct packet *p)
{
	const struct peer *peer;
	const struct flow *flow;
	struct peer4_key node = {};
	__u8 *context;

	if (!p)
		return DROP_MISC;
	node.ip = p->outer_sip;
	peer = bpf_map_lookup_elem(&peers4, &node);
	if (!peer || !peer->nh) /* there is no way to answer */
		return DROP_INVALID_SOURCE;
	p->back_nh = peer->nh;
	p->key.k4.nh_id = peer->nh;
	context = p->family == AF_INET ? p->key.k4.context : p->key.k6.context;
	context[0] = p->back_label;
	context[1] = p->back_label >> 8;
	context[2] = p->back_label >> 16;
	flow = flow_find(p);
	p->nh = flow ? flow->nh : NH_ID_DISCARD;
	return 0;
}

/*
 * Whether the node may send packets of that flow, to which a service led: it handed them over, or they are answers of the node that
 * they were handed over to. Returns 0 or a drop reason.
 */
__noinline __u32 handover_source(struct packet *p)
{
	const struct flow *flow;

	if (!p)
		return DROP_MISC;
	if (p->flow_flags & FLOW_NEW) /* of what comes for a NodePort it is known already */
		return 0;
	flow = flow_find(p);
	return flow && flow->src_info == p->outer_sip ? 0 : DROP_INVALID_SOURCE;
}

/* Whether it is for a NodePort of the node that hands it over, which this node has at an address of its own. */
static __always_inline int handover_is_node_port(const struct packet *p)
{
	return packet_is_handed(p) && peer_of_destination(p) == p->outer_sip;
}

/* The label under which answers to the packet come: of the vif that it came in by. */
static __always_inline __u32 handover_return_label(struct __sk_buff *skb)
{
	const struct globals *g = node_globals();
	const struct vif *vif = vif_of(skb);

	if (SERVES_OUTSIDE && g) { /* what the NIC has brought: the host's */
		__u32 host = g->vhost_ifindex;

		vif = bpf_map_lookup_elem(&vifs, &host);
	}
	return vif && vif->label ? vif->label : LABEL_NONE;
}
