import assert from 'node:assert/strict'
import fc from 'fast-check'
import { contains, hostPrefix, mustParseAddress, mustParseCidr, overlaps, sizeOf } from './address.ts'
import { builtInNetworks, defaultSubnet } from './built-in-networks.ts'
import {
  type Allocation,
  type AllocationRequest,
  allocate,
  blockLength,
  blocksOfPool,
  idleBlocks,
  reservedAddresses,
} from './ipam.ts'
import type { Address, IpamBlock, VirtualNetwork } from './objects.ts'

function network(...cidrs: string[]): VirtualNetwork {
  return {
    namespace: 'default',
    name: 'red',
    fqName: 'default-domain:k8s-default:red',
    uuid: 'u',
    subnets: cidrs.map((cidr) => defaultSubnet(cidr)),
    blockSize4: 26,
    blockSize6: 122,
  }
}

/** Claims whatever is wanted, as a lone node does. */
function allocateAlone(request: Omit<AllocationRequest, 'blocks'> & { blocks: IpamBlock[] }): Allocation {
  for (;;) {
    const step = allocate(request)
    if (step.kind !== 'claim') return step
    const [first] = step.candidates
    request.blocks.push(first!)
  }
}

const texts = (allocation: Allocation) =>
  allocation.kind === 'addresses' ? allocation.addresses.map(({ address }) => address) : allocation.kind

