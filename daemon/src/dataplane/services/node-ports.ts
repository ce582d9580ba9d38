/** Ports at which the node itself has fronts, as the one entry of the map `node_ports`: programs look for a front at no other port of it. Pure. */
import { type NodePortsStruct, nodePortsCodec } from '../../maps/structs.ts'
import { encode } from '../../maps/table.ts'
import type { Front } from '../../model/tables.ts'
import { Counts } from './counts.ts'
import { indexKey } from './encode-front.ts'

export const NODE_PORTS_KEY = indexKey(0)

const KINDS: ReadonlySet<string> = new Set(['node-port', 'host-port'])
const BYTES = 65_536 / 8

/** The port of a front that listens at an address of the node. */
function portOf({ kind, listener }: Front): number | undefined {
  return KINDS.has(kind) ? listener?.port : undefined
}

export class NodePorts {
  readonly #users = new Counts<number>()
  readonly #bits = new Uint8Array(BYTES)
  #isChanged = false

  add(front: Front): void {
    const port = portOf(front)
    if (port !== undefined && this.#users.add(port)) this.#flip(port)
  }

  remove(front: Front): void {
    const port = portOf(front)
    if (port !== undefined && this.#users.remove(port)) this.#flip(port)
  }

  #flip(port: number): void {
    this.#bits[port >> 3]! ^= 1 << (port & 7)
    this.#isChanged = true
  }

  /** Undefined: the entry is as it was the last time. `value` undefined: there is none, since there are no such ports. */
  changed(): { readonly value: string | undefined } | undefined {
    if (!this.#isChanged) return undefined
    this.#isChanged = false
    const value: NodePortsStruct = { bits: this.#bits }
    return { value: this.#users.size === 0 ? undefined : Buffer.from(encode(nodePortsCodec, value)).toString('latin1') }
  }
}
