/**
 * Whose flows have to end: pairs of a front and an endpoint that flows through it may not go on with any more. They are noted when the tables say so, and
 * forgotten once flows were looked through so late that none can have been made by what the kernel held before. Pure.
 */
import { addressBytes } from '../../maps/services.ts'
import { goneKeyCodec } from '../../maps/structs.ts'
import type { EndpointAddress, Front } from '../../model/tables.ts'
import { PROTOCOL_NUMBERS } from './encode-front.ts'

/** A program that has read the former front makes its flow sooner. */
const LATEST_MS = 1000

export class GoneBacks {
  readonly #nowMs: () => number
  /** Keys of `gone_backs`, and when they were noted. */
  readonly #pairs = new Map<string, number>()

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
  }

  get size(): number {
    return this.#pairs.size
  }

  keys(): Iterable<string> {
    return this.#pairs.keys()
  }

  has(key: string): boolean {
    return this.#pairs.has(key)
  }

  /**
   * A front came, went, or is another one. What knows no connections ends with its Service, and where one comes what went to its address untranslated so
   * far goes to an endpoint from now on. A connection lives as long as its endpoint.
   */
  note(before: Front | undefined, after: Front | undefined): void {
    const front = after ?? before
    if (front?.listener === undefined) return
    const isUdp = front.listener.protocol === 'UDP'
    const alive = after === undefined ? undefined : aliveOf(after)
    if (after !== undefined && before === undefined && isUdp) this.#add(after, self(after))
    if (after === undefined && isUdp) this.#delete(front, self(front))
    if (before !== undefined && (after !== undefined || isUdp)) {
      const former = aliveOf(before)
      if (former === alive) return
      const stay = new Set(alive?.map(nameOf))
      for (const back of former) if (!stay.has(nameOf(back))) this.#add(before, back)
    }
    if (after !== undefined && this.#pairs.size > 0) for (const back of alive ?? []) this.#delete(after, back)
  }

  /** A flow was found whose endpoint the front doesn't have. */
  found(front: Front, back: EndpointAddress): void {
    this.#add(front, back)
  }

  /** All flows were looked through, from `beganMs` on. */
  swept(beganMs: number): void {
    for (const [key, notedMs] of this.#pairs) if (notedMs + LATEST_MS <= beganMs) this.#pairs.delete(key)
  }

  #add(front: Front, back: EndpointAddress): void {
    this.#pairs.set(goneKey(front, back), this.#nowMs())
  }

  #delete(front: Front, back: EndpointAddress): void {
    this.#pairs.delete(goneKey(front, back))
  }
}

/** Endpoints that flows through the front may go on with. */
export function aliveOf({ alive, inside, outside }: Front): readonly EndpointAddress[] {
  if (alive !== undefined) return alive
  return inside === outside ? inside.backs : [...inside.backs, ...outside.backs]
}

/** Of flows that go where they are sent. */
function self({ address, listener }: Front): EndpointAddress {
  return { address, port: listener?.port ?? 0 }
}

export function nameOf({ address, port }: EndpointAddress): string {
  return `${address} ${port}`
}

function goneKey({ address, listener }: Front, back: EndpointAddress): string {
  const { family, ip } = addressBytes(address)
  const bytes = Buffer.alloc(goneKeyCodec.size)
  goneKeyCodec.encode(
    {
      ...{ front: ip, frontPort: listener?.port ?? 0, back: addressBytes(back.address).ip, backPort: back.port },
      ...{ family, proto: listener === undefined ? 0 : PROTOCOL_NUMBERS[listener.protocol] },
    },
    new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  )
  return bytes.toString('latin1')
}
