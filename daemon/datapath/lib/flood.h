/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Frames of workloads for a group, or for all of their network: by the bridge table, to a fan-out composite (vRouter reference 2.2, 2.8).
 * A network without an entry for the group or for all has no route for them. No flow guards these frames, so their source is checked here.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "fan_out.h"
#include "flow.h"
#include "nd.h"
#include "vif.h"

/* The entry of the frame's group, else of all. */
static __always_inline struct bridge_entry *flood_entry(struct __sk_buff *skb, const struct packet *p)
{
	struct bridge_key key = { .vrf = p->vrf };
	struct bridge_entry *entry;

	if (bpf_skb_load_bytes(skb, 0, key.mac, MAC_LEN) || !mac_is_multicast(key.mac))
		return NULL;
	entry = bpf_map_lookup_elem(&bridge, &key);
	if (entry && entry->flags & BRIDGE_VALID)
		return entry;
	__builtin_memset(key.mac, 0xff, MAC_LEN);
	entry = bpf_map_lookup_elem(&bridge, &key);
	return entry && entry->flags & BRIDGE_VALID ? entry : NULL;
}

/* Who asks for an address has none yet. ARP and neighbour discovery have checks of their own. */
static __always_inline int flood_source_is_own(const struct packet *p, const struct vif *vif)
{
	if (!p->family || p->bits & PACKET_ND)
		return 1;
	if (p->bits & PACKET_ICMP_ERROR) /* never sent to a group (RFC 1122 3.2.2), and its key isn't of its own source */
		return !!(vif->flags & VIF_NO_SPOOF_CHECK);
	if (p->family == AF_INET ? !p->key.k4.sip : ip6_is_zero(p->key.k6.sip) || ip6_is_link_local(p->key.k6.sip))
		return 1;
	return flow_source_is_own(p, vif);
}

__noinline enum verdict flood(struct __sk_buff *skb, struct packet *p)
{
	const struct vif *vif = vif_of(skb);
	struct bridge_entry *entry;
	const struct nexthop *nh;

	if (!p || !vif)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	entry = flood_entry(skb, p);
	if (!entry)
		return DROP(p, DROP_L2_NO_ROUTE);
	p->nh = entry->nh;
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!nh || nh->type != NH_COMPOSITE || !(nh->flags & NH_FLAG_VALID) || !(nh->flags & NH_FLAG_MCAST))
		return DROP(p, DROP_INVALID_NH);
	if (!flood_source_is_own(p, vif))
		return DROP(p, DROP_INVALID_SOURCE);
	__sync_fetch_and_add(&entry->packets, 1);
	return fan_out(skb, p);
}
