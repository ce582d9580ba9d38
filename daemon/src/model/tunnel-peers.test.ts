import assert from 'node:assert/strict'
import type { VirtualRouter } from './objects.ts'
import { TunnelPeerTable } from './tunnel-peers.ts'

const OWN = '192.0.2.1'

function routers(...nodes: readonly (readonly [name: string, address: string, address6?: string])[]) {
  return new Map(
    nodes.map(([name, address, address6]): [string, VirtualRouter] => [
      name,
      {
        name,
        address,
        ...(address6 !== undefined && { address6 }),
        encapsulations: ['MPLSoUDP'],
        vrfLabels: {},
        vhostLabel: 16,
      },
    ]),
  )
}

const NO_NODES = new Map()

describe('those from whom tunnels are taken', () => {
  it('are all other nodes and the configured gateways, by both addresses', () => {
    const table = new TunnelPeerTable('n1', ['192.0.2.254'])
    assert.deepEqual(table.compute(routers(['n3', '192.0.2.3'], ['n2', '192.0.2.2', 'fd00::2']), NO_NODES, OWN), [
      { address: '192.0.2.2', address6: 'fd00::2' },
      { address: '192.0.2.254' },
      { address: '192.0.2.3' },
    ])
  })

  it('are never this node, under whatever name or address it is known', () => {
    const table = new TunnelPeerTable('n1', [OWN])
    assert.deepEqual(table.compute(routers(['n1', '192.0.2.9', 'fd00::9'], ['n2', OWN]), NO_NODES, OWN), [])
  })

  it('are one where a gateway is a node', () => {
    const table = new TunnelPeerTable('n1', ['192.0.2.2'])
    assert.deepEqual(table.compute(routers(['n2', '192.0.2.2', 'fd00::2']), NO_NODES, OWN), [
      { address: '192.0.2.2', address6: 'fd00::2' },
    ])
  })

  it('are known with the tunnel to them, where there is one', () => {
    const table = new TunnelPeerTable('n1', [])
    const nodes = new Map([['n2', { nexthop: 7 }]])
    assert.deepEqual(table.compute(routers(['n2', '192.0.2.2'], ['n3', '192.0.2.3']), nodes, OWN), [
      { address: '192.0.2.2', nexthop: 7 },
      { address: '192.0.2.3' },
    ])
  })

  it('stay the same list while nobody comes or goes', () => {
    const table = new TunnelPeerTable('n1', [])
    const before = table.compute(routers(['n2', '192.0.2.2']), NO_NODES, OWN)
    assert.equal(table.compute(routers(['n2', '192.0.2.2']), NO_NODES, OWN), before)
    assert.deepEqual(table.compute(routers(), NO_NODES, OWN), [])
  })
})
