/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a packet is becomes what its flow says (p->to): addresses and ports, in the packet and in what an ICMP error quotes, with all
 * checksums (vRouter reference 1.5, NAT; RFC 3022, RFC 5508). The one step between a decided flow and its nexthop that does so, for
 * every kind of translation: who made the flow has chosen the key of its way back, and that key says it all.
 *
 * Checksums are updated, never computed: a wrong one stays wrong, UDP's 0 stays 0. Sums over the transport header go through
 * bpf_l4_csum_replace, which knows the packets whose sum the NIC or the receiver completes. ICMP is never such a packet, so its sums, and
 * the quoted ones, are plain words.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "encapsulation.h"
#include "ends.h"
#include "exit.h"
#include "flow_entry.h"
#include "flow_index.h"
#include "icmp.h"
#include "mtu.h"
#include "path_mtu.h"
#include "stats.h"
#include "ttl.h"
#include "vif.h"

#define UDP_CHECKSUM 6
#define TCP_CHECKSUM 16
#define ICMP_CHECKSUM 2
#define ICMP_ID 4

/* One end of the packet, before and after. */
struct end {
	__u32 from[4]; /* the address, network order; IPv4 in the first word */
	__u32 to[4];
	__be16 port_from; /* or the id of an ICMP echo */
	__be16 port_to;
	__u32 is_destination;
};

static __always_inline int source_changes(const struct packet *p)
{
	if (p->family == AF_INET)
		return p->key.k4.sip != p->to.sip[0] || p->key.k4.sport != p->to.sport;
	return !ip6_equal(p->key.k6.sip, p->to.sip) || p->key.k6.sport != p->to.sport;
}

static __always_inline int destination_changes(const struct packet *p)
{
	if (p->family == AF_INET)
		return p->key.k4.dip != p->to.dip[0] || p->key.k4.dport != p->to.dport;
	return !ip6_equal(p->key.k6.dip, p->to.dip) || p->key.k6.dport != p->to.dport;
}

static __always_inline void end_of_source(const struct packet *p, struct end *end)
{
	end->is_destination = 0;
	end->port_to = p->to.sport;
	if (p->family == AF_INET) {
		end->from[0] = p->key.k4.sip;
		end->to[0] = p->to.sip[0];
		end->port_from = p->key.k4.sport;
	} else {
		ip6_copy(end->from, p->key.k6.sip);
		ip6_copy(end->to, p->to.sip);
		end->port_from = p->key.k6.sport;
	}
}

static __always_inline void end_of_destination(const struct packet *p, struct end *end)
{
	end->is_destination = 1;
	end->port_to = p->to.dport;
	if (p->family == AF_INET) {
		end->from[0] = p->key.k4.dip;
		end->to[0] = p->to.dip[0];
		end->port_from = p->key.k4.dport;
	} else {
		ip6_copy(end->from, p->key.k6.dip);
		ip6_copy(end->to, p->to.dip);
		end->port_from = p->key.k6.dport;
	}
}

/* Difference that the new address makes to a checksum, for the helpers. */
static __always_inline __u32 address_difference(const __u32 *from, const __u32 *to)
{
	return bpf_csum_diff((void *)from, 16, (void *)to, 16, 0);
}

