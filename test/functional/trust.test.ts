/**
 * Attacks on the isolation of networks, mounted for real: by a pod without any privilege, by one with raw sockets, and by a machine of the
 * underlay that is no node. None reaches a tenant; the tenant's own traffic goes on all the while.
 */
import assert from 'node:assert/strict'
import { nodePaths } from '../lab/layout.ts'
import { eventually, type TestLab as Lab, skipIfMissing, TestLab, type TestPod, tenant } from './lab.ts'
import { assertReach, placeOf, serve } from './reach.ts'

const manifest = ['red', 'blue'].map((name) => tenant(name, '10.1.0.0/16', 'fd01::/64')).join('---')

const [node1, node2] = [nodePaths('x', 1), nodePaths('x', 2)]
/** Labels that nodes of a lab this small have given away: the host's, those of VRFs and of pods. */
const LABELS = 24
const METADATA = '169.254.169.254'

/** Functions that make packets, for python. */
const packets = `
import socket, struct, sys
def checksum(data):
  total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
  while total >> 16: total = (total & 0xffff) + (total >> 16)
  return ~total & 0xffff
def udp(src, dst, sport, dport, data):
  v6 = ':' in src
  family = socket.AF_INET6 if v6 else socket.AF_INET
  ends = socket.inet_pton(family, src) + socket.inet_pton(family, dst)
  data += b' ' * (len(data) % 2)
  length = 8 + len(data)
  segment = struct.pack('!HHHH', sport, dport, length, 0) + data
  sum = checksum(ends + struct.pack('!IHBB', length, 0, 0, 17) + segment)
  segment = segment[:6] + struct.pack('!H', sum or 0xffff) + segment[8:]
  if v6: return struct.pack('!IHBB', 6 << 28, length, 17, 64) + ends + segment
  header = struct.pack('!BBHHHBBH', 0x45, 0, 20 + length, 1, 0, 64, 17, 0) + ends
  return header[:10] + struct.pack('!H', checksum(header)) + header[12:] + segment
def mpls(label, inner): return struct.pack('!I', label << 12 | 0x140) + inner
`
/** To a tunnel port of a node: every label, every inner source. Prints how many datagrams were sent. */
const tunnels = `${packets}
node, port, sport, labels, targets = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 0))
sent = 0
for label in range(16, 16 + labels):
  for target in targets:
    dst, *sources = target.split(',')
    for src in sources:
      s.sendto(mpls(label, udp(src, dst, sport, 7200, b'evil')), (node, port))
      sent += 1
print(sent)
`
/** The same in two fragments, by a raw socket. */
const fragments = `${packets}
own, node, dst, src = sys.argv[1:]
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
s.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
for label in range(16, 40):
  body = udp(own, node, 9, 6635, mpls(label, udp(src, dst, 7201, 7200, b'evil' * 10)))[20:]
  for offset, part, more in ((0, body[:40], 0x2000), (5, body[40:], 0)):
    s.sendto(struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(part), 0x7000 + label, more | offset, 64, 17, 0) + socket.inet_aton(own) + socket.inet_aton(node) + part, (node, 0))
print('sent')
`
/** Frames of the wire with somebody else's address: device, destination MAC, source, destination. */
const stolen = `${packets}
device, mac, src, dst = sys.argv[1:]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((device, 0))
for _ in range(10):
  s.send(bytes.fromhex(mac.replace(':', '')) + bytes(5) + b'\\x66' + (b'\\x86\\xdd' if ':' in src else b'\\x08\\x00') + udp(src, dst, 7201, 7200, b'evil'))
print('sent')
`
/** Prints the data of each datagram that comes to a port, of either family. */
const listener = `
import selectors, socket, sys
select = selectors.DefaultSelector()
for family, any in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')):
  s = socket.socket(family, socket.SOCK_DGRAM)
  if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
  s.setsockopt(socket.SOL_SOCKET, 33, 1 << 22) # SO_RCVBUFFORCE
  s.bind((any, int(sys.argv[1])))
  select.register(s, selectors.EVENT_READ)
print('ready', flush=True)
while True:
  for key, _ in select.select():
    data, peer = key.fileobj.recvfrom(65536)
    print(len(data), data[-4:].decode(errors='replace'), peer[0], flush=True)
`
const say = `
import socket, sys
for address in sys.argv[2:]:
  s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM)
  s.bind(('', 7201))
  s.sendto(b'good', (address, int(sys.argv[1])))
  s.close()
`

