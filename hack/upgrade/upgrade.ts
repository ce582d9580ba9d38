/**
 * The specs of `hack/conformance upgrade`: a node of the build in KUBE_VROUTER_FORMER is upgraded to this one while pods speak to each other and to the
 * outside, and then goes back. KUBE_VROUTER_FORMER is a folder of this repo at another commit, built.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { skipIfMissing, TestLab, type TestPod, twoTenants } from '../../test/functional/lab.ts'
import { OUTSIDE, SteadyTraffic } from '../../test/functional/steady-traffic.ts'
import { repository } from '../../test/lab/layout.ts'

const former = process.env['KUBE_VROUTER_FORMER']
assert.ok(former, 'KUBE_VROUTER_FORMER names no folder: run hack/conformance upgrade')

const objects = (build: string) => ({ VROUTER_PATHS_OBJECTS: join(build, 'daemon/datapath/build') })

describe(`an upgrade from ${process.env['KUBE_VROUTER_FORMER_COMMIT'] ?? former}`, () => {
  let lab: TestLab
  const pods: TestPod[] = []

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up(2, {}, former)
    lab.apply(twoTenants)
    for (const node of [1, 2]) pods.push(lab.addPod(`red-${node}`, node, 'red'))
    await SteadyTraffic.serveOutside(lab)
  })
  after(() => {
    lab?.expectLog(/is made anew/) // what older builds say
    lab?.close()
  })

  /** Another build's daemon goes on where the last one was killed. */
  function change(node: number, build: string): void {
    lab.run(['daemon', String(node), 'kill'])
    lab.build = build
    lab.run(['daemon', String(node), 'start'], { env: objects(build) })
  }

  it('loses no packet and no connection, to pods or to the outside, one node after the other', async () => {
    const traffic = [
      await SteadyTraffic.start(lab, pods[0]!, pods[1]!),
      await SteadyTraffic.start(lab, pods[1]!, pods[0]!),
    ]
    for (const node of [1, 2]) {
      change(node, repository)
      for (const one of traffic) await one.goesOn()
    }
    for (const one of traffic) await one.assertWhole()
    for (const one of traffic) console.log(`    pings answered, none lost: ${JSON.stringify([...one.pongs()])}`)
  })

  it('leaves a network that takes new pods, and new connections of old ones', () => {
    const more = lab.addPod('red-3', 1, 'red')
    for (const [from, to] of [
      [more, pods[0]!.ip4],
      [more, pods[1]!.ip6],
      [pods[1]!, more.ip4],
      [pods[0]!, OUTSIDE],
      [more, OUTSIDE],
    ] as const)
      assert.equal(lab.ping(from, to).status, 0, `${from.name} to ${to}`)
    lab.run(['pod', 'del', 'red-3'])
  })

  it('can be taken back: pods go on, and reach the outside anew; and can be made again', async () => {
    for (const build of [former, repository]) {
      const traffic = await SteadyTraffic.start(lab, pods[0]!, pods[1]!, { isInside: build === former })
      change(1, build)
      await traffic.assertWhole()
      assert.equal(lab.ping(pods[0]!, OUTSIDE).status, 0)
    }
  })
})
