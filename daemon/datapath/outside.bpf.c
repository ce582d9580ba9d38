/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What other devices than the underlay's bring (exit.h): tcx ingress of those by which SNAT leaves. Answers to what workloads sent with the
 * node's address there go to them; everything else is the host's, untouched. No vif is counted: these devices aren't the vRouter's.
 */
#define ROLE ROLE_OUTSIDE
#include "packet.h"
#include "exit.h"
#include "snat_answer.h"
#include "vif.h"

/* Bytes that snat_may_answer looks at. */
#define OUTSIDE_HEAD (ETH_HLEN + sizeof(struct ipv6hdr) + 4)

/* Nobody but who hears this device answers by it: what it brings to another address of the node belongs to no flow. */
static __always_inline int is_for_exit(struct __sk_buff *skb, const struct globals *g)
{
	void *data = packet_data(skb);
	struct ethhdr *eth = data;
	struct iphdr *ip = data + ETH_HLEN;
	struct ipv6hdr *ip6 = data + ETH_HLEN;
	const void *own;

	if ((void *)(ip + 1) > packet_end(skb))
		return 0;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		own = snat_own_address(skb, g, AF_INET);
		return own && ip->daddr == *(const __be32 *)own;
	}
	if (eth->h_proto != bpf_htons(ETH_P_IPV6) || (void *)(ip6 + 1) > packet_end(skb))
		return 0;
	own = snat_own_address(skb, g, AF_INET6);
	return own && ip6_equal(&ip6->daddr, own);
}

SEC("tcx/ingress")
int outside(struct __sk_buff *skb)
{
	const struct globals *g = node_globals();
	enum snat_look look;
	enum verdict verdict;
	struct packet p;

	if (unlikely(!g) || !g->snat_ports || skb->vlan_present || skb->pkt_type == 3 /* PACKET_OTHERHOST */)
		return TC_ACT_OK;
	packet_pull(skb, OUTSIDE_HEAD);
	look = snat_may_answer(skb, g);
	if (likely(look == SNAT_HOST) || !is_for_exit(skb, g))
		return TC_ACT_OK;
	packet_init(&p);
	p.vif = (__u16)VIF_UNKNOWN;
	p.vif_type = VIF_PHYSICAL;
	verdict = answer_to_workload(skb, &p, look);
	return verdict == VERDICT_NEXT ? TC_ACT_OK : verdict_to_tc(verdict);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
