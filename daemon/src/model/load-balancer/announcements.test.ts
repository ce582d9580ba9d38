import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Endpoint, EndpointSlice, LoadBalancerPool, Service, VirtualRouter } from '../objects.ts'
import { inLineOf, MOST_IN_LINE } from './announcements.ts'

const byName = <T extends { readonly name: string }>(list: readonly T[]) => new Map(list.map((one) => [one.name, one]))

function routers(count: number): Map<string, VirtualRouter> {
  return byName(
    Array.from({ length: count }, (_, i) => ({
      ...{ name: `n${i}`, address: `192.0.2.${i + 1}`, encapsulations: [], vrfLabels: {}, vhostLabel: 16 },
    })),
  )
}

const pool: LoadBalancerPool = {
  ...{ name: 'public', autoAssign: true, isDefault: false },
  ranges: [
    { first: '198.51.100.0', last: '198.51.100.255' },
    { first: '2001:db8::', last: '2001:db8::ff' },
    { first: '192.0.2.1', last: '192.0.2.1' },
  ],
}

function service(name: string, loadBalancerIps: readonly string[], more: Partial<Service> = {}): Service {
  return {
    ...{ namespace: 'shop', name, uid: name, type: 'LoadBalancer', clusterIps: ['10.96.0.1'], ports: [] },
    ...{ externalIps: [], loadBalancerIps, sourceRanges: [] },
    ...{ internalTrafficPolicy: 'Cluster', externalTrafficPolicy: 'Cluster' },
    ...more,
  }
}

function slice(of: string, family: 4 | 6, nodes: Readonly<Record<string, Partial<Endpoint>>>): EndpointSlice {
  const endpoints = Object.entries(nodes).map(([node, more]) => ({
    ...{ address: '10.1.0.5', node, isReady: true, isServing: true, isTerminating: false },
    ...more,
  }))
  return { namespace: 'shop', name: `${of}-${family}`, service: of, family, ports: [], endpoints }
}

function inLine(services: readonly Service[], slices: readonly EndpointSlice[] = [], nodes = routers(5)) {
  return inLineOf({ services: byName(services), slices: byName(slices), pools: byName([pool]), routers: nodes })!
}

describe('who announces a load balancer address', () => {
  it('is unknown while Services or pools are', () => {
    const known = { services: new Map(), slices: new Map(), pools: new Map(), routers: routers(2) }
    assert.deepEqual(inLineOf(known), new Map())
    for (const key of ['services', 'slices', 'pools'] as const)
      assert.equal(inLineOf({ ...known, [key]: undefined }), undefined)
  })

  it('is asked of addresses of pools alone, of our class or none, and of no node’s own', () => {
    const found = inLine([
      service('a', ['198.51.100.7', '2001:db8::7']),
      service('ours', ['198.51.100.8'], { loadBalancerClass: 'vrouter.dev/load-balancer' }),
      service('theirs', ['198.51.100.9'], { loadBalancerClass: 'example.com/lb' }),
      service('elsewhere', ['203.0.113.1']),
      service('node', ['192.0.2.1']),
      service('other', ['198.51.100.10'], { type: 'ClusterIP' }),
    ])
    assert.deepEqual([...found.keys()].sort(), ['198.51.100.7', '198.51.100.8', '2001:db8::7'])
    for (const line of found.values()) assert.equal(new Set(line).size, MOST_IN_LINE)
  })

  it('does not depend on the order, and a node that goes leaves others’ addresses where they are', () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/), { minLength: 2, maxLength: 12 })
    const many = Array.from({ length: 50 }, (_, i) => service(`s${i}`, [`198.51.100.${i}`]))
    fc.assert(
      fc.property(names, fc.nat(), (list, n) => {
        const all = list.map((name, i) => ({ ...routers(1).get('n0')!, name, address: `192.0.2.${i + 100}` }))
        const before = inLine(many, [], byName(all))
        assert.deepEqual(inLine([...many].reverse(), [], byName([...all].reverse())), new Map([...before].reverse()))
        const gone = list[n % list.length]!
        const after = inLine(many, [], byName(all.filter(({ name }) => name !== gone)))
        for (const [address, line] of before)
          assert.equal(
            after.get(address)![0],
            line.find((name) => name !== gone),
            address,
          )
      }),
    )
  })

  it('is the first by name of nodes whose hashes are the same, in whatever order they come', () => {
    const two = ['node262698', 'nz6a'].map((name) => ({ ...routers(1).get('n0')!, name }))
    for (const nodes of [two, [...two].reverse()])
      assert.deepEqual(inLine([service('a', ['198.51.100.7'])], [], byName(nodes)).get('198.51.100.7'), [
        'node262698',
        'nz6a',
      ])
  })

  it('is spread over the nodes', () => {
    const many = Array.from({ length: 250 }, (_, i) => service(`s${i}`, [`198.51.100.${i}`]))
    const counts = Map.groupBy(inLine(many).values(), ([first]) => first)
    assert.equal(counts.size, 5)
    for (const [node, { length }] of counts) assert.ok(length > 25 && length < 80, `${node} has ${length} of 250`)
  })

  describe('where traffic is for endpoints of that node alone', () => {
    const local = { externalTrafficPolicy: 'Local' } as const

    it('is a node with an endpoint of the family that is ready', () => {
      const both = service('a', ['198.51.100.7', '2001:db8::7'], local)
      const found = inLine([both], [slice('a', 4, { n1: {}, n3: { isReady: false } }), slice('a', 6, { n4: {} })])
      assert.deepEqual(
        [...found],
        [
          ['198.51.100.7', ['n1']],
          ['2001:db8::7', ['n4']],
        ],
      )
    })

    it('is one whose endpoints are on their way out, where none is ready; and nobody where there is none', () => {
      const leaving = { isReady: false, isTerminating: true }
      const one = service('a', ['198.51.100.7'], local)
      assert.deepEqual(inLine([one], [slice('a', 4, { n1: leaving })]).get('198.51.100.7'), ['n1'])
      assert.deepEqual(inLine([one], [slice('a', 4, { n1: leaving, n2: {} })]).get('198.51.100.7'), ['n2'])
      assert.deepEqual(
        inLine([one], [slice('a', 4, { n1: { isReady: false, isServing: false } })]).get('198.51.100.7'),
        [],
      )
      assert.deepEqual(inLine([one]).get('198.51.100.7'), [])
    })

    it('has endpoints of all Services that share the address', () => {
      const found = inLine(
        [service('a', ['198.51.100.7'], local), service('b', ['198.51.100.7'], local), service('c', ['198.51.100.7'])],
        [slice('a', 4, { n1: {}, n2: {} }), slice('b', 4, { n2: {}, n3: {} })],
      )
      assert.deepEqual(found.get('198.51.100.7'), ['n2'])
    })
  })
})
