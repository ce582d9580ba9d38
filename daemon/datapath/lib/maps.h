/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The maps, shared by all programs of one vRouter. The loader sets max_entries from the configured limits, pins each map
 * under <pins>/maps/<name> and reuses the pinned one in every object. Sizes here are the defaults.
 */
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "types.h"

#define MAP(name_, type_, key_, value_, max_, flags_) \
	struct { \
		__uint(type, type_); \
		__uint(max_entries, max_); \
		__uint(map_flags, flags_); \
		__type(key, key_); \
		__type(value, value_); \
	} name_ SEC(".maps")

MAP(globals, BPF_MAP_TYPE_ARRAY, __u32, struct globals, 1, 0);
MAP(vifs, BPF_MAP_TYPE_HASH, __u32, struct vif, 1024, 0);
/* vif id -> ifindex of its device, 0 = none; written by the daemon. Finds the device of a vif id that the agent names. */
MAP(vif_devices, BPF_MAP_TYPE_ARRAY, __u32, __u32, 1024, 0);
MAP(vif_addresses, BPF_MAP_TYPE_HASH, struct vif_address_key, __u32, 16384, BPF_F_NO_PREALLOC);
MAP(vif_stats, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct vif_stats, 1024, 0);
MAP(vif_state, BPF_MAP_TYPE_ARRAY, __u32, struct vif_state, 1024, 0);
MAP(vif_drop_stats, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct drop_stats, 1024, 0);
MAP(drop_stats, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct drop_stats, 1, 0);
MAP(nexthops, BPF_MAP_TYPE_ARRAY, __u32, struct nexthop, 65536, 0);
MAP(composites, BPF_MAP_TYPE_HASH, __u32, struct composite, 1024, 0);
/* nexthop id -> when its neighbour was last looked up, in ticks (lib/neighbour.h) */
MAP(nexthop_checks, BPF_MAP_TYPE_ARRAY, __u32, __u32, 65536, 0);
MAP(path_mtus, BPF_MAP_TYPE_LRU_HASH, __be32, struct path_mtu, 4096, 0);
MAP(mpls, BPF_MAP_TYPE_ARRAY, __u32, __u32, 5120, 0);
MAP(vrfs, BPF_MAP_TYPE_ARRAY, __u32, struct vrf, 4096, 0);
MAP(vrf_stats, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct vrf_stats, 4097, 0);
MAP(peers4, BPF_MAP_TYPE_HASH, struct peer4_key, struct peer, 16384, BPF_F_NO_PREALLOC);
MAP(peers6, BPF_MAP_TYPE_HASH, struct peer6_key, struct peer, 16384, BPF_F_NO_PREALLOC);
/* ntohl(address) folded -> address << 32 | epoch: known as a node while the epoch lasts (lib/tunnel.h) */
MAP(peer_cache, BPF_MAP_TYPE_ARRAY, __u32, __u64, PEER_CACHE_SIZE, 0);
MAP(underlay_stats, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct underlay_stats, 1, 0);
MAP(route4_host, BPF_MAP_TYPE_HASH, struct route4_key, struct route, 131072, BPF_F_NO_PREALLOC);
MAP(route4_lpm, BPF_MAP_TYPE_LPM_TRIE, struct route4_lpm_key, struct route, 65536, BPF_F_NO_PREALLOC);
MAP(route6_host, BPF_MAP_TYPE_HASH, struct route6_key, struct route, 131072, BPF_F_NO_PREALLOC);
MAP(route6_lpm, BPF_MAP_TYPE_LPM_TRIE, struct route6_lpm_key, struct route, 65536, BPF_F_NO_PREALLOC);
MAP(bridge, BPF_MAP_TYPE_HASH, struct bridge_key, struct bridge_entry, 131072, BPF_F_NO_PREALLOC);
MAP(flow4, BPF_MAP_TYPE_HASH, struct flow4_key, struct flow, 131072, 0);
MAP(flow6, BPF_MAP_TYPE_HASH, struct flow6_key, struct flow, 65536, 0);
MAP(flow_slots, BPF_MAP_TYPE_ARRAY, __u32, struct flow_slot, 196608, 0);
MAP(flow_alloc, BPF_MAP_TYPE_ARRAY, __u32, struct flow_alloc, 1, 0);
MAP(vrf_flows, BPF_MAP_TYPE_ARRAY, __u32, struct flow_count, 4096, 0);
MAP(flow_sources, BPF_MAP_TYPE_ARRAY, __u32, struct flow_count, FLOW_SOURCES, 0);
MAP(exits, BPF_MAP_TYPE_HASH, __u32, struct exit, 256, 0);
MAP(announced, BPF_MAP_TYPE_HASH, struct announced_key, struct announced, 16384, BPF_F_NO_PREALLOC);
MAP(snat_shares, BPF_MAP_TYPE_ARRAY, __u32, __u32, SNAT_SHARES, 0);
MAP(fragments, BPF_MAP_TYPE_LRU_HASH, struct frag_place, struct frag_entry, 32768, 0);
MAP(held_fragments, BPF_MAP_TYPE_ARRAY, __u32, struct held_fragment, FRAGMENT_SETS *FRAGMENT_WAYS, 0);
MAP(service_fronts, BPF_MAP_TYPE_HASH, struct front_key, struct front, 65536, BPF_F_NO_PREALLOC);
MAP(service_backs, BPF_MAP_TYPE_ARRAY, __u32, struct back, 262144, 0);
MAP(node_ports, BPF_MAP_TYPE_ARRAY, __u32, struct node_ports, 1, 0);
MAP(service_affinity, BPF_MAP_TYPE_LRU_HASH, struct affinity_key, struct affinity, 65536, 0);
MAP(service_ranges, BPF_MAP_TYPE_LPM_TRIE, struct range_key, __u32, 16384, BPF_F_NO_PREALLOC);
MAP(service_stats, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct service_stats, 32768, 0);
MAP(held_counts, BPF_MAP_TYPE_ARRAY, __u32, __u32, FRAGMENT_SETS, 0);

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 196608);
	__uint(key_size, 0);
	__uint(value_size, sizeof(__u32));
} flow_free SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 98304);
	__uint(key_size, 0);
	__uint(value_size, sizeof(__u32));
} flow_closed SEC(".maps");