describe('allocation', () => {
  it('asks for a block first, and then gives one address of each family', () => {
    const vn = network('10.1.0.0/16', 'fd00:1::/64')
    const first = allocate({ vn, node: 'n1', blocks: [], used: new Set() })
    assert.ok(first.kind === 'claim' && first.family === 4)
    const [block] = first.candidates
    assert.equal(block!.cidr.split('/')[1], '26')
    const blocks: IpamBlock[] = []
    const done = allocateAlone({ vn, node: 'n1', blocks, used: new Set() })
    assert.ok(done.kind === 'addresses')
    assert.deepEqual(
      done.addresses.map(({ prefixLength, gateway, service }) => ({ prefixLength, gateway, service })),
      [
        { prefixLength: 16, gateway: '10.1.0.1', service: '10.1.0.2' },
        { prefixLength: 64, gateway: 'fd00:1::1', service: 'fd00:1::2' },
      ],
    )
    assert.equal(blocks.length, 2)
  })

  it('never gives out network, broadcast, gateway and service address', () => {
    const vn = network('10.1.0.0/28')
    const used = new Set<Address>()
    const blocks: IpamBlock[] = []
    for (;;) {
      const step = allocateAlone({ vn, node: 'n1', blocks, used })
      if (step.kind !== 'addresses') {
        assert.ok(step.kind === 'failed' && step.error.code === 'SUBNET_EXHAUSTED')
        break
      }
      used.add(step.addresses[0]!.address)
    }
    const expected = Array.from({ length: 12 }, (_, i) => `10.1.0.${i + 3}`)
    assert.deepEqual([...used].sort(), expected.sort())
  })

  it('uses all of a dual-stack subnet pair and names the family that ran out', () => {
    const vn = network('10.1.0.0/24', 'fd00::/125')
    const used = new Set<Address>()
    const blocks: IpamBlock[] = []
    for (let i = 0; i < 5; i++) {
      const step = allocateAlone({ vn, node: 'n1', blocks, used })
      assert.ok(step.kind === 'addresses')
      for (const { address } of step.addresses) used.add(address)
    }
    const last = allocateAlone({ vn, node: 'n1', blocks, used })
    assert.ok(last.kind === 'failed' && last.error.code === 'SUBNET_EXHAUSTED')
    assert.match(last.error.message, /IPv6/)
  })

  it('goes on to the next subnet of the family', () => {
    const vn = network('10.1.0.0/29', '10.2.0.0/29')
    const blocks: IpamBlock[] = []
    const used = new Set(['10.1.0.3', '10.1.0.4', '10.1.0.5', '10.1.0.6'])
    assert.deepEqual(texts(allocateAlone({ vn, node: 'n1', blocks, used }))[0]!.slice(0, 7), '10.2.0.')
  })

  it('gives several nodes a share of a small subnet', () => {
    for (const [cidr, length] of [
      ['10.1.0.0/16', 26],
      ['10.1.0.0/25', 27],
      ['10.1.0.0/28', 30],
      ['10.1.0.0/29', 30],
      ['fd00::/64', 122],
      ['fd00::/121', 123],
    ] as const) {
      assert.equal(blockLength(network(cidr), mustParseCidr(cidr)), length, cidr)
    }
  })

  it('lets nodes start at different places', () => {
    const vn = network('10.1.0.0/16')
    const first = (node: string) => {
      const step = allocate({ vn, node, blocks: [], used: new Set() })
      assert.ok(step.kind === 'claim')
      return [...step.candidates][0]!.cidr
    }
    const starts = new Set(Array.from({ length: 20 }, (_, i) => first(`node-${i}`)))
    assert.ok(starts.size >= 15, `${starts.size} different starts`)
  })

  it('offers every usable block exactly once, and none that is taken', () => {
    const vn = network('10.1.0.0/24')
    const taken: IpamBlock = { name: 'x', vn: vn.fqName, cidr: '10.1.0.64/26', node: 'n9' }
    const step = allocate({ vn, node: 'n1', blocks: [taken], used: new Set() })
    assert.ok(step.kind === 'claim')
    assert.deepEqual([...step.candidates].map(({ cidr }) => cidr).sort(), [
      '10.1.0.0/26',
      '10.1.0.128/26',
      '10.1.0.192/26',
    ])
  })

  it('hands a released address out again only when nothing else is left', () => {
    const vn = network('10.1.0.0/29')
    const blocks: IpamBlock[] = []
    allocateAlone({ vn, node: 'n1', blocks, used: new Set() })
    const recent = new Set(['10.1.0.3'])
    const used = new Set<Address>()
    const given: Address[] = []
    for (let i = 0; i < 4; i++) {
      const step = allocateAlone({ vn, node: 'n1', blocks, used, recent })
      assert.ok(step.kind === 'addresses')
      used.add(step.addresses[0]!.address)
      given.push(step.addresses[0]!.address)
    }
    assert.equal(given.at(-1), '10.1.0.3')
  })

  it('keeps the pods of isolated namespaces and those of the default network apart: one pool', () => {
    const isolated = { name: 'a', labels: {}, annotations: { 'vrouter.dev/isolation': 'true' } }
    const [one, two] = builtInNetworks('k8s', ['10.244.0.0/16'], [isolated])
    const networks = new Map([one!, two!].map((vn) => [vn.fqName, vn]))
    const blocks: IpamBlock[] = []
    const first = allocateAlone({ vn: one!, node: 'n1', blocks, used: new Set() })
    const pool = blocksOfPool(two!, blocks, networks)
    assert.deepEqual(pool, blocks)
    const second = allocateAlone({ vn: two!, node: 'n1', blocks: pool, used: new Set() })
    assert.equal(pool.length, 2)
    assert.notDeepEqual(texts(first), texts(second))
    assert.deepEqual(blocksOfPool(network('10.244.0.0/16'), blocks, networks), [])
  })

  it('gives back blocks without a pod', () => {
    const blocks = ['10.1.0.0/26', '10.1.0.64/26', '10.1.9.9/32'].map((cidr) => ({
      name: cidr,
      vn: 'v',
      cidr,
      node: 'n1',
    }))
    const others = [{ name: 'o', vn: 'v', cidr: '10.1.1.0/26', node: 'n2' }]
    const idle = idleBlocks('n1', [...blocks, ...others], new Set(['10.1.0.70']))
    assert.deepEqual(
      idle.map(({ cidr }) => cidr),
      ['10.1.0.0/26', '10.1.9.9/32'],
    )
  })
})

