/**
 * Compares what the kernel holds for one pod's interface with what the tables want: program, vif, nexthops, labels, routes, bridge entries. It
 * reads the kernel, not what the daemon believes of it, and repairs nothing.
 */
import { finish } from '../ground/pace.ts'
import type { NumberedNexthop, Route, Tables } from '../model/tables.ts'
import { BRIDGE_COUNTER_AT, encodeTables, TABLE_MAPS, type TableMap } from './encode-tables.ts'
import { describeEntry } from './subject.ts'

export interface Findings {
  /** What is as it should be, in words. */
  readonly verified: readonly string[]
  readonly mismatches: readonly string[]
}

export interface Kernel {
  lookup(map: TableMap, key: Uint8Array): Uint8Array | undefined
  /** What is wrong with the program on that device, in words; undefined: nothing. */
  programFault(vif: number, ifindex: number): string | undefined
}

/** `port`: Port.uuid. */
export function verifyPort(port: string, tables: Tables, kernel: Kernel): Findings {
  const vif = tables.vifs.find((one) => one.port === port)
  if (!vif) return { verified: [], mismatches: [`no vif is computed for interface ${port}`] }
  const verified: string[] = []
  const mismatches: string[] = []
  const note = (what: string, fault: string | undefined): void => {
    if (fault === undefined) verified.push(what)
    else mismatches.push(fault)
  }
  note(`program tap on ${vif.name}`, kernel.programFault(vif.id, vif.ifindex))
  const encoded = finish(encodeTables(tablesOfVif(tables, vif.id)))
  for (const map of TABLE_MAPS) {
    for (const [key, value] of encoded[map] ?? []) {
      const what = describeEntry(map, key)
      const found = kernel.lookup(map, Buffer.from(key, 'latin1'))
      note(
        what,
        found && isSame(map, value, found) ? undefined : `${what} is ${found ? 'different' : 'missing'} in the kernel`,
      )
    }
  }
  return { verified, mismatches }
}

/** What would not be there without that vif. */
function tablesOfVif(tables: Tables, vif: number): Tables {
  const nexthops = tables.nexthops.filter((one) => leadsTo(one, vif))
  const ids = new Set(nexthops.map(({ id }) => id))
  const isOurs = ({ nexthop }: { readonly nexthop: number }): boolean => ids.has(nexthop)
  const filtered = <T extends Pick<Route, 'nexthop'>>(lists: ReadonlyMap<number, readonly T[]>) =>
    new Map([...lists].map(([vrf, list]) => [vrf, list.filter(isOurs)]))
  const { fronts: _, ...others } = tables
  return {
    ...others,
    vrfs: [],
    vifs: tables.vifs.filter(({ id }) => id === vif),
    nexthops,
    labels: tables.labels.filter(isOurs),
    inet: filtered(tables.inet),
    inet6: filtered(tables.inet6),
    bridge: filtered(tables.bridge),
  }
}

function leadsTo({ nexthop }: NumberedNexthop, vif: number): boolean {
  return nexthop.type === 'encap' && nexthop.vif === vif
}

function isSame(map: TableMap, wanted: string, found: Uint8Array): boolean {
  const text = Buffer.from(found.buffer, found.byteOffset, found.byteLength).toString('latin1')
  return map === 'bridge' ? text.slice(0, BRIDGE_COUNTER_AT) === wanted.slice(0, BRIDGE_COUNTER_AT) : text === wanted
}
