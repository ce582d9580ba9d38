/**
 * Watches this node's network for the daemon: facts of the underlay, and which taps exist. Events of the kernel only say when to look
 * at the underlay, which is always read afresh; taps are followed by their events, and read when events were lost.
 */
import type { RouteEvent } from '@kube-vrouter/linux/netlink/events'
import { RouteMonitor } from '@kube-vrouter/linux/netlink/monitor'
import { type LinkInfo, type RouteInfo, type RouteSocket, Scope } from '@kube-vrouter/linux/netlink/route'
import { Gathering } from '../ground/gathering.ts'
import { VROUTER_PROTOCOL } from '../ground/route-protocol.ts'
import { errorFields, type Log } from '../log.ts'
import type { NodeFacts } from '../model/facts.ts'
import { type DeviceNames, factsOf, isSameFacts, type NodeState, readNode } from './node-facts.ts'

/** Events come in bursts; milliseconds to gather them. */
const GATHER_MS = 20

/** From word that a tap was taken down until it counts as damage: the kernel takes a device down before it deletes it. */
const DOWN_MS = 100

/** Taps that the CNI binary makes (`tap` and 12 hex digits), and those of Contrail's own plugins. */
const TAP_NAME = /^tap[\w.-]{1,12}$/

/** No address is for the moment between two devices, or two leases: what the programs run on may have changed nevertheless. */
function hasAddress({ addresses }: NodeState): boolean {
  return addresses.some(({ family, scope }) => family === 4 && scope === Scope.UNIVERSE)
}

function withDevices(facts: NodeFacts, { nic, vhost, agent }: NodeState): NodeFacts {
  return {
    ...facts,
    underlay: { ...facts.underlay, ifindex: nic.index, mac: nic.mac ?? facts.underlay.mac, mtu: nic.mtu },
    vhost: { name: vhost.name, ifindex: vhost.index },
    agent: { name: agent.name, ifindex: agent.index },
  }
}

/** Something of ours that went away or was taken down. */
export type Loss =
  | { readonly kind: 'device' }
  | { readonly kind: 'route'; readonly route: RouteInfo }
  | { readonly kind: 'neighbour'; readonly address: string }
  /** Word of what happened was lost: any of them. */
  | { readonly kind: 'events' }

export class NodeWatch implements AsyncDisposable {
  readonly #route: RouteSocket
  readonly #node: string
  readonly #names: DeviceNames
  readonly #log: Log
  /** The kernel's events, for others who want them too. */
  readonly monitor = new RouteMonitor()
  readonly #taps = new Map<string, number>()
  readonly #tapNames = new Map<number, string>()
  /** Indices of taps that are up. */
  #up = new Set<number>()
  readonly #onFacts = new Set<(facts: NodeFacts) => void>()
  readonly #onTaps = new Set<(taps: ReadonlyMap<string, number>) => void>()
  readonly #onDamage = new Set<(loss: Loss) => void>()
  #facts: NodeFacts
  readonly #looks: Gathering
  #areFactsDirty = false
  #areTapsDirty = false
  #haveTapsChanged = false
  #isClosed = false
  #lastFailure: string | undefined

  private constructor(route: RouteSocket, node: string, names: DeviceNames, log: Log) {
    this.#route = route
    this.#node = node
    this.#names = names
    this.#log = log
    this.#facts = factsOf(node, readNode(route, names))
    this.#looks = new Gathering({
      work: () => {
        if (this.#areTapsDirty) this.#readTaps()
        this.#announceTaps()
        if (this.#areFactsDirty) this.#readFacts()
      },
      onError: (error) => log.error({ err: errorFields(error) }, 'a change of the node could not be looked at'),
    })
  }

