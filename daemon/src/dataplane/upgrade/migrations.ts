/**
 * What becomes of each map's entries when an upgrade, or a limit in the configuration, makes the map anew. Tables of the model are written from the
 * model; here is what only the kernel knows. Fields are carried over by name (carry.ts): a change of a layout needs a line here where a field has another
 * name than before, and none where one was added that may begin as 0, moved, or grew.
 */
import type { MapName } from '../../maps/definitions.ts'

export interface Migration {
  /** Fields of keys and values that have another name now: new name -> old name. */
  readonly renamed?: Readonly<Record<string, string>>
}

/** Copied entry by entry, before the new programs run. `flow4` and `flow6` go through `import.bpf.c`. */
export const ENTRIES: Readonly<Partial<Record<MapName, Migration>>> = {
  exits: {},
  announced: {},
  path_mtus: {},
  vif_stats: {},
  vif_drop_stats: {},
  vrf_stats: {},
  drop_stats: {},
  underlay_stats: {},
  service_affinity: {},
  service_stats: {},
}

/**
 * Tables of the model that stay as they are while it doesn't know what belongs in there (no source has answered yet): copied before the first pass
 * reads back what there is.
 */
export const KEPT: Readonly<Partial<Record<MapName, Migration>>> = {
  service_backs: {},
  service_ranges: {},
  service_fronts: {},
  node_ports: {},
}

export const FLOWS: Migration = {}

/** The one element of `globals`: its epoch and seed; the rest is written anew at once. */
export const GLOBALS: Migration = {}

/** The counts of `flow_alloc` that the tools show; the others follow from the flows that are carried over. */
export const FLOW_COUNTS: Migration = {}

/**
 * Maps that refer to each other: when one is made anew, all are. Flows get new handles with their slots, and what they count for follows from them.
 * Fragments live for seconds, and are not carried over.
 */
export const GROUPS: readonly (readonly MapName[])[] = [
  [
    'flow4',
    'flow6',
    'flow_slots',
    'flow_free',
    'flow_closed',
    'flow_alloc',
    'flow_sources',
    'snat_shares',
    'vif_state',
    'vrf_flows',
  ],
  // While the old programs run, nobody exchanges the blocks that their fronts name.
  ['service_fronts', 'service_backs'],
  ['held_fragments', 'held_counts'],
  // What is cached holds for an epoch.
  ['globals', 'peer_cache'],
]
