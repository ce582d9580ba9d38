/**
 * One node of a small cluster, by hand: node-1 (10.0.0.11/24 behind 10.0.0.1), networks red and blue with the same subnet, a pod
 * in each, a pod and a block of red on node-2.
 */
import { ROUTER_MAC } from '@kube-vrouter/daemon/model/names'
import type { Config } from '../../daemon/src/config/config.ts'
import type { IntrospectContext } from '../../daemon/src/introspect/context.ts'
import type { NodeFacts, Port } from '../../daemon/src/model/facts.ts'
import type { SourceState, VirtualNetwork, VirtualRouter } from '../../daemon/src/model/objects.ts'
import type {
  BackSet,
  BridgeRoute,
  Front,
  NumberedNexthop,
  Path,
  Peer,
  Route,
  Tables,
  Vif,
  Vrf,
} from '../../daemon/src/model/tables.ts'
import { kernelOfFixture } from './kernel-tables.ts'

const RED = 'default-domain:k8s-default:red'
const BLUE = 'default-domain:k8s-default:blue'
const FABRIC = 'default-domain:default-project:ip-fabric'
const NIC_MAC = '52:54:00:a1:b2:c3'

export const config: Config = {
  node: 'node-1',
  cluster: { name: 'k8s', domain: 'cluster.local' },
  source: { type: 'directory', kubeconfig: '', server: '', path: '/var/lib/vrouter/objects' },
  services: { clusterIPRanges: [], externalIPs: true },
  snat: { enabled: true, ports: '61000-65535', interfaces: ['auto'], linkLocal: false },
  cni: { logFile: '', chained: [] },
  portApi: {
    rest: { enabled: false, address: '127.0.0.1', port: 9091, portsDir: '/var/lib/contrail/ports', staleSeconds: 60 },
  },
  health: { addresses: ['127.0.0.1'], port: 0 },
  underlay: { interface: 'eth0', vhost: 'vhost0', agent: 'pkt0', watchSeconds: 10, gateway: 'auto' },
  paths: {
    state: '/var/lib/vrouter',
    run: '/run/vrouter',
    pins: '/sys/fs/bpf/vrouter',
    objects: '/objects',
    cniConf: '',
    cniBin: '/opt/cni/bin',
    sysctl: '/proc/sys',
  },
  introspect: { addresses: ['127.0.0.1'], port: 0 },
  limits: {
    vifs: 1024,
    vrfs: 4096,
    nexthops: 65536,
    labels: 5120,
    routes: 131072,
    services: 32768,
    backends: 262144,
    flows4: 131072,
    flows6: 65536,
    flowsPerVif: 0,
    trapRate: 1000,
    trapBurst: 1000,
  },
  ageing: { tcpSeconds: 180, otherSeconds: 180 },
  tunnels: { dscp: 'copy', peers: [], oldPort: false },
  defaultNetwork: { subnets: [] },
  log: { level: 'info' },
}

export const facts: NodeFacts = {
  node: 'node-1',
  underlay: {
    name: 'eth0',
    ifindex: 2,
    mac: NIC_MAC,
    mtu: 1500,
    address: '10.0.0.11',
    prefixLength: 24,
    gateway: '10.0.0.1',
  },
  vhost: { name: 'vhost0', ifindex: 5 },
  agent: { name: 'pkt0', ifindex: 6 },
  otherRoutes: [],
  fabricRoutes: [
    { destination: '0.0.0.0', prefixLength: 0, gateway: '10.0.0.1' },
    { destination: '10.0.0.0', prefixLength: 24 },
  ],
  neighbours: new Map([
    ['10.0.0.1', '02:84:4f:c3:40:2b'],
    ['10.0.0.12', '02:aa:bb:cc:00:12'],
  ]),
}

const vrfs: readonly Vrf[] = [
  { id: 0, name: `${FABRIC}:__default__`, uuid: '00000000-0000-5000-8000-000000000000', forwardingVrf: 0 },
  { id: 1, name: `${FABRIC}:ip-fabric`, uuid: '00000000-0000-5000-8000-000000000001', vn: FABRIC, forwardingVrf: 0 },
  {
    id: 2,
    name: `${RED}:red`,
    uuid: '00000000-0000-5000-8000-000000000002',
    vn: RED,
    label: 17,
    nexthop: 8,
    forwardingVrf: 2,
  },
  {
    id: 3,
    name: `${BLUE}:blue`,
    uuid: '00000000-0000-5000-8000-000000000003',
    vn: BLUE,
    label: 18,
    nexthop: 9,
    forwardingVrf: 3,
  },
]

