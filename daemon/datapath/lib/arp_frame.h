/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* ARP packets (RFC 826), and the reply to one. */
#pragma once
#include "packet.h"
#include "link_answer.h"

#define ARPHRD_ETHER 1
#define ARPOP_REQUEST 1
#define ARPOP_REPLY 2

struct arp {
	__be16 hardware, protocol;
	__u8 hlen, plen;
	__be16 op;
	__u8 sha[MAC_LEN];
	__u8 spa[4];
	__u8 tha[MAC_LEN];
	__u8 tpa[4];
} __attribute__((packed));

/* Reads and checks the ARP packet behind the Ethernet header. Returns 0 or a drop reason. */
static __always_inline __u32 arp_parse(struct __sk_buff *skb, struct arp *arp)
{
	if (bpf_skb_load_bytes(skb, ETH_HLEN, arp, sizeof(*arp)))
		return DROP_INVALID_ARP;
	if (arp->hardware != bpf_htons(ARPHRD_ETHER) || arp->hlen != MAC_LEN || arp->protocol != bpf_htons(ETH_P_IP) || arp->plen != 4)
		return DROP_INVALID_ARP;
	if (arp->op != bpf_htons(ARPOP_REQUEST) && arp->op != bpf_htons(ARPOP_REPLY))
		return DROP_INVALID_ARP;
	return 0;
}

static __always_inline __be32 arp_address(const __u8 *bytes)
{
	__be32 ip;

	__builtin_memcpy(&ip, bytes, 4);
	return ip;
}

/* Probes and announcements: nobody answers them, or an address conflict would be seen. */
static __always_inline int arp_is_gratuitous(const struct arp *arp)
{
	return !arp_address(arp->spa) || arp_address(arp->spa) == arp_address(arp->tpa);
}

/* Turns the request into the reply that says `tpa is at mac`, for the requester. Returns 0 or a drop reason. */
__noinline __u32 arp_write_reply(struct __sk_buff *skb, const struct arp *request, const struct proxy *answer)
{
	struct {
		__u16 pad; /* so that the words of what follows are aligned */
		__u8 dest[MAC_LEN], source[MAC_LEN];
		__be16 ethertype;
		struct arp arp;
	} __attribute__((packed, aligned(4))) frame = { .ethertype = bpf_htons(ETH_P_ARP) };

	if (!request || !answer)
		return DROP_MISC;
	__builtin_memcpy(frame.dest, request->sha, MAC_LEN);
	__builtin_memcpy(frame.source, answer->mac, MAC_LEN);
	frame.arp = *request;
	frame.arp.op = bpf_htons(ARPOP_REPLY);
	__builtin_memcpy(frame.arp.sha, answer->mac, MAC_LEN);
	__builtin_memcpy(frame.arp.spa, request->tpa, 4);
	__builtin_memcpy(frame.arp.tha, request->sha, MAC_LEN);
	__builtin_memcpy(frame.arp.tpa, request->spa, 4);
	return bpf_skb_store_bytes(skb, 0, frame.dest, sizeof(frame) - 2, 0) ? DROP_PUSH : 0;
}
