import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ISOLATION_KEYS, NETWORK_ANNOTATIONS, slipsOf } from './annotations.ts'

describe('what namespaces and pods say under our prefixes', () => {
  const told = (of: 'namespace' | 'pod', annotations: Record<string, string>, labels: Record<string, string> = {}) =>
    slipsOf(of, { annotations, labels }).map(
      ({ message, meaning, isForeign }) => `${message} [${meaning ?? (isForeign ? 'foreign' : '')}]`,
    )

  it('is fine where it is known and says something', () => {
    for (const key of ISOLATION_KEYS) {
      assert.deepEqual(told('namespace', { [key]: 'True ' }), [])
      assert.deepEqual(told('namespace', {}, { [key]: 'false' }), [])
    }
    for (const key of NETWORK_ANNOTATIONS) {
      assert.deepEqual(told('namespace', { [key]: 'red' }), [])
      assert.deepEqual(told('pod', { [key]: 'red' }), [])
    }
    assert.deepEqual(told('namespace', { 'vrouter.dev/snat': 'false' }), [])
    assert.deepEqual(told('pod', { 'vrouter.dev/mac': '02:00:00:00:00:01', 'vrouter.dev/addresses': '10.1.0.7' }), [])
    assert.deepEqual(told('pod', { 'net.juniper.contrail.podnetwork.cni-args': '{}' }), [])
    assert.deepEqual(told('pod', { 'example.org/netwrok': 'red' }, { isolation: 'yes', app: 'web' }), [])
  })

  const slips: readonly [of: 'namespace' | 'pod', key: string, value: string, told: string][] = [
    ['namespace', 'vrouter.dev/isolation', 'yes', 'is "yes", neither true nor false [isolation]'],
    ['namespace', 'vrouter.dev/isolation', '', 'is "", neither true nor false [isolation]'],
    ['namespace', 'opencontrail.org/isolation', '1', 'is "1", neither true nor false [isolation]'],
    ['namespace', 'core.juniper.net/isolated-namespace', 'on', 'is "on", neither true nor false [isolation]'],
    ['namespace', 'vrouter.dev/snat', 'off', 'is "off", neither true nor false [snat]'],
    ['namespace', 'vrouter.dev/netwrok', 'red', 'is not known; did you mean vrouter.dev/network? [network]'],
    ['pod', 'vrouter.dev/networkss', 'red', 'is not known; did you mean vrouter.dev/networks? [network]'],
    ['pod', 'vrouter.dev/networks', ' ', 'is empty [network]'],
    ['pod', 'vrouter.dev/virtual-network', 'red', 'is not known; did you mean vrouter.dev/network? [network]'],
    ['pod', 'vrouter.dev/Network', 'red', 'is not known; did you mean vrouter.dev/network? [network]'],
    ['namespace', 'vrouter.dev/isolated', 'true', 'is not known; did you mean vrouter.dev/isolation? [isolation]'],
    ['namespace', 'vrouter.dev/isolated', 'false', 'is not known; did you mean vrouter.dev/isolation? []'],
    [
      'namespace',
      'opencontrail.org/isolaton',
      'true',
      'is not known; did you mean opencontrail.org/isolation? [isolation]',
    ],
    [
      'pod',
      'net.juniper.contrail.podnetwrok',
      'a/b',
      'is not known; did you mean net.juniper.contrail.podnetwork? [network]',
    ],
    ['pod', 'vrouter.dev/isolation', 'true', 'is not read on a pod, but on its namespace [isolation]'],
    ['pod', 'vrouter.dev/isolation', 'false', 'is not read on a pod, but on its namespace []'],
    ['namespace', 'vrouter.dev/adresses', '10.1.0.7', 'is not known; did you mean vrouter.dev/addresses? []'],
    ['namespace', 'vrouter.dev/mac', '02:00:00:00:00:01', 'is not read on a namespace, but on its pod []'],
    ['namespace', 'vrouter.dev/network', ' ', 'is empty [network]'],
    ['namespace', 'opencontrail.org/network', '', 'is empty []'],
  ]
  for (const [of, key, value, wanted] of slips) {
    it(`is told: ${of} with ${key}=${value}`, () => {
      assert.deepEqual(told(of, { [key]: value }), [`annotation ${key} ${wanted}`])
    })
  }

  it('is told where a label stands for an annotation', () => {
    assert.deepEqual(told('pod', {}, { 'vrouter.dev/network': 'red' }), [
      'label vrouter.dev/network is not read: write it as annotation [network]',
    ])
  })

  it('is told of a key that means nothing, with those that do', () => {
    const [text] = told('pod', { 'vrouter.dev/qos': 'gold' })
    assert.match(text!, /^annotation vrouter.dev\/qos is not known; known are vrouter.dev\/network, .*\[\]$/)
  })

  it('lets keys of Contrail that there is nothing for be, and tells of them', () => {
    const keys = [
      'opencontrail.org/isolation.service',
      'opencontrail.org/ip_fabric_forwarding',
      'opencontrail.org/fip-pool',
      'opencontrail.org/cidr',
      'core.juniper.net/display-name',
      'core.juniper.net/clusterName',
      'core.juniper.net/bgpaas-networks',
      'net.juniper.contrail.vlan',
    ]
    for (const key of keys)
      for (const kind of ['namespace', 'pod'] as const)
        assert.deepEqual(told(kind, { [key]: 'true' }), [
          `annotation ${key} is not known here, and does nothing [foreign]`,
        ])
  })

  it('is never taken for nothing one slip of the hand away from a key that keeps pods apart', () => {
    const words = [...ISOLATION_KEYS, ...NETWORK_ANNOTATIONS].map((key) => {
      const at = Math.max(key.lastIndexOf('/'), key.lastIndexOf('.')) + 1
      return [key.slice(0, at), key.slice(at)] as const
    })
    const slip = fc.record({ word: fc.constantFrom(...words), at: fc.nat(), letter: fc.constantFrom(...'abcxyz') })
    fc.assert(
      fc.property(slip, ({ word: [prefix, word], at, letter }) => {
        const index = at % word.length
        for (const wrong of [
          word.slice(0, index) + letter + word.slice(index),
          word.slice(0, index) + letter + word.slice(index + 1),
          word.slice(0, index) + word.slice(index + 1),
        ]) {
          if (wrong === word) continue
          const [found] = slipsOf('namespace', { annotations: { [prefix + wrong]: 'true' } })
          assert.ok(found?.meaning === 'network' || found?.meaning === 'isolation', `${prefix}${wrong}`)
        }
      }),
    )
  })
})
