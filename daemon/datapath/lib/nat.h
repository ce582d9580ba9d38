/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * One address and port of a packet replaced by another, in the packet and in what an ICMP error quotes, with all checksums
 * (vRouter reference 1.5, NAT; RFC 3022, RFC 5508). Checksums are updated, never computed: a wrong one stays wrong, UDP's 0 stays 0.
 *
 * Sums over the transport header go through bpf_l4_csum_replace, which knows the packets whose sum the NIC or the receiver completes.
 * ICMP is never such a packet, so its sums, and the quoted ones, are plain words.
 */
#pragma once
#include "packet.h"
#include "icmp.h"

struct nat {
	__u32 from[4]; /* the address, network order; IPv4 in the first word */
	__u32 to[4];
	__be16 port_from; /* or the id of an ICMP echo */
	__be16 port_to;
	__u32 inbound; /* 0: the packet's source is replaced, 1: its destination */
};

#define UDP_CHECKSUM 6
#define TCP_CHECKSUM 16
#define ICMP_CHECKSUM 2
#define ICMP_ID 4

/* Difference that the new address makes to a checksum, for the helpers. */
static __always_inline __u32 nat_difference(const __u32 *from, const __u32 *to)
{
	return bpf_csum_diff((void *)from, 16, (void *)to, 16, 0);
}

