import assert from 'node:assert/strict'
import fc from 'fast-check'
import { networkOfPod } from '../../model/namespace-network.ts'
import type { Rejection, SourceState } from '../../model/objects.ts'
import { loadText } from '../directory/files.ts'
import { assemble, EMPTY_STATE } from './assemble.ts'
import type { LoadedFile } from './collected.ts'

const options = { cluster: 'k8s', defaultSubnets: ['10.244.0.0/16'] }
const RED = 'default-domain:k8s-default:red'
const api = 'apiVersion: vrouter.dev/v1alpha1'

const network = (name: string, spec: string) =>
  `{${api}, kind: VirtualNetwork, metadata: {name: ${name}}, spec: ${spec}}\n`
const block = (name: string, cidr: string, node: string, vn = RED) =>
  `{${api}, kind: IPAMBlock, metadata: {name: ${name}}, spec: {network: "${vn}", cidr: "${cidr}", node: ${node}}}\n`
const router = (name: string, address: string) =>
  `{${api}, kind: VirtualRouter, metadata: {name: ${name}}, spec: {address: ${address}, encapsulations: [MPLSoUDP], vrfLabels: {}, vhostLabel: 16}}\n`

const file = (path: string, ...documents: string[]): LoadedFile => {
  const loaded = loadText(path, documents.join('---\n'), 'k8s')
  assert.deepEqual(loaded.rejections, [])
  return loaded
}
const state = (files: LoadedFile[], before: SourceState = EMPTY_STATE) => assemble(files, options, before)
const texts = (rejected: readonly Rejection[]) =>
  rejected.map((one) => `${one.file ?? ''}: ${one.object} ${one.field ?? ''} ${one.message}`)

