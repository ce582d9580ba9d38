import assert from 'node:assert/strict'
import fc from 'fast-check'
import { mustParseCidr, overlaps } from './address.ts'
import { defaultSubnet } from './built-in-networks.ts'
import { LeakTable, leaksOf } from './leaks.ts'
import type { LabelSelector, Namespace, SourceState, VirtualNetwork, VirtualNetworkRouter } from './objects.ts'

type State = Pick<SourceState, 'namespaces' | 'virtualNetworks' | 'networkRouters'>

const select = (matchLabels: Record<string, string>): LabelSelector => ({ matchLabels, matchExpressions: [] })
const namespace = (name: string, labels: Record<string, string> = {}): Namespace => ({ name, labels, annotations: {} })

function network(namespace: string, name: string, cidr: string, labels?: Record<string, string>): VirtualNetwork {
  const fqName = `default-domain:k8s-${namespace}:${name}`
  const subnets = [defaultSubnet(cidr)]
  return { namespace, name, fqName, uuid: fqName, subnets, blockSize4: 26, blockSize6: 122, ...(labels && { labels }) }
}

function router(
  namespace: string,
  name: string,
  type: VirtualNetworkRouter['type'],
  networks: LabelSelector,
  imports: VirtualNetworkRouter['imports'] = [],
): VirtualNetworkRouter {
  return { namespace, name, type, labels: { name }, networks, imports }
}

function stateOf(
  networks: readonly VirtualNetwork[],
  routers: readonly VirtualNetworkRouter[],
  namespaces: readonly Namespace[] = [],
): State {
  return {
    namespaces: new Map(namespaces.map((one) => [one.name, one])),
    virtualNetworks: new Map(networks.map((one) => [one.fqName, one])),
    networkRouters: new Map(routers.map((one) => [`${one.namespace}/${one.name}`, one])),
  }
}

/** `a-b b-c`: who leaks into whom, by the networks' names, each pair once. */
function pairs(state: State): string {
  const short = (vn: string) => vn.slice(vn.lastIndexOf(':') + 1)
  const all = [...leaksOf(state).of].flatMap(([vn, others]) =>
    others.flatMap((other) => (short(vn) < short(other) ? [`${short(vn)}-${short(other)}`] : [])),
  )
  return all.sort().join(' ')
}

