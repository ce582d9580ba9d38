/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The outer IPv4 header, which all encapsulations have (vRouter reference 2.6). */
#pragma once
#include "packet.h"

#define TUNNEL_TTL 64
#define IP_DONT_FRAGMENT 0x4000
#define IP_MORE_FRAGMENTS 0x2000

static __always_inline __u16 ip4_checksum(const struct iphdr *ip)
{
	const __u16 *words = (const __u16 *)ip;
	__u32 sum = 0;

	for (int i = 0; i < 10; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* `length`: from this header to the end of the packet. */
static __always_inline void outer_ip_write(struct iphdr *ip, const struct nexthop *nh, __u8 protocol, __u32 length, __be16 id, __u8 tos)
{
	*(__u16 *)ip = bpf_htons(0x4500 | tos);
	ip->tot_len = bpf_htons(length);
	ip->id = id;
	ip->frag_off = bpf_htons(IP_DONT_FRAGMENT); /* a peer's fragments would reach nobody: what is too large for the path is told to its sender */
	ip->ttl = TUNNEL_TTL;
	ip->protocol = protocol;
	ip->check = 0;
	ip->saddr = nh->sip;
	ip->daddr = nh->dip;
	ip->check = ip4_checksum(ip);
}