  /** Throws what `readNode` and `factsOf` throw. */
  static async open(route: RouteSocket, node: string, names: DeviceNames, log: Log): Promise<NodeWatch> {
    const watch = new NodeWatch(route, node, names, log)
    try {
      await watch.monitor.ready
    } catch (error) {
      await watch[Symbol.asyncDispose]()
      throw error
    }
    watch.monitor.on('event', (event) => watch.#take(event))
    watch.monitor.on('resync', () => {
      watch.#damaged({ kind: 'events' })
      watch.#look(true, true)
    })
    watch.monitor.on('error', (error) =>
      log.error({ err: error }, 'the node is not watched for a moment: what changes meanwhile is read then'),
    )
    watch.#readTaps()
    watch.#readFacts()
    return watch
  }

  get facts(): NodeFacts {
    return this.#facts
  }

  /** Names and ifindexes of the taps that exist. */
  get taps(): ReadonlyMap<string, number> {
    return this.#taps
  }

  /** Called after the facts have changed. */
  onFacts(callback: (facts: NodeFacts) => void): void {
    this.#onFacts.add(callback)
  }

  /** Called after a tap came, went, or came back under another ifindex. */
  onTaps(callback: (taps: ReadonlyMap<string, number>) => void): void {
    this.#onTaps.add(callback)
  }

  /** Called after a device, a route or a managed neighbour of ours went away or was taken down, by whomever. */
  onDamage(callback: (loss: Loss) => void): void {
    this.#onDamage.add(callback)
  }

  /** Whether pkt0 is there and up, whatever was heard of it. */
  hasAgentDevice(): boolean {
    return this.#route.link(this.#names.agent)?.up === true
  }

  /** Reads everything now, as the resync does. */
  refresh(): void {
    this.#readTaps()
    this.#announceTaps()
    this.#readFacts()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    await this.#looks[Symbol.asyncDispose]()
    await this.monitor.close()
  }

  #take(event: RouteEvent): void {
    const { underlay, vhost, agent } = this.#facts
    switch (event.kind) {
      case 'link': {
        const { link, action } = event
        const isOwn = [this.#names.nic, this.#names.vhost, this.#names.agent].includes(link.name)
        if (isOwn || [underlay.ifindex, vhost.ifindex, agent.ifindex].includes(link.index)) {
          if (action === 'del' || (!link.up && link.index !== underlay.ifindex)) this.#damaged({ kind: 'device' })
          this.#look(true, false)
        } else {
          this.#followTap(link, action)
          // It may be a way out of the node.
          if (!TAP_NAME.test(link.name)) this.#look(true, false)
        }
        return
      }
      case 'address':
        this.#look(true, false)
        return
      case 'route':
        // Our own say nothing of the underlay.
        if (event.route.protocol === VROUTER_PROTOCOL) {
          if (event.action === 'del') this.#damaged({ kind: 'route', route: event.route })
        } else if (event.route.family === 4) this.#look(true, false)
        return
      case 'neighbour': {
        const { family, index, address } = event.neighbour
        if (family !== 4 || (index !== vhost.ifindex && index !== underlay.ifindex)) return
        if (event.action === 'del' && event.neighbour.managed) this.#damaged({ kind: 'neighbour', address })
        this.#look(true, false)
        return
      }
      default:
        event satisfies never
    }
  }

  /** A node has hundreds: they are never all read because of one. */
  #followTap({ name, index, up }: LinkInfo, action: 'new' | 'del'): void {
    const former = this.#tapNames.get(index)
    const isTap = action === 'new' && TAP_NAME.test(name)
    if (former !== undefined && (former !== name || !isTap)) {
      this.#tapNames.delete(index)
      if (this.#taps.get(former) === index) this.#taps.delete(former)
      this.#tellOfTaps()
    }
    const wasUp = this.#up.delete(index)
    if (!isTap) return
    if (this.#taps.get(name) !== index) {
      this.#taps.set(name, index)
      this.#tapNames.set(index, name)
      this.#tellOfTaps()
    }
    if (up) this.#up.add(index)
    else if (wasUp) this.#askLater(name, index)
  }

  /** One that goes down is about to be deleted, most of the time. */
  #askLater(name: string, index: number): void {
    const timer = setTimeout(() => {
      const isDown = this.#taps.get(name) === index && !this.#up.has(index)
      if (isDown && !this.#isClosed) this.#damaged({ kind: 'device' })
    }, DOWN_MS)
    timer.unref()
  }

  #tellOfTaps(): void {
    this.#haveTapsChanged = true
    this.#look(false, false)
  }

  #damaged(loss: Loss): void {
    for (const callback of this.#onDamage) callback(loss)
  }

  #look(facts: boolean, taps: boolean): void {
    this.#areFactsDirty ||= facts
    this.#areTapsDirty ||= taps
    void this.#looks.ask({ inMs: GATHER_MS })
  }

  #readTaps(): void {
    this.#areTapsDirty = false
    const links = this.#route.links().filter(({ name }) => TAP_NAME.test(name))
    const found = new Map(links.map(({ name, index }) => [name, index]))
    this.#up = new Set(links.filter(({ up }) => up).map(({ index }) => index))
    const isSame = found.size === this.#taps.size && [...found].every(([name, index]) => this.#taps.get(name) === index)
    if (isSame) return
    this.#taps.clear()
    this.#tapNames.clear()
    for (const [name, index] of found) {
      this.#taps.set(name, index)
      this.#tapNames.set(index, name)
    }
    this.#haveTapsChanged = true
  }

  #announceTaps(): void {
    if (!this.#haveTapsChanged) return
    this.#haveTapsChanged = false
    for (const callback of this.#onTaps) callback(this.#taps)
  }

  /** Facts that can't be had (the address is gone for a moment, vhost0 was deleted) leave the last ones standing. */
  #readFacts(): void {
    this.#areFactsDirty = false
    try {
      const state = readNode(this.#route, this.#names)
      const facts = hasAddress(state) ? factsOf(this.#node, state) : withDevices(this.#facts, state)
      this.#lastFailure = undefined
      if (isSameFacts(facts, this.#facts)) return
      this.#facts = facts
    } catch (error) {
      const { message } = error as Error
      if (message !== this.#lastFailure) this.#log.warn({ err: error }, `keeping the last known underlay: ${message}`)
      this.#lastFailure = message
      return
    }
    for (const callback of this.#onFacts) callback(this.#facts)
  }
}
