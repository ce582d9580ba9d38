/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * From bytes to struct packet: IP header, L4 ports, flow key (all but its nh_id). Returns 0 or the reason why the packet is to
 * be dropped; dropping is left to the caller, because what the host sends or gets isn't ours to judge.
 * TCP and UDP without options or fragments are read inline; everything else in functions of their own.
 */
#pragma once
#include "packet.h"
#include "encapsulation.h"
#include "fragment.h"
#include "icmp.h"

#define PARSE_LINEAR 128 /* bytes made directly readable: tunnel headers, IPv6, TCP */
#define IP_FRAGMENT_BITS 0x3fff /* more fragments, offset */
#define IP_FRAGMENT_OFFSET 0x1fff
#define IP6_EXTENSIONS 6

/* Ports of TCP, UDP and SCTP, and what TCP tracking and MSS clamping need. `l4` points to the L4 header. */
static __always_inline __u32 parse_ports(struct __sk_buff *skb, struct packet *p, const void *l4, __be16 *sport, __be16 *dport)
{
	const __be16 *ports = l4;

	if (p->proto == IPPROTO_TCP && !(p->bits & PACKET_FRAGMENT)) {
		if (l4 + 20 > packet_end(skb))
			return DROP_PULL;
		p->tcp_flags = ((const __u8 *)l4)[13];
		p->tcp_ack = bpf_ntohl(((const __be32 *)l4)[2]);
	} else if (l4 + 4 > packet_end(skb)) {
		return DROP_PULL;
	}
	*sport = ports[0];
	*dport = ports[1];
	return 0;
}

/* An IPv4 fragment. `fragment` is the header's frag_off field, `id` its identification. */
__noinline __u32 parse_fragment4(struct __sk_buff *skb, struct packet *p, __u32 fragment, __u32 id)
{
	__be16 ports[2];
	__u32 reason;
	__u8 flags;

	if (!p)
		return DROP_MISC;
	p->bits |= PACKET_FRAGMENT;
	if (fragment & bpf_htons(IP_FRAGMENT_OFFSET))
		return fragment_follow(p, id);
	if (p->proto == IPPROTO_ICMP) {
		reason = icmp4_key(skb, p);
		if (reason || (p->bits & PACKET_ICMP_ERROR))
			return reason;
	} else if (proto_has_ports(p->proto)) {
		if (bpf_skb_load_bytes(skb, p->l4_off, ports, sizeof(ports)))
			return DROP_PULL;
		p->key.k4.sport = ports[0];
		p->key.k4.dport = ports[1];
		if (p->proto == IPPROTO_TCP && !bpf_skb_load_bytes(skb, p->l4_off + 13, &flags, 1))
			p->tcp_flags = flags;
	}
	return fragment_record(p, id);
}

static __always_inline __u32 parse_ip4(struct __sk_buff *skb, struct packet *p, __u32 l3_off)
{
	const struct iphdr *ip = packet_data(skb) + l3_off;
	__u32 length, room, header;
	const void *l4;

	if ((const void *)(ip + 1) > packet_end(skb))
		return DROP_PULL;
	header = ip->ihl * 4;
	if (ip->version != 4 || header < sizeof(*ip))
		return DROP_INVALID_PROTOCOL;
	room = skb->len - l3_off;
	length = bpf_ntohs(ip->tot_len);
	if (unlikely(length > room || length < header)) {
		if (length || !skb->gso_size)
			return DROP_INVALID_PACKET;
		length = room;
	}

	p->family = AF_INET;
	p->ethertype = bpf_htons(ETH_P_IP);
	p->l3_off = l3_off;
	p->l4_off = l3_off + header;
	p->l3_len = length;
	p->ttl = ip->ttl;
	p->proto = ip->protocol;
	p->key.k4.sip = ip->saddr;
	p->key.k4.dip = ip->daddr;
	p->key.k4.proto = ip->protocol;
	if (unlikely(ip->frag_off & bpf_htons(IP_FRAGMENT_BITS)))
		return parse_fragment4(skb, p, ip->frag_off, ip->id);
	if (likely(proto_has_ports(ip->protocol))) {
		l4 = (const void *)ip + header;
		return parse_ports(skb, p, l4, &p->key.k4.sport, &p->key.k4.dport);
	}
	if (ip->protocol == IPPROTO_ICMP)
		return icmp4_key(skb, p);
	return 0;
}

