/** Proves: no front ever names a half-made block, wherever the daemon is killed; blocks rest, are shared, found again, and moved when there is no room. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { LABEL_NONE } from '../../maps/constants.ts'
import { addressText } from '../../maps/services.ts'
import { backCodec, frontKeyCodec, rangeKeyCodec } from '../../maps/structs.ts'
import { decode } from '../../maps/table.ts'
import type { Back, BackSet, Front } from '../../model/tables.ts'
import { decodeFront, frontKey, indexKey } from './encode-front.ts'
import { SERVICE_MAPS, ServiceEncoder, type ServiceEncoding, type ServiceMap } from './service-encoder.ts'

const NOTHING: BackSet = { backs: [], whenEmpty: 'reject' }

function set(...hosts: readonly number[]): BackSet {
  return {
    backs: hosts.map((host) => ({ address: `10.1.${host >> 8}.${host & 255}`, port: 8080 })),
    whenEmpty: 'reject',
  }
}

function front(n: number, inside: BackSet, more: Partial<Front> = {}): Front {
  return {
    ...{ vrf: 3, address: `10.96.0.${n}`, listener: { protocol: 'TCP', port: 80 }, kind: 'cluster-ip' },
    ...{ service: { namespace: 'default', name: `s${n}`, port: '', family: 4 }, id: n, inside, outside: inside },
    ...{ local: inside },
    ...more,
  }
}

class Killed extends Error {}

/** The maps, written to as kernel-tables.ts does: backs, ranges, fronts, then what nobody wants, the other way round. */
class Kernel {
  readonly maps: { readonly [map in ServiceMap]: Map<string, string> } = {
    service_backs: new Map(),
    service_ranges: new Map(),
    service_fronts: new Map(),
    node_ports: new Map(),
  }
  writes = 0
  killAfter = Number.POSITIVE_INFINITY
  onWrite: () => void = () => {}
  /** Refuses what is written into this map. */
  refused: ServiceMap | undefined

  known(map: ServiceMap): ReadonlyMap<string, string> {
    return this.maps[map]
  }

  apply({ tables }: ServiceEncoding): void {
    const taken = SERVICE_MAPS.filter((map) => map !== this.refused)
    for (const map of taken)
      for (const [key, value] of tables[map])
        if (this.maps[map].get(key) !== value) this.#write(() => this.maps[map].set(key, value))
    for (const map of taken.toReversed())
      for (const key of this.maps[map].keys()) if (!tables[map].has(key)) this.#write(() => this.maps[map].delete(key))
  }

  #write(write: () => void): void {
    if (this.writes++ >= this.killAfter) throw new Killed()
    write()
    this.onWrite()
  }

  /** Addresses that a front chooses from. */
  choices(key: string, side: 'inside' | 'outside' = 'inside'): string[] {
    const value = this.maps.service_fronts.get(key)
    const { first, count } = value === undefined ? { first: 0, count: 0 } : decodeFront(value)[side]
    return Array.from({ length: count }, (_, at) => {
      const back = this.maps.service_backs.get(indexKey(first + at))
      return back === undefined ? 'none' : addressText(2, decode(backCodec, Buffer.from(back, 'latin1')).ip)
    })
  }

  firstOf(key: string): number {
    return decodeFront(this.maps.service_fronts.get(key)!).inside.first
  }
}

function addresses({ backs }: BackSet): string[] {
  return backs.map(({ address }) => address)
}

/** A daemon: its encoder, and the kernel that it writes to. */
class Daemon {
  now = 0
  readonly kernel: Kernel
  readonly encoder: ServiceEncoder

  constructor(kernel = new Kernel(), capacity = 64) {
    this.kernel = kernel
    this.encoder = new ServiceEncoder({ capacity, nowMs: () => this.now })
  }

  pass(fronts: readonly Front[] | undefined): ServiceEncoding | undefined {
    const steps = this.encoder.encode(fronts, this.kernel)
    for (;;) {
      const step = steps.next()
      if (!step.done) continue
      if (step.value) this.kernel.apply(step.value)
      this.encoder.settle(this.kernel)
      return step.value
    }
  }
}

