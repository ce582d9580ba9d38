/** What health shows of Services: how full their tables are, and what came to them. */
import type { Config } from '../config/config.ts'
import type { Dataplane } from '../dataplane/dataplane.ts'
import type { Observed } from '../health/collect.ts'
import type { KernelState } from '../introspect/kernel.ts'
import type { Front, Tables } from '../model/tables.ts'

/** By what metrics call them. */
const TABLES = { service_fronts: 'front', service_backs: 'back', service_ranges: 'range' } as const

/** Numbers of the service ports of a list of fronts, which stays the same one for long. */
const numbers = new WeakMap<readonly Front[], ReadonlySet<number>>()

export function servicesShown(
  dataplane: Pick<Dataplane, 'usage'>,
  kernel: Pick<KernelState, 'serviceCounts'>,
  config: Pick<Config, 'limits'>,
  tables: Pick<Tables, 'fronts'> | undefined,
): Pick<Observed, 'serviceTables' | 'services'> {
  const ids = numbersOf(tables?.fronts ?? [])
  const uses = dataplane.usage().flatMap(({ table, used, max }) => {
    const name = TABLES[table as keyof typeof TABLES]
    return name === undefined ? [] : [{ table: name, used, max }]
  })
  return {
    serviceTables: [{ table: 'service', used: ids.size, max: config.limits.services }, ...uses],
    services: () => totalOf(ids, kernel),
  }
}

function totalOf(ids: Iterable<number>, kernel: Pick<KernelState, 'serviceCounts'>) {
  const total = { connections: 0n, refused: 0n, dropped: 0n }
  for (const id of ids) {
    const counts = kernel.serviceCounts(id)
    total.connections += counts?.connections ?? 0n
    total.refused += counts?.refused ?? 0n
    total.dropped += counts?.dropped ?? 0n
  }
  return total
}

function numbersOf(fronts: readonly Front[]): ReadonlySet<number> {
  const known = numbers.get(fronts)
  if (known !== undefined) return known
  const ids = new Set(fronts.map(({ id }) => id))
  numbers.set(fronts, ids)
  return ids
}
