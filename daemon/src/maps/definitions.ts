// Generated from daemon/datapath/lib by `npm run generate`. Do not edit: change the C, and generate again.

/** The maps as the datapath defines them; the loader replaces max_entries by the configured limits. */

export interface MapDefinition {
  /** enum bpf_map_type. */
  readonly type: number
  /** Bytes. */
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  /** BPF_F_… */
  readonly flags: number
}

export const mapDefinitions = {
  bridge: { type: 1, keySize: 8, valueSize: 24, maxEntries: 131072, flags: 1 },
  composites: { type: 1, keySize: 4, valueSize: 520, maxEntries: 1024, flags: 0 },
  drop_stats: { type: 6, keySize: 4, valueSize: 512, maxEntries: 1, flags: 0 },
  exits: { type: 1, keySize: 4, valueSize: 24, maxEntries: 256, flags: 0 },
  flow4: { type: 1, keySize: 20, valueSize: 88, maxEntries: 131072, flags: 0 },
  flow6: { type: 1, keySize: 44, valueSize: 88, maxEntries: 65536, flags: 0 },
  flow_alloc: { type: 2, keySize: 4, valueSize: 96, maxEntries: 1, flags: 0 },
  flow_closed: { type: 22, keySize: 0, valueSize: 4, maxEntries: 98304, flags: 0 },
  flow_free: { type: 22, keySize: 0, valueSize: 4, maxEntries: 196608, flags: 0 },
  flow_slots: { type: 2, keySize: 4, valueSize: 52, maxEntries: 196608, flags: 0 },
  flow_sources: { type: 2, keySize: 4, valueSize: 8, maxEntries: 4096, flags: 0 },
  fragments: { type: 9, keySize: 44, valueSize: 16, maxEntries: 8192, flags: 0 },
  globals: { type: 2, keySize: 4, valueSize: 128, maxEntries: 1, flags: 0 },
  held_counts: { type: 2, keySize: 4, valueSize: 4, maxEntries: 64, flags: 0 },
  held_fragments: { type: 2, keySize: 4, valueSize: 2048, maxEntries: 2048, flags: 0 },
  mpls: { type: 2, keySize: 4, valueSize: 4, maxEntries: 5120, flags: 0 },
  nexthop_checks: { type: 2, keySize: 4, valueSize: 4, maxEntries: 65536, flags: 0 },
  nexthops: { type: 2, keySize: 4, valueSize: 52, maxEntries: 65536, flags: 0 },
  path_mtus: { type: 9, keySize: 4, valueSize: 16, maxEntries: 4096, flags: 0 },
  peer_cache: { type: 2, keySize: 4, valueSize: 8, maxEntries: 1024, flags: 0 },
  peers4: { type: 1, keySize: 4, valueSize: 4, maxEntries: 16384, flags: 1 },
  peers6: { type: 1, keySize: 16, valueSize: 4, maxEntries: 16384, flags: 1 },
  route4_host: { type: 1, keySize: 8, valueSize: 20, maxEntries: 131072, flags: 1 },
  route4_lpm: { type: 11, keySize: 12, valueSize: 20, maxEntries: 65536, flags: 1 },
  route6_host: { type: 1, keySize: 20, valueSize: 20, maxEntries: 131072, flags: 1 },
  route6_lpm: { type: 11, keySize: 24, valueSize: 20, maxEntries: 65536, flags: 1 },
  snat_shares: { type: 2, keySize: 4, valueSize: 4, maxEntries: 65536, flags: 0 },
  underlay_stats: { type: 6, keySize: 4, valueSize: 8, maxEntries: 1, flags: 0 },
  vif_addresses: { type: 1, keySize: 24, valueSize: 4, maxEntries: 16384, flags: 1 },
  vif_devices: { type: 2, keySize: 4, valueSize: 4, maxEntries: 1024, flags: 0 },
  vif_drop_stats: { type: 6, keySize: 4, valueSize: 512, maxEntries: 1024, flags: 0 },
  vif_state: { type: 2, keySize: 4, valueSize: 24, maxEntries: 1024, flags: 0 },
  vif_stats: { type: 6, keySize: 4, valueSize: 48, maxEntries: 1024, flags: 0 },
  vifs: { type: 1, keySize: 4, valueSize: 84, maxEntries: 1024, flags: 0 },
  vrf_flows: { type: 2, keySize: 4, valueSize: 8, maxEntries: 4096, flags: 0 },
  vrf_stats: { type: 6, keySize: 4, valueSize: 216, maxEntries: 4097, flags: 0 },
  vrfs: { type: 2, keySize: 4, valueSize: 16, maxEntries: 4096, flags: 0 },
} as const satisfies Record<string, MapDefinition>

export type MapName = keyof typeof mapDefinitions
