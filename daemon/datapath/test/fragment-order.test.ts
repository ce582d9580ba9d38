/**
 * Proves, with real traffic: fragments arrive in whatever order they come, on one node, across nodes, and out of tunnels; those whose first
 * one never comes are dropped and counted after their time; and whoever fills its own share with such takes nothing from others.
 */
import { strict as assert } from 'node:assert'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { CUT } from '../../../test/fragments.ts'
import { until } from '../../../test/patience.ts'
import * as c from '../../src/maps/constants.ts'
import { Cluster, type Pod, podRun, podStart } from './cluster.ts'
import { cannotRun } from './node.ts'

/** Sends back each datagram that it gets. */
const ECHO = `
import select, socket
sockets = []
for family, any in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')):
  s = socket.socket(family, socket.SOCK_DGRAM)
  if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
  s.bind((any, 7000))
  sockets.append(s)
print('ready', flush=True)
while True:
  for s in select.select(sockets, [], [])[0]:
    data, peer = s.recvfrom(65536)
    s.sendto(data, peer)
`

/** argv: source, destination, mode. Sends datagrams in fragments and prints, for each order, how many of three came back. */
const ASK = `${CUT}
src, dst = sys.argv[1:3]
six = ':' in src
family = socket.AF_INET6 if six else socket.AF_INET
raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
def ask(order, sport, parts):
  s = socket.socket(family, socket.SOCK_DGRAM)
  s.bind((src, sport))
  s.settimeout(3)
  good = 0
  for n in range(3):
    data = os.urandom(1032 * (parts - 1) + 500)
    # none of the ids that ORPHANS has: its fragments would find the first one of a datagram from before
    packets = cut(src, dst, sport, 7000, data, int.from_bytes(os.urandom(4), 'big') | 0x8000)
    assert len(packets) == parts
    for i in order: raw.sendto(packets[i], (dst, 0))
    try: good += s.recv(65536) == data
    except TimeoutError: pass
  return good
for n, order in enumerate(itertools.permutations(range(3))): print(''.join(map(str, order)), ask(order, 20000 + n, 3))
print('reversed', ask(list(reversed(range(16))), 21000, 16))
`

/** argv: source, destination, count. Sends later fragments of datagrams that have no first one. */
const ORPHANS = `${CUT}
src, dst, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
raw = socket.socket(socket.AF_INET6 if ':' in src else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for n in range(first, first + count): raw.sendto(cut(src, dst, 1, 7000, b'x' * 1100, n)[1], (dst, 0))
`

/** argv: MACs and underlay addresses (from, to), label, inner source, inner destination. As ASK, but in tunnels, one direction. */
const TUNNEL = `${CUT}
smac, dmac, outer_src, outer_dst, label, src, dst = sys.argv[1:8]
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(('eth0', 0))
mac = lambda text: bytes.fromhex(text.replace(':', ''))
def tunnel(packet):
  body = struct.pack('!HHHHI', 50000, 6635, 12 + len(packet), 0, int(label) << 12 | 0x100 | 64) + packet
  head = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(body), 7, 0, 64, 17, 0) + socket.inet_aton(outer_src) + socket.inet_aton(outer_dst)
  wire.send(mac(dmac) + mac(smac) + b'\\x08\\0' + head[:10] + struct.pack('!H', sum16(head)) + head[12:] + body)
for n, order in enumerate(itertools.permutations(range(3))):
  packets = cut(src, dst, 30000 + n, 7001, b'order %d' % n + bytes(2600), 1000 + n)
  for i in order: tunnel(packets[i])
`
const COUNT = `
import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 7001))
s.settimeout(float(sys.argv[2]))
print('ready', flush=True)
seen = set()
try:
  while len(seen) < 6: seen.add(s.recv(65536)[6:7].decode())
except TimeoutError: pass
print(' '.join(sorted(seen)), flush=True)
`