const pods: readonly Port[] = [
  {
    uuid: '4b6d1c9e-52f0-5111-9a01-525400a1b2c3',
    containerId: 'c1',
    ifname: 'eth0',
    namespace: 'default',
    pod: { name: 'web-0', uid: 'c0ffee00-52f0-41ef-9a01-525400a1b2c3' },
    vn: RED,
    mac: '02:4b:6d:1c:9e:52',
    addresses: ['10.47.255.10', 'fd00:47::a'],
    tap: 'tap4b6d1c9e52f0',
    ifindex: 12,
    mtu: 1468,
    labels: { app: 'web' },
    createdAt: '2026-01-02T03:04:05.000Z',
  },
  {
    uuid: '5c7e2daf-52f0-5111-9a01-525400a1b2c3',
    containerId: 'c2',
    ifname: 'eth0',
    namespace: 'default',
    pod: { name: "o'neil & <co>", uid: 'c0ffee01-52f0-41ef-9a01-525400a1b2c3' },
    vn: BLUE,
    mac: '02:5c:7e:2d:af:52',
    addresses: ['10.47.255.10'],
    tap: 'tap5c7e2daf52f0',
    ifindex: 14,
    mtu: 1468,
    labels: {},
    createdAt: '2026-01-02T03:05:05.000Z',
  },
]
export const ports = pods

const vifs: readonly Vif[] = [
  {
    id: 0,
    type: 'physical',
    name: 'eth0',
    ifindex: 2,
    vrf: 0,
    flowNexthop: 0,
    mtu: 1500,
    mac: NIC_MAC,
    flags: 0x40,
    maxFlows: 0,
  },
  {
    id: 1,
    type: 'host',
    name: 'vhost0',
    ifindex: 5,
    vrf: 0,
    flowNexthop: 2,
    mtu: 1500,
    mac: NIC_MAC,
    ip4: '10.0.0.11',
    label: 16,
    flags: 0xc0,
    maxFlows: 0,
  },
  {
    id: 2,
    type: 'agent',
    name: 'pkt0',
    ifindex: 6,
    vrf: 65535,
    flowNexthop: 3,
    mtu: 1500,
    mac: ROUTER_MAC,
    flags: 0x40,
    maxFlows: 0,
  },
  {
    id: 3,
    type: 'virtual',
    name: 'tap4b6d1c9e52f0',
    ifindex: 12,
    vrf: 2,
    flowNexthop: 10,
    mtu: 1468,
    mac: ROUTER_MAC,
    peerMac: '02:4b:6d:1c:9e:52',
    ip4: '10.47.255.10',
    ip6: 'fd00:47::a',
    label: 19,
    flags: 0xc1,
    maxFlows: 0,
    port: pods[0]!.uuid,
    metadata: '169.254.0.3',
  },
  {
    id: 4,
    type: 'virtual',
    name: 'tap5c7e2daf52f0',
    ifindex: 14,
    vrf: 3,
    flowNexthop: 12,
    mtu: 1468,
    mac: ROUTER_MAC,
    peerMac: '02:5c:7e:2d:af:52',
    ip4: '10.47.255.10',
    label: 20,
    flags: 0xc1,
    maxFlows: 1000,
    port: pods[1]!.uuid,
    metadata: '169.254.0.4',
  },
]

function encap(vif: Vif, family: 'inet' | 'bridge'): NumberedNexthop['nexthop'] {
  return {
    type: 'encap',
    family,
    vif: vif.id,
    vrf: vif.vrf,
    dstMac: vif.peerMac!,
    srcMac: ROUTER_MAC,
    policy: family === 'inet',
    role: 'interface',
  }
}

function neighbour(address: string, dstMac: string): NumberedNexthop['nexthop'] {
  return { type: 'encap', family: 'inet', vif: 0, vrf: 0, dstMac, srcMac: NIC_MAC, policy: false, role: 'arp', address }
}

