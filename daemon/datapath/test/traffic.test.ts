/**
 * Proves, with two nodes and real traffic: pods reach their network on the same and on the other node and nobody else's, IPv4 and
 * IPv6, ICMP, fragments and TCP with segmentation offload; nodes reach pods and pods nodes; bytes arrive as they were sent, also
 * when the underlay segments in software; nothing is dropped that shouldn't be.
 */
import { strict as assert } from 'node:assert'
import { once } from 'node:events'
import * as c from '../../src/maps/constants.ts'
import { reasonsSeen } from '../../src/maps/drops.ts'
import { Cluster, type Pod, podRun, podStart } from './cluster.ts'
import { cannotRun } from './node.ts'

const MEGABYTES = 24
const PORT = 5001
/** Frames of each kind that the test of VLANs sends. */
const COPIES = 100

/** Answers each connection with the hash of what it got; prints a line when it listens. */
const SERVER = `
const { createHash } = require('node:crypto')
require('node:net').createServer({ allowHalfOpen: true }, (socket) => {
  const hash = createHash('sha256')
  socket.on('data', (data) => hash.update(data))
  socket.on('end', () => socket.end(hash.digest('hex')))
}).listen(${PORT}, '::', () => console.log('listening'))
setTimeout(() => process.exit(), 300000)`

/** Sends random bytes; exits with 0 if the hash that comes back is theirs. */
const CLIENT = `
const { createHash, randomBytes } = require('node:crypto')
const socket = require('node:net').connect(${PORT}, process.argv[1])
const hash = createHash('sha256')
let answer = ''
let left = ${MEGABYTES}
socket.on('data', (data) => { answer += data })
socket.on('end', () => process.exit(answer === hash.digest('hex') ? 0 : 2))
function send() {
  while (left-- > 0) {
    const block = randomBytes(1 << 20)
    hash.update(block)
    if (!socket.write(block)) return socket.once('drain', send)
  }
  socket.end()
}
socket.on('connect', send)
setTimeout(() => process.exit(3), 120000)`

/** argv: how often, MACs and addresses (from, to), label, inner source, inner destination[, VLAN]. A datagram to the node, and one in a tunnel. */
const FRAMES = `
import socket, struct, sys
copies = int(sys.argv[1])
smac, dmac, node_from, node_to, label, src, dst = sys.argv[2:9]
tag = struct.pack('!HH', 0x8100, int(sys.argv[9])) if len(sys.argv) > 9 else b''
def sum16(data):
  total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
  while total >> 16: total = (total & 0xffff) + (total >> 16)
  return ~total & 0xffff
def udp(src, dst, sport, dport, data):
  data = struct.pack('!HHHH', sport, dport, 8 + len(data), 0) + data
  head = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(data), 7, 0, 64, 17, 0) + socket.inet_aton(src) + socket.inet_aton(dst)
  return head[:10] + struct.pack('!H', sum16(head)) + head[12:] + data
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(('eth0', 0))
mac = lambda text: bytes.fromhex(text.replace(':', ''))
inner = struct.pack('!I', int(label) << 12 | 0x100 | 64) + udp(src, dst, 4000, 7002, b'hello')
for packet in (udp(node_from, node_to, 4000, 7002, b'hello'), udp(node_from, node_to, 50000, 6635, inner)) * copies:
  wire.send(mac(dmac) + mac(smac) + tag + b'\\x08\\0' + packet)
`

