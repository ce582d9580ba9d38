/** Who is outside the cluster, and other nodes' hosts, reach Services by NodePorts, load balancer addresses and external IPs; no pod's address shows on the wire. */
import assert from 'node:assert/strict'
import { nodePaths, underlay } from '../lab/layout.ts'
import { eventually, type TestLab as Lab, skipIfMissing, TestLab, type TestPod, tenant } from './lab.ts'
import {
  answersOf,
  ask,
  exchanged,
  type Kind,
  serviceManifest,
  serviceRanges,
  startEcho,
  startServer,
} from './service-lab.ts'

const NODE_PORT = 30080
const LOCAL_PORT = 30090
const PUBLIC = ['203.0.113.7', 'fd88::7']
const EXTERNAL = ['203.0.113.8', 'fd88::8']

/** Prints what is seen on the underlay's bridge from an address of a pod, outside of tunnels. */
const spy = `
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(('br0', 3))
print('ready', flush=True)
while True:
  frame = s.recv(65535)
  kind = frame[12:14]
  ends = []
  if kind == b'\\x08\\0': ends = [socket.inet_ntop(socket.AF_INET, frame[26:30]), socket.inet_ntop(socket.AF_INET, frame[30:34])]
  if kind == b'\\x86\\xdd': ends = [socket.inet_ntop(socket.AF_INET6, frame[22:38]), socket.inet_ntop(socket.AF_INET6, frame[38:54])]
  if any(end in sys.argv[1:] for end in ends): print('leaked', ends, flush=True)
`

