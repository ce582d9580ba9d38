/**
 * Pods of any network speak to the world with their node's address, by both families, and the world answers them: all sizes, errors
 * and fragments included, the way being found by the datapath's own table or by the kernel's. Nothing ever leaves with a pod's address,
 * and no network reaches another that way.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { nodePaths, repository, underlay } from '../lab/layout.ts'
import { eventually, type TestLab as Lab, nodeProgram, skipIfMissing, TestLab, type TestPod } from './lab.ts'

const peer = join(repository, 'test/functional/peer.ts')
const [node1, node2] = [nodePaths('x', 1), nodePaths('x', 2)]
/** Behind the gateway, which alone knows the way there; BEYOND is one hop further, on a link with a smaller MTU. */
const OUTSIDE = ['198.51.100.9', '2001:db8:99::9'] as const
const BEYOND = ['203.0.113.2', '2001:db8:113::2'] as const
/** In the underlay itself, and nobody has spoken to it: its MAC isn't known. */
const ON_LINK = ['172.30.0.99', 'fd30::99'] as const
const BEYOND_MTU = 1400

const manifest = (isOff = false) => `
apiVersion: v1
kind: Namespace
metadata: {name: a, annotations: {vrouter.dev/isolation: "true"}}
---
apiVersion: v1
kind: Namespace
metadata: {name: red, annotations: {vrouter.dev/network: red}}
---
apiVersion: vrouter.dev/v1alpha1
kind: VirtualNetwork
metadata: {name: red, namespace: red}
spec: {subnets: [{cidr: 10.1.0.0/16}, {cidr: "fd01::/64"}]${isOff ? ', fabricSNAT: false' : ''}}
`

/** Sends a line every 20 ms over one connection and prints each that comes back. */
const chatter = `
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=30)
print('connected', flush=True)
while True:
  s.sendall(b'x' * 10)
  data = s.recv(100)
  if not data: break
  print(len(data), flush=True)
  time.sleep(0.02)
`
const echo = `
import socket, sys, threading
def serve(client):
  while True:
    data = client.recv(4096)
    if not data: return
    client.sendall(data)
s = socket.create_server((sys.argv[1], int(sys.argv[2])), family=socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)
print('ready', flush=True)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
`
/** From \`count\` sockets at once to one UDP port; prints how many got their own datagram back. */
const crowd = `
import select, socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
sockets = {}
for i in range(int(sys.argv[3])):
  s = socket.socket(family, socket.SOCK_DGRAM)
  s.connect((sys.argv[1], int(sys.argv[2])))
  s.send(b'%d' % i)
  sockets[s] = b'%d' % i
right = set()
while len(right) < len(sockets):
  ready = select.select(list(sockets), [], [], 20)[0]
  if not ready: break
  for s in ready:
    if s.recv(100) == sockets[s]: right.add(s)
print(len(right))
`
/** Prints every packet on \`br0\` whose source is a pod's address, until it is killed. */
const spy = `
import ipaddress, socket, sys
pods = [ipaddress.ip_network(text) for text in sys.argv[1:]]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(('br0', 3))
print('ready', flush=True)
while True:
  frame = s.recv(65535)
  kind = frame[12:14]
  if kind == bytes([8, 0]): source = ipaddress.ip_address(frame[26:30])
  elif kind == bytes([0x86, 0xdd]): source = ipaddress.ip_address(frame[22:38])
  else: continue
  if any(source.version == net.version and source in net for net in pods): print(source, flush=True)
`

