import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { VirtualMachineInterface } from './objects.ts'
import { type ChangeTold, RemotePodTable } from './remote-pods.ts'

const uuids = ['1', '2', '3', '4', '5']
const networks = ['red', 'blue']

function pod(uuid: string, vn: string, node: string, addresses: readonly string[]): VirtualMachineInterface {
  const name = `pod-${uuid}`
  return {
    name,
    namespace: 'default',
    uuid,
    vn,
    node,
    pod: { name, uid: uuid },
    containerId: uuid,
    ifname: 'eth0',
    mac: '02:00:00:00:00:01',
    addresses,
    label: 16,
  }
}

/** A map that changes in place and tells what changed, as a source's does. */
class Told extends Map<string, VirtualMachineInterface> implements ChangeTold<string> {
  #changed: { readonly since: unknown; readonly keys: Iterable<string> } | undefined

  static after(before: Told, changes: ReadonlyMap<string, VirtualMachineInterface | undefined>): Told {
    const next = new Told(before)
    for (const [key, value] of changes) {
      next.delete(key)
      if (value !== undefined) next.set(key, value)
    }
    next.#changed = { since: before, keys: changes.keys() }
    return next
  }

  changedSince(earlier: unknown): Iterable<string> | undefined {
    return this.#changed?.since === earlier ? this.#changed?.keys : undefined
  }
}

const someone = fc.record({
  vn: fc.constantFrom(...networks),
  node: fc.constantFrom('here', 'n2', 'n3'),
  addresses: fc.subarray(['10.0.0.1', '10.0.0.2', 'fd00::1']),
})
const step = fc.dictionary(fc.constantFrom(...uuids), fc.option(someone, { nil: undefined }))
const asMap = (changes: Record<string, { vn: string; node: string; addresses: string[] } | undefined>) =>
  new Map(
    Object.entries(changes).map(([uuid, one]) => [uuid, one && pod(uuid, one.vn, one.node, one.addresses)] as const),
  )

describe('interfaces of other nodes', () => {
  for (const isTold of [true, false]) {
    it(`are what the source has, ${isTold ? 'which tells what changed' : 'whatever changed'}; changes lead from each to the next`, () => {
      fc.assert(
        fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
          const table = new RemotePodTable('here')
          let source = new Told()
          const replayed = new Map(networks.map((vn) => [vn, new Map<string, VirtualMachineInterface>()]))
          for (const changes of steps) {
            source = Told.after(source, asMap(changes))
            finish(table.update(isTold ? source : new Map(source)))
            for (const vn of networks) {
              const wanted = [...source.values()].filter((one) => one.vn === vn && one.node !== 'here')
              const now = table.of(vn)
              assert.deepEqual(new Set(now), new Set(wanted))
              assert.equal(now.size, wanted.length)
              assert.deepEqual(new Set(now.nodes()), new Set(wanted.map(({ node }) => node)))
              const all = wanted.flatMap(({ addresses }) => addresses)
              assert.equal(now.addresses[4], all.filter((one) => !one.includes(':')).length)
              assert.equal(now.addresses[6], all.filter((one) => one.includes(':')).length)
              const content = replayed.get(vn)!
              for (const { before: gone, after } of now.changes) {
                assert.equal(content.get((gone ?? after)!.uuid), gone)
                content.delete((gone ?? after)!.uuid)
                if (after !== undefined) content.set(after.uuid, after)
              }
              assert.deepEqual(new Set(content.values()), new Set(wanted))
            }
          }
        }),
      )
    })
  }

  it('tell of a change once, and in networks that it concerns alone', () => {
    const table = new RemotePodTable('here')
    const first = Told.after(new Told(), asMap({ 1: { vn: 'red', node: 'n2', addresses: ['10.0.0.1'] } }))
    finish(table.update(first))
    assert.equal(table.of('red').changes.length, 1)
    const second = Told.after(first, asMap({ 2: { vn: 'blue', node: 'n2', addresses: [] } }))
    finish(table.update(second))
    assert.deepEqual(table.of('red').changes, [])
    assert.equal(table.of('blue').changes.length, 1)
    finish(table.update(second))
    assert.deepEqual(table.of('blue').changes, [])
    assert.equal(table.of('blue').get('2')!.vn, 'blue')
  })

  it('end up as the source says where that changes while they are read', () => {
    const pods = Array.from({ length: 3000 }, (_, at) => pod(`${at}`, 'red', 'n2', [`10.0.${at >> 8}.${at & 255}`]))
    const source = new Map(pods.map((one) => [one.uuid, one]))
    const table = new RemotePodTable('here')
    const reading = table.update(source)
    assert.equal(reading.next().done, false)
    // One that is read already, one that isn't, and a new one.
    const late = pod('late', 'red', 'n3', ['10.1.0.1'])
    source.delete('5')
    source.delete('2999')
    source.set('late', late)
    finish(reading)
    const changedSince = (earlier: unknown) => (earlier === source ? ['5', '2999', 'late'] : undefined)
    finish(table.update(Object.assign(new Map(source), { changedSince })))
    assert.deepEqual(new Set(table.of('red')), new Set(source.values()))
    assert.equal(table.of('red').addresses[4], source.size)
  })
})

function finish(steps: Iterator<void>): void {
  while (steps.next().done !== true);
}
