/** 10 000 interfaces on 500 nodes against a real kube-apiserver: the controller keeps up, stays small, and is still when nothing changes. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { ApiClient } from '@kube-vrouter/daemon/kubernetes/client'
import { pathOf, type Resource } from '@kube-vrouter/daemon/kubernetes/objects'
import { ApiServer, eventually, skipWithoutApiServer } from './api-server.ts'
import { ACCOUNT, ControllerProcess, prepare } from './process.ts'

const NODES = 500
const NETWORKS = 100
const PODS = 10_000

const own = (plural: string): Resource => ({ group: 'vrouter.dev', version: 'v1alpha1', plural })
const apiVersion = 'vrouter.dev/v1alpha1'
const fq = (network: number) => `default-domain:k8s-default:net-${network}`
const nodeOf = (pod: number) => pod % NODES
const networkOf = (pod: number) => nodeOf(pod) % NETWORKS

/** CPU time of a process so far. */
function cpuMs(pid: number): number {
  // Behind the name, which may have spaces: fields 14 and 15 are hundredths of a second for the program and for the kernel (proc(5)).
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')
  return 10 * (Number(fields[11]) + Number(fields[12]))
}

describe('the controller of a large cluster', function () {
  this.timeout(300_000)
  let api: ApiServer
  let client: ApiClient

  before(async function () {
    skipWithoutApiServer(this)
    api = await ApiServer.start([ACCOUNT])
    await prepare(api)
    client = new ApiClient({ kubeconfig: api.kubeconfig(), server: '' })
  })
  after(async () => {
    client?.[Symbol.dispose]()
    await api?.[Symbol.asyncDispose]()
  })

  async function createAll(resource: Resource, count: number, make: (index: number) => object): Promise<void> {
    const namespaced = ['virtualnetworks', 'virtualmachineinterfaces'].includes(resource.plural)
    const path = pathOf(resource, namespaced ? { namespace: 'default' } : {})
    let next = 0
    const work = async () => {
      while (next < count) await client.request({ method: 'POST', path, body: make(next++) })
    }
    await Promise.all(Array.from({ length: 24 }, work))
  }

  it('passes over 10 000 interfaces in well under a second, and writes nothing at rest', async () => {
    await createAll({ group: '', version: 'v1', plural: 'nodes' }, NODES, (i) => ({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: `n${i}` },
    }))
    await createAll(own('virtualnetworks'), NETWORKS, (i) => {
      const metadata = { name: `net-${i}`, namespace: 'default' }
      return { apiVersion, kind: 'VirtualNetwork', metadata, spec: { subnets: [{ cidr: '10.0.0.0/12' }] } }
    })
    await createAll(own('virtualrouters'), NODES, (i) => {
      const spec = {
        address: `192.0.${2 + (i >> 7)}.${1 + (i & 127)}`,
        encapsulations: ['MPLSoUDP'],
        vrfLabels: {},
        vhostLabel: 16,
      }
      return { apiVersion, kind: 'VirtualRouter', metadata: { name: `n${i}` }, spec }
    })
    await createAll(own('ipamblocks'), NODES, (i) => {
      const spec = { network: fq(i % NETWORKS), cidr: `10.${(i >> 8) & 15}.${i & 255}.0/26`, node: `n${i}` }
      return { apiVersion, kind: 'IPAMBlock', metadata: { name: `block-${i}` }, spec }
    })
    await createAll(own('virtualmachineinterfaces'), PODS, (i) => {
      const n = nodeOf(i)
      const spec = {
        uuid: `00000000-0000-0000-0000-${String(i).padStart(12, '0')}`,
        network: fq(networkOf(i)),
        node: `n${n}`,
        pod: { name: `pod-${i}`, uid: '' },
        containerId: `c${i}`,
        interface: 'eth0',
        mac: '02:00:00:00:00:01',
        addresses: [`10.${(n >> 8) & 15}.${n & 255}.${3 + Math.floor(i / NODES)}`],
        label: 100 + Math.floor(i / NODES),
      }
      return { apiVersion, kind: 'VirtualMachineInterface', metadata: { name: `pod-${i}`, namespace: 'default' }, spec }
    })
    const startedAt = Date.now()
    await using controller = new ControllerProcess(api, 'large', 8087, {
      VROUTER_CONTROLLER_AGENT_GRACE_SECONDS: '3600',
    })
    const settled = async () => {
      const { items } = await client.request<{ items: { status?: { state?: string; pods?: number } }[] }>({
        method: 'GET',
        path: pathOf(own('virtualnetworks'), { namespace: 'default' }),
      })
      const own100 = items.filter(({ status }) => status?.state === 'Success' && status.pods === PODS / NETWORKS)
      return own100.length >= NETWORKS
    }
    await eventually('all networks are told', settled, 300_000)
    const tookMs = Date.now() - startedAt
    await sleep(3000)
    const acts = async () => (await controller.get('/metrics')).text.match(/actions_total\{.*/g)?.join('\n')
    const before = await acts()
    // CPU time: what else the machine does doesn't count.
    const cpuBefore = cpuMs(controller.child.pid!)
    await sleep(10_000)
    assert.equal(await acts(), before)
    assert.ok(cpuMs(controller.child.pid!) - cpuBefore < 5000)
    const meanMs = cpuMs(controller.child.pid!) / (await controller.metric('vrouter_controller_pass_seconds_count'))
    const rssMb = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${controller.child.pid}/status`, 'utf8'))![1]) / 1024
    console.log(`      ${tookMs} ms to the last status, ${meanMs.toFixed(0)} ms of CPU a pass, ${rssMb.toFixed(0)} MB`)
    assert.ok(meanMs < 3500, `${meanMs} ms a pass`)
    assert.ok(rssMb < 400, `${rssMb} MB`)
    assert.deepEqual(controller.complaints, [])
    // One change among so much is told, too.
    await createAll(own('virtualnetworks'), 1, () => {
      const metadata = { name: 'late', namespace: 'default' }
      return { apiVersion, kind: 'VirtualNetwork', metadata, spec: { subnets: [{ cidr: '10.0.0.0/16' }] } }
    })
    await eventually('the late one', async () => {
      const path = pathOf(own('virtualnetworks'), { namespace: 'default', name: 'late' })
      return (
        (await client.request<{ status?: { state?: string } }>({ method: 'GET', path })).status?.state === 'Success'
      )
    })
  })
})