describe('leaks', () => {
  const web = { vn: 'web' }
  const a = network('ns1', 'a', '10.1.0.0/16', web)
  const b = network('ns1', 'b', '10.2.0.0/16', web)
  const c = network('ns2', 'c', '10.3.0.0/16', web)

  it('join all that a mesh selects, in its own namespace, and never a network without labels', () => {
    const plain = network('ns1', 'plain', '10.4.0.0/16')
    assert.equal(pairs(stateOf([a, b, c, plain], [router('ns1', 'r', 'mesh', select(web))])), 'a-b')
    assert.equal(pairs(stateOf([a, b, c, plain], [router('ns1', 'r', 'mesh', select({}))])), 'a-b')
    assert.equal(pairs(stateOf([a, b], [router('ns1', 'r', 'mesh', select({ vn: 'db' }))])), '')
    assert.equal(pairs(stateOf([a, b], [])), '')
  })

  it('join hubs with spokes, and neither with itself', () => {
    const spoke = network('ns1', 'spoke', '10.4.0.0/16', { vn: 'spoke' })
    const other = network('ns1', 'other', '10.5.0.0/16', { vn: 'spoke' })
    const wants = (name: string) => [{ routers: select({ name }) }]
    const hub = router('ns1', 'hub', 'hub', select(web), wants('spokes'))
    const spokes = router('ns1', 'spokes', 'spoke', select({ vn: 'spoke' }), wants('hub'))
    assert.equal(pairs(stateOf([a, b, spoke, other], [hub, spokes])), 'a-other a-spoke b-other b-spoke')
    assert.equal(pairs(stateOf([a, b, spoke, other], [hub])), '')
    const hubs = [hub, router('ns1', 'spokes', 'hub', select({ vn: 'spoke' }), wants('hub'))]
    assert.equal(pairs(stateOf([a, b, spoke, other], hubs)), '')
  })

  it('cross namespaces when both sides say so, each naming the other’s namespace and router', () => {
    const one = (imports: VirtualNetworkRouter['imports']) => router('ns1', 'r1', 'mesh', select(web), imports)
    const two = (imports: VirtualNetworkRouter['imports']) => router('ns2', 'r2', 'mesh', select(web), imports)
    const to = (name: string, labels?: Record<string, string>) => [
      { routers: select({ name }), ...(labels && { namespaces: select(labels) }) },
    ]
    const places = [namespace('ns1', { tier: 'x' }), namespace('ns2', { tier: 'y' })]
    const joined = 'a-b a-c b-c'
    const of = (first: VirtualNetworkRouter['imports'], second: VirtualNetworkRouter['imports']) =>
      pairs(stateOf([a, b, c], [one(first), two(second)], places))
    assert.equal(of(to('r2', { tier: 'y' }), to('r1', { tier: 'x' })), joined)
    assert.equal(of(to('r2', { 'kubernetes.io/metadata.name': 'ns2' }), to('r1', {})), joined)
    for (const [first, second] of [
      [to('r2', { tier: 'y' }), []],
      [[], to('r1', { tier: 'x' })],
      [to('r2', { tier: 'x' }), to('r1', { tier: 'x' })],
      [to('r2'), to('r1', { tier: 'x' })],
      [to('r3', { tier: 'y' }), to('r1', { tier: 'x' })],
    ] as const)
      assert.equal(of(first, second), 'a-b', JSON.stringify([first, second]))
  })

  it('aren’t passed on: a joined with b, and b with c, doesn’t join a with c', () => {
    const [x, y, z] = ['x', 'y', 'z'].map((name, i) => network('ns1', name, `10.${i}.0.0/16`, { [name]: '', all: '' }))
    const both = (keys: string[]) => ({
      matchLabels: {},
      matchExpressions: [] as LabelSelector['matchExpressions'],
      keys,
    })
    const mesh = (name: string, keys: string[]): VirtualNetworkRouter =>
      router('ns1', name, 'mesh', {
        ...both(keys),
        matchExpressions: [{ key: keys[0]!, operator: 'DoesNotExist', values: [] }],
      })
    assert.equal(pairs(stateOf([x!, y!, z!], [mesh('one', ['z']), mesh('two', ['x'])])), 'x-y y-z')
  })

  it('leave out networks that overlap, say which, and keep the others', () => {
    const rival = network('ns1', 'rival', '10.2.128.0/17', web)
    const state = stateOf([a, b, rival], [router('ns1', 'r', 'mesh', select(web))])
    assert.equal(pairs(state), 'a-b')
    const messages = leaksOf(state).problems.map(({ object, message }) => `${object} ${message}`)
    assert.equal(messages.length, 2)
    assert.match(messages.join('\n'), /not leaked between it and .*:rival: subnet 10\.2\.\S+ of \S+ overlaps 10\.2\./)
  })

  it('are the same object while nothing that they follow from changes', () => {
    const table = new LeakTable()
    const state = stateOf([a, b], [router('ns1', 'r', 'mesh', select(web))])
    const first = table.compute(state)
    assert.equal(table.compute({ ...state }), first)
    assert.notEqual(table.compute({ ...state, virtualNetworks: new Map() }), first)
    assert.equal(table.compute({ ...state, networkRouters: new Map() }).of.size, 0)
  })
})

// ---- any cluster -----------------------------------------------------------------------------------------------------------

const labels = fc.dictionary(fc.constantFrom('k', 'l'), fc.constantFrom('1', '2'), {
  maxKeys: 2,
  noNullPrototype: true,
})
const selector: fc.Arbitrary<LabelSelector> = fc.record(
  {
    matchLabels: labels,
    matchExpressions: fc.array(
      fc.record(
        {
          key: fc.constantFrom('k', 'l'),
          operator: fc.constantFrom('In', 'NotIn', 'Exists', 'DoesNotExist'),
          values: fc.subarray(['1', '2']),
        },
        { noNullPrototype: true },
      ),
      { maxLength: 1 },
    ),
  },
  { noNullPrototype: true },
)
const place = fc.constantFrom('ns1', 'ns2')
const cluster: fc.Arbitrary<State> = fc
  .record({
    networks: fc.uniqueArray(
      fc.tuple(
        place,
        fc.constantFrom('a', 'b', 'c'),
        fc.constantFrom('10.0.0.0/24', '10.0.1.0/24', '10.0.2.0/24', '10.0.3.0/24', '10.0.0.0/23'),
        fc.option(labels, { nil: undefined }),
      ),
      { selector: ([ns, name]) => `${ns}/${name}`, maxLength: 6 },
    ),
    routers: fc.uniqueArray(
      fc.record({
        namespace: place,
        name: fc.constantFrom('r', 's'),
        type: fc.constantFrom('mesh' as const, 'hub' as const, 'spoke' as const),
        labels,
        networks: selector,
        imports: fc.array(
          fc.record({ routers: selector, namespaces: selector }, { requiredKeys: ['routers'], noNullPrototype: true }),
          { maxLength: 2 },
        ),
      }),
      { selector: ({ namespace, name }) => `${namespace}/${name}`, maxLength: 4 },
    ),
    labels: fc.tuple(labels, labels),
  })
  .map((w) =>
    stateOf(
      w.networks.map((args) => network(...args)),
      w.routers,
      w.labels.map((of, i) => namespace(`ns${i + 1}`, of)),
    ),
  )

