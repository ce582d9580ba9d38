/** Networks of tenants: the same addresses twice, addresses and MACs that a pod asks for, and what is said when something doesn't exist. */
import assert from 'node:assert/strict'
import type { Cluster, RunningPod } from './cluster.ts'
import { networkManifest, podManifest } from './pods.ts'
import { useCluster } from './use-cluster.ts'

describe('custom networks', function () {
  this.timeout(120_000)
  let here: Cluster
  useCluster((made) => {
    here = made
  })

  it('overlap: two tenants with the same subnet, each pod answered by its own', async () => {
    const running: RunningPod[][] = []
    for (const tenant of ['east', 'west']) {
      const namespace = await here.namespace(tenant, { 'vrouter.dev/network': 'same' })
      await here.apply(networkManifest(namespace, 'same', ['10.0.0.0/24']))
      running.push(
        await here.start(
          {
            name: `${tenant}1`,
            namespace,
            node: 'node1',
            annotations: { 'vrouter.dev/addresses': '10.0.0.10' },
            container: byExec,
          },
          {
            name: `${tenant}2`,
            namespace,
            node: 'node2',
            annotations: { 'vrouter.dev/addresses': '10.0.0.20' },
            container: byExec,
          },
        ),
      )
    }
    for (const [one, two] of running as [RunningPod, RunningPod][]) {
      assert.deepEqual([one.ip4, two.ip4], ['10.0.0.10', '10.0.0.20'])
      const answer = await here.output(one, 'wget', '-T', '4', '-qO-', 'http://10.0.0.20/')
      assert.equal(answer, `10.0.0.10 ${answer.split(/\s/)[1]}\n${two.name}\n`)
    }
  })

  it('give a pod the MAC that it asks for', async () => {
    const namespace = await here.namespace('mac')
    const [pod] = await here.start({ name: 'mac', namespace, annotations: { 'vrouter.dev/mac': '02:11:22:33:44:55' } })
    assert.match(await here.output(pod!, 'cat', '/sys/class/net/eth0/address'), /02:11:22:33:44:55/)
  })

  it('a pod that names what does not exist is told so by an Event, in the words that ADD fails with; it starts when the network comes', async () => {
    const namespace = await here.namespace('missing')
    await here.apply(
      podManifest({ name: 'lost', namespace, node: 'node1', annotations: { 'vrouter.dev/network': 'nowhere' } }),
    )
    const words = `annotation vrouter.dev/network names default-domain:k8s-${namespace}:nowhere, which doesn't exist`
    await here.until('both Events', async () => {
      const events = await here.events(namespace, 'Pod', 'lost')
      return (
        events.some((text) => text.startsWith('FailedCreatePodSandBox') && text.includes(words)) &&
        events.some((text) => text.startsWith('NetworkMissing') && text.includes(words))
      )
    })
    await here.apply(networkManifest(namespace, 'nowhere', ['10.9.0.0/24']))
    await here.ready(namespace, 'lost', 90)
  })

  it('a namespace that names what does not exist is told so by an Event', async () => {
    const namespace = await here.namespace('astray', {
      'opencontrail.org/network': "{'domain': 'default-domain', 'project': 'x', 'name': 'gone'}",
    })
    await here.until('an Event', async () =>
      (await here.events(namespace, 'Namespace', namespace)).some((text) => text.includes("doesn't exist")),
    )
  })
})

/** Pods whose address somebody else on the node has too can't be probed by it. */
const byExec = { readinessProbe: { exec: { command: ['true'] }, periodSeconds: 1 } }
