/**
 * Services whose endpoints are on another node, in a network that the client's isn't joined with: the client's node hands the connection over to the
 * endpoint's, which answers through it. The client's address is kept, and clients that share one stay apart.
 */
import assert from 'node:assert/strict'
import { eventually, type TestLab as Lab, skipIfMissing, TestLab, type TestPod, tenant } from './lab.ts'
import { answersOf, ask, serviceManifest, serviceRanges, startServer } from './service-lab.ts'

const WEB = ['10.96.0.7', 'fd96::7']
const ECHO = ['10.96.0.8', 'fd96::8']
/** The addresses of both tenants' pods. */
const SHARED = '10.1.0.77,fd01::77'
/** Larger than any packet. */
const LARGE = 8000

const isolated = `
apiVersion: v1
kind: Namespace
metadata: {name: dev, annotations: {vrouter.dev/isolation: 'true'}}
`

/** Asks with a datagram of so many bytes, by a port of its own, and is sent as many. Asks again when it has been told that its packets are too large. */
const exchange = `
import socket, sys
address, size, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', port))
s.settimeout(2)
for i in range(5):
  s.sendto(b'x' * size, (address, 80))
  try:
    print(len(s.recv(65536)))
    break
  except TimeoutError: pass
`

const echo = `
import socket, threading
def serve(family, any):
  s = socket.socket(family, socket.SOCK_DGRAM)
  if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
  s.bind((any, 8080))
  while True:
    data, peer = s.recvfrom(65536)
    s.sendto(data, peer)
for one in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')): threading.Thread(target=serve, args=one).start()
print('ready', flush=True)
`

describe('Services handed over to the node of their endpoints', function () {
  this.timeout(240_000)
  let lab: Lab
  let dev: TestPod
  let red: TestPod

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up(2, { VROUTER_DEFAULT_NETWORK_SUBNETS: '10.200.0.0/16,fd20::/64' })
    lab.apply(serviceRanges('10.96.0.0/16', 'fd96::/112'))
    lab.apply(isolated)
    for (const name of ['red', 'blue']) lab.apply(tenant(name, '10.1.0.0/16', 'fd01::/64'))
    dev = lab.addPod('dev', 1, 'dev')
    red = lab.addPod('red', 1, 'red', '--annotation', `vrouter.dev/addresses=${SHARED}`)
    lab.addPod('blue', 1, 'blue', '--annotation', `vrouter.dev/addresses=${SHARED}`)
    const web = lab.addPod('web', 2, 'default')
    const large = lab.addPod('echo', 2, 'default')
    await startServer(lab, 'pod/web', 'web')
    await lab.startServer('pod/echo', ['python3', '-c', echo])
    lab.apply(serviceManifest({ name: 'web', clusterIps: WEB, backs: [{ pod: web, node: 2 }] }))
    lab.apply(serviceManifest({ name: 'echo', clusterIps: ECHO, backs: [{ pod: large, node: 2 }] }))
    await eventually(() => / /.test(ask(lab, 'pod/dev', { kind: 'tcp', address: WEB[1]!, timeoutS: 1 })[0]!))
  })
  after(() => lab?.close())

  const exchanged = (client: string, address: string, bytes: number): string => {
    const words = [address, String(bytes), '4000']
    const { stdout, stderr, status } = lab.tryRun(['exec', `pod/${client}`, '--', 'python3', '-c', exchange, ...words])
    assert.equal(status, 0, stderr)
    return stdout.trim()
  }

  it('answer pods of isolated and of tenants’ networks, who keep their addresses', () => {
    for (const pod of [dev, red])
      for (const kind of ['tcp', 'udp'] as const)
        for (const [at, address] of WEB.entries())
          assert.deepEqual(
            answersOf(lab, `pod/${pod.name}`, { kind, address, count: 3 }),
            [`web ${at === 0 ? pod.ip4 : pod.ip6}`],
            `${pod.name} ${kind} ${address}`,
          )
  })

  it('tell clients apart that have one address and one port', () => {
    for (const name of ['red', 'blue', 'red'])
      assert.equal(exchanged(name, ECHO[0]!, 100 + name.length), `${100 + name.length}`, name)
  })

  it('carry datagrams that are larger than a packet, both ways', () => {
    lab.expectDrops('Fragment errors') // of the first, whose other fragments were too large for two labels
    for (const name of ['dev', 'red'])
      for (const address of ECHO) assert.equal(exchanged(name, address, LARGE), `${LARGE}`, `${name} ${address}`)
  })
})
