/** How long a node with tens of thousands of remote pods is deaf: the longest slice of a round has as much work with many as with few. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { type Slices, sliced, telling } from '../../../test/doubles/counted-work.ts'
import { nodeFacts } from '../../../test/doubles/node-facts.ts'
import { builtInNetworks, defaultSubnet } from './built-in-networks.ts'
import { Model } from './compute.ts'
import type { Port } from './facts.ts'
import { Ids } from './ids.ts'
import { interfaceUuid, podMac, tapName } from './names.ts'
import type {
  SourceState,
  VirtualMachineInterface,
  VirtualNetwork,
  VirtualNetworkRouter,
  VirtualRouter,
} from './objects.ts'
import { SLICE, sortInSlices } from './slices.ts'
import type { Tables } from './tables.ts'

const DEFAULT = 'default-domain:k8s-default:k8s-default-pod-network'
const [RED, BLUE] = ['default-domain:k8s-shop:red', 'default-domain:k8s-shop:blue']
const NODES = 32
const limits = { vrf: 64, nexthop: 65_536, label: 5120, vif: 1024, bridge: 262_144, service: 1000 }

type Interfaces = ReadonlyMap<string, VirtualMachineInterface>

const LABELS = { app: 'shop' }
const JOIN: VirtualNetworkRouter = {
  ...{ namespace: 'shop', name: 'join', type: 'mesh', labels: {}, imports: [] },
  networks: { matchLabels: LABELS, matchExpressions: [] },
}

function network(name: string, fqName: string, cidr: string): VirtualNetwork {
  const subnets = [defaultSubnet(cidr)]
  return { namespace: 'shop', name, fqName, uuid: fqName, labels: LABELS, subnets, blockSize4: 26, blockSize6: 122 }
}

const nodeName = (at: number) => `other-${at % NODES}`

/** The network has these pods on other nodes, in the order of nobody's addresses. */
function interfaces(vn: string, pods: number, label: number): Interfaces {
  const all = Array.from({ length: pods }, (_, at): VirtualMachineInterface => {
    const place = (at * 7919) % pods
    const bytes = [place >> 16, (place >> 8) & 255, place & 255]
    const uuid = `uuid-${at}`
    return telling({
      ...{ name: `pod-${at}`, namespace: 'far', uuid, vn, node: nodeName(at), pod: { name: 'pod', uid: uuid } },
      ...{ containerId: '', ifname: 'eth0', addresses: [`10.244.${bytes[1]}.${bytes[2]}`], label: label + (at % 1000) },
      mac: `02:00:00:${bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`,
    })
  })
  return new Map(all.map((one) => [one.uuid, one]))
}

function routers(nodes: number): ReadonlyMap<string, VirtualRouter> {
  const all = Array.from({ length: nodes }, (_, at) => ({
    ...{ name: nodeName(at), address: `192.0.2.${100 + at}`, encapsulations: ['MPLSoUDP'] as const },
    ...{ vrfLabels: { [DEFAULT]: 20, [RED]: 21, [BLUE]: 22 }, vhostLabel: 16 },
  }))
  return new Map(all.map((one) => [one.name, one]))
}

function port(name: string, vn: string, address: string): Port {
  const uuid = interfaceUuid(name, 'eth0')
  return {
    ...{ uuid, containerId: name, ifname: 'eth0', namespace: 'shop', pod: { name, uid: uuid }, vn },
    ...{ networkFrom: 'pod', mac: podMac(uuid), addresses: [address], tap: tapName(name, 'eth0'), ifindex: 10 },
    ...{ mtu: 1468, labels: {}, createdAt: '2026-01-01T00:00:00Z' },
  }
}

/** What a node goes through, with so many pods of one network on the others. */
function story(vn: string, pods: number): Record<string, Slices<Tables>> {
  const own = [network('red', RED, '10.64.0.0/24'), network('blue', BLUE, '10.244.0.0/16')]
  const networks = new Map([...builtInNetworks('k8s', ['10.244.0.0/16'], []), ...own].map((one) => [one.fqName, one]))
  const source: SourceState = {
    ...{ virtualNetworks: networks, namespaces: new Map(), pods: new Map(), rejected: [] },
    ...{
      interfaces: interfaces(vn, pods, 2000),
      blocks: new Map(),
      routers: routers(NODES),
      networkRouters: new Map(),
    },
  }
  const [here, there] = [port('here', vn, '10.244.255.3'), port('there', RED, '10.64.0.3')]
  const options = { node: 'n1', cluster: 'k8s', limits: { routes: 262_144 }, flowsPerVif: 100, snat: true }
  const model = new Model(options, new Ids({ limits }))
  const round = (changed: Partial<SourceState>, ...ports: readonly Port[]) =>
    sliced(model.steps({ source: { ...source, ...changed }, facts: nodeFacts, ports }))
  return {
    'it starts': round({ interfaces: interfaces(vn, pods, 100) }, here, there),
    'all have other labels': round({}, here, there),
    ...(vn === BLUE && {
      'the network leaks into another one': round({ networkRouters: new Map([['shop/join', JOIN]]) }, here, there),
      'it leaks no more': round({}, here, there),
    }),
    'a node goes': round({ routers: routers(NODES - 1) }, here, there),
    'it comes back': round({}, here, there),
    'the last pod of the network goes': round({}, there),
    'the others are gone': round({ interfaces: new Map() }, here, there),
  }
}

describe('a round of a node with many remote pods', () => {
  for (const [where, vn] of [
    ['a tenant’s network', BLUE],
    ['the default network', DEFAULT],
  ] as const) {
    it(`is deaf for no longer than with few, in ${where}`, () => {
      const [few, many] = [story(vn, 6000), story(vn, 24_000)]
      assert.ok(many['it starts']!.total > 3 * few['it starts']!.total, 'what is counted is counted')
      for (const [what, { longest }] of Object.entries(many)) {
        const before = few[what]!.longest
        assert.ok(longest <= before * 1.25, `${what}: ${longest} in one piece, and ${before} with few`)
      }
    })
  }

  it('sorts in pieces as a list does', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(50), { maxLength: 5 * SLICE, size: 'max' }), (numbers) => {
        const items = numbers.map((order, at) => ({ order, at }))
        const byOrder = (a: { order: number }, b: { order: number }) => a.order - b.order
        assert.deepEqual(sliced(sortInSlices(items, byOrder)).value, items.toSorted(byOrder))
      }),
      { numRuns: 20 },
    )
  })
})
