/** From what the daemon holds to what /readyz and /metrics show. Pure. */
import type { Config } from '../config/config.ts'
import type { SourceState } from '../model/objects.ts'
import type { PacketStats } from '../model/packet-stats.ts'
import type { Tables } from '../model/tables.ts'
import type { HealthState, TableUse } from './health.ts'

export interface Observed {
  readonly ready: boolean
  readonly state: string
  readonly limits: Config['limits']
  readonly ports: number
  readonly source: SourceState
  /** Absent until the first round. */
  readonly tables?: Tables
  readonly drops: readonly bigint[]
  readonly foreignTunnels: bigint
  /** Absent until pkt0 is read. */
  readonly packets?: PacketStats
  /** Ports of Services, their addresses, and endpoints to choose from; absent until the datapath is there. */
  readonly serviceTables?: readonly TableUse[]
  readonly services?: HealthState['services']
  readonly announcements?: HealthState['announcements']
  /** Flows in use, of both families. */
  readonly flows: number
  /** What the dataplane can't bring into the kernel. */
  readonly problems: number
}

export function healthState({
  ready,
  state,
  limits,
  ports,
  source,
  tables,
  drops,
  foreignTunnels,
  flows,
  problems,
  packets,
  services,
  announcements,
  serviceTables = [],
}: Observed): HealthState {
  const count = (lists: ReadonlyMap<number, readonly unknown[]> | undefined): number =>
    lists === undefined ? 0 : [...lists.values()].reduce((sum, list) => sum + list.length, 0)
  const routes4 = count(tables?.inet)
  const routes6 = count(tables?.inet6)
  return {
    ready,
    state,
    ports,
    vrfs: tables?.vrfs.length ?? 0,
    routes: routes4 + routes6,
    tables: [
      { table: 'vif', used: tables?.vifs.length ?? 0, max: limits.vifs },
      { table: 'vrf', used: tables?.vrfs.length ?? 0, max: limits.vrfs },
      { table: 'nexthop', used: tables?.nexthops.length ?? 0, max: limits.nexthops },
      { table: 'label', used: tables?.labels.length ?? 0, max: limits.labels },
      { table: 'route4', used: routes4, max: limits.routes },
      { table: 'route6', used: routes6, max: limits.routes },
      { table: 'bridge', used: count(tables?.bridge), max: limits.routes },
      { table: 'flow', used: flows, max: limits.flows4 + limits.flows6 },
      ...serviceTables,
    ],
    drops,
    foreignTunnels,
    ...(packets !== undefined && { packets }),
    ...(services !== undefined && { services }),
    ...(announcements !== undefined && { announcements }),
    source: { inSync: !source.rejected.some(({ isStale }) => isStale === true) },
    problems: problems + (tables?.problems.length ?? 0),
    rejected: source.rejected.length,
  }
}
