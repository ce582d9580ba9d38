import assert from 'node:assert/strict'
import { nodeFacts } from '../../../test/doubles/node-facts.ts'
import { mustParseCidr } from './address.ts'
import { builtInNetworks, defaultSubnet } from './built-in-networks.ts'
import type { NodeFacts } from './facts.ts'
import type { LocalPod } from './interfaces.ts'
import { interfaceUuid, podMac, vrfOfNetwork } from './names.ts'
import { NodeToPods, type ReachInput } from './node-to-pods.ts'
import type { Address, VirtualMachineInterface, VirtualNetwork, VirtualRouter } from './objects.ts'
import type { Problem } from './tables.ts'

const facts: NodeFacts = {
  ...nodeFacts,
  underlay: { ...nodeFacts.underlay, address6: '2001:db8::11' },
  fabricRoutes: [...nodeFacts.fabricRoutes, { destination: '10.9.0.0', prefixLength: 16, gateway: '192.0.2.254' }],
  otherRoutes: [{ destination: '10.1.128.0', prefixLength: 24 }],
}
const isolated = { name: 'dev', labels: {}, annotations: { 'vrouter.dev/isolation': 'true' } }
const [standard, own] = builtInNetworks('k8s', ['10.244.0.0/16'], [isolated]) as [VirtualNetwork, VirtualNetwork]
const custom = (name: string): VirtualNetwork => ({
  namespace: 'default',
  name,
  fqName: `default-domain:k8s-default:${name}`,
  uuid: name,
  subnets: [defaultSubnet('10.1.0.0/16')],
  blockSize4: 26,
  blockSize6: 122,
})
const [red, blue] = [custom('red'), custom('blue')]

function pod(name: string, vn: VirtualNetwork, ...addresses: Address[]): LocalPod {
  const uuid = interfaceUuid(name, 'eth0')
  const vrf = vrfOfNetwork(vn.fqName)
  return {
    port: {
      uuid,
      containerId: name,
      ifname: 'eth0',
      namespace: 'default',
      pod: { name, uid: name },
      vn: vn.fqName,
      mac: podMac(uuid),
      addresses,
      tap: 'tap',
      ifindex: 9,
      mtu: 1468,
      labels: {},
      createdAt: '',
    },
    vrf: { id: 2, name: vrf, uuid: vrf, vn: vn.fqName, label: 16, nexthop: 8, forwardingVrf: 2 },
    vif: 3,
    label: 17,
    nexthop: 9,
    bridgeNexthop: 10,
    bridgeIndex: 1,
  }
}

/** `reached`: `pod address`; `problems`: as they are told. */
function reach(pods: readonly LocalPod[], more: Partial<ReachInput> = {}) {
  const problems: Problem[] = []
  const remote: VirtualMachineInterface = {
    ...pod('far', standard, '10.244.9.9').port,
    name: 'far',
    node: 'n2',
    label: 30,
  }
  const router: VirtualRouter = {
    name: 'n2',
    address: '10.1.0.200',
    encapsulations: ['MPLSoUDP'],
    vrfLabels: {},
    vhostLabel: 16,
  }
  const input: ReachInput = {
    facts,
    pods,
    source: {
      virtualNetworks: new Map([standard, own, red, blue].map((vn) => [vn.fqName, vn])),
      routers: new Map([['n2', router]]),
    },
    hostPeers: ['10.1.0.100'],
    defaultNetwork: { vn: standard.fqName, subnets: [mustParseCidr('10.244.0.0/16')], remote: [remote] },
    held: new Map(
      pods.flatMap((one) =>
        one.vrf.vn === standard.fqName ? one.port.addresses.map((address) => [address, one] as const) : [],
      ),
    ),
    ...more,
  }
  const reached = new NodeToPods().compute(input, problems).map((one) => `${one.pod.port.pod.name} ${one.address}`)
  return { reached, problems: problems.map(({ object, message }) => `${object}: ${message}`) }
}

describe('the node’s way to its pods', () => {
  it('leads to every pod whose address nobody else has, in isolated and custom networks', () => {
    const pods = [pod('a', own, '10.244.0.7'), pod('b', red, '10.1.0.5', 'fd00::5'), pod('c', blue, '10.1.0.6')]
    assert.deepEqual(reach(pods), {
      reached: ['a 10.244.0.7', 'b 10.1.0.5', 'b fd00::5', 'c 10.1.0.6'],
      problems: [],
    })
  })

  it('leads to whoever was there first, after the default network’s, and names both pods and the remedy', () => {
    const { reached, problems } = reach([pod('a', red, '10.1.0.5'), pod('b', blue, '10.1.0.5')])
    assert.deepEqual(reached, ['a 10.1.0.5'])
    assert.deepEqual(problems, [
      `Pod default/b: 10.1.0.5 in network ${blue.fqName}: Pod default/a has it, too, in network ${red.fqName}; ` +
        'this node does not reach it there: http, tcp and grpc probes of that pod fail; use exec probes, another address, or another node',
    ])
    const inDefault = reach([pod('a', red, '10.244.0.7'), pod('b', standard, '10.244.0.7')])
    assert.deepEqual(inDefault.reached, [])
    assert.match(inDefault.problems[0]!, /^Pod default\/a: .*: Pod default\/b has it, too/)
  })

  it('leads to the first interface of a pod before any that is beside one, and misses none of these', () => {
    const beside = pod('a', red, '10.1.0.5')
    const second: LocalPod = { ...beside, port: { ...beside.port, isSecondary: true } }
    assert.deepEqual(reach([second, pod('b', blue, '10.1.0.5')]), { reached: ['b 10.1.0.5'], problems: [] })
    assert.deepEqual(reach([second]), { reached: ['a 10.1.0.5'], problems: [] })
  })

  it('leaves the host’s own traffic alone', () => {
    for (const [address, reason] of [
      ['192.0.2.77', 'the host has a route of its own there'],
      ['192.0.2.11', 'this node has it'],
      ['2001:db8::11', 'this node has it'],
      ['10.9.3.4', 'the host has a route of its own there'],
      ['10.1.128.4', 'the host has a route of its own there'],
      ['10.1.0.200', 'node n2 has it'],
      ['10.1.0.100', 'a server that this node needs has it'],
      ['169.254.0.9', 'it is not for pods'],
      ['127.0.0.5', 'it is not for pods'],
      ['10.244.0.1', `it is the gateway of ${standard.fqName}`],
      ['10.244.9.9', 'Pod default/far on node n2 has it, too'],
    ] as const) {
      const { reached, problems } = reach([pod('a', red, address)])
      assert.deepEqual(reached, [], address)
      assert.ok(problems[0]?.includes(reason) === true, problems[0] ?? address)
    }
  })

  it('trusts the pool: an isolated network’s address is nobody else’s, even where the underlay has a wide route', () => {
    const wide = { ...facts, fabricRoutes: [{ destination: '10.0.0.0', prefixLength: 8, gateway: '192.0.2.1' }] }
    assert.deepEqual(reach([pod('a', own, '10.244.9.8')], { facts: wide }).reached, ['a 10.244.9.8'])
    assert.deepEqual(reach([pod('a', red, '10.1.9.8')], { facts: wide }).reached, [])
  })

  it('has no IPv6 where the node has none', () => {
    const { address6: _, ...underlay } = facts.underlay
    assert.deepEqual(reach([pod('a', red, '10.1.0.5', 'fd00::5')], { facts: { ...facts, underlay } }), {
      reached: ['a 10.1.0.5'],
      problems: [],
    })
  })
})
