import assert from 'node:assert/strict'
import { decodeObject } from './newer.ts'

describe('an object of the API server', () => {
  const router = (status?: unknown) => {
    const spec = { address: '192.0.2.1', encapsulations: ['MPLSoUDP'], vrfLabels: {}, vhostLabel: 16 }
    const decoded = decodeObject('VirtualRouter', { metadata: { name: 'n1' }, spec, status }, 'k8s')
    assert.ok(decoded.ok && decoded.item.kind === 'VirtualRouter')
    return decoded.item.object
  }

  it('tells whether a node is ready as its condition says; without one, or with an odd one, nothing', () => {
    const ready = (status: unknown) => ({
      conditions: [
        { type: 'Other', status: 'True' },
        { type: 'Ready', status },
      ],
    })
    assert.equal(router(ready('True')).isReady, true)
    assert.equal(router(ready('False')).isReady, false)
    for (const status of [
      undefined,
      null,
      {},
      { conditions: null },
      { conditions: [null, 7] },
      ready('Unknown'),
      ready(true),
    ])
      assert.ok(!('isReady' in router(status)), JSON.stringify(status))
  })

  it('loses fields that this version does not know, and nothing else', () => {
    const decoded = decodeObject(
      'VirtualNetwork',
      {
        metadata: { name: 'red', namespace: 'default' },
        spec: { subnets: [{ cidr: '10.1.0.0/24', shade: 'dark' }], fabricSNAT: true, mood: { is: 'good' } },
      },
      'k8s',
    )
    assert.ok(decoded.ok && decoded.item.kind === 'VirtualNetwork')
    assert.equal(decoded.item.object.subnets[0]!.cidr, '10.1.0.0/24')
    assert.equal(decoded.item.object.fabricSnat, true)
  })
})