function tunnel(destination: string, dstMac?: string): NumberedNexthop['nexthop'] {
  return {
    type: 'tunnel',
    encapsulation: 'MPLSoUDP',
    source: '10.0.0.11',
    destination,
    via: destination,
    dstMac,
    srcMac: NIC_MAC,
    mtu: 1468,
  }
}

const nexthops: readonly NumberedNexthop[] = [
  { id: 0, nexthop: { type: 'discard' }, isValid: true, references: 0 },
  { id: 1, nexthop: { type: 'discard' }, isValid: true, references: 3 },
  { id: 2, nexthop: { type: 'receive', vif: 1, vrf: 0, policy: true }, isValid: true, references: 4 },
  {
    id: 3,
    nexthop: {
      type: 'encap',
      family: 'inet',
      vif: 2,
      vrf: 0,
      dstMac: '00:00:00:00:00:01',
      srcMac: ROUTER_MAC,
      policy: true,
      role: 'interface',
    },
    isValid: true,
    references: 6,
  },
  { id: 4, nexthop: { type: 'resolve', vif: 0 }, isValid: true, references: 1 },
  { id: 5, nexthop: neighbour('10.0.0.1', '02:84:4f:c3:40:2b'), isValid: true, references: 2 },
  { id: 6, nexthop: neighbour('10.0.0.12', '02:aa:bb:cc:00:12'), isValid: true, references: 1 },
  { id: 7, nexthop: { type: 'l2-receive' }, isValid: true, references: 2 },
  { id: 8, nexthop: { type: 'vrf-translate', vrf: 2 }, isValid: true, references: 1 },
  { id: 9, nexthop: { type: 'vrf-translate', vrf: 3 }, isValid: true, references: 1 },
  { id: 10, nexthop: encap(vifs[3]!, 'inet'), isValid: true, references: 3 },
  { id: 11, nexthop: encap(vifs[3]!, 'bridge'), isValid: true, references: 1 },
  { id: 12, nexthop: encap(vifs[4]!, 'inet'), isValid: true, references: 3 },
  { id: 13, nexthop: encap(vifs[4]!, 'bridge'), isValid: true, references: 1 },
  { id: 14, nexthop: tunnel('10.0.0.12', '02:aa:bb:cc:00:12'), isValid: true, references: 2 },
  { id: 15, nexthop: tunnel('10.0.0.13'), isValid: false, references: 1 },
  {
    id: 16,
    nexthop: {
      type: 'composite',
      kind: 'ecmp',
      vrf: 2,
      members: [
        { nexthop: 10, label: 19 },
        { nexthop: 14, label: 31 },
      ],
    },
    isValid: true,
    references: 1,
  },
  {
    id: 17,
    nexthop: { type: 'composite', kind: 'l2-multicast', vrf: 2, members: [{ nexthop: 18 }, { nexthop: 19 }] },
    isValid: true,
    references: 0,
  },
  {
    id: 18,
    nexthop: { type: 'composite', kind: 'l2-interface', vrf: 2, members: [{ nexthop: 11 }] },
    isValid: true,
    references: 1,
  },
  {
    id: 19,
    nexthop: { type: 'composite', kind: 'evpn', vrf: 2, members: [{ nexthop: 14, label: 33 }] },
    isValid: true,
    references: 1,
  },
]

const NODE2: Peer = { node: 'node-2', address: '10.0.0.12' }
const NODE3: Peer = { node: 'node-3', address: '10.0.0.13' }

function route(
  kind: Route['kind'],
  prefix: string,
  nexthop: number,
  vn: string,
  peer: Peer,
  rest: Partial<Path> & { flags?: string; stitchedMac?: string } = {},
): Route {
  const [address, length] = prefix.split('/')
  const { flags = '', stitchedMac, ...path } = rest
  return {
    address: address!,
    prefixLength: Number(length),
    kind,
    nexthop,
    label: path.label,
    flags: { arpProxy: flags.includes('P'), arpFlood: flags.includes('F'), arpTrap: flags.includes('T') },
    stitchedMac,
    bridgeIndex: stitchedMac === undefined ? undefined : 1,
    paths: [{ peer, nexthop, vn, preference: 100, ...path }],
  }
}

const pod = (prefix: string, nexthop: number, label: number, vn: string, stitchedMac: string) =>
  route('pod', prefix, nexthop, vn, 'LocalVmPort', { label, preference: 200, flags: 'P', stitchedMac })

