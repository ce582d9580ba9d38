/**
 * Another MAC behind an address of the underlay, while this node's daemon is dead: another node's card was replaced, a gateway failed
 * over. The kernel learns it, and so does what pods send.
 */
import assert from 'node:assert/strict'
import { eventually, skipIfMissing, TestLab, type TestPod, tenant } from './lab.ts'

const GATEWAY = '172.30.0.1'
/** The kernel asks an unresponsive neighbour again after up to a minute and a half. */
const ARP_MS = 120_000

describe('a MAC of the underlay changes while the daemon is dead', function () {
  this.timeout(300_000)
  let lab: TestLab
  let near: TestPod
  let far: TestPod
  const answers = (address: string) => lab.ping(near, address).status === 0

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up()
    lab.apply(tenant('red', '10.1.0.0/16', 'fd01::/64'))
    near = lab.addPod('near', 1, 'red')
    far = lab.addPod('far', 2, 'red')
    await eventually(() => answers(far.ip4) && answers(far.ip6) && answers(GATEWAY), 30_000)
    // Frames for the card that was there; and a kernel whose own card becomes another forgets its neighbours, until they answer again.
    lab.expectDrops('IF Drop', 'Invalid NH')
    lab.run(['daemon', '1', 'kill'])
  })
  after(() => lab?.close())

  it('that of another node: its pods are reached again', async () => {
    const mac = '02:aa:00:00:00:12'
    lab.node(2, 'ip', 'link', 'set', 'eth0', 'address', mac)
    await eventually(() => answers(far.ip4) && answers(far.ip6), ARP_MS)
    assert.match(lab.node(1, 'nh', '--list'), /Data:02 aa 00 00 00 12 .*\n\s+Sip:172\.30\.0\.11 Dip:172\.30\.0\.12/)
  })

  it('that of the gateway: the world is reached again', async () => {
    lab.run(['exec', 'fabric', '--', 'ip', 'link', 'set', 'br0', 'address', '02:aa:00:00:00:01'])
    await eventually(() => answers(GATEWAY), ARP_MS)
  })
})