/* The header of TCP or UDP at p->l4_off. Returns 0 or a drop reason. */
__noinline __u32 translate_ports(struct __sk_buff *skb, const struct packet *p, const struct end *end)
{
	__u32 checksum, port;
	__u64 zero_kept;
	long error;

	if (!p || !end)
		return DROP_MISC;
	checksum = p->l4_off + (p->proto == IPPROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
	port = p->l4_off + (end->is_destination ? 2 : 0);
	zero_kept = p->proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	if (p->family == AF_INET) {
		error = bpf_l4_csum_replace(skb, checksum, end->from[0], end->to[0], zero_kept | BPF_F_PSEUDO_HDR | 4);
	} else {
		__u32 difference = address_difference(end->from, end->to);

		error = bpf_l4_csum_replace(skb, checksum, 0, difference, zero_kept | BPF_F_PSEUDO_HDR);
		/* IPv6 has no header checksum that would make up for the address: the sum over the whole packet stays as it was */
		bpf_csum_update(skb, difference);
	}
	if (!error)
		error = bpf_l4_csum_replace(skb, checksum, end->port_from, end->port_to, zero_kept | 2);
	if (!error)
		error = bpf_skb_store_bytes(skb, port, &end->port_to, 2, 0);
	return error ? DROP_PULL : 0;
}

/* The id of an echo at p->l4_off, which flow keys have in the place of the source's port. Returns 0 or a drop reason. */
static __always_inline __u32 translate_echo(struct __sk_buff *skb, const struct packet *p, const struct end *end)
{
	__u32 checksum = p->l4_off + ICMP_CHECKSUM;
	long error = 0;

	if (p->family == AF_INET6)
		error = bpf_l3_csum_replace(skb, checksum, 0, address_difference(end->from, end->to), 0);
	if (error || end->is_destination || end->port_from == end->port_to)
		return error ? DROP_PULL : 0;
	error = bpf_l3_csum_replace(skb, checksum, end->port_from, end->port_to, 2);
	if (!error)
		error = bpf_skb_store_bytes(skb, p->l4_off + ICMP_ID, &end->port_to, 2, 0);
	return error ? DROP_PULL : 0;
}

/*
 * Whether sums can follow. SCTP's doesn't cover addresses, and can't be put right here for another port. What is translated of other
 * protocols has no port and no sum over addresses that could be.
 */
static __always_inline int can_translate(const struct packet *p)
{
	__u8 proto = flow_proto(p);

	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6 ||
	       (proto == IPPROTO_SCTP && !(p->flow_flags & (FLOW_SPAT | FLOW_DPAT)));
}

/*
 * The packet that the ICMP error at p->l4_off quotes: it went the other way, so its other end is replaced. `outer` is the
 * difference that the new address in the error's own header makes. Returns 0 or a drop reason.
 */
__noinline __u32 translate_quoted(struct __sk_buff *skb, const struct packet *p, const struct end *end, __u32 outer)
{
	__u32 ip, l4, checksum, port, limit, difference;
	__u8 byte, proto;
	__be16 sum;
	long error;

	if (!p || !end)
		return DROP_MISC;
	ip = p->l4_off + sizeof(struct icmp_head);
	limit = p->l3_off + p->l3_len;
	difference = address_difference(end->from, end->to);
	if (p->family == AF_INET) {
		if (bpf_skb_load_bytes(skb, ip, &byte, 1))
			return DROP_PULL;
		proto = p->key.k4.proto;
		l4 = ip + (byte & 15) * 4;
		error = bpf_l3_csum_replace(skb, ip + 10, end->from[0], end->to[0], 4);
		if (!error)
			error = bpf_skb_store_bytes(skb, ip + (end->is_destination ? 12 : 16), end->to, 4, 0);
	} else {
		if (bpf_skb_load_bytes(skb, ip + 6, &byte, 1))
			return DROP_PULL;
		proto = p->key.k6.proto;
		l4 = ip + sizeof(struct ipv6hdr) + (byte == IPPROTO_FRAGMENT ? 8 : 0);
		error = bpf_skb_store_bytes(skb, ip + (end->is_destination ? 8 : 24), end->to, 16, 0);
	}
	if (error)
		return DROP_PULL;

	switch (proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		checksum = l4 + (proto == IPPROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
		port = l4 + (end->is_destination ? 0 : 2);
		break;
	case IPPROTO_SCTP:
		checksum = limit; /* none that covers addresses, and ports stay */
		port = 0;
		break;
	default: /* an echo, or it had no flow */
		checksum = l4 + ICMP_CHECKSUM;
		port = end->is_destination ? 0 : l4 + ICMP_ID;
	}
	/* What the quoted sum makes up for doesn't show in the error's own: all of it, but for the quoted IPv4 header's sum. */
	if (checksum + 2 > limit || bpf_skb_load_bytes(skb, checksum, &sum, 2) || (proto == IPPROTO_UDP && !sum)) {
		error = bpf_l3_csum_replace(skb, p->l4_off + ICMP_CHECKSUM, end->port_from, end->port_to, 2);
		if (!error && p->family == AF_INET6)
			error = bpf_l3_csum_replace(skb, p->l4_off + ICMP_CHECKSUM, 0, difference, 0);
	} else {
		error = bpf_l3_csum_replace(skb, checksum, end->port_from, end->port_to, 2);
		if (!error && (p->family == AF_INET6 || proto != IPPROTO_ICMP))
			error = bpf_l3_csum_replace(skb, checksum, 0, difference, 0);
		if (!error && p->family == AF_INET && proto != IPPROTO_ICMP)
			error = bpf_l3_csum_replace(skb, p->l4_off + ICMP_CHECKSUM, end->to[0], end->from[0], 4);
	}
	if (!error && p->family == AF_INET6)
		error = bpf_l3_csum_replace(skb, p->l4_off + ICMP_CHECKSUM, 0, outer, 0);
	if (!error && port)
		error = bpf_skb_store_bytes(skb, port, &end->port_to, 2, 0);
	return error ? DROP_PULL : 0;
}

/* Replaces the address in the IP header itself, which the frame starts with behind Ethernet. Returns 0 or a drop reason. */
static __always_inline __u32 translate_address(struct __sk_buff *skb, const struct packet *p, const struct end *end)
{
	void *data = packet_data(skb) + ETH_HLEN;
	struct ipv6hdr *ip6 = data;
	struct iphdr *ip = data;
	__u32 sum, old;
	__be32 *address;

	if (p->family == AF_INET) {
		if ((void *)(ip + 1) > packet_end(skb))
			return DROP_PULL;
		address = end->is_destination ? &ip->daddr : &ip->saddr;
		old = ~*address;
		/* RFC 1624: the sum less the old address, plus the new one */
		sum = (__u16)~ip->check + (old & 0xffff) + (old >> 16) + (end->to[0] & 0xffff) + (end->to[0] >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		ip->check = ~sum;
		*address = end->to[0];
		return 0;
	}
	if ((void *)(ip6 + 1) > packet_end(skb))
		return DROP_PULL;
	ip6_copy(end->is_destination ? &ip6->daddr : &ip6->saddr, end->to);
	return 0;
}

/* The difference that the new address makes in the packet's own header: whoever sends an ICMP error has an address of his own. */
static __always_inline __u32 outer_difference(struct __sk_buff *skb, const struct packet *p, const struct end *end)
{
	__u32 old[4] = {};

	if (p->family == AF_INET || ip6_equal(end->from, end->to) || bpf_skb_load_bytes(skb, ETH_HLEN + (end->is_destination ? 24 : 8), old, sizeof(old)))
		return 0; /* ICMP's sum doesn't cover the addresses of IPv4 */
	return address_difference(old, end->to);
}

/* Replaces one end, or what an error quotes of it. The frame starts with Ethernet and IP. Returns 0 or a drop reason. */
static __always_inline __u32 translate_end(struct __sk_buff *skb, const struct packet *p, const struct end *end)
{
	__u32 reason = 0;

	if (unlikely(p->bits & PACKET_ICMP_ERROR))
		reason = translate_quoted(skb, p, end, outer_difference(skb, p, end));
	else if (unlikely(p->bits & PACKET_LATER_FRAGMENT))
		reason = 0; /* the first one has the header, and its sum covers the addresses of all */
	else if (likely(p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP))
		reason = translate_ports(skb, p, end);
	else if (p->proto != IPPROTO_SCTP)
		reason = translate_echo(skb, p, end);
	if (reason || ip6_equal(end->from, end->to)) /* of an error: it may be somebody's on the way */
		return reason;
	return translate_address(skb, p, end);
}

/*
 * Whether the packet can become what p->to says. Another end than the flow's flags tell of isn't its own: another CPU has made another flow
 * of the entry while it was read. Returns 0 or a drop reason.
 */
__noinline __u32 translation_check(const struct packet *p)
{
	if (!p)
		return DROP_MISC;
	if (!can_translate(p))
		return DROP_FLOW_INVALID_PROTOCOL;
	if (!proto_has_ports(flow_proto(p))) /* an echo's id is the source's in both directions */
		return 0;
	if (!(p->flow_flags & (FLOW_SNAT | FLOW_SPAT)) && source_changes(p))
		return DROP_FLOW_EVICT;
	return !(p->flow_flags & (FLOW_DNAT | FLOW_DPAT)) && destination_changes(p) ? DROP_FLOW_EVICT : 0;
}

/* Makes of the packet what p->to says. Returns 0 or a drop reason. */
static __always_inline __u32 translate_ends(struct __sk_buff *skb, const struct packet *p)
{
	__u32 reason = translation_check(p);
	struct end end = {};

	if (!p)
		return DROP_MISC;
	if (reason)
		return reason;
	if (source_changes(p)) {
		end_of_source(p, &end);
		reason = translate_end(skb, p, &end);
		if (reason)
			return reason;
	}
	if (!destination_changes(p))
		return 0;
	end_of_destination(p, &end);
	return translate_end(skb, p, &end);
}

/*
 * Fills in what the packets of a translated flow become, from the key of its other direction: `rindex` and `rgen` are the entry's. Returns 0
 * or a drop reason: that direction is gone, or going.
 */
static __always_inline __u32 translation_load(struct packet *p, __u32 rindex, __u32 rgen)
{
	const struct flow_slot *slot = bpf_map_lookup_elem(&flow_slots, &rindex);
	union flow_slot_word seen, then;

	if (!p || !slot)
		return DROP_FLOW_NAT_NO_RFLOW;
	seen.word = *(volatile const __u32 *)slot;
	if (flow_slot_family(seen.family) != p->family || seen.gen != (__u8)rgen)
		return DROP_FLOW_NAT_NO_RFLOW;
	ends_from_reverse(p, slot);
	then.word = *(volatile const __u32 *)slot; /* used again while it was read? */
	return flow_slot_family(then.family) == p->family && then.gen == seen.gen ? 0 : DROP_FLOW_NAT_NO_RFLOW;
}

/*
 * Whether the packet arrives at all. What ends here for its TTL or its length isn't translated: the agent answers for it, to who sent it,
 * about the packet as that one knows it. VERDICT_NEXT: it goes on.
 */
static __always_inline enum verdict translation_fits(struct __sk_buff *skb, struct packet *p)
{
	const struct globals *g = node_globals();
	const struct nexthop *nh;
	__u32 mtu;

	if (!p || !g)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!nh)
		return DROP(p, DROP_INVALID_NH);
	if (p->out && !exit_source(p->out, p->family, g)) /* the device is none any more by which the node is heard */
		return DROP(p, DROP_OTHER_NIC);
	mtu = nh->mtu;
	if (p->out && (!mtu || exit_mtu(p->out, g) < mtu))
		mtu = exit_mtu(p->out, g);
	if (nh->type == NH_TUNNEL)
		mtu = path_mtu_inner(nh->dip, mtu, encapsulation_overhead(encapsulation_of(nh)));
	if ((p->ttl > 1 || ttl_is_kept(p)) && mtu_fits(skb, p, mtu)) {
		if (p->out)
			COUNT_VRF(p->dvrf, vrf_translates);
		return VERDICT_NEXT;
	}
	if (p->out) /* as the router of the workload's network */
		p->dvrf = p->vrf;
	return p->ttl <= 1 && !ttl_is_kept(p) ? ttl_expired(skb, p) : mtu_exceeded(skb, p, mtu);
}

/* The same for packets of which it is known already that they arrive. */
__noinline __u32 translate_packet(struct __sk_buff *skb, const struct packet *p)
{
	return translate_ends(skb, p);
}

/* Of a flow that is translated: VERDICT_NEXT: the packet is what it becomes. */
__noinline enum verdict translate_flow(struct __sk_buff *skb, struct packet *p)
{
	enum verdict verdict = translation_fits(skb, p);
	__u32 reason;

	if (!p || verdict != VERDICT_NEXT)
		return verdict;
	reason = translate_ends(skb, p);
	return reason ? DROP(p, reason) : VERDICT_NEXT;
}

/* The step between a decided flow and its nexthop. VERDICT_NEXT: it goes on. */
static __always_inline enum verdict translate_stage(struct __sk_buff *skb, struct packet *p)
{
	return likely(!(p->flow_flags & FLOW_TRANSLATED)) ? VERDICT_NEXT : translate_flow(skb, p);
}