const inet = new Map<number, readonly Route[]>([
  [
    0,
    [
      route('fabric', '0.0.0.0/0', 5, FABRIC, 'Local', { gateway: '10.0.0.1' }),
      route('fabric', '10.0.0.0/24', 4, FABRIC, 'Local'),
      route('neighbour', '10.0.0.1/32', 5, FABRIC, 'Local'),
      route('receive', '10.0.0.11/32', 2, FABRIC, 'Local'),
      route('neighbour', '10.0.0.12/32', 6, FABRIC, 'Local'),
      route('receive', '10.0.0.255/32', 2, FABRIC, 'Local'),
      route('metadata', '169.254.0.3/32', 10, FABRIC, 'LinkLocal', { label: 19 }),
      route('metadata', '169.254.0.4/32', 12, FABRIC, 'LinkLocal', { label: 20 }),
      route('receive', '224.0.0.0/8', 2, FABRIC, 'Local'),
    ],
  ],
  [
    2,
    [
      route('subnet', '10.47.255.0/24', 1, RED, 'Local', { flags: 'F' }),
      route('gateway', '10.47.255.1/32', 3, RED, 'Local', { flags: 'P' }),
      route('service', '10.47.255.2/32', 3, RED, 'Local', { flags: 'P' }),
      pod('10.47.255.10/32', 10, 19, RED, '02:4b:6d:1c:9e:52'),
      route('ecmp', '10.47.255.20/32', 16, RED, 'Ecmp'),
      route('remote-block', '10.47.255.64/26', 14, RED, NODE2, { label: 17, flags: 'P' }),
      route('remote-pod', '10.47.255.70/32', 14, RED, NODE2, { label: 31, flags: 'P' }),
      route('remote-block', '10.47.255.128/26', 15, RED, NODE3, { label: 22, flags: 'P' }),
    ],
  ],
  [
    3,
    [
      route('subnet', '10.47.255.0/24', 1, BLUE, 'Local', { flags: 'F' }),
      route('gateway', '10.47.255.1/32', 3, BLUE, 'Local', { flags: 'P' }),
      route('service', '10.47.255.2/32', 3, BLUE, 'Local', { flags: 'P' }),
      pod('10.47.255.10/32', 12, 20, BLUE, '02:5c:7e:2d:af:52'),
    ],
  ],
])

const inet6 = new Map<number, readonly Route[]>([
  [
    2,
    [
      route('subnet', 'fd00:47::/64', 1, RED, 'Local', { flags: 'F' }),
      route('gateway', 'fd00:47::1/128', 3, RED, 'Local', { flags: 'P' }),
      route('service', 'fd00:47::2/128', 3, RED, 'Local', { flags: 'P' }),
      pod('fd00:47::a/128', 10, 19, RED, '02:4b:6d:1c:9e:52'),
    ],
  ],
])

const router: BridgeRoute = { mac: ROUTER_MAC, index: 0, nexthop: 7, floodDhcp: false, peer: 'Local_Vm' }

const bridge = new Map<number, readonly BridgeRoute[]>([
  [
    2,
    [
      router,
      {
        mac: '02:4b:6d:1c:9e:52',
        index: 1,
        nexthop: 11,
        label: 19,
        floodDhcp: false,
        peer: 'EVPN',
        address: '10.47.255.10',
      },
      {
        mac: '02:77:00:00:00:31',
        index: 1073741873,
        nexthop: 14,
        label: 31,
        floodDhcp: false,
        peer: NODE2,
        address: '10.47.255.20',
      },
    ],
  ],
  [
    3,
    [
      { ...router, index: 2 },
      {
        mac: '02:5c:7e:2d:af:52',
        index: 3,
        nexthop: 13,
        label: 20,
        floodDhcp: false,
        peer: 'EVPN',
        address: '10.47.255.10',
      },
    ],
  ],
])

