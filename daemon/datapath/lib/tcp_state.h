/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * TCP state of a flow pair (vRouter reference 1.5.7), kept so that ageing knows which connections live. It never drops a packet.
 * Runs for SYN, FIN and RST, and for packets of connections that aren't plainly established.
 */
#pragma once
#include "packet.h"
#include "flow_remove.h"

/* Bits of byte 13 of the TCP header. */
#define TCPHDR_FIN 0x01
#define TCPHDR_SYN 0x02
#define TCPHDR_RST 0x04
#define TCPHDR_ACK 0x10

/* What a connection has shown so far: taken from it, it is as if picked up on its way. */
#define TCP_PROVED (TCP_SYN | TCP_SYN_R | TCP_ESTABLISHED | TCP_ESTABLISHED_R)

static __always_inline int tcp_needs_tracking(const struct packet *p, const struct flow *flow)
{
	const __u16 plain = TCP_ESTABLISHED | TCP_ESTABLISHED_R;

	if (p->proto != IPPROTO_TCP || (p->bits & PACKET_LATER_FRAGMENT))
		return 0;
	return (p->tcp_flags & (TCPHDR_FIN | TCPHDR_SYN | TCPHDR_RST)) ||
	       (flow->tcp_flags & (plain | TCP_FIN | TCP_FIN_R | TCP_RST | TCP_DEAD)) != plain;
}

struct tcp_head {
	__be16 source, dest;
	__be32 seq, ack;
	__u8 offset, flags;
	__be16 window;
};

/* Whether a RST is believed: a reset with a guessed sequence number must not end a connection here (RFC 5961 3.2). */
static __always_inline int tcp_reset_is_valid(const struct tcp_head *tcp, const struct flow *reverse)
{
	if (!reverse || !reverse->packets) /* nobody has said yet what is due */
		return 1;
	if ((tcp->flags & TCPHDR_ACK) && (reverse->tcp_flags & TCP_SYN) && !(reverse->tcp_flags & TCP_ESTABLISHED))
		return bpf_ntohl(tcp->ack) == reverse->tcp_seq + 1;
	return bpf_ntohl(tcp->seq) == reverse->tcp_ack;
}

/* Whether the packet ends here for want of TTL: whoever it is meant for doesn't see it, so nothing follows from it. */
static __always_inline int tcp_will_not_arrive(const struct packet *p, const struct flow *flow)
{
	return p->ttl <= 1 && !(p->bits & PACKET_FROM_TUNNEL) && !(flow->flags & (FLOW_L2 | FLOW_TTL_KEEP));
}

/*
 * What an ACK says of the other direction: it is established once its SYN is acknowledged, or, of a connection that was picked up on
 * its way, once that side was heard, too.
 */
static __always_inline int tcp_establishes(__u32 ack, const struct flow *reverse)
{
	if (reverse->tcp_flags & TCP_ESTABLISHED)
		return 0;
	return reverse->tcp_flags & TCP_SYN ? ack == reverse->tcp_seq + 1 : reverse->packets != 0;
}

/* Moves the state of the packet's flow and of its reverse. Returns 0. */
__noinline int tcp_track(struct __sk_buff *skb, const struct packet *p)
{
	struct flow *flow, *reverse;
	struct tcp_head tcp;
	__u32 header, payload;

	if (!p || (p->bits & (PACKET_ICMP_ERROR | PACKET_LATER_FRAGMENT)))
		return 0;
	flow = flow_find(p);
	if (!flow || bpf_skb_load_bytes(skb, p->l4_off, &tcp, sizeof(tcp)))
		return 0;
	if (tcp_will_not_arrive(p, flow))
		return 0;
	reverse = flow_reverse(flow);

	if (tcp.flags & TCPHDR_RST) {
		if (tcp_reset_is_valid(&tcp, reverse)) {
			flow->tcp_flags |= TCP_RST | TCP_DEAD;
			if (reverse)
				reverse->tcp_flags |= TCP_RST | TCP_DEAD;
			flow_close_pair(flow->index, reverse ? reverse->index : FLOW_NONE);
		}
		return 0;
	}
	if (tcp.flags & TCPHDR_SYN) {
		if (!(tcp.flags & TCPHDR_ACK) && (flow->tcp_flags & TCP_DEAD)) { /* the ports are used again */
			flow->tcp_flags = 0;
			if (reverse)
				reverse->tcp_flags = 0;
			flow_reopen_pair(flow->index, reverse ? reverse->index : FLOW_NONE);
		}
		flow->tcp_seq = bpf_ntohl(tcp.seq);
		flow->tcp_flags |= TCP_SYN;
		if (reverse)
			reverse->tcp_flags |= TCP_SYN_R;
	}
	if (tcp.flags & TCPHDR_ACK) {
		flow->tcp_ack = bpf_ntohl(tcp.ack);
		if (reverse && tcp_establishes(flow->tcp_ack, reverse)) {
			reverse->tcp_flags |= TCP_ESTABLISHED;
			flow->tcp_flags |= TCP_ESTABLISHED_R;
		}
		if (reverse && (reverse->tcp_flags & TCP_FIN) && flow->tcp_ack == reverse->tcp_seq + 1) {
			reverse->tcp_flags |= TCP_HALF_CLOSE;
			if (flow->tcp_flags & TCP_HALF_CLOSE) {
				flow->tcp_flags |= TCP_DEAD;
				reverse->tcp_flags |= TCP_DEAD;
				flow_close_pair(flow->index, reverse ? reverse->index : FLOW_NONE);
			}
		}
	}
	if (tcp.flags & TCPHDR_FIN) {
		header = (tcp.offset >> 4) * 4;
		payload = p->l3_len - (p->l4_off - p->l3_off);
		payload = payload > header ? payload - header : 0;
		flow->tcp_seq = bpf_ntohl(tcp.seq) + payload;
		flow->tcp_flags |= TCP_FIN;
		if (reverse)
			reverse->tcp_flags |= TCP_FIN_R;
	}
	return 0;
}
