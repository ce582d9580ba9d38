/** What a round costs, counted and not timed: what isn't concerned by a change isn't worked on, however much of it there is. */
import assert from 'node:assert/strict'
import { nodeFacts } from '../../../test/doubles/node-facts.ts'
import { builtInNetworks, defaultSubnet } from './built-in-networks.ts'
import { Model } from './compute.ts'
import type { Port } from './facts.ts'
import { type IdKind, Ids } from './ids.ts'
import { interfaceUuid, podMac, tapName } from './names.ts'
import type { Namespace, SourceState, VirtualNetwork } from './objects.ts'
import { VrfRib } from './rib/rib.ts'
import { RibTable } from './rib/rib-table.ts'

const LATER = '2026-01-02T00:00:00Z'
const limits = { vrf: 4096, nexthop: 65_536, label: 5120, vif: 1024, bridge: 65_536, service: 32_768 }

interface Work {
  /** Fields of networks and namespaces that were read. */
  reads: number
  /** Numbers that were asked for. */
  numbers: number
  /** Routes that were offered to the RIB, or withdrawn. */
  offers: number
  /** How often VRFs were asked whether they have something to select, or problems. */
  asked: number
}

const NOTHING: Work = { reads: 0, numbers: 0, offers: 0, asked: 0 }

class CountingIds extends Ids {
  /** Numbers that were looked at for whether they are to be given back. */
  swept = 0
  readonly #work: Work

  constructor(work: Work) {
    super({ limits })
    this.#work = work
  }

  override sweep(kind: IdKind, isAlive: (key: string, id: number) => boolean, now: number): void {
    // Nexthops are looked through for their numbers of references in any case.
    if (kind !== 'nexthop') this.swept += this.used(kind).size
    super.sweep(kind, isAlive, now)
  }

  override allocate(kind: IdKind, key: string, now: number): number | undefined {
    this.#work.numbers++
    return super.allocate(kind, key, now)
  }
}

const vnOf = (at: number) => `default-domain:k8s-t${at}:net`

/** A pod with the same address in each of so many networks; four times as many are defined in the cluster. */
class Node {
  readonly work: Work = { ...NOTHING }
  readonly ids = new CountingIds(this.work)
  readonly #model: Model
  readonly #source: SourceState
  #ports: readonly Port[]

  constructor(networks: number) {
    const virtualNetworks = new Map(builtInNetworks('k8s', ['10.244.0.0/16'], []).map((vn) => [vn.fqName, vn]))
    const namespaces = new Map<string, Namespace>()
    for (let at = 0; at < 4 * networks; at++) {
      virtualNetworks.set(vnOf(at), this.#counted(network(at)))
      const annotations = { 'vrouter.dev/network': 'net' }
      namespaces.set(`t${at}`, this.#counted({ name: `t${at}`, labels: {}, annotations }))
    }
    const none = new Map<string, never>()
    const others = { blocks: none, interfaces: none, routers: none, networkRouters: none, pods: none, rejected: [] }
    this.#source = { virtualNetworks, namespaces, ...others }
    const options = { node: 'n1', cluster: 'k8s', limits: { routes: 65_536 }, flowsPerVif: 100, snat: true }
    this.#model = new Model(options, this.ids)
    this.#ports = Array.from({ length: networks }, (_, at) => port(`pod-${at}`, at))
    this.#update()
  }

  /** What the next round costs, with these pods beside those of before. */
  round(...ports: readonly Port[]): Work {
    Object.assign(this.work, NOTHING)
    this.#update(ports)
    return { ...this.work }
  }

  #update(more: readonly Port[] = []): void {
    const ports = [...this.#ports, ...more]
    this.#model.update({ source: this.#source, facts: nodeFacts, ports })
  }

  #counted<T extends object>(object: T): T {
    return new Proxy(object, {
      get: (target, key) => {
        // Whether a network has a way out: to ask costs less than to remember.
        if (key !== 'fabricSnat') this.work.reads++
        return Reflect.get(target, key)
      },
    })
  }
}

function network(at: number): VirtualNetwork {
  const [fqName, subnets] = [vnOf(at), [defaultSubnet('10.64.0.0/24')]]
  return { namespace: `t${at}`, name: 'net', fqName, uuid: fqName, subnets, blockSize4: 26, blockSize6: 122 }
}

function port(name: string, at: number): Port {
  const uuid = interfaceUuid(name, 'eth0')
  return {
    uuid,
    containerId: name,
    ifname: 'eth0',
    namespace: `t${at}`,
    pod: { name, uid: uuid },
    vn: vnOf(at),
    networkFrom: 'namespace',
    mac: podMac(uuid),
    addresses: ['10.64.0.3'],
    tap: tapName(name, 'eth0'),
    ifindex: 10,
    mtu: 1468,
    labels: {},
    createdAt: '2026-01-01T00:00:00Z',
  }
}

describe('a round of a node with many networks', () => {
  const { offer, withdraw } = VrfRib.prototype
  let working: Work | undefined

  before(() => {
    const counted = <A extends unknown[]>(work: (this: VrfRib, ...args: A) => void) =>
      function (this: VrfRib, ...args: A): void {
        if (working !== undefined) working.offers++
        work.apply(this, args)
      }
    VrfRib.prototype.offer = counted(offer)
    VrfRib.prototype.withdraw = counted(withdraw)
    for (const name of ['isPending', 'hasProblems'] as const) {
      const known = Object.getOwnPropertyDescriptor(RibTable.prototype, name)!
      Object.defineProperty(RibTable.prototype, name, {
        configurable: true,
        get(this: RibTable) {
          if (working !== undefined) working.asked++
          return known.get!.call(this)
        },
      })
      undo.push(() => Object.defineProperty(RibTable.prototype, name, known))
    }
  })

  const undo: (() => void)[] = []
  after(() => {
    Object.assign(VrfRib.prototype, { offer, withdraw })
    for (const one of undo) one()
  })

  function costs(networks: number): Record<string, Work> {
    const node = new Node(networks)
    working = node.work
    const [first, second] = [port('first', networks), port('second', 0)].map((one) => ({ ...one, createdAt: LATER }))
    const all = {
      'nothing is new': node.round(),
      'the first pod of a network comes': node.round(first!),
      'it goes': node.round(),
      'another pod of a network comes': node.round(second!),
      'that goes': node.round(),
      'nothing is new any more': node.round(),
    }
    working = undefined
    return all
  }

  it('asks, reads and offers as much as with a few', () => {
    const few = costs(5)
    assert.deepEqual(costs(80), few)
    const fresh = few['the first pod of a network comes']!
    assert.ok(fresh.reads > 0 && fresh.numbers > 0 && fresh.offers > 0 && fresh.asked > 0, 'what is counted is counted')
    assert.equal(few['nothing is new']!.reads, 0)
  })

  it('looks for numbers to give back only when something is gone', () => {
    const node = new Node(5)
    const swept = (...ports: readonly Port[]) => {
      node.ids.swept = 0
      node.round(...ports)
      return node.ids.swept
    }
    const one = port('first', 5)
    assert.deepEqual([swept(), swept(one), swept(one)], [0, 0, 0])
    assert.ok(swept() > 0)
    assert.deepEqual([swept(), node.ids.used('vif').size], [0, 5])
  })
})