describe('Services from outside', function () {
  this.timeout(240_000)
  let lab: Lab
  let leaked = ''
  let a: TestPod
  let b: TestPod
  let shop: TestPod
  const kinds: readonly Kind[] = ['tcp', 'udp']
  const outside = [underlay.gateway4, underlay.gateway6]
  const addressesOf = (node: number) => {
    const { address4, address6 } = nodePaths('x', node)
    return [address4, address6]
  }
  const ports = (first: number) =>
    (['TCP', 'UDP'] as const).map((protocol) => ({
      ...{ name: protocol.toLowerCase(), protocol, port: 80, targetPort: 8080, nodePort: first },
    }))

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up(2, { VROUTER_DEFAULT_NETWORK_SUBNETS: '10.200.0.0/16,fd20::/64' })
    lab.expectDrops('Nowhere to go') // a policy `Local` without an endpoint
    lab.apply(serviceRanges('10.96.0.0/16', 'fd96::/112'))
    a = lab.addPod('a', 1, 'default')
    b = lab.addPod('b', 2, 'default')
    for (const pod of [a, b]) await startServer(lab, `pod/${pod.name}`, pod.name)
    await startEcho(lab, 'pod/a', 8090)
    lab.apply(tenant('shop', '10.77.0.0/16', 'fd77::/64'))
    shop = lab.addPod('shop', 1, 'shop')
    await startServer(lab, 'pod/shop', 'shop')
    const fabric = (...command: string[]) => lab.run(['exec', 'fabric', '--', ...command])
    for (const address of [...PUBLIC, ...EXTERNAL]) {
      const via = addressesOf(1)[address.includes(':') ? 1 : 0]!
      fabric('ip', address.includes(':') ? '-6' : '-4', 'route', 'add', address, 'via', via)
    }
    const status = { loadBalancer: { ingress: PUBLIC.map((ip) => ({ ip })) } }
    const web = serviceManifest({
      ...{ name: 'web', clusterIps: ['10.96.0.7', 'fd96::7'], backs: [{ pod: a, node: 1 }] },
      spec: { type: 'LoadBalancer', ports: ports(NODE_PORT), externalIPs: EXTERNAL },
    })
    const [service, ...slices] = web.split('\n---\n')
    lab.apply([JSON.stringify({ ...JSON.parse(service!), status }), ...slices].join('\n---\n'))
    lab.apply(
      serviceManifest({
        ...{ name: 'local', clusterIps: ['10.96.0.8', 'fd96::8'], backs: [{ pod: a, node: 1 }] },
        spec: { type: 'NodePort', ports: ports(LOCAL_PORT), externalTrafficPolicy: 'Local' },
      }),
    )
    lab.apply(
      serviceManifest({
        ...{ name: 'shop', namespace: 'shop', clusterIps: ['10.96.0.9', 'fd96::9'], backs: [{ pod: shop, node: 1 }] },
        spec: { type: 'NodePort', ports: ports(30100) },
      }),
    )
    lab.apply(
      serviceManifest({
        ...{ name: 'both', clusterIps: ['10.96.0.11', 'fd96::b'] },
        backs: [
          { pod: a, node: 1 },
          { pod: b, node: 2 },
        ],
        spec: { type: 'NodePort', ports: ports(30120) },
      }),
    )
    const big = serviceManifest({
      ...{ name: 'echo', clusterIps: ['10.96.0.10', 'fd96::a'], backs: [{ pod: a, node: 1 }] },
      spec: {
        type: 'NodePort',
        ports: ports(30110).map((port) => ({ ...port, targetPort: 8090 })),
      },
    })
    lab.apply(big.replaceAll('"port":8080', '"port":8090'))
    const watcher = lab.start('fabric', ['python3', '-c', spy, ...[a, b, shop].flatMap(({ ip4, ip6 }) => [ip4, ip6])])
    watcher.stdout!.on('data', (data) => (leaked += String(data)))
    await eventually(() => leaked.includes('ready'))
    await eventually(
      () => ask(lab, 'fabric', { kind: 'tcp', address: addressesOf(1)[1]!, port: 30110, timeoutS: 1 })[0] === 'refused',
    )
  })
  after(() => lab?.close())

  const check = (where: string, address: string, port: number, expected: (kind: Kind) => string[]) => {
    for (const kind of kinds)
      assert.deepEqual(
        answersOf(lab, where, { kind, address, port, count: 10, timeoutS: 2 }),
        expected(kind),
        `${where} → ${kind} ${address} port ${port}`,
      )
  }

  it('are reached by a NodePort, load balancer addresses and external IPs, with the client’s address', () => {
    for (const [at, client] of outside.entries()) {
      check('fabric', addressesOf(1)[at]!, NODE_PORT, () => [`a ${client}`])
      check('fabric', PUBLIC[at]!, 80, () => [`a ${client}`])
      check('fabric', EXTERNAL[at]!, 80, () => [`a ${client}`])
      check('fabric', addressesOf(1)[at]!, LOCAL_PORT, () => [`a ${client}`])
    }
  })

  it('lead to pods of every node, with the client’s address', () => {
    for (const [at, client] of outside.entries())
      for (const node of [1, 2]) {
        const address = addressesOf(node)[at]!
        for (const kind of kinds)
          assert.deepEqual(
            answersOf(lab, 'fabric', { kind, address, port: 30120, count: 40, timeoutS: 2 }),
            [`a ${client}`, `b ${client}`],
            `${kind} ${address}`,
          )
      }
  })

  it('lead to a tenant’s network', () => {
    for (const node of [1, 2])
      for (const [at, client] of outside.entries())
        check('fabric', addressesOf(node)[at]!, 30100, () => [`shop ${client}`])
  })

  it('are reached from other nodes, whose address is kept', () => {
    for (const [at, client] of addressesOf(2).entries()) {
      check('node/2', addressesOf(1)[at]!, NODE_PORT, () => [`a ${client}`])
      check('node/2', addressesOf(1)[at]!, LOCAL_PORT, () => [`a ${client}`])
    }
  })

  it('are silent with the policy Local where no endpoint is', () => {
    for (const address of addressesOf(2))
      for (const kind of kinds)
        assert.deepEqual(ask(lab, 'fabric', { kind, address, port: LOCAL_PORT, timeoutS: 2 }), ['silence'])
  })

  it('refuse other ports of an address that is theirs alone', () => {
    for (const address of PUBLIC) check('fabric', address, 81, () => ['refused'])
  })

  it('carry datagrams of 8000 bytes both ways', () => {
    for (const address of addressesOf(1))
      assert.equal(exchanged(lab, 'fabric', { address, port: 30110, bytes: 8000 }), 'whole')
  })

  it('show no pod’s address on the wire', () => {
    assert.equal(leaked.trim(), 'ready')
  })
})