describe('the state of a folder', () => {
  it('has the default network, and those of isolated namespaces, which come and go with them', () => {
    const isolated = file(
      'a.yaml',
      '{apiVersion: v1, kind: Namespace, metadata: {name: dev, annotations: {opencontrail.org/isolation: "true"}}}',
    )
    const names = [...state([isolated]).virtualNetworks.keys()]
    assert.deepEqual(names, [
      'default-domain:k8s-default:k8s-default-pod-network',
      'default-domain:k8s-dev:k8s-dev-pod-network',
    ])
    assert.equal(assemble([isolated], { ...options, defaultSubnets: [] }, EMPTY_STATE).virtualNetworks.size, 0)
    const rival = file('b.yaml', network('k8s-default-pod-network', '{subnets: [{cidr: 10.9.0.0/16}]}'))
    const both = state([rival])
    assert.equal(both.virtualNetworks.get(names[0]!)!.subnets[0]!.cidr, '10.244.0.0/16')
    assert.match(texts(both.rejected)[0]!, /is built in/)
  })

  it('lets an object that shows a built-in network add labels, SNAT and VNI to it, and nothing else', () => {
    const shown = (name: string, more: string) =>
      file(
        `${name}.yaml`,
        `{${api}, kind: VirtualNetwork, metadata: {name: ${name}, labels: {vrouter.dev/built-in: "true"${more}}}, ` +
          'spec: {subnets: [{cidr: 10.9.0.0/16}], fabricSNAT: true}, status: {virtualNetworkNetworkID: 77}}',
      )
    const name = 'default-domain:k8s-default:k8s-default-pod-network'
    const { virtualNetworks, rejected } = state([
      shown('k8s-default-pod-network', ', tier: web'),
      shown('k8s-gone-pod-network', ''),
    ])
    assert.deepEqual(rejected, [])
    assert.deepEqual([...virtualNetworks.keys()], [name])
    const { subnets, labels, fabricSnat, vni } = virtualNetworks.get(name)!
    assert.deepEqual(
      [subnets.map(({ cidr }) => cidr), labels, fabricSnat, vni],
      [['10.244.0.0/16'], { tier: 'web' }, true, 77],
    )
    assert.equal(state([shown('k8s-default-pod-network', '')]).virtualNetworks.get(name)!.labels, undefined)
  })

  it('has network routers by namespace and name', () => {
    const routers = file(
      'r.yaml',
      ...['a', 'b'].map(
        (namespace) =>
          `{${api}, kind: VirtualNetworkRouter, metadata: {name: r, namespace: ${namespace}}, spec: {type: mesh, virtualNetworkSelector: {}}}\n`,
      ),
    )
    const before = state([routers])
    assert.deepEqual([...before.networkRouters.keys()], ['a/r', 'b/r'])
    assert.equal(state([routers], before).networkRouters, before.networkRouters)
    assert.equal(state([], before).networkRouters.size, 0)
  })

  it('takes one of two definitions, that of the file whose name comes first, in whatever order they are read', () => {
    const one = file('a.yaml', network('red', '{subnets: [{cidr: 10.1.0.0/16}]}'))
    const two = file('b.yaml', network('red', '{subnets: [{cidr: 10.2.0.0/16}]}'))
    for (const files of [
      [one, two],
      [two, one],
    ]) {
      const { virtualNetworks, rejected } = state(files)
      assert.equal(virtualNetworks.get(RED)!.subnets[0]!.cidr, '10.1.0.0/16')
      assert.deepEqual(texts(rejected), [
        'b.yaml: VirtualNetwork default/red  is defined in a.yaml already (VirtualNetwork default/red), which counts: remove one of them',
      ])
    }
  })

  it('reports two nodes with one address, and takes the first by name', () => {
    const { routers, rejected } = state([
      file('z.yaml', router('n1', '192.0.2.1')),
      file('a.yaml', router('n2', '192.0.2.1')),
    ])
    assert.deepEqual([...routers.keys()], ['n1'])
    assert.match(texts(rejected)[0]!, /^a\.yaml: VirtualRouter n2 spec\.address is the address of VirtualRouter n1 too/)
  })

  it('reports blocks of two nodes that overlap, and takes the larger', () => {
    const { blocks, rejected } = state([
      file(
        'a.yaml',
        block('small', '10.1.0.64/28', 'n1'),
        block('large', '10.1.0.64/26', 'n2'),
        block('other', '10.1.0.128/26', 'n1'),
      ),
    ])
    assert.deepEqual([...blocks.keys()].sort(), ['large', 'other'])
    assert.match(texts(rejected)[0]!, /IPAMBlock small spec\.cidr overlaps IPAMBlock large/)
  })

  it('lets a fixed address lie in another node’s block, but not in two single blocks', () => {
    const { blocks, rejected } = state([
      file(
        'a.yaml',
        block('host', '10.1.0.70/32', 'n1'),
        block('large', '10.1.0.64/26', 'n2'),
        block('host2', '10.1.0.70/32', 'n3'),
      ),
    ])
    assert.deepEqual([...blocks.keys()].sort(), ['host', 'large'])
    assert.match(texts(rejected)[0]!, /IPAMBlock host2/)
  })

  describe('of nodes that the controller says are not ready', () => {
    const said = (loaded: LoadedFile, readiness: Readonly<Record<string, boolean | undefined>>): LoadedFile => ({
      ...loaded,
      items: loaded.items.map((item) => {
        const isReady = item.kind === 'VirtualRouter' ? readiness[item.object.name] : undefined
        return item.kind === 'VirtualRouter' && isReady !== undefined
          ? { kind: item.kind, object: { ...item.object, isReady } }
          : item
      }),
    })
    const look = (loaded: LoadedFile, node?: string, before = EMPTY_STATE) =>
      assemble([loaded], { ...options, ...(node !== undefined && { node }) }, before)

    it('takes the router whose node lives, whatever its name, and the looking node’s own always', () => {
      const two = file('a.yaml', router('n1', '192.0.2.1'), router('n1b', '192.0.2.1'))
      const names = (readiness: Readonly<Record<string, boolean | undefined>>, node?: string) => [
        ...look(said(two, readiness), node).routers.keys(),
      ]
      assert.deepEqual(names({}), ['n1'])
      assert.deepEqual(names({ n1: false }), ['n1b'])
      assert.deepEqual(names({ n1: false, n1b: true }, 'n9'), ['n1b'])
      assert.deepEqual(names({ n1: true, n1b: false }), ['n1'])
      assert.deepEqual(names({ n1: false, n1b: false }), ['n1'])
      assert.deepEqual(names({ n1: true, n1b: false }, 'n1b'), ['n1b'])
    })

    it('takes the block whose node lives, however small', () => {
      const blocks = [
        block('large', '10.1.0.64/26', 'dead'),
        block('small', '10.1.0.80/28', 'n1'),
        block('same', '10.1.0.128/26', 'dead'),
        block('zame', '10.1.0.128/26', 'n2'),
        block('inner', '10.1.1.0/28', 'dead'),
        block('outer', '10.1.1.0/26', 'n2'),
        block('host', '10.1.2.1/32', 'dead'),
        block('zost', '10.1.2.1/32', 'n1'),
        block('free', '10.1.3.0/26', 'dead'),
        block('more', '10.1.3.0/28', 'dead2'),
      ]
      const loaded = file('a.yaml', ...blocks, router('dead', '192.0.2.1'), router('dead2', '192.0.2.2'))
      const readiness = { dead: false, dead2: false }
      const { blocks: counting, rejected } = look(said(loaded, readiness))
      assert.deepEqual([...counting.keys()].sort(), ['free', 'outer', 'small', 'zame', 'zost'])
      assert.match(
        texts(rejected).join('\n'),
        /IPAMBlock large spec\.cidr overlaps IPAMBlock small \(10\.1\.0\.80\/28\) of node n1/,
      )
      // The node itself knows better.
      const own = look(said(loaded, readiness), 'dead')
      assert.deepEqual([...own.blocks.keys()].sort(), ['free', 'host', 'large', 'outer', 'same'])
    })

    it('keeps the very router when only its readiness changes', () => {
      const loaded = file('a.yaml', router('n1', '192.0.2.1'))
      const before = look(said(loaded, { n1: true }))
      const after = look(said(loaded, { n1: false }), undefined, before)
      assert.equal(after.routers, before.routers)
      assert.deepEqual(after.routers.get('n1'), look(loaded).routers.get('n1'))
    })

    it('leaves no two owners’ blocks in each other, never drops a live node’s for a dead one’s, and has no favourite order', () => {
      const claim = fc.record({
        at: fc.integer({ min: 0, max: 15 }),
        bits: fc.integer({ min: 28, max: 32 }),
        node: fc.integer({ min: 0, max: 4 }),
      })
      const dead = fc.subarray([0, 1, 2, 3, 4])
      fc.assert(
        fc.property(fc.array(claim, { maxLength: 12 }), dead, fc.nat(), (claims, gone, turn) => {
          const documents = claims.map(({ at, bits, node }, i) => {
            const host = (at * 4) & (-1 << (32 - bits)) & 63
            return block(`b${i}`, `10.1.0.${host}/${bits}`, `n${node}`)
          })
          const routers = [0, 1, 2, 3, 4].map((node) => router(`n${node}`, `192.0.2.${node + 1}`))
          const readiness = Object.fromEntries(gone.map((node) => [`n${node}`, false]))
          const names = (documents: readonly string[]) =>
            [...look(said(file('a.yaml', ...documents, ...routers), readiness)).blocks.keys()].sort()
          const kept = names(documents)
          const cut = turn % Math.max(1, documents.length)
          assert.deepEqual(names([...documents.slice(cut), ...documents.slice(0, cut)]), kept)
          // What the dead hold makes no difference to the living.
          const living = (name: string) => !gone.includes(claims[Number(name.slice(1))]!.node)
          const alone = names(documents.filter((_, i) => living(`b${i}`)))
          assert.deepEqual(kept.filter(living), alone)
          const span = (name: string) => {
            const { at, bits } = claims[Number(name.slice(1))]!
            const first = (at * 4) & (-1 << (32 - bits)) & 63
            return { first, last: first + 2 ** (32 - bits) - 1, isHost: bits === 32 }
          }
          for (const a of kept)
            for (const b of kept) {
              if (claims[Number(a.slice(1))]!.node === claims[Number(b.slice(1))]!.node) continue
              const [x, y] = [span(a), span(b)]
              if (x.isHost !== y.isHost) continue
              assert.ok(x.last < y.first || y.last < x.first, `${a} and ${b}`)
            }
        }),
      )
    })
  })

  it('lets networks use the same addresses, unless they draw from one pool', () => {
    const isolated = file(
      'n.yaml',
      '{apiVersion: v1, kind: Namespace, metadata: {name: dev, annotations: {opencontrail.org/isolation: "true"}}}',
    )
    const [first, second] = [
      'default-domain:k8s-default:k8s-default-pod-network',
      'default-domain:k8s-dev:k8s-dev-pod-network',
    ]
    const blue = block('blue', '10.244.0.0/26', 'n3', 'default-domain:k8s-default:blue')
    const { blocks } = state([
      isolated,
      file('a.yaml', block('a', '10.244.0.0/26', 'n1', first), block('b', '10.244.0.0/26', 'n2', second), blue),
    ])
    assert.deepEqual([...blocks.keys()].sort(), ['a', 'blue'])
  })
})

