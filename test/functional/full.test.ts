import assert from 'node:assert/strict'
import { eventually, skipIfMissing, TestLab, type TestPod, twoTenants } from './lab.ts'

/** Of these the NIC, vhost0 and pkt0 take three. */
const VIFS = 10
const PODS = VIFS - 3

describe('a node whose tables fill up', function () {
  this.timeout(120_000)
  let lab: TestLab
  const pods: TestPod[] = []

  before(function () {
    skipIfMissing(this)
    lab = TestLab.up(1, { VROUTER_LIMITS_VIFS: String(VIFS) })
    lab.apply(twoTenants)
  })

  after(() => lab?.close())

  const warnings = () => lab.logOf(1).filter(({ component, table }) => component === 'dataplane' && table === 'vifs')

  it('says so at 80 %, once', async () => {
    lab.expectLog(/table vif(s|_devices) is nearly full: 8 of 10/)
    // The report of the same, which comes within some seconds: before or after the end of this test.
    lab.expectLog(/TableFilling/)
    for (let n = 1; n <= 4; n++) pods.push(lab.addPod(`red-${n}`, 1, 'red'))
    assert.deepEqual(warnings(), [], '7 of 10 are in order')
    pods.push(lab.addPod('red-5', 1, 'red'))
    const [warning] = await eventually(() => (warnings().length > 0 ? warnings() : undefined))
    assert.deepEqual([warning!['level'], warning!['used'], warning!['max']], ['warn', 8, 10])
  })

  it('refuses the pod that does not fit, by name, and serves the others', () => {
    for (let n = 6; n <= PODS; n++) pods.push(lab.addPod(`red-${n}`, 1, 'red'))
    // Told as an Event of the node when it comes by in time.
    lab.expectLog(/PORT_LIMIT|TableFull/)
    const outcome = lab.tryRun(['pod', 'add', 'red-8', '--node', '1', '--namespace', 'red'])
    assert.equal(outcome.status, 1)
    assert.match(outcome.stderr, /has 7 interfaces, the most that it may have/)
    for (const pod of pods) assert.equal(lab.ping(pods[0]!, pod.ip4, '-c', '1').status, 0)
    assert.equal(warnings().length, 1)
  })
})