describe('trust', function () {
  this.timeout(180_000)
  let lab: Lab
  let alice: TestPod
  let bob: TestPod
  let mallory: TestPod
  let plain: TestPod
  let heard = ''

  const fabric = (...command: string[]) => lab.run(['exec', 'fabric', '--', ...command])
  const inPod = (pod: TestPod, ...command: string[]) => lab.run(['exec', `pod/${pod.name}`, '--', ...command])
  const listen = async (where: string, port: number, onLine: (text: string) => void) => {
    const child = await lab.startServer(where, ['python3', '-c', listener, String(port)])
    child.stdout!.on('data', (text) => onLine(String(text)))
  }
  /** Alice hears her friend, by both families: what was sent to her before that has come, or never will. */
  const assertUnharmed = async () => {
    const before = heard.match(/good/g)?.length ?? 0
    await eventually(() => {
      inPod(bob, 'python3', '-c', say, '7200', alice.ip4, alice.ip6)
      return (heard.match(/good/g)?.length ?? 0) >= before + 2
    }, 20_000)
    assert.doesNotMatch(heard, /evil/)
    assertReach(lab, placeOf(bob), [placeOf(alice)], true)
  }
  /** Inner destinations with the sources that somebody may try: a friend, itself, the gateway, a node, a stranger. */
  const targets = () => [
    [alice.ip4, bob.ip4, alice.ip4, '10.1.255.254', node1.address4, node2.address4, '198.51.100.1'].join(),
    [alice.ip6, bob.ip6, alice.ip6, 'fd01::1', node1.address6, node2.address6, '2001:db8::1'].join(),
    [node2.address4, bob.ip4, plain.ip4, node1.address4, '198.51.100.1'].join(),
  ]
  const dropped = (node: number, label: string) => lab.drops(node).get(label) ?? 0

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up(2, { VROUTER_DEFAULT_NETWORK_SUBNETS: '10.200.0.0/16,fd20::/64' })
    lab.expectDrops('Discards', 'Invalid Source', 'Flow Invalid Protocol', 'Flow Unusable')
    lab.apply(manifest)
    alice = lab.addPod('alice', 2, 'red')
    bob = lab.addPod('bob', 1, 'red')
    mallory = lab.addPod('mallory', 1, 'blue')
    plain = lab.addPod('plain', 1, 'default')
    for (const node of [1, 2])
      lab.node(node, 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')
    await listen(`pod/${alice.name}`, 7200, (text) => {
      heard += text
    })
    await serve(lab, [placeOf(alice)])
    await assertUnharmed()
  })
  after(() => lab?.close())

  for (const port of [6635, 4789]) {
    it(`a pod’s datagrams to another node’s port ${port} don’t leave`, async () => {
      for (const pod of [mallory, plain]) {
        const before = dropped(1, 'Flow Invalid Protocol')
        const program = ['python3', '-c', tunnels, node2.address4, String(port), '7201', String(LABELS)]
        const sent = Number(inPod(pod, ...program, ...targets()))
        // The default network reaches nodes through the overlay: there it comes to the host, which has nobody for it.
        if (pod === mallory) assert.equal(dropped(1, 'Flow Invalid Protocol') - before, sent)
        await assertUnharmed()
      }
    })
  }

  it('a pod’s tunnels in fragments don’t leave', async () => {
    inPod(mallory, 'python3', '-c', fragments, mallory.ip4, node2.address4, alice.ip4, bob.ip4)
    await assertUnharmed()
  })

  it('what a machine of the underlay sends to the tunnel port is the host’s, whole; also into flows that are there', async () => {
    let atHost = ''
    await listen('node/2', 6635, (text) => {
      atHost += text
    })
    const program = ['python3', '-c', tunnels, node2.address4, '6635', '7201', String(LABELS)]
    const sent = Number(fabric(...program, ...targets()))
    await eventually(() => atHost.match(/evil/g)?.length === sent, 20_000)
    await assertUnharmed()
  })

  it('port 51234 is the host’s own', async () => {
    let atHost = ''
    await listen('node/2', 51234, (text) => {
      atHost += text
    })
    fabric('python3', '-c', say, '51234', node2.address4)
    await eventually(() => atHost.includes('good'), 20_000)
    inPod(mallory, 'python3', '-c', tunnels, node2.address4, '51234', '7201', '4', ...targets())
    await eventually(() => atHost.includes('evil'), 20_000)
    await assertUnharmed()
  })

  it('a machine of the underlay with the node’s own address gets to nobody', async () => {
    const [{ address }] = JSON.parse(lab.node(2, 'ip', '-j', 'link', 'show', 'vhost0')) as [{ address: string }]
    for (const [source, target] of [
      [node2.address6, alice.ip6],
      [node2.address4, alice.ip4],
    ] as const) {
      const before = dropped(2, 'Invalid Source')
      fabric('python3', '-c', stolen, 'br0', address, source, target)
      await eventually(() => dropped(2, 'Invalid Source') >= before + 10, 20_000)
      await assertUnharmed()
    }
    assertReach(
      lab,
      { name: 'node 2', where: 'node/2', addresses: [node2.address4, node2.address6] },
      [placeOf(alice)],
      true,
    )
  })

  it('a cloud’s metadata is the node’s, in every network', () => {
    fabric('ip', 'addr', 'add', `${METADATA}/32`, 'dev', 'lo')
    fabric('ip', 'addr', 'add', 'fd00:ec2::254/128', 'dev', 'lo')
    for (const address of [METADATA, 'fd00:ec2::254']) {
      const ping = ['ping', '-n', '-c', '2', '-i', '0.2', '-W', '1', address]
      assert.match(lab.node(1, ...ping), /2 received/)
      for (const pod of [mallory, plain])
        assert.match(lab.inPod(pod, ping).stdout, /0 received/, `${pod.name} -> ${address}`)
    }
    const gateway = lab.ping(mallory, '172.30.0.1')
    assert.match(gateway.stdout, /2 received/, 'the rest of the world')
  })
})