/** Service web of red, on this node and on the other one, with an address of a load balancer, and without endpoints here. */
const fronts: readonly Front[] = (() => {
  const service = { namespace: 'default', name: 'web', port: 'http', family: 4 } as const
  const back = { port: 8080, vrf: 2 }
  const cluster: BackSet = {
    backs: [
      { ...back, address: '10.47.255.10', nexthop: 10 },
      { ...back, address: '10.47.255.70', nexthop: 14, label: 31 },
    ],
    whenEmpty: 'reject',
  }
  const none: BackSet = { backs: [], whenEmpty: 'reject' }
  const local: BackSet = { backs: cluster.backs.slice(0, 1), whenEmpty: 'drop' }
  const listener = { protocol: 'TCP', port: 80 } as const
  const at = { vrf: 2, address: '10.96.0.10', kind: 'cluster-ip', service, id: 5 } as const
  return [
    { ...at, inside: none, outside: none, local: none },
    { ...at, listener, inside: cluster, outside: cluster, local },
    {
      ...{ ...at, listener, vrf: 0, address: '198.51.100.7', kind: 'load-balancer', sourceRanges: ['203.0.113.0/24'] },
      ...{ inside: cluster, outside: { backs: [], whenEmpty: 'drop' }, local, affinitySeconds: 60 },
    },
  ]
})()

export const tables: Tables = {
  vrfs,
  vifs,
  nexthops,
  labels: [
    { label: 16, nexthop: 2 },
    { label: 17, nexthop: 8 },
    { label: 18, nexthop: 9 },
    { label: 19, nexthop: 10 },
    { label: 20, nexthop: 12 },
  ],
  inet,
  inet6,
  bridge,
  neighbours: ['10.0.0.1', '10.0.0.12', '10.0.0.13'],
  peers: [],
  hostRoutes: [],
  fronts,
  problems: [],
}

function network(name: string, uuid: string, cidrs: readonly string[]): VirtualNetwork {
  return {
    namespace: 'default',
    name,
    fqName: `default-domain:k8s-default:${name}`,
    uuid,
    subnets: cidrs.map((cidr) => {
      const head = cidr.slice(0, cidr.lastIndexOf(cidr.includes(':') ? ':' : '.') + 1)
      return { cidr, gateway: `${head}1`, service: `${head}2` }
    }),
    blockSize4: 26,
    blockSize6: 122,
  }
}

export const source: SourceState = {
  namespaces: new Map(),
  virtualNetworks: new Map(
    [
      network('red', '9d3c0001-52f0-5111-9a01-525400a1b2c3', ['10.47.255.0/24', 'fd00:47::/64']),
      network('blue', '9d3c0002-52f0-5111-9a01-525400a1b2c3', ['10.47.255.0/24']),
    ].map((vn) => [vn.fqName, vn] as const),
  ),
  blocks: new Map(),
  interfaces: new Map(),
  routers: new Map<string, VirtualRouter>([
    [
      'node-1',
      {
        name: 'node-1',
        address: '10.0.0.11',
        encapsulations: ['MPLSoUDP'],
        vrfLabels: { [RED]: 17, [BLUE]: 18 },
        vhostLabel: 16,
      },
    ],
    [
      'node-2',
      { name: 'node-2', address: '10.0.0.12', encapsulations: ['MPLSoUDP'], vrfLabels: { [RED]: 17 }, vhostLabel: 16 },
    ],
    [
      'node-3',
      { name: 'node-3', address: '10.0.0.13', encapsulations: ['MPLSoUDP'], vrfLabels: { [RED]: 22 }, vhostLabel: 16 },
    ],
  ]),
  networkRouters: new Map(),
  pods: new Map(),
  rejected: [],
}

export function contextOfFixture(changes: Partial<IntrospectContext> = {}): IntrospectContext {
  return {
    config,
    kernel: kernelOfFixture(tables),
    tables: () => tables,
    source: () => source,
    facts: () => facts,
    ports: () => ports,
    health: () => ({ ready: true, state: 'in sync', startedAt: new Date(Date.now() - 3_723_000), problems: [] }),
    packets: () => ({
      ...{ received: 40, invalid: 2, replies: 25, sendFailures: 1, resolves: 4, faults: 1, announcements: 6, asks: 0 },
      traps: { 'trap-nexthop': 30, 'trap-resolve': 5, 'trap-flow-miss': 0 },
      silent: { malformed: 3, truncated: 1, unknown_vrf: 2, not_handled: 1, later_service: 4, not_own_address: 0 },
    }),
    announcements: () => ({
      inLine: new Map([
        ['198.51.100.7', ['worker-2', 'worker-1']],
        ['2001:db8::7', ['worker-1']],
      ]),
      announced: new Set(['198.51.100.7']),
    }),
    ...changes,
  }
}
