import type { NodeFacts } from '@kube-vrouter/daemon/model/facts'

/** What tests of the model know of their node: 192.0.2.11/24 on its NIC, a gateway, and no neighbour yet. */
export const nodeFacts: NodeFacts = {
  node: 'n1',
  underlay: {
    name: 'eth0',
    ifindex: 2,
    mac: '52:54:00:00:00:01',
    mtu: 1500,
    address: '192.0.2.11',
    prefixLength: 24,
    gateway: '192.0.2.1',
  },
  vhost: { name: 'vhost0', ifindex: 3 },
  agent: { name: 'pkt0', ifindex: 4 },
  fabricRoutes: [
    { destination: '0.0.0.0', prefixLength: 0, gateway: '192.0.2.1' },
    { destination: '192.0.2.0', prefixLength: 24 },
  ],
  otherRoutes: [],
  neighbours: new Map(),
}