describe('SNAT', function () {
  this.timeout(120_000)
  let lab: Lab
  let plain: TestPod
  let isolated: TestPod
  let red: TestPod
  let far: TestPod
  let leaked = ''

  const fabric = (...command: string[]) => lab.run(['exec', 'fabric', '--', ...command])
  const beyond = (...command: string[]) => ['nsenter', '--net=/run/netns/beyond', ...command]
  const inPod = (pod: TestPod, ...command: string[]) => {
    const { status, stdout, stderr } = lab.inPod(pod, command)
    assert.equal(status, 0, `${pod.name}: ${command.join(' ')}: ${stderr}${stdout}`)
    return stdout
  }
  const peerOf = (pod: TestPod, verb: string, address: string, ...more: string[]) =>
    inPod(pod, nodeProgram, peer, verb, address, '7001', ...more).trim()
  const pings = (pod: TestPod, address: string, ...more: string[]) => lab.ping(pod, address, '-c', '3', ...more).stdout

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up(2, {
      VROUTER_DEFAULT_NETWORK_SUBNETS: '10.200.0.0/16,fd20::/64',
      // It meets the node's own range, 32768-60999, with 500 ports.
      VROUTER_SNAT_PORTS: '60500-62499',
    })
    lab.apply(manifest())
    for (const address of OUTSIDE)
      fabric('ip', 'addr', 'add', `${address}/${address.includes(':') ? 128 : 32}`, 'dev', 'lo')
    fabric('ip', 'addr', 'add', `${ON_LINK[0]}/24`, 'dev', 'br0')
    fabric('ip', 'addr', 'add', `${ON_LINK[1]}/64`, 'dev', 'br0', 'nodad')
    fabric('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')
    fabric('ip', 'netns', 'add', 'beyond')
    fabric(
      'ip',
      'link',
      'add',
      'far',
      'mtu',
      String(BEYOND_MTU),
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      'beyond',
    )
    fabric('ip', 'addr', 'add', '203.0.113.1/24', 'dev', 'far')
    fabric('ip', 'addr', 'add', '2001:db8:113::1/64', 'dev', 'far', 'nodad')
    fabric('ip', 'link', 'set', 'far', 'up')
    for (const args of [
      `link set lo up`,
      `link set eth0 mtu ${BEYOND_MTU} up`,
      `addr add ${BEYOND[0]}/24 dev eth0`,
      `addr add ${BEYOND[1]}/64 dev eth0 nodad`,
      `route add default via 203.0.113.1`,
      `-6 route add default via 2001:db8:113::1`,
    ])
      fabric(...beyond('ip', ...args.split(' ')))
    plain = lab.addPod('plain', 1, 'default')
    isolated = lab.addPod('isolated', 1, 'a')
    red = lab.addPod('red', 1, 'red')
    far = lab.addPod('far', 2, 'red')
    const watch = await lab.startServer('fabric', [
      'python3',
      '-c',
      spy,
      '10.200.0.0/16',
      '10.1.0.0/16',
      'fd20::/64',
      'fd01::/64',
      plain.ip4,
      isolated.ip4,
      isolated.ip6,
    ])
    watch.stdout!.on('data', (text) => {
      leaked += text
    })
    for (const address of OUTSIDE) await lab.startServer('fabric', [nodeProgram, peer, 'serve', address, '7001'])
    for (const address of BEYOND) await lab.startServer('fabric', beyond(nodeProgram, peer, 'serve', address, '7001'))
  })
  after(() => lab?.close())

  it('lets every pod ping the world, by way of the table and by way of the kernel, the first packet included', async () => {
    for (const pod of [plain, isolated, red, far])
      for (const address of [...OUTSIDE, ...BEYOND, ...ON_LINK]) await lab.pingWithoutLoss(pod, address, 3, 0.2)
  })

  it('shows the world the node’s address', async () => {
    const whoAmI = `
import socket, sys
for family, any in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')):
  s = socket.socket(family, socket.SOCK_STREAM)
  if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
  s.bind((any, 7002)); s.listen()
  import threading
  def serve(s=s):
    while True:
      c, peer = s.accept(); c.sendall(('%s %d' % peer[:2]).encode()); c.close()
  threading.Thread(target=serve).start()
print('ready', flush=True)
`
    await lab.startServer('fabric', ['python3', '-c', whoAmI])
    const askIt = `import socket, sys\nprint(socket.create_connection((sys.argv[1], 7002), timeout=30).recv(100).decode())`
    for (const [pod, node] of [
      [plain, node1],
      [isolated, node1],
      [red, node1],
      [far, node2],
    ] as const)
      for (const [i, address] of OUTSIDE.entries()) {
        const [seen, port] = inPod(pod, 'python3', '-c', askIt, address).trim().split(' ')
        assert.equal(seen, i === 0 ? node.address4 : node.address6, `${pod.name} -> ${address}`)
        assert.ok(Number(port) >= 60500 && Number(port) <= 62499, `port ${port}`)
      }
  })

  for (const [i, family] of ['IPv4', 'IPv6'].entries()) {
    it(`carries ${family} of all sizes: streams, datagrams, fragments both ways`, () => {
      assert.equal(peerOf(red, 'tcp', OUTSIDE[i]!, String(20 << 20)), 'ok')
      assert.equal(peerOf(isolated, 'udp', OUTSIDE[i]!, '1', '1400', '1441', '1473', '5000', '30000'), 'ok')
    })

    it(`learns the path’s MTU from ${family} errors of the world`, () => {
      assert.equal(peerOf(red, 'tcp', BEYOND[i]!, String(5 << 20)), 'ok')
      const refused = lab.ping(isolated, BEYOND[i]!, '-M', 'do', '-s', '1410')
      assert.match(refused.stdout, i === 0 ? /mtu ?= ?1400/ : /mtu=1400/)
    })

    it(`shows ${family} traces: this node as the first hop, then the world’s routers`, () => {
      const first = lab.ping(red, BEYOND[i]!, '-t', '1', '-c', '1').stdout
      assert.match(first, i === 0 ? /10\.1\.255\.254|10\.1\.0\.1.*exceeded/ : /fd01::.*exceeded/)
      const second = lab.ping(red, BEYOND[i]!, '-t', '2', '-c', '1').stdout
      assert.match(second, i === 0 ? new RegExp(`${underlay.gateway4}.*exceeded`) : /fd30::(1|99) .*exceeded/)
    })

    it(`keeps a hundred ${family} sockets with one port each`, async () => {
      assert.equal(inPod(red, 'python3', '-c', crowd, OUTSIDE[i]!, '7001', '100').trim(), '100')
    })
  }

  it('is told that nobody listens', () => {
    const probe = `import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(30)
s.connect((sys.argv[1], 9))
s.send(b'x')
try: s.recv(1)
except OSError as error: print(type(error).__name__)`
    for (const address of OUTSIDE)
      assert.equal(inPod(red, 'python3', '-c', probe, address).trim(), 'ConnectionRefusedError')
  })

  it('is shown by the tools as NAT', () => {
    inPod(red, 'ping', '-c', '1', OUTSIDE[0])
    const flows = lab.node(1, 'flow', '-l')
    assert.match(flows, /Action:N\(SPs\)/)
    assert.match(flows, /Action:N\(DPd\)/)
    assert.match(flows, new RegExp(`${OUTSIDE[0].replaceAll('.', '\\.')}`))
    assert.match(lab.node(1, 'nh', '--list'), /Type:Vrf_Translate.*\n.*Flags:Valid, Snat, /)
    assert.match(lab.fetch(1, 'Snh_FetchAllFlowRecords?x='), /<nat[^>]*>enabled</)
  })

  it('keeps the node off its ports', () => {
    assert.equal(lab.node(1, 'sysctl', '-n', 'net.ipv4.ip_local_reserved_ports').trim(), '60500-60999')
  })

  it('doesn’t lead from one network into another, nor to the node by its other name', () => {
    lab.expectDrops('Discards')
    for (const [from, to] of [
      [red, plain],
      [isolated, plain],
      [red, isolated],
      [plain, isolated],
      [isolated, red],
    ] as const)
      for (const address of [to.ip4, to.ip6])
        assert.match(pings(from, address, '-W', '1'), / 0 received/, `${from.name} -> ${to.name}`)
  })

  it('outlives the daemon', async () => {
    for (const [i, port] of [
      [0, '7010'],
      [1, '7011'],
    ] as const) {
      await lab.startServer('fabric', ['python3', '-c', echo, OUTSIDE[i]!, port])
      const chat = lab.startInPod(red, ['python3', '-c', chatter, OUTSIDE[i]!, port])
      let lines = 0
      let isOver = false
      chat.stdout!.on('data', (text) => {
        lines += String(text).split('\n').length - 1
      })
      chat.on('exit', () => {
        isOver = true
      })
      await eventually(() => lines > 5)
      lab.run(['daemon', '1', 'kill'])
      const before = lines
      await eventually(() => lines > before + 20)
      lab.run(['daemon', '1', 'restart'])
      const after = lines
      await eventually(() => lines > after + 50)
      assert.ok(!isOver)
      chat.kill('SIGKILL')
    }
  })

  it('ends for the network that does without, at once and in both directions, and begins again', async () => {
    lab.expectDrops('Flow Unusable (Eviction)')
    await lab.startServer('fabric', ['python3', '-c', echo, OUTSIDE[0], '7012'])
    const chat = lab.startInPod(red, ['python3', '-c', chatter, OUTSIDE[0], '7012'])
    let lines = 0
    chat.stdout!.on('data', (text) => {
      lines += String(text).split('\n').length - 1
    })
    await eventually(() => lines > 5)
    lab.apply(manifest(true))
    await eventually(() => / 0 received/.test(pings(red, OUTSIDE[0])))
    const silent = lines
    assert.match(pings(isolated, OUTSIDE[0]), /3 received/)
    assert.equal(lines, silent)
    lab.apply(manifest())
    await eventually(() => /3 received/.test(pings(red, OUTSIDE[0])))
  })

  it('never let a pod’s address out', () => {
    assert.equal(leaked.trim(), '')
  })
})
