/**
 * How full the tables of a node are. At 80 % somebody should know; what doesn't fit any more is refused, and reported as a problem of the
 * object that was refused.
 */
import type { Tables } from './tables.ts'

/** From this share on a table counts as nearly full. */
export const NEARLY_FULL = 0.8
/** Below this share it is in order again: a table that breathes around 80 % is reported once. */
const IN_ORDER = 0.75

export interface Fill {
  readonly table: string
  readonly used: number
  /** Entries that it can hold. */
  readonly size: number
}

export interface TableLimits {
  readonly vrfs: number
  readonly vifs: number
  readonly routes: number
  readonly nexthops: number
  readonly labels: number
}

export function fillOf(tables: Tables, limits: TableLimits): Fill[] {
  return [
    { table: 'VRFs', used: tables.vrfs.length, size: limits.vrfs },
    { table: 'vifs', used: tables.vifs.length, size: limits.vifs },
    { table: 'routes', used: rows(tables.inet) + rows(tables.inet6), size: limits.routes },
    { table: 'nexthops', used: tables.nexthops.length, size: limits.nexthops },
    { table: 'labels', used: tables.labels.length, size: limits.labels },
  ]
}

export function shareOf({ used, size }: Fill): number {
  return size === 0 ? 0 : used / size
}

/** The names of the tables that are nearly full, given those that were so the last time. */
export function nearlyFull(fills: readonly Fill[], before: ReadonlySet<string>): Set<string> {
  const full = fills.filter((fill) => shareOf(fill) >= (before.has(fill.table) ? IN_ORDER : NEARLY_FULL))
  return new Set(full.map(({ table }) => table))
}

function rows(byVrf: ReadonlyMap<number, readonly unknown[]>): number {
  return [...byVrf.values()].reduce((sum, list) => sum + list.length, 0)
}