describe('fixed addresses', () => {
  const vn = network('10.1.0.0/24', 'fd00::/64')
  const own: IpamBlock = { name: 'own', vn: vn.fqName, cidr: '10.1.0.64/26', node: 'n1' }
  const ask = (fixed: Address[], blocks: IpamBlock[], used = new Set<Address>()) =>
    allocateAlone({ vn: { ...vn, subnets: [vn.subnets[0]!] }, node: 'n1', blocks, used, fixed })

  it('come from the node’s own block', () => {
    const blocks = [own]
    assert.deepEqual(texts(ask(['10.1.0.77'], blocks)), ['10.1.0.77'])
    assert.equal(blocks.length, 1)
  })

  it('are claimed one by one anywhere else, in another node’s block too', () => {
    const blocks = [{ ...own, node: 'n2' }]
    assert.deepEqual(texts(ask(['10.1.0.77'], blocks)), ['10.1.0.77'])
    assert.deepEqual([blocks[1]!.cidr, blocks[1]!.node], ['10.1.0.77/32', 'n1'])
    // The block's owner steps over it.
    const used = new Set(Array.from({ length: 13 }, (_, i) => `10.1.0.${64 + i}`))
    const next = allocate({ vn: { ...vn, subnets: [vn.subnets[0]!] }, node: 'n2', blocks, used })
    assert.deepEqual(texts(next), ['10.1.0.78'])
  })

  it('beside those of the interface are claimed alike, and are no address of the interface', () => {
    const vn = network('10.1.0.0/16', 'fd00:1::/64')
    const blocks: IpamBlock[] = []
    const free = allocateAlone({ vn, node: 'n1', blocks, used: new Set() })
    // The address that would be next is one of those beside it.
    const more = [texts(free)[0]!, '10.1.200.7', 'fd00:1::1:7']
    const done = allocateAlone({ vn, node: 'n1', blocks, used: new Set(), more })
    assert.ok(done.kind === 'addresses')
    assert.deepEqual(done.more, more)
    assert.ok(!texts(done).includes(more[0]!))
    assert.deepEqual(blocks.map(({ cidr }) => cidr).slice(-2), ['10.1.200.7/32', 'fd00:1::1:7/128'])
    // What the pod asks for twice it has once.
    const twice = allocateAlone({ vn, node: 'n1', blocks, used: new Set(), fixed: [more[1]!], more: [more[1]!] })
    assert.deepEqual(twice.kind === 'addresses' && [texts(twice)[0], twice.more], [more[1], []])
    for (const [address, code] of [
      ['10.9.0.7', 'ADDRESS_OUTSIDE'],
      ['fd00:9::7', 'ADDRESS_OUTSIDE'],
      ['10.1.0.1', 'ADDRESS_RESERVED'],
      ['10.1.0.77', 'ADDRESS_IN_USE'],
    ] as const) {
      const refused = allocateAlone({ vn, node: 'n1', blocks, used: new Set(['10.1.0.77']), more: [address] })
      assert.equal(refused.kind === 'failed' && refused.error.code, code)
    }
  })

  it('are refused when they are reserved, in use, held elsewhere, or outside', () => {
    const code = (allocation: Allocation) => (allocation.kind === 'failed' ? allocation.error.code : allocation.kind)
    assert.equal(code(ask(['10.1.0.1'], [own])), 'ADDRESS_RESERVED')
    assert.equal(code(ask(['10.1.0.255'], [own])), 'ADDRESS_RESERVED')
    assert.equal(code(ask(['10.1.0.77'], [own], new Set(['10.1.0.77']))), 'ADDRESS_IN_USE')
    const held = { name: 'h', vn: vn.fqName, cidr: '10.1.0.77/32', node: 'n2' }
    assert.equal(code(ask(['10.1.0.77'], [own, held])), 'ADDRESS_IN_USE')
    assert.equal(code(ask(['10.2.0.1'], [own])), 'ADDRESS_OUTSIDE')
    assert.equal(code(ask(['fd00::7'], [own])), 'ADDRESS_OUTSIDE')
  })
})

/**
 * Nodes that allocate and release at the same time, and die at any point: between choosing a block and creating it, between
 * creating it and knowing so, between choosing an address and recording it. The store of blocks is the only thing they share, and
 * each sees it late.
 */
