/**
 * Tells the source, and so the other nodes, what this node is: beside the rounds, so that no packet, no pod and no table waits for a slow
 * source. Level-triggered: what is to be told follows from the latest tables and from what the source says already. The router object
 * (address, labels of VRFs) has a lane of its own: from it other nodes learn how to answer a new pod; everything else is news that nobody waits for.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Gathering } from '../ground/gathering.ts'
import { isEqual } from '../model/equal.ts'
import type { NodeFacts, Port } from '../model/facts.ts'
import type { IpamBlock, Source } from '../model/objects.ts'
import { OwnInterfaces } from '../model/own-interfaces.ts'
import { publication, routerOf } from '../model/publish.ts'
import type { Tables } from '../model/tables.ts'

export interface PublisherOptions {
  readonly source: Source
  readonly node: string
  /** `what`: `VirtualRouter`, or `others`. */
  readonly onError: (error: unknown, what: string) => void
  /** Milliseconds until a failed publication is tried again: the first time, and at most (it doubles). */
  readonly retryMs?: number
  readonly longestRetryMs?: number
  /** Milliseconds that an ADD waits for the router object to be told, at most. */
  readonly patienceMs?: number
  /** Milliseconds that other nodes are given to work in that a network is here now: the first packet from there shall find the way. */
  readonly newsMs?: number
}

export interface Present {
  readonly facts: NodeFacts
  readonly ports: readonly Port[]
  readonly tables: Tables
}

const DEFAULTS = { retryMs: 1000, longestRetryMs: 30_000, patienceMs: 500, newsMs: 100 }

export class Publisher implements AsyncDisposable {
  readonly #options: PublisherOptions & typeof DEFAULTS
  readonly #router: Gathering<unknown>
  readonly #others: Gathering<unknown>
  #present: Present | undefined
  readonly #own: OwnInterfaces
  /** Over when other nodes had time to hear of the networks that came last. */
  #news: Promise<unknown> = Promise.resolve()

  constructor(options: PublisherOptions) {
    this.#options = { ...DEFAULTS, ...options }
    this.#own = new OwnInterfaces(options.node)
    const { onError, retryMs, longestRetryMs } = this.#options
    const lane = (what: string, work: (present: Present) => Promise<unknown>) =>
      new Gathering<unknown>({
        work: async () => this.#present && work(this.#present),
        onError: (error) => onError(error, what),
        retry: { firstMs: retryMs, maxMs: longestRetryMs },
      })
    this.#router = lane('VirtualRouter', (present) => this.#publishRouter(present))
    this.#others = lane('others', (present) => this.#publishOthers(present))
  }

  /** Resolves when the source has the router object as it is now and others had time to hear of it, or it can't be told at present. Never rejects. */
  async update(present: Present): Promise<void> {
    this.#present = present
    const told = this.#router.ask()
    void told.then(() => this.#others.ask())
    const { promise: patience, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, this.#options.patienceMs)
    await Promise.race([told.then(() => this.#news), patience])
    clearTimeout(timer)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#router[Symbol.asyncDispose](), this.#others[Symbol.asyncDispose]()])
  }

  #publication({ facts, ports, tables }: Present) {
    return publication(this.#options.node, facts, ports, tables, this.#options.source.state(), this.#own)
  }

  async #publishRouter({ facts, tables }: Present): Promise<void> {
    const { source, node } = this.#options
    const object = routerOf(node, facts, tables)
    const before = source.state().routers.get(node)
    if (isEqual(before, object)) return
    await source.publish({ kind: 'VirtualRouter', object })
    const isNews = Object.keys(object.vrfLabels).some((vn) => before?.vrfLabels[vn] === undefined)
    if (isNews) this.#news = sleep(this.#options.newsMs, undefined, { ref: false })
  }

  /** All of them are tried, whatever becomes of one; the first failure is thrown. */
  async #publishOthers(present: Present): Promise<void> {
    const { source } = this.#options
    const { claim, publish, withdraw } = this.#publication(present)
    const results = await Promise.allSettled([
      ...claim.map((block) => this.#claim(block)),
      ...publish.filter(({ kind }) => kind !== 'VirtualRouter').map((published) => source.publish(published)),
      ...withdraw.map(({ kind, name }) => source.withdraw(kind, name)),
    ])
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  /** A block of ours that somebody deleted while pods live in it; when another node was faster, its pods are reported by the model. */
  async #claim(block: IpamBlock): Promise<void> {
    try {
      await this.#options.source.publish({ kind: 'IPAMBlock', object: block }, { create: true })
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'BLOCK_TAKEN') throw error
    }
  }
}
