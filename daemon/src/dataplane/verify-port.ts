/**
 * Compares what the kernel holds for one pod's interface with what the tables want: program, vif, nexthops, labels, routes, bridge entries. It
 * reads the kernel, not what the daemon believes of it, and repairs nothing.
 */
import { finish } from '../ground/pace.ts'
import type { Front, NumberedNexthop, Route, Tables } from '../model/tables.ts'
import { BRIDGE_COUNTER_AT, encodeTables, TABLE_MAPS, type TableMap } from './encode-tables.ts'
import { backValues, decodeFront, frontKey, indexKey } from './services/encode-front.ts'
import { describeService } from './services/names.ts'
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
  for (const front of hostPortsOf(tables, vifNexthops(tables, vif.id)))
    note(describeService(front.service), hostPortFault(front, kernel))
  return { verified, mismatches }
}

function hostPortsOf({ fronts = [] }: Tables, nexthops: readonly number[]): readonly Front[] {
  return fronts.filter(({ kind, inside }) => kind === 'host-port' && nexthops.includes(inside.backs[0]?.nexthop ?? -1))
}

function vifNexthops({ nexthops }: Tables, vif: number): readonly number[] {
  return nexthops.filter((one) => leadsTo(one, vif)).map(({ id }) => id)
}

/** Where its endpoint stands is the encoder's choice: only what stands there is compared. */
function hostPortFault(front: Front, kernel: Kernel): string | undefined {
  const what = describeService(front.service)
  const found = kernel.lookup('service_fronts', Buffer.from(frontKey(front), 'latin1'))
  if (found === undefined) return `${what} is missing in the kernel`
  const { inside, outside } = decodeFront(Buffer.from(found).toString('latin1'))
  const isThere = [inside, outside].every(({ first, count }) => {
    const back = count === 1 ? kernel.lookup('service_backs', Buffer.from(indexKey(first), 'latin1')) : undefined
    return back !== undefined && Buffer.from(back).toString('latin1') === backValues(front.inside.backs)
  })
  return isThere ? undefined : `${what} is different in the kernel`
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
