/**
 * Ends flows to endpoints of Services that are gone (endpoints.bpf.c), beside the passes: at once when one goes, once more when no flow to it can come any
 * more, and never for longer than a twentieth of a core. A daemon that starts looks which flows its predecessor has left behind.
 */
import { setImmediate as turn } from 'node:timers/promises'
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { programTestRun } from '@kube-vrouter/linux/bpf/syscall'
import { errorFields, type Log } from '../../log.ts'
import { FLOW_DNAT } from '../../maps/constants.ts'
import { type FlowTables, flowCounters, listFlows, reverseOf } from '../../maps/flows.ts'
import { encode, u32Codec } from '../../maps/table.ts'
import type { Front } from '../../model/tables.ts'
import { PROTOCOL_NUMBERS } from './encode-front.ts'
import { aliveOf, type GoneBacks, nameOf } from './gone-backs.ts'

/** Of endpoints.bpf.c. */
export interface FlowEnder {
  readonly program: number
  readonly gone: BpfMap
}

/** Slots looked at in one go: a few milliseconds. */
const SLICE = 16_384
/** From the end of a walk to the next one: this many times what it took. */
const RARITY = 20
/** After a walk that failed. */
const RETRY_MS = 10_000
/** When those that were noted before the last walk are looked for once more. */
const AGAIN_MS = 1000

export class FlowEnding implements AsyncDisposable {
  readonly #flows: FlowTables
  readonly #gone: GoneBacks
  readonly #load: () => FlowEnder
  readonly #log: Log
  readonly #abort = new AbortController()
  #ender: FlowEnder | undefined
  #work: Promise<void> | undefined
  #scan: Promise<void> = Promise.resolve()
  #isAsked = false
  #pauseUntilMs = 0
  #wake: () => void = () => {}

  /** `load` gives the program and its map, which must outlive this. */
  constructor(flows: FlowTables, gone: GoneBacks, load: () => FlowEnder, log: Log) {
    this.#flows = flows
    this.#gone = gone
    this.#load = load
    this.#log = log
  }

  /** What was noted as gone is so in the kernel by now. */
  soon(): void {
    if (this.#gone.size === 0 || this.#abort.signal.aborted) return
    this.#isAsked = true
    this.#wake()
    this.#work ??= this.#run().finally(() => {
      this.#work = undefined
    })
  }

  /** Looks which flows go through one of `fronts` to an endpoint that it doesn't have. */
  findStale(fronts: readonly Front[]): void {
    this.#scan = this.#find(fronts).catch((error: unknown) => {
      this.#log.error({ err: errorFields(error) }, 'flows to endpoints that went earlier could not be looked for')
    })
  }

  async #find(fronts: readonly Front[]): Promise<void> {
    const known = new Map<string, Front>()
    for (const front of fronts) {
      const { listener, address } = front
      if (listener !== undefined) known.set(`${PROTOCOL_NUMBERS[listener.protocol]} ${address} ${listener.port}`, front)
    }
    if (known.size === 0) return
    const alive = new Map<Front, ReadonlySet<string>>()
    for await (const slice of listFlows(this.#flows)) {
      if (this.#abort.signal.aborted) return
      for (const record of slice) {
        if ((record.flow.flags & FLOW_DNAT) === 0) continue
        const front = known.get(`${record.protocol} ${record.destination} ${record.destinationPort}`)
        const reverse = front && reverseOf(this.#flows, record)
        if (!reverse) continue
        const back = { address: reverse.source, port: reverse.sourcePort }
        const names = alive.get(front) ?? new Set(aliveOf(front).map(nameOf))
        alive.set(front, names)
        if (!names.has(nameOf(back))) this.#gone.found(front, back)
      }
    }
    this.soon()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort()
    this.#wake()
    await this.#scan
    await this.#work
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort
    let ended = 0
    while (!signal.aborted && this.#gone.size > 0) {
      while (!signal.aborted && this.#pauseUntilMs > performance.now())
        await this.#nap(this.#pauseUntilMs - performance.now())
      if (signal.aborted) break
      this.#isAsked = false
      const began = performance.now()
      try {
        ended += await this.#walk()
        this.#gone.swept(began)
        const now = performance.now()
        this.#pauseUntilMs = now + (now - began) * RARITY
      } catch (error) {
        this.#log.error(
          { err: errorFields(error) },
          'flows to endpoints that are gone could not be ended; trying again',
        )
        this.#pauseUntilMs = performance.now() + RETRY_MS
      }
      if (!this.#isAsked && this.#gone.size > 0) await this.#nap(AGAIN_MS)
    }
    if (ended > 0) this.#log.info({ flows: ended }, 'flows to endpoints of Services that are gone were ended')
  }

  /** Until then, or until somebody asks. */
  #nap(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      timer.unref()
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** All slots in use, for as many pairs as the map holds at a time. Returns how many flows were ended. */
  async #walk(): Promise<number> {
    this.#ender ??= this.#load()
    const { gone } = this.#ender
    const pairs = [...this.#gone.keys()]
    let ended = 0
    for (let at = 0; at < pairs.length; at += gone.maxEntries) {
      const keys = pairs.slice(at, at + gone.maxEntries)
      gone.updateBatch(keys.map((key) => ({ key: bytes(key), value: encode(u32Codec, 1) })))
      ended += await this.#walkSlots(keys)
      gone.deleteBatch(keys.map(bytes))
    }
    return ended
  }

  async #walkSlots(keys: readonly string[]): Promise<number> {
    const { program, gone } = this.#ender!
    let ended = 0
    for (let from = 0, end = 1; from < end; from += SLICE) {
      end = flowCounters(this.#flows).next
      if (this.#abort.signal.aborted) break
      // An endpoint may be back meanwhile.
      for (const key of keys) if (!this.#gone.has(key)) gone.delete(bytes(key))
      const { contextOut } = programTestRun(program, { context: contextOf(from, Math.min(SLICE, end - from)) })
      ended += new DataView(contextOut.buffer, contextOut.byteOffset).getUint32(8, true)
      await turn()
    }
    return ended
  }
}

/** struct endpoints_context. */
function contextOf(from: number, count: number): Uint8Array {
  const context = new Uint8Array(16)
  const view = new DataView(context.buffer)
  view.setUint32(0, from, true)
  view.setUint32(4, count, true)
  return context
}

function bytes(key: string): Uint8Array {
  return Buffer.from(key, 'latin1')
}
