import assert from 'node:assert/strict'
import type { OtherDevice } from '../model/facts.ts'
import { exitsOf } from './exits.ts'

describe('ways out of the node', () => {
  const devices: OtherDevice[] = [
    ...[undefined, 'vlan', 'bond', 'team', 'bridge', 'veth', 'dummy', 'vxlan'].map((kind, i) => ({
      ...{ name: kind ?? 'eth1', ifindex: 10 + i, mtu: 1500, address: `10.${i}.0.1` },
      ...(kind !== undefined && { kind }),
    })),
  ]
  const names = (...interfaces: string[]) => exitsOf(devices, interfaces).map(({ name }) => name)

  it('are those that stand for hardware, and what is named', () => {
    assert.deepEqual(names('auto'), ['eth1', 'vlan', 'bond', 'team'])
    assert.deepEqual(names('auto', 'bridge'), ['eth1', 'vlan', 'bond', 'team', 'bridge'])
    assert.deepEqual(names('veth', 'nobody'), ['veth'])
    assert.deepEqual(names(), [])
  })
})
