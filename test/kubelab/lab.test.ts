/** A lab with the reference plugin: that it works, that nodes come back, and that nothing is left of it, however it ends. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../patience.ts'
import { skipBecause } from '../skip.ts'
import { startersOf } from './holder.ts'
import { boxImage } from './images.ts'
import { down, Kubelab, whyNot } from './kubelab.ts'
import { labPaths, nodePaths, outside } from './layout.ts'

const name = `t-${randomBytes(4).toString('hex')}`

/** Everything that the machine could see of the lab. */
function leftovers(): string[] {
  const { root, disks } = labPaths(name)
  const processes = readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(root)
    } catch {
      return false
    }
  })
  return [
    ...[root, disks].filter((folder) => existsSync(folder)),
    ...globSync(`/sys/fs/cgroup/{,*/}kubelab-${name}-*`),
    ...readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(name)),
    ...processes.map((pid) => `process ${pid}`),
    ...startersOf(name).map((pid) => `holder ${pid}`),
  ]
}

/** Who waited outside for a process of the lab ends a moment after it. */
const nothingIsLeft = () =>
  until('nothing of the lab is left', () => {
    assert.deepEqual(leftovers(), [])
    return true
  })

const pod = (podName: string, node: string, command: readonly string[], container: object) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: podName },
  spec: {
    nodeName: node,
    terminationGracePeriodSeconds: 0,
    containers: [{ name: 'box', image: boxImage, imagePullPolicy: 'Never', command, ...container }],
  },
})

describe('a Kubernetes lab', function () {
  this.timeout(120_000)
  before(async function () {
    skipBecause(this, await whyNot())
  })
  afterEach(async () => {
    await down(name)
    await nothingIsLeft()
  })

  it('runs pods that are probed, and reaches them across nodes; the outside host tells who asks; a node comes back', async () => {
    await using lab = await Kubelab.start({ name, cni: 'reference' })
    await assert.rejects(Kubelab.start({ name, cni: 'none' }), /is up already/)
    const grpc = { readinessProbe: { grpc: { port: 50051 }, periodSeconds: 1 } }
    await lab.apply(pod('health', 'node1', ['nettool', 'health'], grpc))
    await lab.apply(
      pod('serve', 'node2', ['nettool', 'serve'], { readinessProbe: { httpGet: { port: 80 }, periodSeconds: 1 } }),
    )
    const ready = ['wait', '--for=condition=Ready', '--timeout=60s', 'pod/health', 'pod/serve']
    await lab.kubectl(ready)
    const address = (await lab.kubectl(['get', 'pod', 'serve', '-o', 'jsonpath={.status.podIP}'])).trim()
    const flow = await lab.execPod('default', 'health', ['nettool', 'flow', '-udp', '-duration', '500ms', address, '7'])
    assert.equal((JSON.parse(flow.stdout) as { lost: number }).lost, 0)
    const seen = await lab.exec('node1', ['curl', '-sm', '3', `http://${outside.address4}/`])
    assert.match(seen.stdout, /^10\.10\.0\.11 \d+\noutside\n/)

    await lab.exec(2, ['sh', '-c', 'mkdir /sys/fs/bpf/ours && touch /var/lib/kept /run/lost'])
    assert.equal(await lab.nodeDown(2), true)
    await assert.rejects(lab.exec(2, ['true']), /node2 is down/)
    await lab.nodeUp(2)
    const kept = await lab.exec(2, ['sh', '-c', 'ls -d /sys/fs/bpf/ours /var/lib/kept /run/lost 2>/dev/null'])
    assert.equal(kept.stdout, '/var/lib/kept\n')

    const folder = mkdtempSync(join(tmpdir(), 'kubelab-dump-'))
    try {
      await lab.dump(folder)
      assert.match(readFileSync(join(folder, 'pods.txt'), 'utf8'), /serve/)
      assert.ok(readFileSync(join(folder, 'node2/kubelet.log'), 'utf8').length > 1000)
      assert.ok(existsSync(join(folder, 'lab/kube-apiserver.log')))
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  const main = join(import.meta.dirname, 'main.ts')
  const startUp = () =>
    spawn(process.execPath, [main, 'up', '--no-cni', '--nodes', '1', '--name', name], { stdio: 'ignore' })
  const isBooted = async () => {
    const begun = Date.now()
    while (!existsSync(nodePaths(name, 1).pid)) {
      assert.ok(Date.now() - begun < 180_000, 'the node was not started')
      await sleep(20)
    }
  }

  it('takes itself down when `up` is interrupted', async () => {
    const up = startUp()
    await isBooted()
    up.kill('SIGINT')
    const code = await new Promise((resolve) => up.on('exit', resolve))
    assert.equal(code, 130)
    await nothingIsLeft()
  })

  it('is cleared away by `down` when `up` was killed half-way', async () => {
    const up = startUp()
    await isBooted()
    up.kill('SIGKILL')
    await new Promise((resolve) => up.on('exit', resolve))
    assert.notDeepEqual(leftovers(), [])
    assert.equal(await down(name), true)
    await nothingIsLeft()
    assert.equal(await down(name), false)
  })
})
