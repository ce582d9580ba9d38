import assert from 'node:assert/strict'
import { TestCluster } from '../../../test/doubles/test-cluster.ts'

const select = (vn: string) => ({ virtualNetworkSelector: { matchLabels: { vn } } })
const importing = (router: string, more: object = {}) => ({
  import: { virtualNetworkRouters: [{ virtualNetworkRouterSelector: { matchLabels: { router } }, ...more }] },
})

function cluster(): TestCluster {
  const made = new TestCluster()
  made.namespace('default')
  made.namespace('other')
  for (const [index, name] of ['a', 'b', 'c'].entries()) {
    made.network(name, { subnets: [{ cidr: `10.${index + 1}.0.0/16` }] }, { labels: { vn: name, all: 'yes' } })
  }
  return made
}

const shown = (of: TestCluster, key: string) => {
  const { state, observation = '' } = of.status('networkRouters', key) as { state: string; observation?: string }
  return `${state} ${observation}`.trim()
}

describe('network routers', () => {
  it('that mesh networks say which, and that they do', () => {
    const made = cluster()
    made.networkRouter('m', { type: 'mesh', virtualNetworkSelector: { matchLabels: { all: 'yes' } } })
    const { events } = made.settle()
    const { selected, virtualNetworks, joined } = made.status('networkRouters', 'default/m')
    assert.deepEqual([selected, virtualNetworks, joined], [3, ['default/a', 'default/b', 'default/c'], []])
    assert.equal(shown(made, 'default/m'), 'Success')
    assert.equal(made.condition('networkRouters', 'default/m', 'Ready'), 'True Leaking')
    assert.deepEqual(
      events.map(({ type, reason }) => [type, reason]),
      [['Normal', 'Leaking']],
    )
  })

  it('of hub and spoke join when both import each other, across namespaces too', () => {
    const made = cluster()
    made.networkRouter('hub', { type: 'hub', ...select('a'), ...importing('spoke') }, { router: 'hub' })
    made.networkRouter('spoke', { type: 'spoke', ...select('b'), ...importing('hub') }, { router: 'spoke' })
    made.settle()
    assert.deepEqual(made.status('networkRouters', 'default/hub')['joined'], ['default/spoke'])
    assert.equal(shown(made, 'default/spoke'), 'Success')
  })

  it('that import without being imported wait, and say for whom', () => {
    const made = cluster()
    made.networkRouter('hub', { type: 'hub', ...select('a'), ...importing('spoke') }, { router: 'hub' })
    made.networkRouter('spoke', { type: 'spoke', ...select('b') }, { router: 'spoke' })
    const { events } = made.settle()
    const words =
      "imports VirtualNetworkRouter default/spoke, which doesn't import it: nothing leaks between them until both do"
    assert.equal(shown(made, 'default/hub'), `Pending ${words}`)
    assert.equal(made.condition('networkRouters', 'default/hub', 'OneSided'), `True OneSided: ${words}`)
    assert.equal(shown(made, 'default/spoke'), 'Pending imports no hub that exists: a spoke alone leaks nothing')
    assert.deepEqual(
      events.map(({ reason }) => reason),
      ['OneSided'],
    )
  })

  it('of types that don’t fit are contradictions, unless a wide selector finds one that does', () => {
    const made = cluster()
    made.networkRouter('one', { type: 'hub', ...select('a'), ...importing('two') }, { router: 'one' })
    made.networkRouter('two', { type: 'hub', ...select('b'), ...importing('one') }, { router: 'two' })
    made.settle()
    assert.equal(
      shown(made, 'default/one'),
      'Failure imports VirtualNetworkRouter default/two, but hubs are not joined with each other',
    )
    made.networkRouter('three', { type: 'spoke', ...select('c'), ...importing('one') }, { router: 'two' })
    made.settle()
    assert.equal(shown(made, 'default/one'), 'Success')
  })

  it('that make one network both hub and spoke are a loop', () => {
    const made = cluster()
    made.networkRouter('hub', { type: 'hub', ...select('a'), ...importing('spoke') }, { router: 'hub' })
    made.networkRouter('spoke', { type: 'spoke', ...select('a'), ...importing('hub') }, { router: 'spoke' })
    made.settle()
    assert.match(
      shown(made, 'default/hub'),
      /^Failure is joined with spoke default\/spoke, which selects VirtualNetwork default\/a too/,
    )
  })

  it('that would join networks with the same addresses tell it, and so do the networks', () => {
    const made = cluster()
    made.network('d', { subnets: [{ cidr: '10.1.9.0/24' }] }, { labels: { vn: 'a' } })
    made.networkRouter('m', { type: 'mesh', ...select('a') })
    made.settle()
    const [a, d] = ['default-domain:k8s-default:a', 'default-domain:k8s-default:d']
    const clash = `subnet 10.1.0.0/16 of ${a} overlaps 10.1.9.0/24 of ${d}; give one of them another subnet`
    assert.equal(shown(made, 'default/m'), `Failure routes are not leaked between ${a} and ${d}: ${clash}`)
    for (const [key, other] of [
      ['default/a', d],
      ['default/d', a],
    ] as const) {
      const words = `True AddressesOverlap: its routes are not leaked to ${other}: ${clash}`
      assert.equal(made.condition('networks', key, 'Overlap'), words)
      assert.equal(made.condition('networks', key, 'Ready'), 'True Accepted')
    }
    assert.equal(made.condition('networks', 'default/b', 'Overlap'), 'False None')
    made.remove('networkRouters', 'default/m')
    made.settle()
    assert.equal(made.condition('networks', 'default/a', 'Overlap'), 'False None')
  })

  it('of a hub tell that two of its spokes have the same addresses', () => {
    const made = cluster()
    made.network('d', { subnets: [{ cidr: '10.2.9.0/24' }] }, { labels: { vn: 'b' } })
    made.networkRouter('hub', { type: 'hub', ...select('a'), ...importing('spoke') }, { router: 'hub' })
    made.networkRouter('spoke', { type: 'spoke', ...select('b'), ...importing('hub') }, { router: 'spoke' })
    made.settle()
    for (const key of ['default/hub', 'default/spoke'])
      assert.match(
        shown(made, key),
        /^Failure routes are not leaked between default-domain:k8s-default:a and default-domain:k8s-default:d/,
      )
  })

  it('that select nothing, or one network alone, or are wrong, say so', () => {
    const made = cluster()
    made.networkRouter('none', { type: 'mesh', ...select('z') })
    made.networkRouter('alone', { type: 'mesh', ...select('a') })
    made.networkRouter('bad', {
      type: 'mesh',
      virtualNetworkSelector: { matchExpressions: [{ key: 'k', operator: 'In' }] },
    })
    made.settle()
    assert.match(shown(made, 'default/none'), /^Pending selects no VirtualNetwork of namespace default/)
    assert.match(shown(made, 'default/alone'), /^Pending selects VirtualNetwork default\/a alone/)
    assert.match(
      shown(made, 'default/bad'),
      /^Failure spec\.virtualNetworkSelector\.matchExpressions\[0\]\.values .*is required for In/,
    )
  })
})