const ALL = `${['012', '021', '102', '120', '201', '210'].map((order) => `${order} 3\n`).join('')}reversed 3\n`

describe('datapath: fragments in any order', function () {
  this.timeout(120000)
  let cluster: Cluster
  let a: Pod
  let b: Pod
  let remote: Pod
  const children: ReturnType<typeof podStart>[] = []

  const start = async (pod: Pod, script: string, ...args: string[]) => {
    const child = podStart(pod, 'python3', '-c', script, ...args)
    children.push(child)
    await once(child.stdout!, 'data')
    return child
  }
  const drops = (node: 0 | 1) => Number(cluster.nodes[node].maps.dropStats.get(0)!.reasons[c.DROP_FRAGMENTS])
  before(async function () {
    if (cannotRun()) this.skip()
    cluster = new Cluster()
    a = cluster.addPod(0, 2, 11)
    b = cluster.addPod(0, 2, 12)
    remote = cluster.addPod(1, 2, 13)
    for (const pod of [b, remote]) await start(pod, ECHO)
  })
  after(() => {
    for (const child of children) child.kill()
    cluster?.[Symbol.dispose]()
  })

  for (const family of ['ip4', 'ip6'] as const) {
    it(`carries those of a pod to the same node and to another one, by ${family}`, () => {
      for (const to of [b, remote])
        assert.equal(podRun(a, 'python3', '-c', ASK, a[family], to[family]), ALL, to[family])
      assert.deepEqual([cluster.nodes[0].waiting(), cluster.nodes[1].waiting()], [0, 0], 'nothing waits any more')
    })

    it(`carries those that a tunnel brings, by ${family}`, async () => {
      const counter = await start(a, COUNT, a[family], '10')
      const [to, from] = cluster.nodes
      from.run(
        'python3',
        '-c',
        TUNNEL,
        from.mac,
        to.mac,
        from.underlay,
        to.underlay,
        String(a.label),
        remote[family],
        a[family],
      )
      assert.equal(String((await once(counter.stdout!, 'data'))[0]).trim(), '0 1 2 3 4 5')
    })
  }

  it('drops orphans after two seconds, counted, and a flood of them costs others nothing', async () => {
    const before = drops(0)
    // No more at once than the kernel keeps for a processor that is busy.
    for (let sent = 0; sent < 1000; sent += 200) {
      podRun(a, 'python3', '-c', ORPHANS, a.ip4, b.ip4, String(sent), '200')
      await until('all have come', () => drops(0) - before + cluster.nodes[0].waiting() >= sent + 200)
    }
    assert.equal(drops(0), before + 1000 - c.FRAGMENT_SHARE)
    assert.equal(cluster.nodes[0].waiting(), c.FRAGMENT_SHARE, 'a pod has its share')
    assert.equal(podRun(b, 'python3', '-c', ASK, b.ip4, remote.ip4), ALL)
    assert.equal(cluster.nodes[0].waiting(), c.FRAGMENT_SHARE)
    await sleep(2100) // the time that a fragment waits, by the kernel's clock
    cluster.nodes[0].call('age_now')
    assert.equal(cluster.nodes[0].waiting(), 0)
    assert.equal(drops(0), before + 1000)
    assert.equal(podRun(a, 'python3', '-c', ASK, a.ip4, remote.ip4), ALL)
  })

  it('counts each packet once on its way in, held or not', () => {
    const received = () => Number(cluster.nodes[0].maps.vifStats.get(b.vif)!.rxPackets)
    const before = received()
    const transmitted = () =>
      (
        JSON.parse(podRun(b, 'ip', '-s', '-j', 'link', 'show', 'eth0')) as { stats64: { tx: { packets: number } } }[]
      )[0]!.stats64.tx.packets
    const sent = transmitted()
    podRun(b, 'python3', '-c', ASK, b.ip4, remote.ip4)
    assert.equal(received() - before, transmitted() - sent)
  })
})
