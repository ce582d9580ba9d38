/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The least that a cross-node datapath of our technique can do: every packet of the one pod goes to the one other node, as MPLS over UDP, and what comes from
 * there goes into the pod. Nothing is looked up, checked or counted, and there is no fragment: the bound that ours is measured against.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MPLS_PORT 6635
/* Not in headers before Linux 6.1. */
#define ADJ_ROOM_DECAP_L3_IPV4 (1ULL << 7)

struct outer {
	struct iphdr ip;
	struct udphdr udp;
	__be32 label;
};

/* Set before loading. Addresses are numbers, MACs eight bytes with the first at the lowest. */
const volatile __u32 nic;
const volatile __u32 pod;
const volatile __u32 source;
const volatile __u32 destination;
const volatile __u64 source_mac;
const volatile __u64 destination_mac;
const volatile __u64 pod_mac;

static __always_inline void put_mac(__u8 *at, __u64 mac)
{
	for (int i = 0; i < ETH_ALEN; i++)
		at[i] = mac >> (8 * i);
}

SEC("tcx/ingress")
int encapsulate(struct __sk_buff *skb)
{
	const __u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |
			    BPF_F_ADJ_ROOM_ENCAP_L2(4);
	struct ethhdr *eth;
	struct outer *outer;
	__u32 sum = 0;

	if (skb->protocol != bpf_htons(ETH_P_IP) ||
	    bpf_skb_adjust_room(skb, sizeof(*outer), BPF_ADJ_ROOM_MAC, flags))
		return TC_ACT_SHOT;
	eth = (void *)(long)skb->data;
	outer = (void *)(eth + 1);
	if ((void *)(outer + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	put_mac(eth->h_dest, destination_mac);
	put_mac(eth->h_source, source_mac);
	outer->ip = (struct iphdr){
		.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP, .tot_len = bpf_htons(skb->len - ETH_HLEN),
		.saddr = bpf_htonl(source), .daddr = bpf_htonl(destination),
	};
	for (int i = 0; i < 10; i++)
		sum += ((__u16 *)&outer->ip)[i];
	sum = (sum & 0xffff) + (sum >> 16);
	outer->ip.check = ~(sum + (sum >> 16));
	outer->udp = (struct udphdr){
		.source = bpf_htons(50000), .dest = bpf_htons(MPLS_PORT),
		.len = bpf_htons(skb->len - ETH_HLEN - sizeof(outer->ip)),
	};
	outer->label = bpf_htonl(100 << 12 | 1 << 8 | 64);
	return bpf_redirect(nic, 0);
}

SEC("tcx/ingress")
int decapsulate(struct __sk_buff *skb)
{
	struct ethhdr *eth = (void *)(long)skb->data;
	struct outer *outer = (void *)(eth + 1);

	if ((void *)(outer + 1) > (void *)(long)skb->data_end || eth->h_proto != bpf_htons(ETH_P_IP) ||
	    outer->ip.protocol != IPPROTO_UDP || outer->udp.dest != bpf_htons(MPLS_PORT))
		return TC_ACT_UNSPEC;
	if (bpf_skb_adjust_room(skb, -(__s32)sizeof(*outer), BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_FIXED_GSO | ADJ_ROOM_DECAP_L3_IPV4))
		return TC_ACT_SHOT;
	eth = (void *)(long)skb->data;
	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	put_mac(eth->h_dest, pod_mac);
	return bpf_redirect_peer(pod, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
