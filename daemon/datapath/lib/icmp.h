/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Flow keys of ICMP and ICMPv6 (vRouter reference 1.5): an echo is keyed by its id, an error by the packet that it carries
 * with source and destination swapped, so that it passes with the flow it belongs to.
 */
#pragma once
#include "packet.h"

/* The kernel's own headers of ICMP and ARP drag the C library in. */
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_SOURCE_QUENCH 4
#define ICMP_REDIRECT 5
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129

#define ND_ROUTER_SOLICIT 133
#define ND_ROUTER_ADVERT 134
#define ND_NEIGHBOUR_SOLICIT 135
#define ND_NEIGHBOUR_ADVERT 136
#define ND_REDIRECT 137
#define ICMP6_ECHO_KEY bpf_htons(ICMPV6_ECHO_REPLY)

struct icmp_head {
	__u8 type, code;
	__be16 checksum;
	__be16 id, sequence;
};

static __always_inline int icmp4_is_error(__u8 type)
{
	return type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETERPROB;
}

static __always_inline int icmp4_is_echo(__u8 type)
{
	return type == ICMP_ECHO || type == ICMP_ECHOREPLY;
}

static __always_inline int icmp6_is_error(__u8 type)
{
	return type < 128;
}

static __always_inline int icmp6_is_echo(__u8 type)
{
	return type == ICMPV6_ECHO_REQUEST || type == ICMPV6_ECHO_REPLY;
}

static __always_inline int icmp6_is_nd(__u8 type)
{
	return type >= ND_ROUTER_SOLICIT && type <= ND_REDIRECT;
}

/* Keys the ICMP packet at p->l4_off; the addresses are in the key already. Returns 0 or a drop reason. */
__noinline __u32 icmp4_key(struct __sk_buff *skb, struct packet *p)
{
	struct icmp_head icmp, inner_icmp;
	struct iphdr inner;
	__be16 ports[2];
	__u32 offset, inner_l4;

	if (!p)
		return DROP_MISC;
	offset = p->l4_off;
	if (bpf_skb_load_bytes(skb, offset, &icmp, sizeof(icmp)))
		return DROP_PULL;
	p->icmp_type = icmp.type;
	if (icmp4_is_echo(icmp.type)) {
		p->key.k4.sport = icmp.id;
		return 0;
	}
	if (!icmp4_is_error(icmp.type)) {
		p->key.k4.dport = icmp.type; /* as the vRouter stores it: not in network order */
		return 0;
	}

	if (bpf_skb_load_bytes(skb, offset + sizeof(icmp), &inner, sizeof(inner)))
		return DROP_PULL;
	inner_l4 = offset + sizeof(icmp) + inner.ihl * 4;
	if (inner.version != 4 || inner.ihl < 5 || (inner.frag_off & bpf_htons(0x1fff)) || inner.saddr != p->key.k4.dip)
		return DROP_ICMP_ERROR;
	p->bits |= PACKET_ICMP_ERROR;
	p->key.k4.sip = inner.daddr;
	p->key.k4.dip = inner.saddr;
	p->key.k4.proto = inner.protocol;
	if (proto_has_ports(inner.protocol)) {
		if (bpf_skb_load_bytes(skb, inner_l4, ports, sizeof(ports)))
			return DROP_PULL;
		p->key.k4.sport = ports[1];
		p->key.k4.dport = ports[0];
	} else if (inner.protocol == IPPROTO_ICMP) {
		if (bpf_skb_load_bytes(skb, inner_l4, &inner_icmp, sizeof(inner_icmp)))
			return DROP_PULL;
		if (icmp4_is_error(inner_icmp.type))
			return DROP_ICMP_ERROR;
		if (icmp4_is_echo(inner_icmp.type))
			p->key.k4.sport = inner_icmp.id;
		else
			p->key.k4.dport = inner_icmp.type;
	}
	return 0;
}

/* As icmp4_key, for ICMPv6. */
__noinline __u32 icmp6_key(struct __sk_buff *skb, struct packet *p)
{
	struct icmp_head icmp, inner_icmp;
	struct ipv6hdr inner;
	__u8 fragment[8];
	__be16 ports[2];
	__u32 offset, inner_l4;
	__u8 proto;

	if (!p)
		return DROP_MISC;
	offset = p->l4_off;
	if (bpf_skb_load_bytes(skb, offset, &icmp, sizeof(icmp)))
		return DROP_PULL;
	p->icmp_type = icmp.type;
	if (icmp6_is_echo(icmp.type)) {
		p->key.k6.sport = icmp.id;
		p->key.k6.dport = ICMP6_ECHO_KEY;
		return 0;
	}
	if (!icmp6_is_error(icmp.type)) {
		p->key.k6.dport = icmp.type;
		if (icmp6_is_nd(icmp.type))
			p->bits |= PACKET_ND;
		return 0;
	}

	if (bpf_skb_load_bytes(skb, offset + sizeof(icmp), &inner, sizeof(inner)))
		return DROP_PULL;
	if (inner.version != 6 || !ip6_equal(&inner.saddr, p->key.k6.dip))
		return DROP_ICMP_ERROR;
	proto = inner.nexthdr;
	inner_l4 = offset + sizeof(icmp) + sizeof(inner);
	if (proto == IPPROTO_FRAGMENT) {
		if (bpf_skb_load_bytes(skb, inner_l4, fragment, sizeof(fragment)))
			return DROP_PULL;
		if (fragment[2] || (fragment[3] & 0xf8))
			return DROP_ICMP_ERROR;
		proto = fragment[0];
		inner_l4 += sizeof(fragment);
	}
	p->bits |= PACKET_ICMP_ERROR;
	ip6_copy(p->key.k6.sip, &inner.daddr);
	ip6_copy(p->key.k6.dip, &inner.saddr);
	p->key.k6.proto = proto;
	if (proto_has_ports(proto)) {
		if (bpf_skb_load_bytes(skb, inner_l4, ports, sizeof(ports)))
			return DROP_PULL;
		p->key.k6.sport = ports[1];
		p->key.k6.dport = ports[0];
	} else if (proto == IPPROTO_ICMPV6) {
		if (bpf_skb_load_bytes(skb, inner_l4, &inner_icmp, sizeof(inner_icmp)))
			return DROP_PULL;
		if (icmp6_is_error(inner_icmp.type))
			return DROP_ICMP_ERROR;
		if (icmp6_is_echo(inner_icmp.type)) {
			p->key.k6.sport = inner_icmp.id;
			p->key.k6.dport = ICMP6_ECHO_KEY;
		} else {
			p->key.k6.dport = inner_icmp.type;
		}
	}
	return 0;
}