/* Walks the extension headers from p->l4_off on. `next` is the type of the first one. */
__noinline __u32 parse_ip6_extensions(struct __sk_buff *skb, struct packet *p, __u32 next)
{
	__u8 head[8];
	__u32 offset, id = 0, more = 0, reason;
	__be16 ports[2];

	if (!p)
		return DROP_MISC;
	offset = p->l4_off;
	for (int i = 0; i < IP6_EXTENSIONS; i++) {
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT)
			break;
		if (bpf_skb_load_bytes(skb, offset, head, sizeof(head)))
			return DROP_PULL;
		if (next == IPPROTO_FRAGMENT) {
			if (p->bits & PACKET_FRAGMENT)
				return DROP_INVALID_PACKET;
			p->bits |= PACKET_FRAGMENT;
			__builtin_memcpy(&id, head + 4, 4);
			more = 1;
			if (head[2] || (head[3] & 0xf8)) {
				p->proto = head[0];
				p->key.k6.proto = head[0];
				p->l4_off = offset + 8;
				return fragment_follow(p, id);
			}
			offset += 8;
		} else {
			offset += 8 + head[1] * 8;
		}
		next = head[0];
		if (offset > 2048)
			return DROP_INVALID_PACKET;
	}
	if (next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS || next == IPPROTO_FRAGMENT)
		return DROP_INVALID_PACKET;
	p->proto = next;
	p->key.k6.proto = next;
	p->l4_off = offset;
	if (proto_has_ports(next)) {
		if (bpf_skb_load_bytes(skb, offset, ports, sizeof(ports)))
			return DROP_PULL;
		p->key.k6.sport = ports[0];
		p->key.k6.dport = ports[1];
		if (next == IPPROTO_TCP) {
			if (bpf_skb_load_bytes(skb, offset + 8, head, 6))
				return more ? 0 : DROP_PULL;
			p->tcp_ack = (__u32)head[0] << 24 | (__u32)head[1] << 16 | (__u32)head[2] << 8 | head[3];
			p->tcp_flags = head[5];
		}
	} else if (next == IPPROTO_ICMPV6) {
		reason = icmp6_key(skb, p);
		if (reason || (p->bits & (PACKET_ICMP_ERROR | PACKET_ND)))
			return reason;
	}
	return more ? fragment_record(p, id) : 0;
}

static __always_inline __u32 parse_ip6(struct __sk_buff *skb, struct packet *p, __u32 l3_off)
{
	const struct ipv6hdr *ip = packet_data(skb) + l3_off;
	__u32 length, room;

	if ((const void *)(ip + 1) > packet_end(skb))
		return DROP_PULL;
	if (ip->version != 6)
		return DROP_INVALID_PROTOCOL;
	room = skb->len - l3_off;
	length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if (unlikely(length > room))
		return DROP_INVALID_PACKET;
	if (unlikely(length == sizeof(*ip) && skb->gso_size))
		length = room; /* a super-packet longer than the field can say */

	p->family = AF_INET6;
	p->ethertype = bpf_htons(ETH_P_IPV6);
	p->l3_off = l3_off;
	p->l4_off = l3_off + sizeof(*ip);
	p->l3_len = length;
	p->ttl = ip->hop_limit;
	p->proto = ip->nexthdr;
	ip6_copy(p->key.k6.sip, &ip->saddr);
	ip6_copy(p->key.k6.dip, &ip->daddr);
	p->key.k6.proto = ip->nexthdr;
	if (likely(proto_has_ports(ip->nexthdr)))
		return parse_ports(skb, p, ip + 1, &p->key.k6.sport, &p->key.k6.dport);
	if (ip->nexthdr == IPPROTO_ICMPV6)
		return icmp6_key(skb, p);
	return parse_ip6_extensions(skb, p, ip->nexthdr);
}

/* Reads the IP packet at `l3_off`, of the version that its first byte says. */
static __always_inline __u32 parse_version(struct __sk_buff *skb, struct packet *p, __u32 l3_off)
{
	const __u8 *version = packet_data(skb) + l3_off;

	if ((const void *)(version + 1) > packet_end(skb))
		return DROP_PULL;
	switch (*version >> 4) {
	case 4:
		return parse_ip4(skb, p, l3_off);
	case 6:
		return parse_ip6(skb, p, l3_off);
	default:
		return DROP_INVALID_PROTOCOL;
	}
}

/* The second try, when the headers were not in the packet's linear part. Of packets that our own devices make they always are. */
__noinline __u32 parse_pulled(struct __sk_buff *skb, struct packet *p, __u32 outer)
{
	if (!p || outer > ENCAPSULATION_MAX)
		return DROP_MISC;
	packet_pull(skb, PARSE_LINEAR);
	p->bits &= ~(PACKET_FRAGMENT | PACKET_LATER_FRAGMENT | PACKET_ICMP_ERROR | PACKET_ND);
	p->key.k6.sport = p->key.k6.dport = 0;
	p->key.k4.sport = p->key.k4.dport = 0;
	return parse_version(skb, p, ETH_HLEN + outer);
}

/*
 * parse_ip4, parse_ip6 or parse_version as `parse_` says, and once more if the headers have to be made readable first. That moves
 * memory, so it isn't done for packets that don't need it: a TCP segment has nothing but its headers in the linear part.
 * `outer`: bytes of the tunnel's headers that it lies behind, 0 = it isn't in a tunnel. Invalidates pointers into the packet.
 */
#define PARSE(parse_, skb_, p_, outer_) \
	({ \
		__u32 reason_ = parse_(skb_, p_, ETH_HLEN + (outer_)); \
		if (unlikely(reason_ == DROP_PULL && packet_has_more(skb_))) \
			reason_ = parse_pulled(skb_, p_, outer_); \
		reason_; \
	})
