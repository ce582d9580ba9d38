/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The answer that nobody is there, as the host of that address would give it: a reset for TCP (RFC 9293 3.10.7.1), else "port unreachable"
 * (RFC 1122 3.2.2.1, RFC 4443 3.1). It is made of the packet itself and goes back to where that came from, so nobody in user space is
 * needed, and nobody else hears of it. A vif has as many answers as it may send packets to the agent, of whose burst they leave half: on the
 * NIC, whoever asks for refusals costs others no "time exceeded" and no "too big".
 *
 * The packet may be one whose checksum the NIC would have completed, and stays so: its place is that of TCP's, or of the quoted header's.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "icmp.h"
#include "stats.h"
#include "tcp_state.h"
#include "trap.h"
#include "ttl.h"
#include "vif.h"

#define REFUSAL_TTL 64
#define ICMP_PORT_UNREACHABLE 3
#define ICMPV6_DEST_UNREACHABLE 1
#define ICMPV6_PORT_UNREACHABLE 4
#define REFUSAL_QUOTES 8U /* bytes behind the IP header: what tells whose packet it was */
#define TCP_CHECKSUM_AT 16
#define IP_DONT_FRAGMENT 0x4000

static __always_inline __u16 refusal_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The IPv4 header of an answer, whose addresses are there already. */
static __always_inline void refusal_ip4(struct iphdr *ip, __u32 payload, __u8 proto)
{
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = 0;
	ip->tot_len = bpf_htons(sizeof(*ip) + payload);
	ip->id = 0;
	ip->frag_off = bpf_htons(IP_DONT_FRAGMENT);
	ip->ttl = REFUSAL_TTL;
	ip->protocol = proto;
	ip->check = 0;
	ip->check = ~refusal_fold((__u32)bpf_csum_diff(NULL, 0, (void *)ip, sizeof(*ip), 0));
}

static __always_inline void refusal_ip6(struct ipv6hdr *ip, __u32 payload, __u8 proto)
{
	*(__be32 *)ip = bpf_htonl(0x60000000);
	ip->payload_len = bpf_htons(payload);
	ip->nexthdr = proto;
	ip->hop_limit = REFUSAL_TTL;
}

static __always_inline void macs_swap(struct ethhdr *eth)
{
	__u8 mac[MAC_LEN];

	mac_copy(mac, eth->h_dest);
	mac_copy(eth->h_dest, eth->h_source);
	mac_copy(eth->h_source, mac);
}

/* Puts the addresses of the packet at hand, swapped, into an IP header. */
static __always_inline void refusal_addresses(const struct packet *p, void *header)
{
	if (p->family == AF_INET) {
		struct iphdr *ip = header;

		ip->saddr = p->key.k4.dip;
		ip->daddr = p->key.k4.sip;
	} else {
		struct ipv6hdr *ip = header;

		ip6_copy(&ip->saddr, p->key.k6.dip);
		ip6_copy(&ip->daddr, p->key.k6.sip);
	}
}

/* The sum of the pseudo header. */
static __always_inline __u64 refusal_pseudo(const struct packet *p, __u32 payload, __u8 proto)
{
	__u64 sum = (__u64)bpf_htonl(payload) + bpf_htonl(proto);

	if (p->family == AF_INET)
		return sum + p->key.k4.sip + p->key.k4.dip;
	for (int i = 0; i < 4; i++)
		sum += (__u64)((const __u32 *)p->key.k6.sip)[i] + ((const __u32 *)p->key.k6.dip)[i];
	return sum;
}

/* Whether the sum at `offset` is the pseudo header's, and whoever sends the packet completes it. Leaves another number there. */
static __always_inline int checksum_is_partial(struct __sk_buff *skb, __u32 offset)
{
	__be16 before = 0, after = 0;

	if (bpf_skb_load_bytes(skb, offset, &before, 2) || bpf_l4_csum_replace(skb, offset, 0, 1, 2) ||
	    bpf_skb_load_bytes(skb, offset, &after, 2))
		return 0;
	return before == after;
}

struct tcp_reset {
	struct tcp_head head;
	__be16 checksum, urgent;
};

/* The TCP segment becomes a reset. Returns 0 or a drop reason. */
static __always_inline __u32 refuse_tcp(struct __sk_buff *skb, const struct packet *p)
{
	__u32 header = ip_header_length(p), at = ETH_HLEN + header, length;
	struct tcp_reset reset = {};
	struct tcp_head tcp;
	int partial;
	void *data;
	__u64 sum;

	if (bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp)))
		return DROP_PULL;
	length = p->l3_len - header;
	length -= length < (tcp.offset >> 4) * 4U ? length : (tcp.offset >> 4) * 4U;
	length += !!(tcp.flags & TCPHDR_SYN) + !!(tcp.flags & TCPHDR_FIN);
	partial = checksum_is_partial(skb, at + TCP_CHECKSUM_AT);
	if (bpf_skb_change_tail(skb, at + sizeof(reset), 0))
		return DROP_NO_MEMORY;
	packet_pull(skb, at + sizeof(reset));

	reset.head.source = tcp.dest;
	reset.head.dest = tcp.source;
	reset.head.offset = sizeof(reset) / 4 << 4;
	reset.head.flags = TCPHDR_RST;
	if (tcp.flags & TCPHDR_ACK) {
		reset.head.seq = tcp.ack;
	} else {
		reset.head.flags |= TCPHDR_ACK;
		reset.head.ack = bpf_htonl(bpf_ntohl(tcp.seq) + length);
	}
	sum = refusal_pseudo(p, sizeof(reset), IPPROTO_TCP);
	if (!partial)
		sum += (__u32)bpf_csum_diff(NULL, 0, (void *)&reset, sizeof(reset), 0);
	reset.checksum = partial ? refusal_fold(sum) : ~refusal_fold(sum);

	data = packet_data(skb);
	if (p->family == AF_INET) {
		if (data + ETH_HLEN + sizeof(struct iphdr) + sizeof(struct tcp_reset) > packet_end(skb))
			return DROP_PULL;
		refusal_addresses(p, data + ETH_HLEN);
		refusal_ip4(data + ETH_HLEN, sizeof(struct tcp_reset), IPPROTO_TCP);
		__builtin_memcpy(data + ETH_HLEN + sizeof(struct iphdr), &reset, sizeof(reset));
	} else {
		if (data + ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct tcp_reset) > packet_end(skb))
			return DROP_PULL;
		refusal_addresses(p, data + ETH_HLEN);
		refusal_ip6(data + ETH_HLEN, sizeof(struct tcp_reset), IPPROTO_TCP);
		__builtin_memcpy(data + ETH_HLEN + sizeof(struct ipv6hdr), &reset, sizeof(reset));
	}
	macs_swap(data);
	return 0;
}

