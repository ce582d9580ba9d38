/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the agent injects: tcx ingress of pkt0 (vRouter reference 1.1, 2.10). Behind Ethernet and the agent header is a whole frame:
 * SWITCH sends it out of a vif as it is, ROUTE routes it in a VRF. Neither makes a flow.
 */
#define ROLE ROLE_AGENT
#include "packet.h"
#include "drop.h"
#include "flow.h"
#include "nexthop.h"
#include "parse.h"
#include "stats.h"
#include "vif.h"

struct agent_frame {
	__u16 pad; /* so that the words of the inner header are aligned */
	struct ethhdr outer;
	struct agent_hdr header;
	struct ethhdr inner;
} __attribute__((packed, aligned(4)));

#define AGENT_FRAME ((__u32)sizeof(struct agent_frame) - 2)

/* What the agent header asks for, as one number. */
union agent_order {
	struct {
		__u16 ifindex; /* vif id */
		__u8 cmd;      /* enum agent_cmd */
		__u8 reason;   /* why there is none, 0 = there is */
	};
	__u32 word;
};

/* Reads the outer Ethernet and agent headers, and takes them off: p->vrf is the order's. Returns a union agent_order. */
__noinline __u32 agent_open(struct __sk_buff *skb, struct packet *p)
{
	union agent_order order = { .reason = DROP_PULL };
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO;
	struct agent_frame frame = {};

	if (!p)
		return order.word;
	if (bpf_skb_load_bytes(skb, 0, &frame.outer, AGENT_FRAME)) {
		count_vif_rx_error(p->vif);
		return order.word;
	}
	if (frame.header.cmd != bpf_htons(AGENT_SWITCH) && frame.header.cmd != bpf_htons(AGENT_ROUTE)) {
		order.reason = DROP_INVALID_PACKET;
		return order.word;
	}
	if (frame.inner.h_proto == bpf_htons(ETH_P_IPV6))
		flags |= ADJ_ROOM_DECAP_L3_IPV6;
	if (bpf_skb_adjust_room(skb, -(__s32)(ETH_HLEN + sizeof(struct agent_hdr)), BPF_ADJ_ROOM_MAC, flags) ||
	    bpf_skb_store_bytes(skb, 0, &frame.inner, ETH_HLEN, 0))
		return order.word;
	order.reason = 0;
	order.cmd = bpf_ntohs(frame.header.cmd);
	order.ifindex = bpf_ntohs(frame.header.ifindex);
	if (order.cmd == AGENT_ROUTE)
		p->vrf = bpf_ntohs(frame.header.vrf);
	return order.word;
}

/* Sends the frame out of vif `id`: to the host if that is vhost0, else through the device's transmit. */
static __always_inline enum verdict agent_switch(struct __sk_buff *skb, struct packet *p, __u32 id)
{
	__u32 *ifindex = bpf_map_lookup_elem(&vif_devices, &id);

	if (!ifindex || !*ifindex) {
		count_vif_rx_error(VIF_ID_AGENT);
		return DROP(p, DROP_INVALID_IF);
	}
	count_vif_tx(id, skb->len);
	if (bpf_redirect(*ifindex, id == VIF_ID_VHOST ? BPF_F_INGRESS : 0) != TC_ACT_REDIRECT)
		return DROP(p, DROP_INTERFACE_TX_DISCARD);
	return VERDICT_REDIRECT;
}

/* Routes the packet in VRF p->vrf, for vif `id`. */
static __always_inline enum verdict agent_route(struct __sk_buff *skb, struct packet *p, __u32 id)
{
	__u32 *ifindex = bpf_map_lookup_elem(&vif_devices, &id);
	__u32 reason;

	if (ifindex && *ifindex && id != VIF_ID_FABRIC)
		p->vif = id; /* what becomes of it is counted there */
	p->dvrf = p->vrf;
	reason = PARSE(parse_version, skb, p, 0);
	ends_keep(p);
	if (!reason)
		reason = resolve_route(p, p->vrf);
	return reason ? DROP(p, reason) : nexthop_output(skb, p);
}

static __always_inline enum verdict agent_walk(struct __sk_buff *skb, struct packet *p)
{
	union agent_order order = { .word = agent_open(skb, p) };

	if (order.reason)
		return DROP(p, order.reason);
	return order.cmd == AGENT_SWITCH ? agent_switch(skb, p, order.ifindex) : agent_route(skb, p, order.ifindex);
}

SEC("tcx/ingress")
int agent(struct __sk_buff *skb)
{
	const struct vif *vif = vif_of(skb);
	struct packet p;

	if (!vif)
		return verdict_to_tc(drop_count(VIF_UNKNOWN, DROP_INVALID_IF));
	packet_init(&p);
	vif_enter(&p, vif, skb->len);
	return verdict_to_tc(agent_walk(skb, &p));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
