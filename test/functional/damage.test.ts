/** What others break while the daemon runs is whole again within seconds, and pods don't notice where they needn't. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { nodePaths } from '../lab/layout.ts'
import { eventually, type TestLab as Lab, skipIfMissing, TestLab, type TestPod, twoTenants } from './lab.ts'

/** Sends one packet to each of many ports, faster than sockets could. */
const scan = `
import socket, struct, sys
me, to, count = sys.argv[1:]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('eth0', 0))
eth = bytes.fromhex('00005e000100') + s.getsockname()[4] + b'\\x08\\x00'
ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 29, 1, 0, 64, 17, 0, socket.inet_aton(me), socket.inet_aton(to))
total = sum(struct.unpack('!10H', ip))
total = (total & 0xffff) + (total >> 16)
ip = ip[:10] + struct.pack('!H', ~(total + (total >> 16)) & 0xffff) + ip[12:]
for i in range(int(count)):
  s.send(eth + ip + struct.pack('!HHHH', 1024 + i % 60000, 7 + i // 60000, 9, 0) + b'x')
`

describe('damage while the daemon runs', function () {
  this.timeout(90_000)
  let lab: Lab
  let near: TestPod
  let far: TestPod
  let neighbour: TestPod
  const pins = () => nodePaths(lab.name, 1).pins
  const works = () => lab.ping(near, far.ip4).status === 0 && lab.ping(near, far.ip6).status === 0

  before(function () {
    skipIfMissing(this)
    lab = TestLab.up(2)
    lab.apply(twoTenants)
    near = lab.addPod('near', 1, 'red')
    neighbour = lab.addPod('neighbour', 1, 'red')
    far = lab.addPod('far', 2, 'red')
  })
  after(() => lab?.close())

  it('starts from a network that works', () => eventually(works))

  it('of all pins: they are back, and no packet is lost', async () => {
    lab.expectLog(/the pin of .* was missing|was unpinned by others/)
    const pings = lab.pingWithoutLoss(near, far.ip4, 400, 0.02)
    const before = lab.node(1, 'vif', '--list')
    const inode = () => lab.onNode(1, ['stat', '-c', '%i', join(pins(), 'maps/vifs')]).stdout
    const removed = inode()
    lab.node(1, 'sh', '-c', `rm -rf ${pins()}/*`)
    // The daemon may be faster than a look at what is missing: what is there afterwards is another pin.
    await eventually(() => lab.onNode(1, ['vif', '--list']).status === 0, 10_000)
    assert.notEqual(inode(), removed, 'nothing was removed')
    for (const folder of ['maps', 'programs', 'links'])
      assert.notEqual(lab.node(1, 'ls', join(pins(), folder)).trim(), '', folder)
    const names = (list: string) => list.match(/^vif\S+ +OS: \S+/gm)
    assert.deepEqual(names(lab.node(1, 'vif', '--list')), names(before))
    await pings
  })

  it('of vhost0: it is made anew, with the node’s addresses, and pods reach other nodes again', async () => {
    lab.expectLog(/vhost0|cannot (set neighbour|add route) .* (ENODEV|EINVAL)/)
    lab.expectDrops('Invalid IF', 'Invalid NH', 'Trap No IF')
    const before = lab.node(1, 'ip', '-br', 'address', 'show', 'vhost0')
    lab.node(1, 'ip', 'link', 'del', 'vhost0')
    await eventually(() => lab.onNode(1, ['ip', '-br', 'address', 'show', 'vhost0']).stdout === before, 10_000)
    await eventually(works, 10_000)
    assert.equal(lab.onNode(1, ['ping', '-c', '1', '-W', '10', '172.30.0.1']).status, 0)
    lab.addPod('later', 1, 'red')
  })

  it('of pkt0: the gateway answers again', async () => {
    lab.expectLog(/pkt0|agent device/)
    lab.node(1, 'ip', 'link', 'del', 'pkt0')
    await eventually(() => lab.ping(near, '10.1.0.1').status === 0, 10_000)
  })

  it('of the flow table by one pod that scans ports: it gets its share, and the others still open connections', () => {
    const { status, stderr } = lab.inPod(near, ['python3', '-c', scan, near.ip4, neighbour.ip4, '70000'])
    assert.equal(status, 0, stderr)
    const page = lab.node(1, 'curl', '-sS', 'http://127.0.0.1:8085/Snh_SandeshFlowTableInfoRequest')
    const used = Number(/<flow_count [^>]*>(\d+)</.exec(page)?.[1])
    // Two entries for each port would be more than there are; one pod ends at a third of 131072.
    assert.ok(used > 30_000 && used < 45_000, `${used} entries are used: ${page}`)
    assert.equal(lab.drops(1).get('Flow Table Full'), undefined)
    assert.equal(lab.ping(neighbour, far.ip4).status, 0)
  })
})