describe('services as entries', () => {
  it('are left alone as long as nobody knows them, and after that stay as they were', () => {
    const daemon = new Daemon()
    assert.equal(daemon.pass(undefined), undefined)
    const a = front(1, set(1, 2))
    daemon.pass([a])
    daemon.pass(undefined)
    assert.deepEqual(daemon.kernel.choices(frontKey(a)), addresses(a.inside))
  })

  it('say of a NodePort that it leads to the same endpoints at every node, and of nothing else', () => {
    const daemon = new Daemon()
    const [all, some] = [set(1, 2), set(1)]
    const at = { vrf: 0, kind: 'node-port' } as const
    const fronts = [
      front(1, all, { ...at, isAtEveryNode: true }),
      front(2, all, { ...at, outside: some }),
      front(3, all, { ...at, kind: 'host-port' }),
      front(4, all, { ...at, kind: 'load-balancer' }),
      front(5, all, at), // its endpoints for those outside are the same ones by chance
    ]
    const { tables } = daemon.pass(fronts)!
    const flags = fronts.map((one) => decodeFront(tables.service_fronts.get(frontKey(one))!).flags)
    assert.deepEqual(flags, [8, 0, 0, 0, 0])
  })

  it('say what a front is: its set for each side, what an empty one means, affinity and ranges', () => {
    const daemon = new Daemon()
    const outside: BackSet = { backs: [], whenEmpty: 'drop' }
    const back: Back = { address: '192.0.2.7', port: 53, isHost: true, vrf: 4, nexthop: 21 }
    const local = front(
      9,
      { backs: [back], whenEmpty: 'reject' },
      {
        ...{ outside, affinitySeconds: 10800, sourceRanges: ['10.0.0.0/8', '192.0.2.0/24'] },
        ...{ listener: { protocol: 'UDP', port: 53 }, kind: 'load-balancer' },
      },
    )
    const six = front(
      8,
      { backs: [{ address: 'fd00::5', port: 1, nexthop: 22, label: 30 }], whenEmpty: 'reject' },
      { address: 'fd00:96::1' },
    )
    const { listener: _, ...itself } = { ...front(9, NOTHING), id: 0 }
    const { tables, fresh } = daemon.pass([local, six, itself])!
    const { inside: itsBacks, local: itsLocal, ...value } = decodeFront(tables.service_fronts.get(frontKey(local))!)
    assert.deepEqual(itsLocal, itsBacks, 'one block')
    assert.deepEqual(value, { service: 9, flags: 2 | 4, outside: { first: 0, count: 0 }, affinityS: 10800 })
    const first = Buffer.from(tables.service_backs.get(indexKey(itsBacks.first))!, 'latin1')
    const { ip, ...fields } = decode(backCodec, first)
    assert.deepEqual([...ip], [192, 0, 2, 7, ...Array(12).fill(0)])
    assert.deepEqual(fields, { port: 53, flags: 1, vrf: 4, nh: 21, label: LABEL_NONE })
    const six6 = decode(backCodec, Buffer.from(tables.service_backs.get(indexKey(1))!, 'latin1'))
    assert.deepEqual([six6.flags, six6.vrf, six6.nh, six6.label], [2, LABEL_NONE, 22, 30])
    const keys = [...tables.service_fronts.keys()].map((key) => decode(frontKeyCodec, Buffer.from(key, 'latin1')))
    assert.deepEqual(
      keys.map(({ vrf, port, proto, family, ip }) => [vrf, port, proto, addressText(family, ip)]),
      [
        [3, 53, 17, '10.96.0.9'],
        [3, 80, 6, 'fd00:96::1'],
        [3, 0, 0, '10.96.0.9'],
      ],
    )
    const ranges = [...tables.service_ranges.keys()].map((key) => decode(rangeKeyCodec, Buffer.from(key, 'latin1')))
    assert.deepEqual(
      ranges.map(({ prefixlen, service, family, ip }) => [prefixlen, service, family, addressText(family, ip)]),
      [
        [72, 9, 2, '10.0.0.0'],
        [88, 9, 2, '192.0.2.0'],
      ],
    )
    assert.deepEqual(fresh.toSorted(), [0, 8, 9])
  })

  it('share a block between fronts of one set, as long as one of them is there', () => {
    const daemon = new Daemon()
    const shared = set(1, 2, 3)
    const [a, b] = [front(1, shared), front(1, shared, { vrf: 0, address: '192.0.2.1', kind: 'node-port' })]
    daemon.pass([b, a])
    assert.equal(daemon.kernel.maps.service_backs.size, 3)
    daemon.pass([a])
    daemon.now += 5000
    daemon.pass([a])
    assert.deepEqual(daemon.kernel.choices(frontKey(a)), addresses(shared))
    daemon.pass([])
    daemon.now += 5000
    daemon.pass([])
    assert.equal(daemon.kernel.maps.service_backs.size, 0)
  })

  it('encode what has changed and nothing else', () => {
    const daemon = new Daemon(new Kernel(), 4096)
    const all = Array.from({ length: 200 }, (_, n) => front(n, set(n)))
    daemon.pass(all)
    const writes = daemon.kernel.writes
    const changed = all.with(77, front(77, set(77, 500)))
    const { touched } = daemon.pass(changed)!
    assert.deepEqual([touched!.service_fronts.size, touched!.service_backs.size], [1, 2])
    assert.equal(daemon.kernel.writes, writes + 3)
    assert.equal(daemon.pass(changed.toSpliced(5, 1))!.touched!.service_fronts.size, 1)
    assert.equal(daemon.pass(changed)!.touched!.service_fronts.size, 1)
  })

  it('let a block rest until no program can be at it any more', () => {
    const daemon = new Daemon()
    daemon.pass([front(1, set(1, 2))])
    daemon.pass([front(1, set(3))])
    daemon.pass([front(1, set(3)), front(2, set(4, 5))])
    assert.deepEqual(addresses(set(1, 2)), ['10.1.0.1', '10.1.0.2'])
    const values = () => [...daemon.kernel.maps.service_backs.values()]
    const isThere = (text: string) =>
      values().some((value) => addressText(2, decode(backCodec, Buffer.from(value, 'latin1')).ip) === text)
    assert.ok(isThere('10.1.0.1') && isThere('10.1.0.2'))
    daemon.now += 1000
    daemon.pass([])
    assert.ok(!isThere('10.1.0.1') && !isThere('10.1.0.2'))
  })

  it('keep a block for as long as the kernel could not be told of another one', () => {
    const daemon = new Daemon()
    const old = set(1, 2)
    daemon.pass([front(1, old)])
    daemon.kernel.refused = 'service_fronts'
    daemon.pass([front(1, set(3))])
    daemon.now += 60_000
    daemon.pass([front(1, set(3)), front(2, set(4, 5))])
    assert.deepEqual(daemon.kernel.choices(frontKey(front(1, old))), addresses(old))
    daemon.kernel.refused = undefined
    daemon.pass([front(1, set(3)), front(2, set(4, 5))])
    assert.deepEqual(daemon.kernel.choices(frontKey(front(2, old))), addresses(set(4, 5)))
  })

  it('find their blocks again when the daemon starts, and write nothing', () => {
    const kernel = new Kernel()
    const fronts = () => [front(1, set(1, 2)), front(2, set(7)), front(3, set(1, 2)), front(4, NOTHING)]
    const first = new Daemon(kernel)
    const [gone, ...others] = [front(9, set(9)), ...fronts()]
    for (const list of [[gone, ...others], others, others]) {
      first.pass(list)
      first.now += 5000
    }
    const { writes } = kernel
    const { fresh } = new Daemon(kernel).pass(fronts())!
    assert.deepEqual([kernel.writes, fresh], [writes, []])
  })

  it('name whole sets of before or after at every moment, also when the daemon is killed there and starts with others', () => {
    const hosts = fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { maxLength: 4 })
    const state = fc.dictionary(fc.constantFrom('1', '2', '3'), hosts, { maxKeys: 3 })
    fc.assert(
      fc.property(fc.array(fc.tuple(state, fc.nat(12), fc.nat(1500)), { minLength: 2, maxLength: 6 }), (rounds) => {
        const kernel = new Kernel()
        let daemon = new Daemon(kernel)
        let wanted = new Map<string, string>()
        for (const [round, killAfter, ms] of rounds) {
          const fronts = Object.entries(round).map(([n, list]) => front(Number(n), set(...list)))
          const before = new Map([...kernel.maps.service_fronts.keys()].map((key) => [key, kernel.choices(key).join()]))
          wanted = new Map(fronts.map((one) => [frontKey(one), addresses(one.inside).join()]))
          kernel.onWrite = () => {
            for (const key of kernel.maps.service_fronts.keys()) {
              const now = kernel.choices(key).join()
              assert.ok(now === before.get(key) || now === wanted.get(key), `${now} is neither before nor after`)
            }
          }
          kernel.killAfter = kernel.writes + killAfter
          try {
            daemon.pass(fronts)
          } catch (error) {
            if (!(error instanceof Killed)) throw error
            daemon = new Daemon(kernel)
          }
          daemon.now += ms
          kernel.killAfter = Number.POSITIVE_INFINITY
          daemon.pass(fronts)
        }
        const found = [...kernel.maps.service_fronts.keys()].map((key) => [key, kernel.choices(key).join()] as const)
        assert.deepEqual(new Map(found), wanted)
      }),
      { numRuns: 500 },
    )
  })

  it('tell who has too little room, serve as much as fits, and all of it once there is room', () => {
    const daemon = new Daemon(new Kernel(), 32)
    const many = (from: number, count: number) => set(...Array.from({ length: count }, (_, n) => from + n))
    const [a, b] = [front(1, many(1, 20)), front(2, many(100, 11))]
    daemon.pass([a, b])
    const [failure] = daemon.encoder.failures
    assert.equal(failure!.object, 'Service default/s2 (IPv4)')
    assert.match(failure!.error.message, /table service_backs is full \(32 entries\)/)
    assert.deepEqual(daemon.kernel.choices(frontKey(a)), addresses(a.inside))
    const some = daemon.kernel.choices(frontKey(b))
    assert.ok(some.length > 0 && addresses(b.inside).join().startsWith(some.join()))
    const less = front(1, set(1, 2))
    for (let pass = 0; pass < 6; pass++, daemon.now += 1000) daemon.pass([less, b])
    assert.deepEqual(daemon.encoder.failures, [])
    assert.deepEqual(daemon.kernel.choices(frontKey(b)), addresses(b.inside))
    assert.deepEqual(daemon.kernel.choices(frontKey(less)), addresses(less.inside))
  })

  it('forget a set that was short when its Service goes', () => {
    const daemon = new Daemon(new Kernel(), 8)
    const a = front(1, set(1, 2, 3, 4))
    daemon.pass([a, front(2, set(11, 12, 13, 14, 15, 16, 17))])
    assert.equal(daemon.encoder.failures.length, 1)
    for (let pass = 0; pass < 3; pass++, daemon.now += 1000) daemon.pass([a])
    assert.deepEqual(daemon.encoder.failures, [])
    assert.equal(daemon.kernel.maps.service_backs.size, 4)
  })

  it('follow what changes in a full table', () => {
    const daemon = new Daemon(new Kernel(), 64)
    let all = Array.from({ length: 20 }, (_, n) => front(n, set(...[0, 1, 2].map((host) => n * 10 + host))))
    daemon.pass(all)
    assert.ok(daemon.kernel.maps.service_backs.size >= 58)
    for (let round = 0; round < 8; round++) {
      daemon.now += 2000
      all = all.with(round, front(round, set(1000 + round, 1001 + round, 1002 + round)))
      daemon.pass(all)
      assert.deepEqual(daemon.kernel.choices(frontKey(all[round]!)), addresses(all[round]!.inside))
    }
  })

  it('move together when what is free lies in pieces', () => {
    const daemon = new Daemon(new Kernel(), 32)
    const small = Array.from({ length: 28 }, (_, n) => front(n, set(n)))
    daemon.pass(small)
    let fronts = small.filter((_, n) => n % 2 === 0)
    fronts = [...fronts, front(200, set(...Array.from({ length: 14 }, (_, n) => 1000 + n)))]
    for (let pass = 0; pass < 12; pass++, daemon.now += 1000) daemon.pass(fronts)
    assert.deepEqual(daemon.encoder.failures, [])
    for (const one of fronts) assert.deepEqual(daemon.kernel.choices(frontKey(one)), addresses(one.inside))
  })

  it('repair fronts whose blocks others made overlap', () => {
    const kernel = new Kernel()
    const fronts = () => [front(1, set(1, 2)), front(2, set(7, 8))]
    new Daemon(kernel).pass(fronts())
    const { service_fronts } = kernel.maps
    const key = frontKey(front(2, NOTHING))
    const bytes = Buffer.from(service_fronts.get(key)!, 'latin1')
    bytes.writeUInt32LE(1, 8)
    service_fronts.set(key, bytes.toString('latin1'))
    const daemon = new Daemon(kernel)
    daemon.pass(fronts())
    for (const one of fronts()) assert.deepEqual(kernel.choices(frontKey(one)), addresses(one.inside))
  })

  it('tells the programs at which ports of the node anybody listens, whatever its protocol and address', () => {
    const daemon = new Daemon()
    const at = (n: number, port: number, protocol: 'TCP' | 'UDP', kind: Front['kind'] = 'node-port') =>
      front(n, set(1), { vrf: 0, address: `192.0.2.${n}`, kind, listener: { protocol, port } })
    const bits = (): number[] => {
      const value = daemon.kernel.maps.node_ports.get(indexKey(0)) ?? ''
      const bytes = Buffer.from(value, 'latin1')
      return Array.from({ length: 65_536 }, (_, port) => port).filter(
        (port) => ((bytes[port >> 3] ?? 0) >> (port & 7)) & 1,
      )
    }
    daemon.pass([front(9, set(1))])
    assert.equal(daemon.kernel.maps.node_ports.size, 0)
    daemon.pass([at(1, 30080, 'TCP'), at(1, 30080, 'UDP'), at(2, 30080, 'TCP'), at(1, 65535, 'TCP', 'host-port')])
    assert.deepEqual(bits(), [30080, 65535])
    daemon.pass([at(1, 30080, 'UDP'), at(1, 443, 'TCP', 'load-balancer')])
    assert.deepEqual(bits(), [30080])
    daemon.pass(undefined)
    assert.deepEqual(bits(), [30080])
    daemon.pass([])
    assert.equal(daemon.kernel.maps.node_ports.size, 0)
  })
})
