/**
 * Announces load balancer addresses that this node is elected for, or has taken over: the datapath answers requests for what stands in the map `announced`, and
 * neighbours are told when an address comes here. What stands there when the daemon starts goes on being answered. Owns its timers and the prober.
 */
import type { Log } from '../log.ts'
import { type AnnouncedTable, announcedAddress, announcedKey } from '../maps/announced.ts'
import { type InLine, inLineOf } from '../model/load-balancer/announcements.ts'
import type { Address, SourceState } from '../model/objects.ts'
import { Election } from './election.ts'
import { Prober } from './prober.ts'

/** A node that dies is silent for 4 questions: 1.6 to 2 s, then the next one has its addresses. */
const PROBE_MS = 400
const MOST_MISSED = 4
/** Whoever is elected waits that long for others to give up: three questions of theirs. */
const HOLD_MS = 3 * PROBE_MS
/** After an address came here, neighbours are told at once and then again: they may have missed it. Milliseconds. */
const TELL_AGAIN_MS = [1000, 3000]
/** States may follow one another fast; so often they are looked at, milliseconds. */
const GATHER_MS = 100
/** Of the time, looks take at most one part in so many. */
const SHARE = 50

export interface AnnouncerOptions {
  readonly node: string
  readonly table: AnnouncedTable
  readonly log: Log
  /** Tells the neighbours on the underlay that the addresses are at this node's NIC. */
  readonly tell: (addresses: readonly Address[]) => void
  /** Whether anybody can hear this node: its NIC has a carrier. */
  readonly isConnected: () => boolean
  /** An IPv6 address is announced for the first time: the NIC has to take what is sent to groups. */
  readonly onFirst6: () => void
}

/** What the pages and metrics show. */
export interface Announcements {
  readonly inLine: InLine
  readonly announced: ReadonlySet<Address>
  /** Nodes that are asked whether they are there. */
  readonly watched: number
  /** Addresses that came here from a node that was silent. */
  readonly takeovers: number
}

type State = Pick<SourceState, 'services' | 'slices' | 'pools' | 'routers'>

export class Announcer implements Disposable {
  readonly #options: AnnouncerOptions
  readonly #election: Election
  readonly #prober: Prober
  readonly #timers = new Set<NodeJS.Timeout>()
  #announced: Set<Address>
  #inLine: InLine = new Map()
  #state: State | undefined
  #address = ''
  #gathering: NodeJS.Timeout | undefined
  /** How long the last look took. */
  #lookMs = 0
  #isConnected = true
  #has6 = false
  #isFull = false
  #takeovers = 0

  constructor(options: AnnouncerOptions) {
    this.#options = options
    this.#election = new Election(options.node, HOLD_MS)
    this.#prober = new Prober({
      periodMs: PROBE_MS,
      mostMissed: MOST_MISSED,
      onChange: () => this.#decide(),
      onError: (error) => options.log.warn({ err: error }, 'nodes can not be asked whether they are there'),
    })
    this.#announced = new Set([...options.table.entries()].map(([key]) => announcedAddress(key)))
  }

  get announcements(): Announcements {
    const { watched } = this.#prober
    return { inLine: this.#inLine, announced: this.#announced, watched, takeovers: this.#takeovers }
  }

  /** `address`: this node's own on the underlay. */
  update(state: State, address: string): void {
    const before = this.#state
    const isSame =
      before?.services === state.services &&
      before?.slices === state.slices &&
      before?.pools === state.pools &&
      before?.routers === state.routers
    if (isSame && this.#address === address) return
    this.#state = state
    this.#address = address
    this.#gathering ??= setTimeout(
      () => {
        this.#gathering = undefined
        const startedAt = performance.now()
        this.#look()
        this.#lookMs = performance.now() - startedAt
      },
      Math.max(GATHER_MS, SHARE * this.#lookMs),
    ).unref()
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#gathering)
    for (const timer of this.#timers) clearTimeout(timer)
    this.#prober[Symbol.dispose]()
  }

  #look(): void {
    const inLine = inLineOf(this.#state!)
    // What isn't known changes nothing.
    if (inLine === undefined) return
    this.#inLine = inLine
    const watched = new Map(
      [...this.#election.watched(inLine)].flatMap((node) => {
        const address = this.#state!.routers.get(node)?.address
        return address === undefined ? [] : [[node, address] as const]
      }),
    )
    this.#prober.watch(watched, this.#address)
    this.#decide()
  }

  #decide(): void {
    try {
      this.#act()
    } catch (error) {
      // It is tried again with the next question.
      this.#options.log.error({ err: error }, 'what this node announces can not be looked at')
    }
  }

  #act(): void {
    const { log } = this.#options
    const isConnected = this.#inLine.size === 0 || this.#options.isConnected()
    if (isConnected !== this.#isConnected) {
      this.#isConnected = isConnected
      this.#election.lost()
      this.#prober.forget()
      log.info({ isConnected }, isConnected ? 'the NIC is connected again' : 'the NIC is not connected')
    }
    const now = performance.now()
    const wanted = isConnected
      ? this.#election.decide({
          inLine: this.#inLine,
          announced: this.#announced,
          presenceOf: (node) => this.#prober.presenceOf(node),
          now,
        })
      : new Set<Address>()
    for (const address of this.#announced) if (!wanted.has(address)) this.#giveUp(address)
    const fresh = [...wanted].filter((address) => !this.#announced.has(address) && this.#take(address))
    if (fresh.length > 0) this.#tellAll(fresh)
    this.#wait()
  }

  #take(address: Address): boolean {
    const { table, log, node, onFirst6 } = this.#options
    try {
      table.set(announcedKey(address), { answers: 0n })
    } catch (error) {
      if (!this.#isFull) log.error({ err: error, address }, `${address} can not be announced`)
      this.#isFull = true
      return false
    }
    this.#isFull = false
    this.#announced.add(address)
    const isTakeover = this.#inLine.get(address)?.[0] !== node
    if (isTakeover) this.#takeovers++
    log.info({ address, isTakeover }, `answers for ${address}`)
    if (address.includes(':') && !this.#has6) {
      this.#has6 = true
      onFirst6()
    }
    return true
  }

  #giveUp(address: Address): void {
    const { table, log } = this.#options
    table.delete(announcedKey(address))
    this.#announced.delete(address)
    const elected = this.#inLine.get(address)?.[0]
    log.info({ address, elected }, `answers for ${address} no longer`)
  }

  #tellAll(addresses: readonly Address[]): void {
    this.#options.tell(addresses)
    for (const ms of TELL_AGAIN_MS)
      this.#later(ms, () => this.#options.tell(addresses.filter((address) => this.#announced.has(address))))
  }

  #waiting: NodeJS.Timeout | undefined

  /** Where nobody is asked, nothing else says when to look again. */
  #wait(): void {
    const isWaiting = [...this.#inLine].some(
      ([address, [elected]]) => elected === this.#options.node && !this.#announced.has(address),
    )
    if (!isWaiting || this.#prober.watched > 0 || this.#waiting !== undefined) return
    this.#waiting = this.#later(PROBE_MS, () => {
      this.#waiting = undefined
      this.#decide()
    })
  }

  #later(ms: number, work: () => void): NodeJS.Timeout {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      work()
    }, ms).unref()
    this.#timers.add(timer)
    return timer
  }
}