/** The rules once more, in the plainest way: whether a and b may see each other, overlaps aside. */
function mayJoin(state: State, a: VirtualNetwork, b: VirtualNetwork): boolean {
  const fits = (one: LabelSelector, of: Readonly<Record<string, string>>) =>
    Object.keys(one.matchLabels).every((key) => of[key] === one.matchLabels[key]) &&
    one.matchExpressions.every(({ key, operator, values }) => {
      if (operator === 'Exists') return key in of
      if (operator === 'DoesNotExist') return !(key in of)
      return (key in of && values.includes(of[key]!)) === (operator === 'In')
    })
  const isIn = (vn: VirtualNetwork, r: VirtualNetworkRouter) =>
    r.namespace === vn.namespace &&
    vn.labels !== undefined &&
    Object.keys(vn.labels).length > 0 &&
    fits(r.networks, vn.labels)
  const names = (r: VirtualNetworkRouter, s: VirtualNetworkRouter) =>
    r.imports.some(({ routers, namespaces }) => {
      const of = { 'kubernetes.io/metadata.name': s.namespace, ...state.namespaces.get(s.namespace)?.labels }
      return fits(routers, s.labels) && (namespaces === undefined ? r.namespace === s.namespace : fits(namespaces, of))
    })
  const kinds = new Set(['mesh mesh', 'hub spoke', 'spoke hub'])
  const all = [...state.networkRouters.values()]
  return all.some((r) =>
    all.some((s) => {
      if (!isIn(a, r) || !isIn(b, s)) return false
      return r === s ? r.type === 'mesh' : kinds.has(`${r.type} ${s.type}`) && names(r, s) && names(s, r)
    }),
  )
}

describe('leaks of any cluster', () => {
  const isOverlap = (a: VirtualNetwork, b: VirtualNetwork) =>
    a.subnets.some((one) => b.subnets.some((other) => overlaps(mustParseCidr(one.cidr), mustParseCidr(other.cidr))))

  it('join whom the rules join, both ways, unless that makes an address ambiguous, which is told', () => {
    fc.assert(
      fc.property(cluster, (state) => {
        const { of, problems } = leaksOf(state)
        const sees = (vn: VirtualNetwork) => (of.get(vn.fqName) ?? []).map((name) => state.virtualNetworks.get(name)!)
        for (const a of state.virtualNetworks.values()) {
          const visible = [a, ...sees(a)]
          for (const [i, one] of visible.entries())
            for (const other of visible.slice(0, i)) assert.ok(!isOverlap(one, other), `${one.fqName} ${other.fqName}`)
          for (const b of state.virtualNetworks.values()) {
            if (a.fqName >= b.fqName) continue
            const isJoined = sees(a).includes(b)
            assert.equal(sees(b).includes(a), isJoined, 'both ways')
            const told = problems.filter(
              ({ object, message }) => object.endsWith(a.fqName) && message.includes(b.fqName),
            )
            if (!mayJoin(state, a, b)) assert.deepEqual([isJoined, told.length > 0 && isJoined], [false, false])
            else if (!isJoined) {
              assert.ok(told.length > 0, `${a.fqName} ${b.fqName} is told`)
              const isClash =
                [a, ...sees(a)].some((one) => isOverlap(one, b)) || [b, ...sees(b)].some((one) => isOverlap(one, a))
              assert.ok(isClash, 'for a reason')
            }
          }
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('don’t depend on the order of objects', () => {
    const reversed = <K, V>(map: ReadonlyMap<K, V>) => new Map([...map].reverse())
    fc.assert(
      fc.property(cluster, (state) => {
        const other = {
          namespaces: reversed(state.namespaces),
          virtualNetworks: reversed(state.virtualNetworks),
          networkRouters: reversed(state.networkRouters),
        }
        const plain = (one: State) => {
          const { of, problems } = leaksOf(one)
          return [[...of].sort(([x], [y]) => (x < y ? -1 : 1)), problems]
        }
        assert.deepEqual(plain(other), plain(state))
      }),
    )
  })
})
