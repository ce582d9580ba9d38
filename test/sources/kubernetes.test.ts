import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { silent } from '../../daemon/src/log.ts'
import { KubernetesSource, type KubernetesSourceOptions } from '../../daemon/src/sources/kubernetes/source.ts'
import { answer, FakeApiServer, statusBody } from './fake-api-server.ts'
import {
  block,
  blockObject,
  NODE,
  namespace,
  network,
  node,
  ownInterface,
  pod,
  RED,
  router,
  vmi,
} from './kubernetes-objects.ts'

const VN = 'vrouter.dev/virtualnetworks'
const VMI = 'vrouter.dev/virtualmachineinterfaces'
const BLOCK = 'vrouter.dev/ipamblocks'
const ROUTER = 'vrouter.dev/virtualrouters'

let server: FakeApiServer
let folder: string
let open: KubernetesSource[]
let changes: number

beforeEach(async () => {
  server = await FakeApiServer.start()
  folder = mkdtempSync(join(tmpdir(), 'vrouter-kubernetes-'))
  open = []
  changes = 0
  server.put('/namespaces', namespace('default'))
  server.put('/nodes', node())
  server.put(VN, network('red', { subnets: [{ cidr: '10.1.0.0/16' }] }))
})
afterEach(async () => {
  for (const source of open) await source[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

function make(more: Partial<KubernetesSourceOptions> = {}): KubernetesSource {
  writeFileSync(join(folder, 'token'), 'secret-1\n')
  writeFileSync(join(folder, 'ca.crt'), '')
  const { timings, ...others } = more
  const source = new KubernetesSource({
    node: NODE,
    cluster: 'k8s',
    defaultSubnets: ['10.244.0.0/16'],
    kubeconfig: '',
    server: server.url,
    serviceAccount: folder,
    environment: {},
    state: join(folder, 'state'),
    log: silent,
    ...others,
    timings: {
      unreachableMs: 300,
      unsyncedMs: 600,
      missingMs: 50,
      writeMs: 400,
      podSeenMs: 100,
      podMs: 500,
      backOff: { minMs: 5, maxMs: 50 },
      ...timings,
    },
  })
  open.push(source)
  return source
}

async function started(more: Partial<KubernetesSourceOptions> = {}): Promise<KubernetesSource> {
  const source = make(more)
  await source.start(() => changes++)
  return source
}

async function eventually(check: () => void, withinMs = 3000): Promise<void> {
  for (const end = performance.now() + withinMs; ; ) {
    try {
      check()
      return
    } catch (error) {
      if (performance.now() > end) throw error
      await sleep(5)
    }
  }
}

const rejectedTexts = (source: KubernetesSource) =>
  source.state().rejected.map(({ object, field, message }) => `${object} ${field ?? ''}: ${message}`)

describe('the kubernetes source', () => {
  it('lists in pages, follows changes, and tells of a burst once', async () => {
    for (let i = 0; i < 25; i++) server.put(VMI, vmi(i))
    server.put('/pods', pod('here'))
    server.put('/pods', pod('elsewhere', { node: 'node-2' }))
    const source = await started({ timings: { pageSize: 10 } })
    assert.equal(source.state().interfaces.size, 25)
    assert.deepEqual([...source.state().virtualNetworks.keys()].sort(), [
      'default-domain:k8s-default:k8s-default-pod-network',
      RED,
    ])
    assert.deepEqual(
      [...source.state().pods.values()].map(({ name }) => name),
      ['here'],
    )
    const lists = server.requests.filter(({ path, isWatch }) => path.endsWith('/virtualmachineinterfaces') && !isWatch)
    assert.deepEqual(
      lists.map(({ query }) => query.get('continue') !== null),
      [false, true, true],
    )

    await eventually(() => assert.equal(server.watches, 9))
    await sleep(100)
    changes = 0
    const before = source.state().interfaces
    for (let i = 25; i < 225; i++) server.put(VMI, vmi(i))
    server.remove(VMI, 'default/pod-0-x')
    await eventually(() => assert.equal(source.state().interfaces.size, 224))
    assert.ok(changes <= 3, `${changes} changes`)
    assert.notEqual(source.state().interfaces, before)
  })

  it('publishes with owners, shows it at once, and withdraws only what it knows as its own', async () => {
    server.put('/pods', pod('pod-7', { uid: 'api-uid', annotations: { 'kubernetes.io/config.mirror': 'runtime-uid' } }))
    const source = await started()
    await source.publish({ kind: 'VirtualRouter', object: router() })
    assert.deepEqual(source.state().routers.get(NODE), router())
    const nodeUid = server.get('/nodes', NODE)!.metadata.uid
    assert.deepEqual(server.get(ROUTER, NODE)!.metadata.ownerReferences, [
      { apiVersion: 'v1', kind: 'Node', name: NODE, uid: nodeUid },
    ])

    const own = ownInterface(7, 'runtime-uid')
    await source.publish({ kind: 'VirtualMachineInterface', object: own })
    assert.deepEqual(source.state().interfaces.get(own.uuid), own)
    const stored = server.get(VMI, 'default/pod-7-x')!
    assert.deepEqual(stored.metadata.ownerReferences, [
      { apiVersion: 'v1', kind: 'Pod', name: 'pod-7', uid: 'api-uid' },
    ])

    server.put(VMI, vmi(8))
    await eventually(() => assert.equal(source.state().interfaces.size, 2))
    await source.withdraw('VirtualMachineInterface', 'pod-8-x')
    assert.ok(server.get(VMI, 'default/pod-8-x') !== undefined)
    await source.withdraw('VirtualMachineInterface', 'pod-7-x')
    assert.equal(server.get(VMI, 'default/pod-7-x'), undefined)
    assert.equal(source.state().interfaces.has(own.uuid), false)
    await source.withdraw('VirtualMachineInterface', 'pod-7-x')
  })

  it('claims a block once: an own one again, another node’s never, an overlapping one not either', async () => {
    const source = await started()
    await source.publish({ kind: 'IPAMBlock', object: block('a', '10.1.0.0/26') }, { create: true })
    assert.equal(source.state().blocks.get('a')?.node, NODE)
    await source.publish({ kind: 'IPAMBlock', object: block('a', '10.1.0.0/26') }, { create: true })
    server.put(BLOCK, blockObject('b', '10.1.0.64/26', 'node-2'))
    await assert.rejects(source.publish({ kind: 'IPAMBlock', object: block('b', '10.1.0.64/26') }, { create: true }), {
      code: 'BLOCK_TAKEN',
    })
    server.put(BLOCK, blockObject('c', '10.1.1.0/24', 'node-2'))
    await eventually(() => assert.equal(source.state().blocks.size, 3))
    await assert.rejects(source.publish({ kind: 'IPAMBlock', object: block('d', '10.1.1.0/26') }, { create: true }), {
      code: 'BLOCK_TAKEN',
    })
    assert.equal(server.get(BLOCK, 'd'), undefined)
  })

  it('finds a pod by the watch, by asking, or not at all', async () => {
    const source = await started()
    await eventually(() => assert.equal(server.watches, 9))
    const found = source.findPod({ namespace: 'default', name: 'late', uid: 'u-1' })
    await sleep(20)
    server.put('/pods', pod('late', { uid: 'u-1', annotations: { 'vrouter.dev/network': 'red' } }))
    assert.equal((await found)?.annotations['vrouter.dev/network'], 'red')
    assert.equal(
      server.requests.some(({ path }) => path.endsWith('/pods/late')),
      false,
    )

    server.onWatchLine = () => undefined
    server.put('/pods', pod('unseen', { uid: 'u-2' }))
    assert.equal((await source.findPod({ namespace: 'default', name: 'unseen', uid: 'u-2' }))?.name, 'unseen')
    assert.equal(await source.findPod({ namespace: 'default', name: 'unseen', uid: 'another' }), undefined)
    assert.equal(await source.findPod({ namespace: 'default', name: 'none', uid: 'u-3' }), undefined)
    await server.close()
    await assert.rejects(source.findPod({ namespace: 'default', name: 'x', uid: 'u-4' }), { code: 'API_UNREACHABLE' })
    assert.equal((await source.findPod({ namespace: 'default', name: 'late', uid: 'u-1' }))?.name, 'late')
  })
})