/* The header of TCP or UDP at p->l4_off. Returns 0 or a drop reason. */
__noinline __u32 nat_ports(struct __sk_buff *skb, const struct packet *p, const struct nat *nat)
{
	__u32 checksum, port;
	__u64 zero_kept;
	long error;

	if (!p || !nat)
		return DROP_MISC;
	checksum = p->l4_off + (p->proto == IPPROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
	port = p->l4_off + (nat->inbound ? 2 : 0);
	zero_kept = p->proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	if (p->family == AF_INET) {
		error = bpf_l4_csum_replace(skb, checksum, nat->from[0], nat->to[0], zero_kept | BPF_F_PSEUDO_HDR | 4);
	} else {
		__u32 difference = nat_difference(nat->from, nat->to);

		error = bpf_l4_csum_replace(skb, checksum, 0, difference, zero_kept | BPF_F_PSEUDO_HDR);
		/* IPv6 has no header checksum that would make up for the address: the sum over the whole packet stays as it was */
		bpf_csum_update(skb, difference);
	}
	if (!error)
		error = bpf_l4_csum_replace(skb, checksum, nat->port_from, nat->port_to, zero_kept | 2);
	if (!error)
		error = bpf_skb_store_bytes(skb, port, &nat->port_to, 2, 0);
	return error ? DROP_PULL : 0;
}

/* The id of an echo at p->l4_off. Returns 0 or a drop reason. */
static __always_inline __u32 nat_echo(struct __sk_buff *skb, const struct packet *p, const struct nat *nat)
{
	__u32 checksum = p->l4_off + ICMP_CHECKSUM;
	long error = 0;

	if (p->family == AF_INET6)
		error = bpf_l3_csum_replace(skb, checksum, 0, nat_difference(nat->from, nat->to), 0);
	if (!error)
		error = bpf_l3_csum_replace(skb, checksum, nat->port_from, nat->port_to, 2);
	if (!error)
		error = bpf_skb_store_bytes(skb, p->l4_off + ICMP_ID, &nat->port_to, 2, 0);
	return error ? DROP_PULL : 0;
}

/*
 * The packet that the ICMP error at p->l4_off quotes: it went the other way, so its other end is replaced. `outer` is the
 * difference that the new address in the error's own header makes. Returns 0 or a drop reason.
 */
__noinline __u32 nat_quoted(struct __sk_buff *skb, const struct packet *p, const struct nat *nat, __u32 outer)
{
	__u32 ip, l4, checksum, port, end, difference;
	__u8 byte, proto;
	__be16 sum;
	long error;

	if (!p || !nat)
		return DROP_MISC;
	ip = p->l4_off + sizeof(struct icmp_head);
	end = p->l3_off + p->l3_len;
	difference = nat_difference(nat->from, nat->to);
	if (p->family == AF_INET) {
		if (bpf_skb_load_bytes(skb, ip, &byte, 1))
			return DROP_PULL;
		proto = p->key.k4.proto;
		l4 = ip + (byte & 15) * 4;
		error = bpf_l3_csum_replace(skb, ip + 10, nat->from[0], nat->to[0], 4);
		if (!error)
			error = bpf_skb_store_bytes(skb, ip + (nat->inbound ? 12 : 16), nat->to, 4, 0);
	} else {
		if (bpf_skb_load_bytes(skb, ip + 6, &byte, 1))
			return DROP_PULL;
		proto = p->key.k6.proto;
		l4 = ip + sizeof(struct ipv6hdr) + (byte == IPPROTO_FRAGMENT ? 8 : 0);
		error = bpf_skb_store_bytes(skb, ip + (nat->inbound ? 8 : 24), nat->to, 16, 0);
	}
	if (error)
		return DROP_PULL;

	switch (proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		checksum = l4 + (proto == IPPROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
		port = l4 + (nat->inbound ? 0 : 2);
		break;
	default: /* an echo, or it had no flow */
		checksum = l4 + ICMP_CHECKSUM;
		port = l4 + ICMP_ID;
	}
	/* What the quoted sum makes up for doesn't show in the error's own: all of it, but for the quoted IPv4 header's sum. */
	if (checksum + 2 > end || bpf_skb_load_bytes(skb, checksum, &sum, 2) || (proto == IPPROTO_UDP && !sum)) {
		error = bpf_l3_csum_replace(skb, p->l4_off + ICMP_CHECKSUM, nat->port_from, nat->port_to, 2);
		if (!error && p->family == AF_INET6)
			error = bpf_l3_csum_replace(skb, p->l4_off + ICMP_CHECKSUM, 0, difference, 0);
	} else {
		error = bpf_l3_csum_replace(skb, checksum, nat->port_from, nat->port_to, 2);
		if (!error && (p->family == AF_INET6 || proto != IPPROTO_ICMP))
			error = bpf_l3_csum_replace(skb, checksum, 0, difference, 0);
		if (!error && p->family == AF_INET && proto != IPPROTO_ICMP)
			error = bpf_l3_csum_replace(skb, p->l4_off + ICMP_CHECKSUM, nat->to[0], nat->from[0], 4);
	}
	if (!error && p->family == AF_INET6)
		error = bpf_l3_csum_replace(skb, p->l4_off + ICMP_CHECKSUM, 0, outer, 0);
	if (!error)
		error = bpf_skb_store_bytes(skb, port, &nat->port_to, 2, 0);
	return error ? DROP_PULL : 0;
}

/* Replaces the address in the IP header itself, which the frame starts with behind Ethernet. Returns 0 or a drop reason. */
static __always_inline __u32 nat_address(struct __sk_buff *skb, const struct packet *p, const struct nat *nat)
{
	void *data = packet_data(skb) + ETH_HLEN;
	struct ipv6hdr *ip6 = data;
	struct iphdr *ip = data;
	__u32 sum, old;
	__be32 *address;

	if (p->family == AF_INET) {
		if ((void *)(ip + 1) > packet_end(skb))
			return DROP_PULL;
		address = nat->inbound ? &ip->daddr : &ip->saddr;
		old = ~*address;
		/* RFC 1624: the sum less the old address, plus the new one */
		sum = (__u16)~ip->check + (old & 0xffff) + (old >> 16) + (nat->to[0] & 0xffff) + (nat->to[0] >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		ip->check = ~sum;
		*address = nat->to[0];
		return 0;
	}
	if ((void *)(ip6 + 1) > packet_end(skb))
		return DROP_PULL;
	ip6_copy(nat->inbound ? &ip6->daddr : &ip6->saddr, nat->to);
	return 0;
}

/* The difference that the new address makes in the packet's own header: whoever sends an ICMP error has an address of his own. */
static __always_inline __u32 nat_outer_difference(struct __sk_buff *skb, const struct packet *p, const struct nat *nat)
{
	__u32 old[4] = {};

	if (p->family == AF_INET || bpf_skb_load_bytes(skb, ETH_HLEN + (nat->inbound ? 24 : 8), old, sizeof(old)))
		return 0; /* ICMP's sum doesn't cover the addresses of IPv4 */
	return nat_difference(old, nat->to);
}

/* Replaces the address and the port, or what an error quotes. The frame starts with Ethernet and IP. Returns 0 or a drop reason. */
static __always_inline __u32 nat_translate(struct __sk_buff *skb, const struct packet *p, const struct nat *nat)
{
	__u32 reason = 0;

	if (unlikely(p->bits & PACKET_ICMP_ERROR))
		reason = nat_quoted(skb, p, nat, nat_outer_difference(skb, p, nat));
	else if (unlikely(p->bits & PACKET_LATER_FRAGMENT))
		reason = 0; /* the first one has the header, and its sum covers the addresses of all */
	else if (likely(p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP))
		reason = nat_ports(skb, p, nat);
	else
		reason = nat_echo(skb, p, nat);
	return reason ? reason : nat_address(skb, p, nat);
}
