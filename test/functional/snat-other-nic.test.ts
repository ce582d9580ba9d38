/**
 * The kernel's routes decide by which NIC of their node pods leave: a network behind a second one is spoken to with the node's address
 * there, by both families, whatever rp_filter says, with the daemon dead or alive. Nothing of it goes out of the wrong wire.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { repository } from '../lab/layout.ts'
import { eventually, nodeProgram, skipIfMissing, TestLab, type TestPod, tenant } from './lab.ts'

const peer = join(repository, 'test/functional/peer.ts')
/** On the second wire, and behind a router there. Neither knows a way to the underlay or to a pod. */
const ON_LINK = ['10.77.0.9', '2001:db8:77::9'] as const
const BEHIND = ['198.51.100.77', '2001:db8:78::7'] as const
const OWN = ['10.77.0.1', '2001:db8:77::1'] as const

const whoAmI = `
import socket, threading
def serve(s):
  while True:
    c, peer = s.accept(); c.sendall(peer[0].encode()); c.close()
for family, any in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')):
  s = socket.socket(family, socket.SOCK_STREAM)
  if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
  s.bind((any, 7002)); s.listen()
  threading.Thread(target=serve, args=(s,)).start()
print('ready', flush=True)
`
const ask = 'import socket, sys\nprint(socket.create_connection((sys.argv[1], 7002), timeout=30).recv(100).decode())'
const probe = `import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(30)
s.connect((sys.argv[1], 9))
s.send(b'x')
try: s.recv(1)
except OSError as error: print(type(error).__name__)`

describe('SNAT by the node’s second NIC', function () {
  this.timeout(120_000)
  let lab: TestLab
  let red: TestPod

  const second = (...command: string[]) => ['nsenter', '--net=/run/netns/second', ...command]
  const inSecond = (...command: string[]) => lab.node(1, ...second(...command))
  const inPod = (...command: string[]) => {
    const { status, stdout, stderr } = lab.inPod(red, command)
    assert.equal(status, 0, `${command.join(' ')}: ${stderr}${stdout}`)
    return stdout.trim()
  }
  const isThere = (address: string) => lab.ping(red, address, '-c', '1').status === 0

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up(1, { VROUTER_SNAT_INTERFACES: 'eth1' })
    lab.apply(tenant('red', '10.1.0.0/16', 'fd01::/64'))
    red = lab.addPod('red', 1, 'red')
    lab.node(1, 'ip', 'netns', 'add', 'second')
    for (const words of [
      'link add eth1 type veth peer name eth0 netns second',
      'link set eth1 up',
      `addr add ${OWN[0]}/24 dev eth1`,
      `addr add ${OWN[1]}/64 dev eth1 nodad`,
      `route add ${BEHIND[0]} via ${ON_LINK[0]}`,
      `-6 route add ${BEHIND[1]} via ${ON_LINK[1]}`,
    ])
      lab.node(1, 'ip', ...words.split(' '))
    for (const words of [
      'link set lo up',
      'link set eth0 up',
      `addr add ${ON_LINK[0]}/24 dev eth0`,
      `addr add ${ON_LINK[1]}/64 dev eth0 nodad`,
      `addr add ${BEHIND[0]}/32 dev lo`,
      `addr add ${BEHIND[1]}/128 dev lo`,
    ])
      inSecond('ip', ...words.split(' '))
    for (const address of [...ON_LINK, ...BEHIND])
      await lab.startServer('node/1', second(nodeProgram, peer, 'serve', address, '7001'))
    await lab.startServer('node/1', second('python3', '-c', whoAmI))
    lab.expectDrops('Outside By Other NIC') // until the daemon has heard of the NIC
    for (const address of ON_LINK) await eventually(() => isThere(address))
  })
  after(() => lab?.close())

  for (const [i, family] of ['IPv4', 'IPv6'].entries())
    for (const [where, address] of [
      ['on its wire', ON_LINK[i]!],
      ['behind a router there', BEHIND[i]!],
    ] as const)
      it(`reaches ${family} ${where} with the node’s address there: streams, datagrams, fragments, echoes, errors`, () => {
        assert.equal(inPod('python3', '-c', ask, address), OWN[i])
        assert.equal(inPod(nodeProgram, peer, 'tcp', address, '7001', String(5 << 20)), 'ok')
        assert.equal(inPod(nodeProgram, peer, 'udp', address, '7001', '1', '1400', '1473', '5000', '30000'), 'ok')
        assert.match(lab.ping(red, address, '-c', '3').stdout, /3 packets transmitted, 3 received/)
        assert.equal(inPod('python3', '-c', probe, address), 'ConnectionRefusedError')
      })

  it('does so whatever rp_filter says', () => {
    for (const value of ['0', '1', '2']) {
      lab.node(
        1,
        'sysctl',
        '-qw',
        ...['all', 'default', 'eth1'].map((one) => `net.ipv4.conf.${one}.rp_filter=${value}`),
      )
      assert.equal(inPod('python3', '-c', ask, BEHIND[0]), OWN[0], `rp_filter ${value}`)
      assert.equal(inPod(nodeProgram, peer, 'udp', BEHIND[0], '7001', '5000'), 'ok')
    }
    lab.node(1, 'sysctl', '-qw', ...['all', 'default', 'eth1'].map((one) => `net.ipv4.conf.${one}.rp_filter=0`))
  })

  it('leaves the node itself alone', () => {
    for (const address of [...ON_LINK, ...BEHIND])
      assert.equal(lab.node(1, nodeProgram, peer, 'udp', address, '7001', '1400', '5000').trim(), 'ok')
    for (const [i, address] of OWN.entries())
      assert.match(inSecond('ping', '-c', '2', '-i', '0.2', '-W', '10', '-I', ON_LINK[i]!, address), /2 received/)
  })

  it('still goes out by the underlay to what is there', () => {
    assert.ok(isThere('172.30.0.1'))
  })

  it('outlives the daemon', () => {
    lab.run(['daemon', '1', 'kill'])
    for (const [i, address] of BEHIND.entries()) assert.equal(inPod('python3', '-c', ask, address), OWN[i])
    lab.run(['daemon', '1', 'restart'])
    for (const [i, address] of BEHIND.entries()) assert.equal(inPod('python3', '-c', ask, address), OWN[i])
  })

  it('goes by the next route while the NIC is down, and by it when it is up again', async () => {
    lab.node(1, 'ip', 'link', 'set', 'eth1', 'down')
    await eventually(() => !isThere(ON_LINK[0]))
    lab.node(1, 'ip', 'link', 'set', 'eth1', 'up')
    await eventually(() => isThere(ON_LINK[0]))
  })

  it('leaves nothing on the NIC when the node is uninstalled', () => {
    const programs = () => lab.node(1, 'bash', '-c', 'ls $VROUTER_PINS/links 2>/dev/null || true')
    assert.match(programs(), /outside-/)
    lab.run(['daemon', '1', 'stop'])
    lab.node(1, 'vrouter', '--uninstall')
    assert.doesNotMatch(programs(), /outside-/)
    lab.run(['daemon', '1', 'start'])
    assert.match(programs(), /outside-/)
  })
})