describe('a network that blocks were cut from', () => {
  const spec = '{subnets: [{cidr: 10.1.0.0/16}, {cidr: "fd00:1::/64"}]}'
  const held = file('blocks.yaml', block('b', '10.1.0.64/26', 'n1'))
  const change = (to: string, ...others: LoadedFile[]) => {
    const before = state([file('a.yaml', network('red', spec)), ...others])
    const after = state([file('a.yaml', network('red', to)), ...others], before)
    return {
      before: before.virtualNetworks.get(RED),
      after: after.virtualNetworks.get(RED),
      rejected: texts(after.rejected),
    }
  }

  it('keeps its old definition when the change would cut off pods', () => {
    for (const [to, issue] of [
      [
        '{subnets: [{cidr: 10.2.0.0/16}]}',
        /^a\.yaml: VirtualNetwork default\/red spec\.subnets no longer holds 10\.1\.0\.0\/16, but nodes hold blocks/,
      ],
      ['{subnets: [{cidr: 10.1.0.0/17}]}', /no longer holds/],
      ['{subnets: [{cidr: 10.1.0.0/16, gateway: 10.1.0.9}]}', /spec\.subnets\[0\]\.gateway was 10\.1\.0\.1/],
      ['{subnets: [{cidr: 10.1.0.0/16}], blockSize4: 28}', /spec\.blockSize4 was 26/],
    ] as const) {
      const { before, after, rejected } = change(to, held)
      assert.equal(after, before, to)
      assert.match(rejected[0]!, issue)
    }
  })

  it('may change where no block lies, and everywhere without blocks', () => {
    for (const [to, others] of [
      ['{subnets: [{cidr: 10.1.0.0/16}]}', [held]],
      ['{subnets: [{cidr: 10.5.0.0/16}, {cidr: 10.1.0.0/16}, {cidr: "fd00:2::/64"}], blockSize6: 124}', [held]],
      ['{subnets: [{cidr: 10.2.0.0/16}]}', []],
    ] as const) {
      const { before, after, rejected } = change(to, ...others)
      assert.notDeepEqual(after, before, to)
      assert.deepEqual(rejected, [])
    }
  })

  it('stays in force when it is deleted, takes no new pods, and goes with the last block', () => {
    const before = state([file('a.yaml', network('red', spec)), held])
    const gone = state([held], before)
    assert.deepEqual(gone.virtualNetworks.get(RED), { ...before.virtualNetworks.get(RED), isDeleted: true })
    assert.match(texts(gone.rejected)[0]!, /VirtualNetwork default\/red {2}is gone .* its pods keep their network/)
    const pod = { namespace: 'default', name: 'p', annotations: { 'vrouter.dev/network': 'red' } }
    const asked = networkOfPod(pod, gone, 'k8s')
    assert.ok(!asked.ok && asked.error.code === 'NETWORK_MISSING' && asked.error.message.endsWith('which was deleted'))
    assert.equal(state([held], gone).virtualNetworks, gone.virtualNetworks)
    assert.equal(state([], gone).virtualNetworks.has(RED), false)
    const again = state([file('a.yaml', network('red', spec)), held], gone)
    assert.equal(again.virtualNetworks.get(RED)!.isDeleted, undefined)
    const other = state([file('a.yaml', network('red', '{subnets: [{cidr: 10.2.0.0/16}]}')), held], gone)
    assert.equal(other.virtualNetworks.get(RED)!.isDeleted, undefined)
    assert.equal(other.virtualNetworks.get(RED)!.subnets[0]!.cidr, '10.1.0.0/16')
    assert.match(texts(other.rejected)[0]!, /no longer holds/)
  })

  it('stays in force, too, when its namespace is no longer isolated; new pods are in the default network', () => {
    const namespace = (isolation: string) =>
      file(
        'n.yaml',
        `{apiVersion: v1, kind: Namespace, metadata: {name: dev, annotations: {vrouter.dev/isolation: "${isolation}"}}}`,
      )
    const own = 'default-domain:k8s-dev:k8s-dev-pod-network'
    const blockOf = file('blocks.yaml', block('d', '10.244.0.64/26', 'n1', own))
    const before = state([namespace('true'), blockOf])
    const after = state([namespace('false'), blockOf], before)
    assert.equal(after.virtualNetworks.get(own)!.isDeleted, true)
    const asked = networkOfPod({ namespace: 'dev', name: 'p' }, after, 'k8s')
    assert.ok(asked.ok && asked.from === 'default')
    const back = networkOfPod({ namespace: 'dev', name: 'p' }, state([namespace('true'), blockOf], after), 'k8s')
    assert.ok(back.ok && back.from === 'isolation')
  })

  it('changes as soon as the last block is gone', () => {
    const wanted = file('a.yaml', network('red', '{subnets: [{cidr: 10.2.0.0/16}]}'))
    const before = state([file('a.yaml', network('red', spec)), held])
    const kept = state([wanted, held], before)
    const after = state([wanted], kept)
    assert.equal(after.virtualNetworks.get(RED)!.subnets[0]!.cidr, '10.2.0.0/16')
    assert.deepEqual(after.rejected, [])
  })
})

