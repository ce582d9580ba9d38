/**
 * Watches this node's network for the daemon: facts of the underlay, and which taps exist. Events of the kernel only say when to look;
 * what is told is always read afresh.
 */
import type { RouteEvent } from '@kube-vrouter/linux/netlink/events'
import { RouteMonitor } from '@kube-vrouter/linux/netlink/monitor'
import { type RouteSocket, Scope } from '@kube-vrouter/linux/netlink/route'
import type { Log } from '../log.ts'
import type { NodeFacts } from '../model/facts.ts'
import { VROUTER_PROTOCOL } from './neighbours.ts'
import { type DeviceNames, factsOf, isSameFacts, type NodeState, readNode } from './node-facts.ts'

/** Events come in bursts; milliseconds to gather them. */
const GATHER_MS = 20

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

export class NodeWatch implements AsyncDisposable {
  readonly #route: RouteSocket
  readonly #node: string
  readonly #names: DeviceNames
  readonly #log: Log
  /** The kernel's events, for others who want them too. */
  readonly monitor = new RouteMonitor()
  readonly #taps = new Map<string, number>()
  readonly #onFacts = new Set<(facts: NodeFacts) => void>()
  readonly #onTaps = new Set<(taps: ReadonlyMap<string, number>) => void>()
  readonly #onDamage = new Set<() => void>()
  #facts: NodeFacts
  #timer: NodeJS.Timeout | undefined
  #areFactsDirty = false
  #areTapsDirty = false
  #lastFailure: string | undefined

  private constructor(route: RouteSocket, node: string, names: DeviceNames, log: Log) {
    this.#route = route
    this.#node = node
    this.#names = names
    this.#log = log
    this.#facts = factsOf(node, readNode(route, names))
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
    watch.monitor.on('resync', () => watch.#look(true, true))
    watch.monitor.on('error', (error) =>
      log.error({ err: error }, 'the node is no longer watched: changes are found by the resync'),
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

  /** Called after a device of ours, or a managed neighbour, went away or was taken down: time for a resync. */
  onDamage(callback: () => void): void {
    this.#onDamage.add(callback)
  }

  /** Reads everything now, as the resync does. */
  refresh(): void {
    this.#readTaps()
    this.#readFacts()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer)
    await this.monitor.close()
  }

  #take(event: RouteEvent): void {
    const { underlay, vhost, agent } = this.#facts
    switch (event.kind) {
      case 'link': {
        const { link, action } = event
        const isOwn = [this.#names.nic, this.#names.vhost, this.#names.agent].includes(link.name)
        if (isOwn || [underlay.ifindex, vhost.ifindex, agent.ifindex].includes(link.index)) {
          if (action === 'del' || (!link.up && link.index !== underlay.ifindex)) this.#damaged()
          this.#look(true, false)
        } else if (TAP_NAME.test(link.name)) {
          if (action === 'new' && !link.up && this.#taps.get(link.name) === link.index) this.#damaged()
          this.#look(false, true)
        }
        return
      }
      case 'address':
        this.#look(true, false)
        return
      case 'route':
        if (event.route.protocol === VROUTER_PROTOCOL && event.action === 'del') this.#damaged()
        if (event.route.family === 4) this.#look(true, false)
        return
      case 'neighbour': {
        const { family, index } = event.neighbour
        if (family !== 4 || (index !== vhost.ifindex && index !== underlay.ifindex)) return
        if (event.action === 'del' && event.neighbour.managed) this.#damaged()
        this.#look(true, false)
        return
      }
      default:
        event satisfies never
    }
  }

  #damaged(): void {
    for (const callback of this.#onDamage) callback()
  }

  #look(facts: boolean, taps: boolean): void {
    this.#areFactsDirty ||= facts
    this.#areTapsDirty ||= taps
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      if (this.#areTapsDirty) this.#readTaps()
      if (this.#areFactsDirty) this.#readFacts()
    }, GATHER_MS)
  }

  #readTaps(): void {
    this.#areTapsDirty = false
    const found = new Map(
      this.#route
        .links()
        .filter(({ name }) => TAP_NAME.test(name))
        .map(({ name, index }) => [name, index] as const),
    )
    const isSame = found.size === this.#taps.size && [...found].every(([name, index]) => this.#taps.get(name) === index)
    if (isSame) return
    this.#taps.clear()
    for (const [name, index] of found) this.#taps.set(name, index)
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