/* The packet becomes what "port unreachable" quotes. Returns 0 or a drop reason. */
static __always_inline __u32 refuse_icmp(struct __sk_buff *skb, const struct packet *p)
{
	__u32 header = ip_header_length(p), room = header + sizeof(struct icmp_head);
	struct icmp_head *icmp;
	struct ethhdr *eth;
	__be32 macs[3];
	__u64 sum;
	void *data;

	if (bpf_skb_load_bytes(skb, 0, macs, sizeof(macs)))
		return DROP_PULL;
	if (bpf_skb_change_tail(skb, ETH_HLEN + header + REFUSAL_QUOTES, 0))
		return DROP_NO_MEMORY;
	if (bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0))
		return DROP_PUSH;
	packet_pull(skb, ETH_HLEN + room + header + REFUSAL_QUOTES);
	data = packet_data(skb);
	eth = data;
	if (p->family == AF_INET) {
		icmp = data + ETH_HLEN + sizeof(struct iphdr);
		if ((void *)(icmp + 1) + sizeof(struct iphdr) + REFUSAL_QUOTES > packet_end(skb))
			return DROP_PULL;
		refusal_addresses(p, eth + 1);
		refusal_ip4((void *)(eth + 1), sizeof(*icmp) + sizeof(struct iphdr) + REFUSAL_QUOTES, IPPROTO_ICMP);
		*icmp = (struct icmp_head){ .type = ICMP_DEST_UNREACH, .code = ICMP_PORT_UNREACHABLE };
		sum = (__u32)bpf_csum_diff(NULL, 0, (void *)icmp, sizeof(*icmp) + sizeof(struct iphdr) + REFUSAL_QUOTES, 0);
	} else {
		icmp = data + ETH_HLEN + sizeof(struct ipv6hdr);
		if ((void *)(icmp + 1) + sizeof(struct ipv6hdr) + REFUSAL_QUOTES > packet_end(skb))
			return DROP_PULL;
		refusal_addresses(p, eth + 1);
		refusal_ip6((void *)(eth + 1), sizeof(*icmp) + sizeof(struct ipv6hdr) + REFUSAL_QUOTES, IPPROTO_ICMPV6);
		*icmp = (struct icmp_head){ .type = ICMPV6_DEST_UNREACHABLE, .code = ICMPV6_PORT_UNREACHABLE };
		sum = (__u32)bpf_csum_diff(NULL, 0, (void *)icmp, sizeof(*icmp) + sizeof(struct ipv6hdr) + REFUSAL_QUOTES, 0);
		sum += refusal_pseudo(p, sizeof(*icmp) + sizeof(struct ipv6hdr) + REFUSAL_QUOTES, IPPROTO_ICMPV6);
	}
	icmp->checksum = ~refusal_fold(sum);
	eth->h_proto = p->ethertype;
	macs_write(eth, macs);
	macs_swap(eth);
	return 0;
}

/* Tells the sender that nobody is there. */
__noinline enum verdict refuse(struct __sk_buff *skb, const struct packet *p)
{
	const struct globals *g = node_globals();
	__u32 reason;
	long error;

	if (!p || !g)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	/* no answer to a reset, and none to what has options or extension headers, which nothing ordinary has */
	if (p->tcp_flags & TCPHDR_RST || p->l4_off != ETH_HLEN + ip_header_length(p) || p->l3_len < ip_header_length(p) + REFUSAL_QUOTES)
		return DROP(p, DROP_NOWHERE_TO_GO);
	if (!trap_token(p->vif, g, g->trap_burst / 2))
		return DROP(p, DROP_TRAP_LIMIT);
	reason = p->proto == IPPROTO_TCP && !(p->bits & PACKET_FRAGMENT) ? refuse_tcp(skb, p) : refuse_icmp(skb, p);
	if (reason)
		return DROP(p, reason);
	count_vif_tx(p->vif, skb->len);
	if (SERVES_OUTSIDE)
		error = bpf_redirect(skb->ifindex, 0);
	else
		error = p->bits & PACKET_FROM_HOST ? bpf_redirect(skb->ifindex, BPF_F_INGRESS) : bpf_redirect_peer(skb->ifindex, 0);
	return error == TC_ACT_REDIRECT ? VERDICT_REDIRECT : DROP(p, DROP_INTERFACE_TX_DISCARD);
}
