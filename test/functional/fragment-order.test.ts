/**
 * Fragments that come in another order than they were cut in: between pods, and with the node's address to the outside and back, where
 * only the first one says whose they are.
 */
import assert from 'node:assert/strict'
import { CUT } from '../fragments.ts'
import { type TestLab as Lab, skipIfMissing, TestLab, type TestPod, tenant } from './lab.ts'

const OUTSIDE = ['198.51.100.9', '2001:db8:99::9'] as const

/** IP packets of a UDP datagram in pieces of 1032 bytes of payload at most. */
const cut = `${CUT}
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
def send(src, dst, sport, dport, data, order):
  packets = cut(src, dst, sport, dport, data, int.from_bytes(os.urandom(4), 'big'))
  assert len(packets) == len(order)
  for i in order: raw.sendto(packets[i], (dst, 0))
`
/** Answers a datagram that begins with an order in fragments of that order, with its own bytes. */
const answer = `${cut}
s = socket.socket(family, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 7000))
print('ready', flush=True)
while True:
  data, peer = s.recvfrom(65536)
  send(sys.argv[1], peer[0], 7000, peer[1], data, [int(digit) for digit in data[:3].decode()])
`
/** argv: source, destination, who shuffles: here or there. Prints by order how many of three datagrams came back. */
const ask = `${cut}
src, dst, where = sys.argv[1:4]
for n, order in enumerate(itertools.permutations(range(3))):
  s = socket.socket(family, socket.SOCK_DGRAM)
  s.bind((src, 20000 + n))
  s.settimeout(30)
  good = 0
  for _ in range(3):
    text = ''.join(map(str, order))
    data = (text if where == 'there' else '012').encode() + os.urandom(2500)
    if where == 'here': send(src, dst, 20000 + n, 7000, data, order)
    else: s.sendto(data, (dst, 7000))
    try: good += s.recv(65536) == data
    except TimeoutError: pass
  print(text, good)
`
const all = ['012', '021', '102', '120', '201', '210'].map((order) => `${order} 3\n`).join('')

describe('the order of fragments', function () {
  this.timeout(120_000)
  let lab: Lab
  let pod: TestPod
  let near: TestPod
  let far: TestPod

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up(2)
    lab.apply(tenant('red', '10.1.0.0/16', 'fd01::/64'))
    const fabric = (...command: string[]) => lab.run(['exec', 'fabric', '--', ...command])
    for (const address of OUTSIDE)
      fabric('ip', 'addr', 'add', `${address}/${address.includes(':') ? 128 : 32}`, 'dev', 'lo')
    pod = lab.addPod('pod', 1, 'red')
    near = lab.addPod('near', 1, 'red')
    far = lab.addPod('far', 2, 'red')
    for (const [where, ...addresses] of [
      ['fabric', ...OUTSIDE],
      ['pod/near', near.ip4, near.ip6],
      ['pod/far', far.ip4, far.ip6],
    ] as const)
      for (const address of addresses) await lab.startServer(where, ['python3', '-c', answer, address])
  })
  after(() => lab?.close())

  for (const [at, family] of ['IPv4', 'IPv6'].entries())
    for (const where of ['here', 'there']) {
      const what = where === 'here' ? 'what a pod sends' : 'what it is answered'
      it(`doesn’t matter for ${what}: to its own node, another one, the world, by ${family}`, () => {
        const source = [pod.ip4, pod.ip6][at]!
        for (const to of [near, far].map(({ ip4, ip6 }) => [ip4, ip6][at]!).concat(OUTSIDE[at]!)) {
          const { stdout, stderr } = lab.inPod(pod, ['python3', '-c', ask, source, to, where])
          assert.equal(stdout, all, `${to}: ${stderr}`)
        }
      })
    }
})
