/** What a change of Services costs, counted and not timed: what isn't concerned isn't looked at, however many Services there are. */
import assert from 'node:assert/strict'
import { byName, endpointOf, serviceOf, sliceOf } from '../../../../test/doubles/service-objects.ts'
import { inputOf, limits, port, remote, standard } from '../../../../test/doubles/service-world.ts'
import { Model, type ModelInput } from '../compute.ts'
import { type IdKind, Ids } from '../ids.ts'
import type { EndpointSlice, Service, SourceState } from '../objects.ts'
import { VrfRib } from '../rib/rib.ts'
import type { Tables } from '../tables.ts'

interface Work {
  /** Fields of Services, slices and endpoints that were read. */
  reads: number
  /** Numbers of service ports that were asked for. */
  numbers: number
  /** Routes that were offered to the RIB, or withdrawn. */
  offers: number
  /** Fronts that are other objects than before, or came, or went. */
  fronts: number
}

const NOTHING: Work = { reads: 0, numbers: 0, offers: 0, fronts: 0 }

class CountingIds extends Ids {
  readonly #work: Work

  constructor(work: Work) {
    super({ limits: { ...limits, service: 10_000 } })
    this.#work = work
  }

  override allocate(kind: IdKind, key: string, now: number): number | undefined {
    if (kind === 'service') this.#work.numbers++
    return super.allocate(kind, key, now)
  }
}

/** So many Services with three endpoints each, on pods of this node and of another. */
class Node {
  readonly work: Work = { ...NOTHING }
  readonly #model: Model
  #input: ModelInput
  #tables: Tables

  constructor(services: number) {
    const options = { node: 'n1', cluster: 'k8s', limits: { routes: 10_000 }, flowsPerVif: 5, snat: true }
    this.#model = new Model({ ...options, now: () => 0 }, new CountingIds(this.work))
    const input = inputOf({
      ports: [port('here', standard, '10.244.0.4')],
      interfaces: [remote('there', standard, '10.244.1.4', 30)],
    })
    const all = Array.from({ length: services }, (_, at) => at)
    const source = {
      ...input.source,
      services: byName(all.map((at) => this.service(at))),
      slices: byName(all.map((at) => this.slice(at))),
    }
    this.#input = { ...input, source }
    this.#tables = this.#model.update(this.#input)
  }

  service(at: number, more: Partial<Service> = {}): Service {
    return this.#counted(serviceOf(`s${at}`, { clusterIps: [`10.96.${1 + (at >> 8)}.${at & 255}`], ...more }))
  }

  slice(at: number, last = '203.0.113.1'): EndpointSlice {
    const pods = [endpointOf('10.244.0.4', { pod: 'here' }), endpointOf(`10.244.9.${at % 200}`, { pod: `p${at}` })]
    const endpoints = [...pods, endpointOf(last)].map((one) => this.#counted(one))
    return this.#counted(sliceOf(`s${at}`, endpoints))
  }

  /** What the next round costs, with this instead of what was so. */
  round(change: (source: SourceState) => Partial<SourceState> = () => ({})): Work {
    const { source } = this.#input
    const input = { ...this.#input, source: { ...source, ...change(source) } }
    Object.assign(this.work, NOTHING)
    const tables = this.#model.update(input)
    this.work.fronts = new Set(this.#tables.fronts).symmetricDifference(new Set(tables.fronts)).size
    this.#input = input
    this.#tables = tables
    return { ...this.work }
  }

  #counted<T extends object>(object: T): T {
    return new Proxy(object, {
      get: (target, key) => {
        this.work.reads++
        return Reflect.get(target, key)
      },
    })
  }
}

const edited = <V>(
  map: ReadonlyMap<string, V> | undefined,
  key: string,
  value: V | undefined,
): ReadonlyMap<string, V> => {
  const next = new Map(map)
  if (value === undefined) next.delete(key)
  else next.set(key, value)
  return next
}

describe('a round of a node with many Services', () => {
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
  })

  after(() => Object.assign(VrfRib.prototype, { offer, withdraw }))

  function costs(services: number): Record<string, Work> {
    const node = new Node(services)
    working = node.work
    const slice = (at: number, last: string) => (source: SourceState) => ({
      slices: edited(source.slices, `default/s${at}-1`, node.slice(at, last)),
    })
    const service = (at: number, one: Service | undefined) => (source: SourceState) => ({
      services: edited(source.services, `default/s${at}`, one),
    })
    const pod = remote('p3', standard, '10.244.9.3', 31)
    const all = {
      'nothing is new': node.round(),
      'an endpoint changes': node.round(slice(1, '203.0.113.2')),
      'it changes back': node.round(slice(1, '203.0.113.1')),
      'a Service comes': node.round(service(9000, node.service(9000))),
      'it is public': node.round(service(9000, node.service(9000, { externalIps: ['198.51.100.1'] }))),
      'it goes': node.round(service(9000, undefined)),
      'a pod comes that is an endpoint': node.round(({ interfaces }) => ({
        interfaces: edited(interfaces, pod.uuid, pod),
      })),
      'it goes again': node.round(({ interfaces }) => ({ interfaces: edited(interfaces, pod.uuid, undefined) })),
      'nothing is new any more': node.round(),
    }
    working = undefined
    return all
  }

  it('reads, numbers and offers as much as with a few, and makes no more fronts', () => {
    const [few, many] = [5, 300].map(costs) as [Record<string, Work>, Record<string, Work>]
    assert.deepEqual(many, few)
    assert.deepEqual(few['nothing is new'], { ...few['nothing is new']!, reads: 0, numbers: 0, fronts: 0 })
    assert.equal(few['an endpoint changes']!.fronts, 2, 'one front instead of one')
    assert.equal(few['a pod comes that is an endpoint']!.fronts, 2)
    assert.equal(few['a Service comes']!.fronts, 2, 'the address, and its port')
    assert.ok(few['it is public']!.offers > few['a Service comes']!.offers, 'offers are counted')
    assert.ok(few['an endpoint changes']!.reads > 0 && few['an endpoint changes']!.numbers === 1)
  })
})
