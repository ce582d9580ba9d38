/** The ports of this node, in memory and on disk: one for each (container id, interface name). */

import type { Port } from '../model/facts.ts'
import type { FqName, Source } from '../model/objects.ts'
import type { Holder } from './addresses.ts'
import { fsyncFile, type PortRecord, Records, recordKey } from './records.ts'

export interface PortTableOptions {
  readonly source: Source
  readonly node: string
  /** paths.state. */
  readonly state: string
  /** Brings an open file to the disk. */
  readonly sync?: (fd: number) => Promise<void>
}

export class PortTable implements Disposable {
  readonly #options: PortTableOptions
  readonly records: Records
  readonly #byKey = new Map<string, PortRecord>()
  /** Ports that this daemon released and whose interface objects the source may still show. */
  readonly #released = new Set<string>()

  constructor(options: PortTableOptions) {
    this.#options = options
    this.records = new Records(options.state, options.sync ?? fsyncFile)
  }

  [Symbol.dispose](): void {
    this.records[Symbol.dispose]()
  }

  get size(): number {
    return this.#byKey.size
  }

  get(key: string): PortRecord | undefined {
    return this.#byKey.get(key)
  }

  /** In memory; the caller writes the record, where it has to outlive the daemon. */
  set(record: PortRecord): void {
    this.#byKey.set(keyOf(record.port), record)
  }

  /** A port that is new: what its interface object says counts again. */
  enter(record: PortRecord): void {
    this.set(record)
    this.#released.delete(record.port.uuid)
  }

  /** Takes back what `enter` did. */
  drop(key: string): void {
    this.#byKey.delete(key)
  }

  /** Record and port are gone; returns what it was. What isn't there is fine. */
  async remove(key: string): Promise<PortRecord | undefined> {
    await this.records.remove(key)
    const record = this.#byKey.get(key)
    if (record === undefined) return undefined
    this.#byKey.delete(key)
    this.#released.add(record.port.uuid)
    return record
  }

  /** By creation. */
  all(): PortRecord[] {
    return [...this.#byKey.values()]
  }

  entries(): Iterable<[string, PortRecord]> {
    return this.#byKey.entries()
  }

  /** Only the first interface of a pod has the default routes; the records of its others name their own. */
  hasFirstOfPod(containerId: string): boolean {
    for (const { port, routes } of this.#byKey.values())
      if (port.containerId === containerId && routes === undefined) return true
    return false
  }

  isFirstOfNetwork({ port: { uuid, vn } }: PortRecord): boolean {
    for (const { port } of this.#byKey.values()) if (port.vn === vn && port.uuid !== uuid) return false
    return true
  }

  /**
   * Who holds addresses: our ports, and interface objects that say they are ours though no record is left of them. Other nodes' interfaces lie in
   * other nodes' blocks, so they matter only to a pod that asks for a certain address.
   */
  *holders(isFixed: boolean): Generator<Holder> {
    for (const { port } of this.#byKey.values()) yield port
    for (const vmi of this.#options.source.state().interfaces.values()) {
      const isOurs = vmi.node === this.#options.node
      if ((isOurs && !this.#released.has(vmi.uuid)) || (!isOurs && isFixed)) yield vmi
    }
  }

  /** Who else has a MAC address in a network, here or on another node. */
  ownerOfMac(
    mac: string,
    vn: FqName,
    uuid: string,
  ): (Pick<Port, 'namespace' | 'pod'> & { readonly node?: string }) | undefined {
    for (const { port } of this.#byKey.values()) if (port.mac === mac && port.vn === vn) return port
    for (const vmi of this.#options.source.state().interfaces.values())
      if (vmi.mac === mac && vmi.vn === vn && vmi.uuid !== uuid && !this.#released.has(vmi.uuid)) return vmi
    return undefined
  }

  /** What the source no longer shows need not be remembered. */
  forgetReleased(): void {
    const { interfaces } = this.#options.source.state()
    for (const uuid of this.#released) if (!interfaces.has(uuid)) this.#released.delete(uuid)
  }
}

export function keyOf({ containerId, ifname }: { readonly containerId: string; readonly ifname: string }): string {
  return recordKey(containerId, ifname)
}

/** For the log. */
export function describe({ namespace, pod, containerId, ifname, addresses }: Port): object {
  return { pod: `${namespace}/${pod.name}`, containerId, ifname, addresses }
}
