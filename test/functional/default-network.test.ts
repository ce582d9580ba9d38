/** The default pod network: its pods and the nodes speak to each other, both ways, without NAT, on the same node and across. */
import assert from 'node:assert/strict'
import { nodePaths } from '../lab/layout.ts'
import { eventually, type TestLab as Lab, skipIfMissing, TestLab, type TestPod } from './lab.ts'

/** On each address: answers with the address that it sees the client by. */
const echo = `
import socket, sys, threading
kind, port = sys.argv[1], int(sys.argv[2])
def tcp(server):
  while True:
    client, peer = server.accept()
    client.sendall(peer[0].encode())
    client.close()
def udp(server):
  while True:
    data, peer = server.recvfrom(65536)
    server.sendto(peer[0].encode(), peer)
for address in sys.argv[3:]:
  family = socket.AF_INET6 if ':' in address else socket.AF_INET
  server = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
  server.bind((address, port))
  if kind == 'tcp': server.listen()
  threading.Thread(target=tcp if kind == 'tcp' else udp, args=(server,)).start()
print('ready', flush=True)
`

/** For each server, one line: by which address it saw us, or the error. */
const ask = `
import socket, sys
kind, port = sys.argv[1:3]
for address in sys.argv[3:]:
  try:
    s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
    s.settimeout(30)
    s.connect((address, int(port)))
    if kind == 'udp': s.send(b'hello')
    print(address, s.recv(100).decode().strip())
  except OSError as error:
    print(address, error)
`

describe('the default network', function () {
  this.timeout(120_000)
  let lab: Lab
  let a: TestPod
  let b: TestPod
  let c: TestPod
  const nodes = { 1: nodePaths('x', 1), 2: nodePaths('x', 2) }
  const places = () => [
    ...[a, b, c].map((pod) => ({
      name: `pod ${pod.name}`,
      where: `pod/${pod.name}`,
      run: (...command: string[]) => lab.inPod(pod, command),
      addresses: [pod.ip4, pod.ip6],
    })),
    ...([1, 2] as const).map((node) => ({
      name: `node ${node}`,
      where: `node/${node}`,
      run: (...command: string[]) => lab.onNode(node, command),
      addresses: [nodes[node].address4, nodes[node].address6],
    })),
  ]
  /** What doesn't answer, as `from -> address`. */
  const pingAll = () =>
    places().flatMap((from) => {
      const others = places().filter(({ name }) => name !== from.name)
      const script = 'for to in "$@"; do ping -n -c 1 -W 5 "$to" > /dev/null || echo "$to"; done'
      const { stdout, stderr } = from.run('sh', '-c', script, 'sh', ...others.flatMap(({ addresses }) => addresses))
      assert.equal(stderr, '')
      return stdout.split('\n').flatMap((to) => (to === '' ? [] : [`${from.name} -> ${to}`]))
    })

  before(function () {
    skipIfMissing(this)
    lab = TestLab.up(2, { VROUTER_DEFAULT_NETWORK_SUBNETS: '10.200.0.0/16,fd20::/64' })
    lab.expectDrops('Discards')
    a = lab.addPod('a', 1, 'default')
    b = lab.addPod('b', 1, 'default')
    c = lab.addPod('c', 2, 'default')
  })
  after(() => lab?.close())

  it('joins pods and nodes, IPv4 and IPv6, both ways', async () => {
    await eventually(() => pingAll().length === 0, 20_000)
  })

  for (const kind of ['tcp', 'udp']) {
    it(`carries ${kind.toUpperCase()} between pods and nodes without NAT`, async () => {
      const port = kind === 'tcp' ? '7001' : '7002'
      await Promise.all(
        places().map(({ where, addresses }) =>
          lab.startServer(where, ['python3', '-c', echo, kind, port, ...addresses]),
        ),
      )
      for (const client of places()) {
        const others = places().flatMap(({ name, addresses }) => (name === client.name ? [] : addresses))
        const { stdout } = client.run('python3', '-c', ask, kind, port, ...others)
        // What a server sees is the client's own address.
        const seen = others.map((address) => `${address} ${client.addresses[address.includes(':') ? 1 : 0]}`)
        assert.deepEqual(stdout.trim().split('\n'), seen, client.name)
      }
    })
  }

  it('needs no default route on the node: the daemon leads the host to the network', async () => {
    lab.node(1, 'ip', 'route', 'del', 'default')
    lab.node(1, 'ip', '-6', 'route', 'del', 'default')
    assert.match(lab.node(1, 'ip', 'route', 'get', c.ip4), /dev vhost0/)
    await eventually(() => pingAll().length === 0, 20_000)
  })

  it('gets a lost host route back', async () => {
    lab.node(1, 'ip', 'route', 'del', '10.200.0.0/16')
    await eventually(() => /^10\.200\.0\.0\/16 .*dev vhost0/m.test(lab.node(1, 'ip', 'route')))
  })

  it('keeps VRF 0 free of the routes that lead to it', () => {
    const dump = lab.node(1, 'rt', '--dump', '0')
    assert.match(dump, /^10\.200\.0\.0\/16 +16 +- +1 /m)
    assert.doesNotMatch(lab.node(1, 'ip', 'neigh'), /10\.200\..*managed/)
  })

  it('works on with the daemons dead, and after their restart', async () => {
    for (const node of ['1', '2']) lab.run(['daemon', node, 'kill'])
    assert.deepEqual(pingAll(), [])
    for (const node of ['1', '2']) lab.run(['daemon', node, 'start'])
    assert.deepEqual(pingAll(), [])
    const routes = lab.node(1, 'ip', 'route', 'show', 'proto', '118').trim().split('\n')
    assert.equal(routes.length, 1, routes.join('\n'))
  })
})