describe('datapath: traffic between two nodes', function () {
  this.timeout(120000)
  let cluster: Cluster
  let a: Pod
  let b: Pod
  let remote: Pod
  let other: Pod

  before(function () {
    if (cannotRun()) this.skip()
    cluster = new Cluster()
    a = cluster.addPod(0, 2, 11)
    b = cluster.addPod(0, 2, 12)
    remote = cluster.addPod(1, 2, 13)
    other = cluster.addPod(1, 3, 12)
  })
  after(() => cluster?.[Symbol.dispose]())

  const ping = (run: (command: string, ...args: string[]) => string, address: string, ...options: string[]) =>
    assert.match(run('ping', '-c', '3', '-i', '0.02', '-W', '2', ...options, address), /3 received, 0% packet loss/)
  const inPod =
    (pod: Pod) =>
    (command: string, ...args: string[]) =>
      podRun(pod, command, ...args)
  const onNode =
    (number: 0 | 1) =>
    (command: string, ...args: string[]) =>
      cluster.nodes[number].run(command, ...args)

  it('pings between pods of a network, same and other node, IPv4 and IPv6', () => {
    for (const to of [b, remote]) for (const address of [to.ip4, to.ip6]) ping(inPod(a), address)
    for (const address of [a.ip4, a.ip6]) ping(inPod(remote), address)
  })

  it('pings with packets that need fragments', () => {
    for (const to of [b, remote]) for (const address of [to.ip4, to.ip6]) ping(inPod(a), address, '-s', '9000')
    for (const address of [a.ip4, a.ip6, remote.ip4]) ping(onNode(0), address, '-s', '9000')
  })

  it('keeps networks apart', () => {
    for (const address of [a.ip4, remote.ip4, a.ip6])
      assert.throws(() => podRun(other, 'ping', '-c', '1', '-W', '1', address), { status: 1 })
  })

  it('pings between nodes and pods, and between nodes', () => {
    for (const address of [a.ip4, a.ip6, remote.ip4]) ping(onNode(0), address)
    for (const node of cluster.nodes) ping(inPod(a), node.underlay)
    ping(onNode(0), cluster.nodes[1].underlay)
    ping(onNode(1), a.ip4)
  })

  it('tells a pod that its packet is too large, or that a port is closed', () => {
    assert.throws(() => podRun(a, 'node', '-e', udpProbe(b.ip4)), /ECONNREFUSED/)
    assert.throws(() => podRun(a, 'node', '-e', udpProbe(remote.ip4)), /ECONNREFUSED/)
  })

  for (const offloads of ['on', 'off']) {
    it(`carries TCP whole, offloads of the underlay ${offloads}`, async function () {
      if (offloads === 'off') {
        try {
          for (const node of cluster.nodes)
            node.run('ethtool', '-K', 'eth0', 'tso', 'off', 'gso', 'off', 'tx', 'off', 'sg', 'off')
        } catch {
          this.skip()
        }
      }
      for (const server of [b, remote]) {
        const process = podStart(server, 'node', '-e', SERVER)
        try {
          await once(process.stdout!, 'data')
          for (const address of [server.ip4, server.ip6]) podRun(a, 'node', '-e', CLIENT, address)
          if (server === b) cluster.nodes[0].run('node', '-e', CLIENT, server.ip4)
        } finally {
          process.kill()
        }
      }
    })
  }

  it('dropped nothing but what it should', () => {
    const expected = new Set<number>([c.DROP_L2_NO_ROUTE, c.DROP_TRAP_NO_IF, c.DROP_DISCARD])
    for (const node of cluster.nodes) {
      const seen = [...reasonsSeen(node.maps.dropStats.get(0)!)].filter(([reason]) => !expected.has(reason))
      assert.deepEqual(seen, [])
    }
    for (const { flow } of [...cluster.nodes[0].maps.flows.flow4.entries()].map(([, value]) => ({ flow: value })))
      assert.notEqual(flow.rindex, c.FLOW_NONE)
  })

  it('leaves frames of a VLAN on the underlay’s NIC to the kernel: neither the node nor a pod gets them', () => {
    const [to, from] = cluster.nodes
    const received = () => [c.VIF_ID_VHOST, a.vif].map((vif) => Number(to.maps.vifStats.get(vif)!.txPackets))
    const send = (...tag: string[]) =>
      from.run(
        'python3',
        '-c',
        FRAMES,
        String(COPIES),
        from.mac,
        to.mac,
        from.underlay,
        to.underlay,
        String(a.label),
        remote.ip4,
        a.ip4,
        ...tag,
      )
    // Both get frames of others, too (neighbour discovery): fewer than half of these.
    const got = (...tag: string[]) => {
      const before = received()
      send(...tag)
      return received().map((count, i) => count - before[i]!)
    }
    for (const count of got('100')) assert.ok(count < COPIES / 2, `${count} with a tag`)
    for (const count of got()) assert.ok(count >= COPIES, `${count} without a tag`)
  })
})

/** Sends to a closed port until the error comes back. */
function udpProbe(address: string): string {
  return `
const socket = require('node:dgram').createSocket('udp4')
socket.connect(9, '${address}', () => {
  socket.on('error', (error) => { console.error(error.code); process.exit(1) })
  setInterval(() => socket.send('x'), 50)
})
setTimeout(() => process.exit(0), 30000)`
}
