/**
 * The ways out of the node beside the underlay: by which other devices SNAT leaves, too. Each has the program `outside` on it, which
 * takes the answers, and only then an entry in the map `exits`: a device without the program is no way out.
 */
import type { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { reasonOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { ip4Number, ip6Bytes } from '../maps/addresses.ts'
import type { ExitTable } from '../maps/exits.ts'
import { type ExitStruct, exitCodec } from '../maps/structs.ts'
import { encode } from '../maps/table.ts'
import type { OtherDevice } from '../model/facts.ts'
import { type Attachment, isExitLink, type Links, linkName } from './links.ts'
import type { TableFailure } from './table-failure.ts'

/** In `snat.interfaces`: the devices that lead to a wire. */
const AUTOMATIC = 'auto'

/** Kinds of devices that stand for hardware; hardware itself has none. Bridges and the host's ends of others' pods must be named. */
const AUTOMATIC_KINDS: readonly (string | undefined)[] = [undefined, 'vlan', 'bond', 'team']

/** Those of the node's other devices that `interfaces` (snat.interfaces) means. */
export function exitsOf(devices: readonly OtherDevice[], interfaces: readonly string[]): OtherDevice[] {
  const isAutomatic = interfaces.includes(AUTOMATIC)
  return devices.filter(
    ({ name, kind }) => interfaces.includes(name) || (isAutomatic && AUTOMATIC_KINDS.includes(kind)),
  )
}

export class Exits {
  readonly #route: RouteSocket
  readonly #links: Pick<Links, 'names' | 'attach' | 'detach'>
  readonly #table: ExitTable
  readonly #log: Log
  /** What the last call was asked for; undefined: not all of it could be done. */
  #done: string | undefined

  constructor(route: RouteSocket, links: Pick<Links, 'names' | 'attach' | 'detach'>, table: ExitTable, log: Log) {
    this.#route = route
    this.#links = links
    this.#table = table
    this.#log = log
  }

  /**
   * Makes these the exits, and no others. `again`: whatever was done before. `onChange` is called when an entry was changed, before programs are
   * taken off.
   */
  ensure(wanted: readonly OtherDevice[], again: boolean, onChange: () => void): readonly TableFailure[] {
    const text = JSON.stringify(wanted)
    if (!again && text === this.#done) return []
    const failures: TableFailure[] = []
    const attached = wanted.filter((device) => this.#attach(device, failures))
    if (this.#write(attached, failures)) onChange()
    const keep = new Set(attached.map((device) => linkName(attachmentOf(device))))
    for (const name of this.#links.names) if (isExitLink(name) && !keep.has(name)) this.#links.detach(name)
    this.#done = failures.length === 0 ? text : undefined
    return failures
  }

  #attach(device: OtherDevice, failures: TableFailure[]): boolean {
    try {
      this.#links.attach(attachmentOf(device))
      return true
    } catch (error) {
      // Word that it is gone is on its way.
      const isExpected = this.#route.link(device.ifindex)?.name !== device.name
      failures.push({ ...failureOf(device, error), isExpected })
      return false
    }
  }

  /** Tells whether an entry was changed. */
  #write(devices: readonly OtherDevice[], failures: TableFailure[]): boolean {
    const wanted = new Map(devices.map((device) => [device.ifindex, device]))
    const found = new Map(this.#table.entries())
    let isChanged = false
    for (const ifindex of found.keys()) {
      if (wanted.has(ifindex)) continue
      this.#table.delete(ifindex)
      this.#log.info({ ifindex }, `SNAT doesn't leave by the device with ifindex ${ifindex} any more`)
      isChanged = true
    }
    for (const [ifindex, device] of wanted) {
      const entry = entryOf(device)
      const before = found.get(ifindex)
      if (before !== undefined && isSameEntry(before, entry)) continue
      try {
        this.#table.set(ifindex, entry)
      } catch (error) {
        failures.push(failureOf(device, error))
        continue
      }
      this.#log.info({ device: device.name }, `what the node's routes lead out of ${device.name} leaves there, by SNAT`)
      isChanged = true
    }
    return isChanged
  }
}

function attachmentOf({ name, ifindex }: OtherDevice): Attachment {
  return { program: 'outside', vif: ifindex, device: name, ifindex }
}

function failureOf({ name }: OtherDevice, error: unknown): TableFailure {
  return {
    subject: { kind: 'node' },
    object: `the way out by ${name}`,
    error: Error.isError(error) ? error : new Error(reasonOf(error)),
  }
}

function entryOf({ mtu, address, address6 }: OtherDevice): ExitStruct {
  return {
    ip: address === undefined ? 0 : ip4Number(address),
    mtu,
    ip6: address6 === undefined ? new Uint8Array(16) : ip6Bytes(address6),
  }
}

function isSameEntry(a: ExitStruct, b: ExitStruct): boolean {
  return Buffer.compare(encode(exitCodec, a), encode(exitCodec, b)) === 0
}
