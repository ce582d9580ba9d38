/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Neighbour solicitations and advertisements (RFC 4861 §4.3, §4.4). */
#pragma once
#include "packet.h"
#include "icmp.h"
#include "link_answer.h"
#include "route.h"

#define ND_OPTION_SOURCE 1
#define ND_OPTION_TARGET 2
#define ND_FLAG_ROUTER 0x80
#define ND_FLAG_SOLICITED 0x40
#define ND_FLAG_OVERRIDE 0x20

struct nd {
	__u8 type, code;
	__be16 checksum;
	__u8 flags;
	__u8 reserved[3];
	__u8 target[16];
	__u8 option, option_length;
	__u8 mac[MAC_LEN];
} __attribute__((aligned(4)));

/* How every message begins. */
struct nd_start {
	__u8 type, code;
	__be16 checksum;
};

#define ND_SHORT 24 /* bytes without the option */

/* Reads the solicitation or advertisement; the option may be missing. Returns 0 or a drop reason. */
static __always_inline __u32 nd_parse(struct __sk_buff *skb, const struct packet *p, struct nd *nd)
{
	__u32 length = p->l3_len - (p->l4_off - p->l3_off);

	if (length < ND_SHORT || p->ttl != 255)
		return DROP_INVALID_PACKET;
	return bpf_skb_load_bytes(skb, p->l4_off, nd, ND_SHORT) ? DROP_PULL : 0;
}

/* Turns the solicitation into the advertisement that says `target is at mac`. Returns 0 or a drop reason. */
__noinline __u32 nd_write_advert(struct __sk_buff *skb, const struct packet *p, const struct address *target, const struct proxy *answer)
{
	struct {
		__u16 pad; /* so that the words of what follows are aligned */
		__u8 dest[MAC_LEN], source[MAC_LEN];
		__be16 ethertype;
		struct ipv6hdr ip;
		struct nd nd;
	} __attribute__((packed, aligned(4))) frame = { .ethertype = bpf_htons(ETH_P_IPV6) };
	__u32 sum = bpf_htons(sizeof(struct nd)) + bpf_htons(IPPROTO_ICMPV6);

	if (!p || !target || !answer)
		return DROP_MISC;
	if (bpf_skb_load_bytes(skb, MAC_LEN, frame.dest, MAC_LEN))
		return DROP_PULL;
	if (bpf_skb_change_tail(skb, sizeof(frame) - 2, 0))
		return DROP_NO_MEMORY;
	__builtin_memcpy(frame.source, answer->mac, MAC_LEN);
	frame.ip.version = 6;
	frame.ip.payload_len = bpf_htons(sizeof(struct nd));
	frame.ip.nexthdr = IPPROTO_ICMPV6;
	frame.ip.hop_limit = 255;
	__builtin_memcpy(&frame.ip.saddr, target, 16);
	__builtin_memcpy(&frame.ip.daddr, p->key.k6.sip, 16);
	frame.nd.type = ND_NEIGHBOUR_ADVERT;
	frame.nd.flags = ND_FLAG_SOLICITED | ND_FLAG_OVERRIDE | (answer->own ? ND_FLAG_ROUTER : 0);
	__builtin_memcpy(frame.nd.target, target, 16);
	frame.nd.option = ND_OPTION_TARGET;
	frame.nd.option_length = 1;
	__builtin_memcpy(frame.nd.mac, answer->mac, MAC_LEN);
	/* pseudo header and message; both addresses lie side by side */
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&frame.ip.saddr, 32, sum);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&frame.nd, sizeof(struct nd), sum);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	frame.nd.checksum = ~sum;
	return bpf_skb_store_bytes(skb, 0, frame.dest, sizeof(frame) - 2, 0) ? DROP_PUSH : 0;
}
