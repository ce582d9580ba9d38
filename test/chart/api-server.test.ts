/** A real API server takes what the chart makes, and helm's notes warn of what is odd. */
import assert from 'node:assert/strict'
import { CHART, findHelm, helmText } from '../../hack/manifests/helm.ts'
import { ApiServer, skipWithoutApiServer } from '../controller/api-server.ts'
import { type KubeObject, nameOf, rendered, skipWithoutHelm } from './chart.ts'

describe('the chart before a real API server', function () {
  this.timeout(120_000)
  let server: ApiServer | undefined

  before(async function () {
    skipWithoutHelm(this)
    skipWithoutApiServer(this)
    server = await ApiServer.start()
    await server.run(['create', 'namespace', 'kube-vrouter'])
  })

  after(async () => {
    await server?.[Symbol.asyncDispose]()
  })

  /** Every object by itself, fields that are not known being errors. */
  async function assertTaken(objects: readonly KubeObject[]): Promise<void> {
    const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects })
    const words = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '-f', '-']
    const { status, stderr, stdout } = await server!.kubectl(words, { input })
    assert.equal(stderr, '')
    assert.equal(status, 0, stdout)
    assert.equal(stdout.trim().split('\n').length, objects.length)
  }

  it('is taken, field by field', async () => {
    for (const set of [
      [],
      ['vrouter.privileged=true', 'metrics.enabled=true', 'metrics.dashboard.enabled=true'],
      ['cni.skipBinaries=true', 'controller.replicas=1', 'imagePullSecrets[0].name=x'],
    ]) {
      const objects = rendered(...set)
      await assertTaken(objects)
      const cleanup = objects.find((object) => nameOf(object) === 'ConfigMap kube-vrouter/vrouter-cleanup')
      await assertTaken([JSON.parse(cleanup!['data']['daemonset.json'] as string) as KubeObject])
    }
  })

  it('the check itself sees a field that does not exist', async () => {
    const [daemonSet] = rendered().filter(({ kind }) => kind === 'DaemonSet')
    const broken = { ...daemonSet!, spec: { ...daemonSet!['spec'], updateStratgy: {} } }
    await assert.rejects(assertTaken([broken]), /updateStratgy/)
  })

  const notes = (...set: string[]) => {
    const words = ['install', 'kube-vrouter', CHART, '--namespace', 'kube-vrouter', '--dry-run=server']
    const output = helmText(findHelm()!, [
      ...words,
      ...[`--kubeconfig=${server!.kubeconfig()}`],
      ...set.flatMap((value) => ['--set', value]),
    ])
    return output.slice(output.indexOf('NOTES:'))
  }

  it('has notes that tell what to look at, and no warning without a reason', () => {
    const text = notes('k8sServiceHost=10.0.0.1')
    assert.match(text, /rollout status daemonset\/vrouter/)
    assert.doesNotMatch(text, /Look at this/)
  })

  for (const [set, warning] of [
    [[], /k8sServiceHost is empty/],
    [['ipam.podCIDRs=null'], /ipam\.podCIDRs is empty/],
    [['image.tag=latest'], /image\.tag is "latest"/],
    [['cleanup.enabled=false'], /cleanup\.enabled is off/],
    [['crds.keep=false'], /crds\.keep is off/],
    [['controller.replicas=1'], /controller\.replicas is 1/],
    [['vrouter.privileged=true'], /vrouter\.privileged is on/],
    [['metrics.serviceMonitor.enabled=true'], /no effect without metrics\.enabled/],
    [['cni.skipBinaries=true'], /the CNI binary stays/],
  ] as const) {
    it(`warns: ${warning.source.replaceAll('\\', '')}`, () => {
      assert.match(notes(...set), warning)
    })
  }
})
