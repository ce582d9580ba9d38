/**
 * One pod against all others, and the underlay against the node: tens of thousands of new flows a second, that nobody answers, for
 * seconds. New connections of other pods and of the node (probes) go on meanwhile and afterwards, established ones aren't touched,
 * and what a deleted pod had is gone from all nodes within seconds.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nodePaths, repository } from '../lab/layout.ts'
import { eventually, type TestLab as Lab, skipIfMissing, TestLab, type TestPod, tenant } from './lab.ts'
import { serviceManifest, serviceRanges } from './service-lab.ts'

const [node1, node2] = [nodePaths('x', 1), nodePaths('x', 2)]
const OUTSIDE = '198.51.100.9'
/** Of a Service: leads to the pod `plain`. */
const PUBLIC = '198.51.100.77'
const SECONDS = 6
const RATE = 100_000
/** Twice what the table holds; a busy machine takes longer for it. */
const LEAST = 32_768

const manifest = `${tenant('red', '10.1.0.0/16', 'fd01::/64')}---${tenant('blue', '10.2.0.0/16', 'fd02::/64')}`

/** Sends back what it is sent, over TCP on all addresses. */
const server = `
import socket, threading
s = socket.create_server(('::', 8000), family=socket.AF_INET6, dualstack_ipv6=True, backlog=500)
print('ready', flush=True)
def serve(client):
  while True:
    try: data = client.recv(100)
    except OSError: return
    if not data: return
    client.sendall(data)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
`
/** So many connections, one after the other every 50 ms: connect, request, answer, close. Prints how many of them succeeded. */
const connects = `
import socket, sys, time
address, count, ok = sys.argv[1], int(sys.argv[2]), 0
for i in range(count):
  began = time.monotonic()
  try:
    with socket.create_connection((address, 8000), timeout=10) as s:
      s.sendall(b'x')
      ok += s.recv(10) == b'x'
  except OSError: pass
  time.sleep(max(0, 0.05 - (time.monotonic() - began)))
print(ok)
`
/** One connection that lasts: a byte there and back every 20 ms, until its input ends. Prints how many. */
const lasting = `
import select, socket, sys, time
s, n = socket.create_connection((sys.argv[1], 8000), timeout=30), 0
print('connected', flush=True)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
  s.sendall(b'x')
  if s.recv(10) != b'x': sys.exit('closed')
  n += 1
  time.sleep(0.02)
print(n)
`
const CONNECTIONS = 100

