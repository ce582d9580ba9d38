import { strict as assert } from 'node:assert'
import { agreedWith, podMtu, SPOKEN, tunnelMtu } from './encapsulations.ts'
import type { Encapsulation, VirtualRouter } from './objects.ts'

const router = (...encapsulations: Encapsulation[]): VirtualRouter => ({
  ...{ name: 'n2', address: '192.0.2.2', encapsulations, vrfLabels: {}, vhostLabel: 16 },
})

describe('encapsulations', () => {
  it('leave pods what the one with the longest headers leaves', () => {
    for (const encapsulation of SPOKEN) assert.ok(podMtu(1500) <= tunnelMtu(encapsulation, 1500), encapsulation)
    assert.equal(tunnelMtu('MPLSoUDP', 1500), 1468)
  })

  it('are agreed with another node: the first of ours that it speaks', () => {
    assert.equal(agreedWith(router('VXLAN', 'MPLSoUDP')), 'MPLSoUDP')
    assert.equal(agreedWith(router('VXLAN')), undefined)
    assert.equal(agreedWith(router()), undefined)
  })
})
