/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A packet on its way through the vRouter: what was read from it, and what was decided about it.
 *
 * It holds numbers only, never pointers: so it can be handed to subprograms that the verifier checks on their own (the
 * non-static functions of these headers), which keeps the verified instruction counts small. Those functions return either
 * an enum verdict or 0 / a drop reason; each says which.
 */
#pragma once
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"
#include "role.h"

/* Flags that Debian 12's linux/bpf.h doesn't have yet. */
#define ADJ_ROOM_DECAP_L3_IPV4 (1ULL << 7)
#define ADJ_ROOM_DECAP_L3_IPV6 (1ULL << 8)

#define AF_INET 2
#define AF_INET6 10

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* What a step says about the packet. */
enum verdict {
	VERDICT_DROP = 0,     /* dropped and counted */
	VERDICT_REDIRECT = 1, /* a redirect helper was told where it goes (or it went to the agent) */
	VERDICT_PASS = 2,     /* the kernel's own stack goes on with it */
	VERDICT_NEXT = 3,     /* not decided here: the next step does */
	VERDICT_FLOOD = 4,    /* for a group or for all of the network (flood.h): the program's own frame sees to that */
};

#define TC_ACT_OK 0
#define TC_ACT_SHOT 2
#define TC_ACT_REDIRECT 7

static __always_inline int verdict_to_tc(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_REDIRECT:
		return TC_ACT_REDIRECT;
	case VERDICT_PASS:
		return TC_ACT_OK;
	default:
		return TC_ACT_SHOT;
	}
}

/* Bits of packet.bits. */
#define PACKET_ICMP_ERROR 0x01    /* keyed with the packet that it carries */
#define PACKET_LATER_FRAGMENT 0x02 /* has no L4 header of its own */
#define PACKET_FROM_TUNNEL 0x04
#define PACKET_FROM_HOST 0x08
#define PACKET_ND 0x10 /* neighbour or router discovery: never a flow */
#define PACKET_FRAGMENT 0x20
#define PACKET_NEW_TICK 0x80 /* its flow's first, or the first since the coarse clock went on: what is looked at now and then is looked at now */
#define PACKET_TO_ROUTER 0x40 /* its destination MAC is the router's: it is routed, not bridged */

/* Both ends of a packet; IPv4 addresses in the first word. */
struct ends {
	__u32 sip[4];
	__u32 dip[4];
	__be16 sport; /* or the id of an ICMP echo, as in flow keys */
	__be16 dport;
};

struct packet {
	__u32 nh;      /* nexthop that was found */
	__u32 label;   /* label for a TUNNEL nexthop */
	__u32 flow_index;
	union {
		__u32 tcp_ack;       /* host order, until its flow's first packet is decided */
		__u32 reverse_index; /* handle for the way back, while a flow is made; before that the back that a service chose */
	};
	union {
		__u32 back_nh;     /* nexthop and label of the way back, where the route to the source says so */
		__u32 fragment_id; /* of a fragment, until it is known whose flow it belongs to */
	};
	union {
		__u32 back_label;
		__u32 epoch; /* of what no tunnel brings, while its flow is made: before routes were looked up */
	};
	__u32 flow_flags;  /* FLOW_L2, FLOW_TTL_KEEP, FLOW_VRFT: how it is forwarded */
	__u32 l3_len;      /* IP header to end, bytes */
	__u32 out;         /* of a flow that leaves the overlay: the device */
	__be32 outer_sip;  /* tunnel it came from, 0 = none */
	__u16 vif;         /* vif it came in by; drops are counted there */
	__u16 vrf;         /* VRF it came in */
	__u16 dvrf;        /* VRF in which it is forwarded */
	__u16 l3_off;      /* offset of the (inner) IP header */
	__u16 l4_off;
	__u16 entropy;     /* source port of a tunnel, host order, 0 = not computed */
	__be16 ethertype;
	__u8 family;       /* AF_INET, AF_INET6 */
	__u8 proto;        /* L4 protocol of the packet itself (for ICMP errors the key holds that of the packet inside) */
	__u8 ttl;          /* TTL or hop limit; 0xff for frames that are not IP */
	__u8 tcp_flags;    /* byte 13 of the TCP header, 0 if it isn't TCP */
	__u8 ecmp;         /* composite member, ECMP_NONE = none */
	__u8 icmp_type;
	__u8 bits;
	__u8 vif_type;     /* enum vif_type of the ingress vif */
	__u8 reverse_gen;  /* generation of reverse_index: tells whether that slot still is the one of this flow's way back */
	__u8 handed;       /* ENCAPSULATION_STACKED: another node hands it over (handover.h), and back_label is the label of its way back; else 0 */
	union {
		struct flow4_key k4;
		struct flow6_key k6;
	} key;          /* what the packet's flow is entered and found under: what it is when it comes */
	struct ends to; /* what it becomes. Known while a flow is decided, and of translated flows (translate.h) */
};

static __always_inline void packet_init(struct packet *p)
{
	__builtin_memset(p, 0, sizeof(*p));
	p->label = LABEL_NONE;
	p->flow_index = FLOW_NONE;
	p->back_label = LABEL_NONE;
	p->ecmp = ECMP_NONE;
	p->ttl = 0xff;
	p->l3_off = ETH_HLEN;
}

static __always_inline void *packet_data(struct __sk_buff *skb)
{
	return (void *)(long)skb->data;
}

static __always_inline void *packet_end(struct __sk_buff *skb)
{
	return (void *)(long)skb->data_end;
}

/* Makes the first `bytes` bytes (or the whole packet, if it is shorter) readable directly. Copies when they aren't. */
static __always_inline void packet_pull(struct __sk_buff *skb, __u32 bytes)
{
	__u32 linear = (long)skb->data_end - (long)skb->data;

	if (unlikely(linear < bytes && linear < skb->len))
		bpf_skb_pull_data(skb, bytes < skb->len ? bytes : skb->len);
}

/* Whether there is more of the packet than what can be read directly. */
static __always_inline int packet_has_more(struct __sk_buff *skb)
{
	return (__u32)((long)skb->data_end - (long)skb->data) < skb->len;
}

/* Copies 12 bytes of MAC addresses in words; both sides are laid out so that words may be used. */
static __always_inline void macs_write(void *eth, const void *macs)
{
	__u32 *to = eth;
	const __u32 *from = macs;

	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
}

static __always_inline int mac_equal(const __u8 *a, const __u8 *b)
{
	const __u16 *x = (const __u16 *)a, *y = (const __u16 *)b;

	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2])) == 0;
}

static __always_inline void mac_copy(__u8 *to, const __u8 *from)
{
	__u16 *x = (__u16 *)to;
	const __u16 *y = (const __u16 *)from;

	x[0] = y[0];
	x[1] = y[1];
	x[2] = y[2];
}

static __always_inline int mac_is_multicast(const __u8 *mac)
{
	return mac[0] & 1;
}

static __always_inline int ip6_equal(const void *a, const void *b)
{
	const __u32 *x = a, *y = b;

	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3])) == 0;
}

static __always_inline void ip6_copy(void *to, const void *from)
{
	__u32 *x = to;
	const __u32 *y = from;

	x[0] = y[0];
	x[1] = y[1];
	x[2] = y[2];
	x[3] = y[3];
}

static __always_inline int ip6_is_zero(const void *a)
{
	const __u32 *x = a;

	return (x[0] | x[1] | x[2] | x[3]) == 0;
}

static __always_inline int proto_has_ports(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}
