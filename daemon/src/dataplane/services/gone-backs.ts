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
  readonly #pairs = new Map<string, { readonly front: string; readonly notedMs: number }>()
  /** How many of them each front has, by its name: nearly all have none. */
  readonly #fronts = new Map<string, number>()

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
    if (after !== undefined && this.#fronts.has(frontName(after)))
      for (const back of alive ?? []) this.#delete(after, back)
  }

  /** A flow was found whose endpoint the front doesn't have. */
  found(front: Front, back: EndpointAddress): void {
    this.#add(front, back)
  }

  /** All flows were looked through, from `beganMs` on. */
  swept(beganMs: number): void {
    for (const [key, { front, notedMs }] of this.#pairs) if (notedMs + LATEST_MS <= beganMs) this.#forget(key, front)
  }

  #add(front: Front, back: EndpointAddress): void {
    const [key, name] = [goneKey(front, back), frontName(front)]
    if (!this.#pairs.has(key)) this.#fronts.set(name, (this.#fronts.get(name) ?? 0) + 1)
    this.#pairs.set(key, { front: name, notedMs: this.#nowMs() })
  }

  #delete(front: Front, back: EndpointAddress): void {
    this.#forget(goneKey(front, back), frontName(front))
  }

  #forget(key: string, front: string): void {
    if (!this.#pairs.delete(key)) return
    const left = (this.#fronts.get(front) ?? 0) - 1
    if (left > 0) this.#fronts.set(front, left)
    else this.#fronts.delete(front)
  }
}

/** Endpoints that flows through the front may go on with. */
export function aliveOf({ alive, inside, outside }: Front): readonly EndpointAddress[] {
  if (alive !== undefined) return alive
  return inside === outside ? inside.backs : [...inside.backs, ...outside.backs]
}

function frontName({ address, listener }: Front): string {
  return `${listener?.protocol} ${address} ${listener?.port}`
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