describe('assembling', () => {
  const universe = [
    file('a.yaml', network('red', '{subnets: [{cidr: 10.1.0.0/16}]}'), block('x', '10.1.0.0/26', 'n1')),
    file('b.yaml', network('red', '{subnets: [{cidr: 10.2.0.0/16}]}'), block('y', '10.1.0.0/26', 'n2')),
    file('c.yaml', router('n1', '192.0.2.1'), router('n2', '192.0.2.2')),
    file('d.yaml', router('n3', '192.0.2.1'), router('n1', '192.0.2.9')),
    file('published/e.yaml', block('z', '10.1.0.32/27', 'n3'), block('x', '10.1.0.64/26', 'n1')),
    file('published/f.yaml', block('w', '10.1.0.1/32', 'n3'), block('v', '10.1.0.1/32', 'n2')),
  ]

  it('doesn’t depend on the order of the files', () => {
    const plain = (s: SourceState) => ({
      networks: [...s.virtualNetworks].sort(([a], [b]) => (a < b ? -1 : 1)),
      blocks: [...s.blocks].sort(([a], [b]) => (a < b ? -1 : 1)),
      routers: [...s.routers].sort(([a], [b]) => (a < b ? -1 : 1)),
      rejected: texts(s.rejected).sort(),
    })
    fc.assert(
      fc.property(fc.shuffledSubarray(universe), (files) => {
        const sorted = [...files].sort((a, b) => (a.path < b.path ? -1 : 1))
        assert.deepEqual(plain(state(files)), plain(state(sorted)))
      }),
    )
  })

  it('never leaves two nodes with one address in their blocks, or two routers with one address', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(universe), (files) => {
        const { routers, blocks } = state(files)
        const addresses = [...routers.values()].map(({ address }) => address)
        assert.equal(new Set(addresses).size, addresses.length)
        const cidrs = [...blocks.values()].map(({ cidr }) => cidr)
        assert.equal(new Set(cidrs).size, cidrs.length)
      }),
    )
  })

  it('hands out the same maps while nothing in them changes', () => {
    const before = state(universe)
    const after = state([...universe, file('g.yaml', router('n9', '192.0.2.99'))], before)
    for (const key of ['namespaces', 'virtualNetworks', 'blocks', 'interfaces', 'rejected'] as const)
      assert.equal(after[key], before[key], key)
    assert.notEqual(after.routers, before.routers)
  })
})