describe('a flood of new flows', function () {
  this.timeout(300_000)
  const folder = mkdtempSync(join(tmpdir(), 'flood-'))
  const flood = join(folder, 'flood')
  const netbench = join(folder, 'netbench')
  let lab: Lab
  let attacker: TestPod
  let accomplice: TestPod
  let red: TestPod
  let farRed: TestPod
  let farBlue: TestPod
  let plain: TestPod
  let plainAttacker: TestPod

  const fabric = (...command: string[]) => lab.run(['exec', 'fabric', '--', ...command])
  /** What a command prints, and that it ends well. */
  const finished = (where: string, ...command: string[]) =>
    new Promise<string>((resolve, reject) => {
      const child = lab.start(where, command)
      let text = ''
      child.stdout!.on('data', (data) => (text += data))
      child.stderr!.on('data', (data) => (text += data))
      child.on('exit', (code) => (code === 0 ? resolve(text) : reject(new Error(`${where}: ${text}`))))
    })

  before(async function () {
    skipIfMissing(this)
    for (const [program, source] of [
      [flood, 'test/functional/flood.c'],
      [netbench, 'test/perf/netbench.c'],
    ] as const)
      execFileSync('clang', ['-O2', '-Wall', '-o', program, join(repository, source)])
    // A tenth of the defaults: full within the first half second.
    lab = TestLab.up(2, {
      VROUTER_DEFAULT_NETWORK_SUBNETS: '10.200.0.0/16,fd20::/64',
      VROUTER_LIMITS_FLOWS4: '16384',
      VROUTER_LIMITS_FLOWS6: '8192',
      VROUTER_SNAT_PORTS: '61000-61999',
    })
    lab.expectDrops(
      'New Flow Drops',
      'Flow Table Full',
      'Discards',
      'Flow No Memory',
      'TTL Exceeded',
      'Trap Limit Exceeded',
    )
    lab.expectDrops('Flow Unusable (Eviction)', 'Flow Unusable', 'Invalid Source', 'Interface Tx Discard', 'ICMP Error')
    // What another node sends to a pod that is being deleted, until it hears of it.
    lab.expectDrops('Invalid Label')
    lab.expectLog(/TableFilling|filling/)
    lab.apply(manifest)
    attacker = lab.addPod('attacker', 1, 'red')
    accomplice = lab.addPod('accomplice', 2, 'red')
    red = lab.addPod('red', 1, 'red')
    farRed = lab.addPod('far-red', 2, 'red')
    lab.addPod('blue', 1, 'blue')
    farBlue = lab.addPod('far-blue', 2, 'blue')
    plain = lab.addPod('plain', 1, 'default')
    plainAttacker = lab.addPod('plain-attacker', 1, 'default')
    for (const index of [1, 2])
      lab.node(index, 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')
    fabric('ip', 'addr', 'add', `${OUTSIDE}/32`, 'dev', 'lo')
    fabric('ip', 'route', 'add', PUBLIC, 'via', node1.address4)
    lab.apply(serviceRanges('10.96.0.0/16', 'fd96::/112'))
    const service = serviceManifest({
      ...{ name: 'plain', clusterIps: ['10.96.0.7', 'fd96::7'], backs: [{ pod: plain, node: 1 }] },
      spec: { externalIPs: [PUBLIC], ports: [{ name: 'tcp', protocol: 'TCP', port: 8000, targetPort: 8000 }] },
    })
    lab.apply(service.replaceAll('"port":8080', '"port":8000'))
    for (const where of ['fabric', ...[red, farRed, farBlue, plain].map(({ name }) => `pod/${name}`)])
      await lab.startServer(where, ['python3', '-c', server])
  })
  after(() => {
    lab?.close()
    rmSync(folder, { recursive: true })
  })

  /** Who connects to whom, all the time: the same and other networks and nodes, both families, and the nodes' probes. */
  const legitimate = (): [string, string][] => [
    ['node/1', red.ip4],
    ['node/1', red.ip6],
    ['node/2', farRed.ip4],
    ['pod/blue', farBlue.ip4],
    ['pod/blue', farBlue.ip6],
    ['pod/red', farRed.ip4],
    ['pod/blue', OUTSIDE],
    ['fabric', PUBLIC],
  ]

  /** Runs the attack; all legitimate connections succeed meanwhile and afterwards, and a lasting one isn't touched. */
  async function assertHolds(
    where: string,
    kind: string,
    source: string,
    destination: string,
    port = 0,
  ): Promise<void> {
    const held = finished('pod/red', 'python3', '-c', lasting, farRed.ip4, String(SECONDS + 4))
    const attack = finished(where, flood, kind, source, destination, ...[port, SECONDS, RATE, LEAST].map(String))
    const pairs = legitimate()
    const served = await Promise.all(
      pairs.map(([from, to]) => finished(from, 'python3', '-c', connects, to, String(CONNECTIONS))),
    )
    await attack
    for (const [i, [from, to]] of pairs.entries())
      assert.ok(Number(served[i]) >= 0.95 * CONNECTIONS, `${from} -> ${to}: ${served[i]!.trim()} of ${CONNECTIONS}`)
    assert.match(await held, /connected\n\d+\n/)
  }

  it('of one pod by IPv6 fills neither its node’s table nor its peer’s', () =>
    assertHolds('pod/attacker', 'udp', attacker.ip6, accomplice.ip6))

  it('of one pod by IPv4 fills neither', () => assertHolds('pod/attacker', 'syn', attacker.ip4, accomplice.ip4))

  for (const family of [4, 6] as const) {
    const source = node1[`address${family}`]

    it(`of a process of the node towards a pod of it, by IPv${family}, fills neither`, () =>
      assertHolds('node/1', 'syn', source, red[`ip${family}`]))

    it(`of a process of the node towards a pod of another node, by IPv${family}, fills neither`, () =>
      assertHolds('node/1', 'syn', source, accomplice[`ip${family}`]))
  }

  it('of one pod by SNAT, towards all ports of a host outside, fills nothing', () =>
    assertHolds('pod/attacker', 'syn', attacker.ip4, OUTSIDE))

  it('of bare ACKs and RSTs that never arrive fills no other node’s table', () =>
    assertHolds('pod/plain-attacker', 'ack-rst', plainAttacker.ip4, node2.address4))

  it('of a host of the underlay, with many sources, through the node’s own forwarding costs nobody anything', async () => {
    fabric('ip', 'route', 'replace', `${plain.ip4}/32`, 'via', node1.address4)
    await assertHolds('fabric', 'udp', '203.0.113.1/250', plain.ip4)
  })

  it('of a host of the underlay, with many sources, towards a Service costs neither its other clients nor the pod anything', async () => {
    await assertHolds('fabric', 'syn', '203.0.113.1/250', PUBLIC, 8000)
    await assertHolds('fabric', 'udp', '203.0.113.1/250', PUBLIC, 8000)
  })

  it('of ACKs towards one destination outside takes no port from the others', () =>
    assertHolds('pod/attacker', 'ack', attacker.ip4, OUTSIDE, 8000))

  it('isn’t what a pod does that connects, asks and closes as fast as it can: it is never refused', async () => {
    const refused = () => [1, 2].map((node) => lab.drops(node).get('New Flow Drops') ?? 0)
    const before = refused()
    const ports = [9001, 9002, 9003, 9004]
    for (const port of ports) await lab.startServer('pod/accomplice', [netbench, 'server', String(port), '1200'])
    // More than the table holds.
    for (let made = 0; made <= 8192; ) {
      const results = await Promise.all(
        ports.map((port) => finished('pod/red', netbench, 'crr', accomplice.ip4, String(port), String(SECONDS))),
      )
      made += results.reduce((sum, text) => sum + (JSON.parse(text) as { transactions: number }).transactions, 0)
    }
    assert.deepEqual(refused(), before)
  })

  it('leaves nothing of a pod that was deleted, on either node', async () => {
    const flowsOf = (node: number, address: string) =>
      lab
        .node(node, 'flow', '-l', '--match', address.includes(':') ? `[${address}]:*` : `${address}:*`)
        .split('\n')
        .filter((line) => line.includes('<=>')).length
    await lab.startServer('pod/attacker', ['python3', '-c', lasting, farRed.ip4, '1200'])
    await eventually(() => flowsOf(1, attacker.ip4) > 0 && flowsOf(2, attacker.ip4) > 0)
    lab.run(['pod', 'del', 'attacker'])
    for (const node of [1, 2])
      for (const address of [attacker.ip4, attacker.ip6]) await eventually(() => flowsOf(node, address) === 0)
  })
})