describe('allocation on several nodes that crash anywhere', () => {
  const nodes = ['n1', 'n2', 'n3'] as const
  type NodeName = (typeof nodes)[number]

  class Cluster {
    readonly vn: VirtualNetwork
    /** By name: creating is atomic. */
    readonly store = new Map<string, IpamBlock>()
    /** What each node last saw of the store. */
    readonly view = new Map<NodeName, IpamBlock[]>(nodes.map((node) => [node, []]))
    /** Records on each node's disk: pod -> addresses. */
    readonly records = new Map<NodeName, Map<string, Address[]>>(nodes.map((node) => [node, new Map()]))
    #pods = 0

    constructor(vn: VirtualNetwork) {
      this.vn = vn
    }

    refresh(node: NodeName): void {
      this.view.set(node, [...this.store.values()])
    }

    /** Steps of one allocation; the generator that isn't run to its end is a node that died there. */
    *add(node: NodeName): Generator<void, Allocation> {
      for (;;) {
        const used = new Set([...this.records.get(node)!.values()].flat())
        const step = allocate({ vn: this.vn, node, blocks: this.view.get(node)!, used })
        yield
        if (step.kind === 'failed') return step
        if (step.kind === 'addresses') {
          this.records.get(node)!.set(
            `pod-${this.#pods++}`,
            step.addresses.map(({ address }) => address),
          )
          yield
          return step
        }
        for (const block of step.candidates) {
          const owner = this.store.get(block.name)?.node
          if (owner === undefined) this.store.set(block.name, block)
          yield
          if (owner === undefined || owner === node) {
            this.view.set(node, [
              ...this.view.get(node)!.filter(({ name }) => name !== block.name),
              this.store.get(block.name)!,
            ])
            break
          }
        }
        // Whoever tried all has seen who took them.
        this.refresh(node)
      }
    }

    remove(node: NodeName): void {
      const [first] = this.records.get(node)!.keys()
      if (first !== undefined) this.records.get(node)!.delete(first)
    }

    check(): void {
      const given = [...this.records.values()].flatMap((records) => [...records.values()].flat())
      assert.equal(new Set(given).size, given.length, 'an address was given out twice')
      const reserved = new Set(this.vn.subnets.flatMap((subnet) => [...reservedAddresses(subnet)]))
      for (const address of given) assert.ok(!reserved.has(address), `${address} is reserved`)
      const blocks = [...this.store.values()].map(({ cidr }) => mustParseCidr(cidr))
      for (const [i, block] of blocks.entries()) {
        for (const other of blocks.slice(0, i)) assert.ok(!overlaps(block, other), 'two blocks overlap')
      }
      for (const [node, records] of this.records) {
        const own = [...this.store.values()]
          .filter((block) => block.node === node)
          .map(({ cidr }) => mustParseCidr(cidr))
        for (const address of [...records.values()].flat()) {
          const host = hostPrefix(mustParseAddress(address))
          assert.ok(
            own.some((block) => contains(block, host)),
            `${address} lies in no block of ${node}`,
          )
        }
      }
    }
  }

  const act = fc.record({
    what: fc.constantFrom('start', 'start', 'step', 'step', 'step', 'crash', 'remove', 'refresh'),
    node: fc.constantFrom(...nodes),
    steps: fc.integer({ min: 1, max: 6 }),
  })

  for (const cidrs of [['10.1.0.0/28'], ['10.1.0.0/24', 'fd00::/120'], ['10.1.0.0/29', '10.2.0.0/29']]) {
    it(`gives every address out once, from blocks of its node: ${cidrs.join(' and ')}`, () => {
      fc.assert(
        fc.property(fc.array(act, { maxLength: 80 }), (acts) => {
          const cluster = new Cluster(network(...cidrs))
          const running = new Map<NodeName, Generator<void, Allocation>>()
          for (const { what, node, steps } of acts) {
            switch (what) {
              case 'start':
                if (!running.has(node)) running.set(node, cluster.add(node))
                break
              case 'step':
                for (let i = 0; i < steps && running.has(node); i++) {
                  if (running.get(node)!.next().done) running.delete(node)
                }
                break
              case 'crash':
                running.delete(node)
                cluster.refresh(node)
                break
              case 'remove':
                cluster.remove(node)
                break
              case 'refresh':
                cluster.refresh(node)
                break
              default:
                what satisfies never
            }
            cluster.check()
          }
        }),
        { numRuns: 300 },
      )
    })
  }

  it('loses no address to crashes: what is left can be given out afterwards', () => {
    const isUsable = (vn: VirtualNetwork) => {
      const prefix = mustParseCidr(vn.subnets[0]!.cidr)
      return Number(sizeOf(prefix)) - reservedAddresses(vn.subnets[0]!).size
    }
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 20 }), (crashes) => {
        const cluster = new Cluster(network('10.1.0.0/28'))
        for (const steps of crashes) {
          const attempt = cluster.add('n1')
          for (let i = 0; i < steps; i++) if (attempt.next().done) break
          cluster.refresh('n1')
        }
        for (;;) {
          const attempt = cluster.add('n1')
          let step = attempt.next()
          while (!step.done) step = attempt.next()
          if (step.value.kind === 'failed') break
        }
        assert.equal(cluster.records.get('n1')!.size, isUsable(cluster.vn))
        cluster.check()
      }),
    )
  })
})
