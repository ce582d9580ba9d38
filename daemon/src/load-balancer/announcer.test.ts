import assert from 'node:assert/strict'
import { until } from '../../../test/patience.ts'
import type { Log } from '../log.ts'
import { type AnnouncedTable, announcedAddress, announcedKey } from '../maps/announced.ts'
import type { AnnouncedKeyStruct } from '../maps/structs.ts'
import type { LoadBalancerPool, Service, VirtualRouter } from '../model/objects.ts'
import { Announcer } from './announcer.ts'

/** What stands for the map. */
class FakeTable {
  readonly addresses = new Set<string>()
  most = 100

  set(key: AnnouncedKeyStruct): void {
    if (this.addresses.size >= this.most) throw new Error('E2BIG')
    this.addresses.add(announcedAddress(key))
  }

  delete(key: AnnouncedKeyStruct): boolean {
    return this.addresses.delete(announcedAddress(key))
  }

  entries(): [AnnouncedKeyStruct, { answers: bigint }][] {
    return [...this.addresses].map((address) => [announcedKey(address), { answers: 0n }])
  }
}

const ranges = [
  { first: '192.0.2.0', last: '192.0.2.255' },
  { first: '2001:db8::', last: '2001:db8::ff' },
]
const pool: LoadBalancerPool = { name: 'public', ranges, autoAssign: true, isDefault: false }
const router: VirtualRouter = { name: 'n1', address: '127.0.0.1', encapsulations: [], vrfLabels: {}, vhostLabel: 16 }

const service = (...loadBalancerIps: string[]): Service => ({
  ...{ namespace: 'shop', name: 'web', uid: '1', type: 'LoadBalancer', clusterIps: ['10.96.0.1'], ports: [] },
  ...{ externalIps: [], loadBalancerIps, sourceRanges: [] },
  ...{ internalTrafficPolicy: 'Cluster', externalTrafficPolicy: 'Cluster' },
})

const stateOf = (...addresses: string[]) => ({
  services: new Map([['shop/web', service(...addresses)]]),
  slices: new Map(),
  pools: new Map([['public', pool]]),
  routers: new Map([['n1', router]]),
})

describe('the announcer of the only node', () => {
  let table: FakeTable
  let told: string[][]
  let errors: string[]
  let connected: boolean
  let groups: number
  let announcer: Announcer

  const start = () => {
    const log = { info: () => undefined, warn: () => undefined, error: (_: object, text: string) => errors.push(text) }
    announcer = new Announcer({
      ...{ node: 'n1', table: table as unknown as AnnouncedTable, log: log as unknown as Log },
      tell: (addresses) => told.push([...addresses]),
      isConnected: () => connected,
      onFirst6: () => groups++,
    })
  }
  beforeEach(() => {
    table = new FakeTable()
    ;[told, errors, connected, groups] = [[], [], true, 0]
  })
  afterEach(() => announcer[Symbol.dispose]())

  it('answers for the addresses, tells so three times, and takes what is sent to groups once', async () => {
    start()
    announcer.update(stateOf('192.0.2.7', '2001:db8::7', '2001:db8::8'), '127.0.0.1')
    await until('announced', () => table.addresses.size === 3)
    await until('told', () => told.length === 3)
    assert.deepEqual(told, Array(3).fill(['192.0.2.7', '2001:db8::7', '2001:db8::8']))
    assert.equal(groups, 1)
    announcer.update(stateOf('192.0.2.7'), '127.0.0.1')
    await until('given up', () => table.addresses.size === 1)
    assert.deepEqual([...announcer.announcements.announced], ['192.0.2.7'])
    assert.deepEqual(errors, [])
  })

  it('goes on with what stood there, while Services aren’t known and after', async () => {
    table.set(announcedKey('192.0.2.7'))
    table.set(announcedKey('192.0.2.9'))
    start()
    announcer.update({ routers: new Map([['n1', router]]) }, '127.0.0.1')
    // Longer than it gathers what is new.
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.deepEqual([...table.addresses], ['192.0.2.7', '192.0.2.9'])
    announcer.update(stateOf('192.0.2.7'), '127.0.0.1')
    await until('the other is given up', () => table.addresses.size === 1)
    assert.ok(table.addresses.has('192.0.2.7'))
    // It was here before: there is nothing to tell.
    assert.deepEqual(told, [])
  })

  it('says when there is no room, once, and takes the address when there is', async () => {
    table.most = 1
    start()
    announcer.update(stateOf('192.0.2.7', '192.0.2.8'), '127.0.0.1')
    await until('one', () => table.addresses.size === 1)
    await until('told', () => errors.length === 1)
    assert.deepEqual(errors, ['192.0.2.8 can not be announced'])
    table.most = 2
    await until('both', () => table.addresses.size === 2)
    assert.equal(errors.length, 1)
  })

  it('gives all up while nobody can hear it', async () => {
    start()
    announcer.update(stateOf('192.0.2.7'), '127.0.0.1')
    await until('announced', () => table.addresses.size === 1)
    connected = false
    announcer.update(stateOf('192.0.2.7'), '127.0.0.1')
    await until('given up', () => table.addresses.size === 0)
    connected = true
    await until('announced again', () => table.addresses.size === 1)
    assert.ok(told.length >= 2)
  })
})
