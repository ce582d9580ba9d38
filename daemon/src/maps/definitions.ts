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
  /** Digest of the fields of key and value (MapLayout.digest). */
  readonly layout: string
}

export const mapDefinitions = {
  announced: { type: 1, keySize: 20, valueSize: 8, maxEntries: 16384, flags: 1, layout: '1d29e8984c2b' },
  bridge: { type: 1, keySize: 8, valueSize: 24, maxEntries: 131072, flags: 1, layout: '19483d0cb3db' },
  composites: { type: 1, keySize: 4, valueSize: 520, maxEntries: 1024, flags: 0, layout: 'f06e5408a7fc' },
  drop_stats: { type: 6, keySize: 4, valueSize: 512, maxEntries: 1, flags: 0, layout: 'c2a389491ebe' },
  exits: { type: 1, keySize: 4, valueSize: 24, maxEntries: 256, flags: 0, layout: 'c44f10c4faeb' },
  flow4: { type: 1, keySize: 20, valueSize: 96, maxEntries: 131072, flags: 0, layout: '110c5a791950' },
  flow6: { type: 1, keySize: 44, valueSize: 96, maxEntries: 65536, flags: 0, layout: '062ea7886e65' },
  flow_alloc: { type: 2, keySize: 4, valueSize: 96, maxEntries: 1, flags: 0, layout: 'b59413d85234' },
  flow_closed: { type: 22, keySize: 0, valueSize: 4, maxEntries: 98304, flags: 0, layout: '41b805ea7ac0' },
  flow_free: { type: 22, keySize: 0, valueSize: 4, maxEntries: 196608, flags: 0, layout: '41b805ea7ac0' },
  flow_slots: { type: 2, keySize: 4, valueSize: 52, maxEntries: 196608, flags: 0, layout: '704474339fd1' },
  flow_sources: { type: 2, keySize: 4, valueSize: 8, maxEntries: 4096, flags: 0, layout: '66ef2530f2f9' },
  fragments: { type: 9, keySize: 8, valueSize: 16, maxEntries: 32768, flags: 0, layout: '4ed0c54448b9' },
  globals: { type: 2, keySize: 4, valueSize: 136, maxEntries: 1, flags: 0, layout: '73437a3ad871' },
  held_counts: { type: 2, keySize: 4, valueSize: 4, maxEntries: 64, flags: 0, layout: '39eb6522149a' },
  held_fragments: { type: 2, keySize: 4, valueSize: 2048, maxEntries: 2048, flags: 0, layout: '097555d63524' },
  mpls: { type: 2, keySize: 4, valueSize: 4, maxEntries: 5120, flags: 0, layout: '39eb6522149a' },
  nexthop_checks: { type: 2, keySize: 4, valueSize: 4, maxEntries: 65536, flags: 0, layout: '39eb6522149a' },
  nexthops: { type: 2, keySize: 4, valueSize: 52, maxEntries: 65536, flags: 0, layout: '823c1dd86df5' },
  node_ports: { type: 2, keySize: 4, valueSize: 8192, maxEntries: 1, flags: 0, layout: 'e057f372d6d3' },
  path_mtus: { type: 9, keySize: 4, valueSize: 16, maxEntries: 4096, flags: 0, layout: '5a8e01c25e29' },
  peer_cache: { type: 2, keySize: 4, valueSize: 8, maxEntries: 1024, flags: 0, layout: '21951f258560' },
  peers4: { type: 1, keySize: 4, valueSize: 8, maxEntries: 16384, flags: 1, layout: '6112ecaecfaa' },
  peers6: { type: 1, keySize: 16, valueSize: 8, maxEntries: 16384, flags: 1, layout: 'f0b647d1b76e' },
  route4_host: { type: 1, keySize: 8, valueSize: 20, maxEntries: 131072, flags: 1, layout: '7809f231da88' },
  route4_lpm: { type: 11, keySize: 12, valueSize: 20, maxEntries: 65536, flags: 1, layout: '3394624dcb11' },
  route6_host: { type: 1, keySize: 20, valueSize: 20, maxEntries: 131072, flags: 1, layout: 'bf4221d877ec' },
  route6_lpm: { type: 11, keySize: 24, valueSize: 20, maxEntries: 65536, flags: 1, layout: 'b57cbde1073c' },
  service_affinity: { type: 9, keySize: 24, valueSize: 32, maxEntries: 65536, flags: 0, layout: 'dc790920dd6f' },
  service_backs: { type: 2, keySize: 4, valueSize: 32, maxEntries: 262144, flags: 0, layout: 'a038a56bdf8a' },
  service_fronts: { type: 1, keySize: 24, valueSize: 40, maxEntries: 65536, flags: 1, layout: 'c0ed0524c093' },
  service_ranges: { type: 11, keySize: 28, valueSize: 4, maxEntries: 16384, flags: 1, layout: 'd5937707064d' },
  service_stats: { type: 6, keySize: 4, valueSize: 24, maxEntries: 32768, flags: 0, layout: '1c1ef9b93c5e' },
  snat_shares: { type: 2, keySize: 4, valueSize: 4, maxEntries: 65536, flags: 0, layout: '39eb6522149a' },
  underlay_stats: { type: 6, keySize: 4, valueSize: 8, maxEntries: 1, flags: 0, layout: 'c1f9eea8d871' },
  vif_addresses: { type: 1, keySize: 24, valueSize: 4, maxEntries: 16384, flags: 1, layout: '42f1665b9d0e' },
  vif_devices: { type: 2, keySize: 4, valueSize: 4, maxEntries: 1024, flags: 0, layout: '39eb6522149a' },
  vif_drop_stats: { type: 6, keySize: 4, valueSize: 512, maxEntries: 1024, flags: 0, layout: 'c2a389491ebe' },
  vif_state: { type: 2, keySize: 4, valueSize: 24, maxEntries: 1024, flags: 0, layout: '631f880e66d8' },
  vif_stats: { type: 6, keySize: 4, valueSize: 48, maxEntries: 1024, flags: 0, layout: 'a0d60b85da2d' },
  vifs: { type: 1, keySize: 4, valueSize: 84, maxEntries: 1024, flags: 0, layout: '229969924d33' },
  vrf_flows: { type: 2, keySize: 4, valueSize: 8, maxEntries: 4096, flags: 0, layout: '66ef2530f2f9' },
  vrf_stats: { type: 6, keySize: 4, valueSize: 216, maxEntries: 4097, flags: 0, layout: '8f21e0be296b' },
  vrfs: { type: 2, keySize: 4, valueSize: 16, maxEntries: 4096, flags: 0, layout: '778da7ad312c' },
} as const satisfies Record<string, MapDefinition>

export type MapName = keyof typeof mapDefinitions
