/**
 * Opens the pinned maps of one vRouter: all that introspect and the command line tools need, the daemon dead or alive. Whoever
 * opens disposes.
 */
import { join } from 'node:path'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { isErrno } from '@kube-vrouter/linux/errors'
import { type AnnouncedTable, announcedTable } from './announced.ts'
import { type BridgeTable, bridgeTable } from './bridge.ts'
import { type MapDefinition, type MapName, mapDefinitions } from './definitions.ts'
import { type DropStatsTable, dropStatsTable } from './drops.ts'
import { MapError } from './errors.ts'
import { type ExitTable, exitTable } from './exits.ts'
import { type FlowTables, flowTables } from './flows.ts'
import { type GlobalsTable, globalsTable } from './globals.ts'
import { type MplsTable, mplsTable } from './mpls.ts'
import { type CompositeTable, compositeTable, type NexthopTable, nexthopTable } from './nexthops.ts'
import { type PathMtuTable, pathMtuTable } from './path-mtus.ts'
import { type PeerTables, peerTables } from './peers.ts'
import { type RouteTables, routeTables } from './routes.ts'
import { type ServiceTables, serviceTables } from './services.ts'
import {
  type UnderlayStatsTable,
  underlayStatsTable,
  type VifStatsTable,
  type VrfStatsTable,
  vifStatsTable,
  vrfStatsTable,
} from './stats.ts'
import {
  type VifAddressTable,
  type VifDeviceTable,
  type VifStateTable,
  type VifTable,
  vifAddressTable,
  vifDeviceTable,
  vifStateTable,
  vifTable,
} from './vifs.ts'
import { type VrfTable, vrfTable } from './vrfs.ts'

export interface PinnedMaps extends Disposable {
  readonly globals: GlobalsTable
  readonly vifs: VifTable
  readonly vifDevices: VifDeviceTable
  readonly vifAddresses: VifAddressTable
  readonly vifStats: VifStatsTable
  readonly vifState: VifStateTable
  readonly vifDropStats: DropStatsTable
  /** One element, index 0. */
  readonly dropStats: DropStatsTable
  readonly nexthops: NexthopTable
  readonly composites: CompositeTable
  readonly pathMtus: PathMtuTable
  readonly mpls: MplsTable
  readonly vrfs: VrfTable
  readonly vrfStats: VrfStatsTable
  readonly peers: PeerTables
  /** One element, index 0. */
  readonly underlayStats: UnderlayStatsTable
  readonly exits: ExitTable
  readonly announced: AnnouncedTable
  readonly routes: RouteTables
  readonly bridge: BridgeTable
  readonly flows: FlowTables
  readonly services: ServiceTables
}

/** The maps of the set that is in use lie here; `pins` is paths.pins of the configuration. */
export function mapsFolder(pins: string): string {
  return join(pins, 'maps')
}

/** Throws a MapError when a map is missing, not accessible or of another layout. */
export function openMaps(pins: string, options: { readonly readOnly?: boolean } = {}): PinnedMaps {
  using undo = new DisposableStack()
  const opened = new Map<MapName, BpfMap>()
  for (const name of Object.keys(mapDefinitions) as MapName[]) {
    opened.set(name, undo.use(openMap(join(mapsFolder(pins), name), name, options.readOnly ?? true)))
  }
  return typedMaps((name) => opened.get(name)!, undo.move())
}

function openMap(path: string, name: MapName, readOnly: boolean): BpfMap {
  let map: BpfMap
  try {
    map = BpfMap.openPinned(path, { readOnly })
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw new MapError('MAPS_NOT_FOUND', `no map is pinned at ${path}`, { cause: error })
    if (isErrno(error, 'EPERM', 'EACCES'))
      throw new MapError('MAPS_NOT_PERMITTED', `cannot open ${path}: ${error.message}`)
    throw error
  }
  const difference = layoutDifference(mapDefinitions[name], map)
  if (difference) {
    map[Symbol.dispose]()
    throw new MapError('MAP_INCOMPATIBLE', `map ${path} has ${difference}`)
  }
  return map
}

/** What of the layout that this build knows differs, in words; undefined: nothing. Sizes of tables are the configuration's affair. */
export function layoutDifference(
  expected: MapDefinition,
  found: Pick<BpfMap, 'type' | 'keySize' | 'valueSize'>,
): string | undefined {
  if (found.type !== expected.type) return `type ${found.type}, expected ${expected.type}`
  if (found.keySize !== expected.keySize) return `keys of ${found.keySize} bytes, expected ${expected.keySize}`
  if (found.valueSize !== expected.valueSize)
    return `values of ${found.valueSize} bytes, expected ${expected.valueSize}`
  return undefined
}

/** The typed tables over maps that the caller opened; disposing disposes `owner`. */
export function typedMaps(map: (name: MapName) => BpfMap, owner: Disposable): PinnedMaps {
  return {
    globals: globalsTable(map('globals')),
    vifs: vifTable(map('vifs')),
    vifDevices: vifDeviceTable(map('vif_devices')),
    vifAddresses: vifAddressTable(map('vif_addresses')),
    vifStats: vifStatsTable(map('vif_stats')),
    vifState: vifStateTable(map('vif_state')),
    vifDropStats: dropStatsTable(map('vif_drop_stats')),
    dropStats: dropStatsTable(map('drop_stats')),
    nexthops: nexthopTable(map('nexthops')),
    composites: compositeTable(map('composites')),
    pathMtus: pathMtuTable(map('path_mtus')),
    mpls: mplsTable(map('mpls')),
    vrfs: vrfTable(map('vrfs')),
    vrfStats: vrfStatsTable(map('vrf_stats')),
    peers: peerTables(map),
    underlayStats: underlayStatsTable(map('underlay_stats')),
    exits: exitTable(map('exits')),
    announced: announcedTable(map('announced')),
    routes: routeTables(map),
    bridge: bridgeTable(map('bridge')),
    flows: flowTables(map),
    services: serviceTables(map),
    [Symbol.dispose]: () => owner[Symbol.dispose](),
  }
}
