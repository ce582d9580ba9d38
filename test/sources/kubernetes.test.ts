import assert from 'node:assert/strict'
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { silent } from '../../daemon/src/log.ts'
import { KubernetesSource, type KubernetesSourceOptions } from '../../daemon/src/sources/kubernetes/source.ts'
import { until } from '../patience.ts'
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
/** Kinds that a source follows: eight, three of Services, and the endpoints of the API server itself. */
const WATCHES = 13

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
      writeMs: 10_000,
      podSeenMs: 100,
      podMs: 3000,
      backOff: { firstMs: 10, leastMs: 5, maxMs: 50 },
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

const eventually = (check: () => void) =>
  until('what the test waits for', () => {
    check()
    return true
  })

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

    await eventually(() => assert.equal(server.watches, WATCHES))
    await sleep(100)
    changes = 0
    const before = source.state().interfaces
    for (let i = 25; i < 225; i++) server.put(VMI, vmi(i))
    server.remove(VMI, 'default/pod-0-x')
    await eventually(() => assert.equal(source.state().interfaces.size, 224))
    // 200 changes came one by one; on a slow machine they are gathered less well.
    assert.ok(changes <= 100, `${changes} changes`)
    await eventually(() => assert.notEqual(source.state().interfaces, before))
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
    const source = await started({ timings: { podSeenMs: 1000 } })
    await eventually(() => assert.equal(server.watches, WATCHES))
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

describe('the kubernetes source and a server that lies', () => {
  it('waits for a server that isn’t there yet, and needs no one to help it', async () => {
    await server.close()
    const source = make()
    let isStarted = false
    const start = source
      .start(() => changes++)
      .then(() => {
        isStarted = true
      })
    await sleep(500)
    assert.equal(isStarted, false)
    await server.listen()
    await start
    assert.ok(source.state().virtualNetworks.has(RED))
  })

  it('stops while it waits for one', async () => {
    await server.close()
    const source = make()
    const start = source.start(() => undefined)
    await sleep(350)
    const [result] = await Promise.allSettled([start, source[Symbol.asyncDispose]()])
    assert.equal(result.status, 'rejected')
  })

  it('starts without a server from what was last known, and puts itself right when it answers', async () => {
    server.put('/pods', pod('here', { uid: 'u-1' }))
    server.put(VMI, vmi(1))
    server.put(BLOCK, blockObject('a', '10.1.0.0/26', NODE))
    const first = await started()
    await first.publish({ kind: 'VirtualRouter', object: router() })
    const known = first.state()
    await first[Symbol.asyncDispose]()
    assert.ok(existsSync(join(folder, 'state/cluster.json')))

    await server.close()
    const second = await started()
    for (const key of ['namespaces', 'virtualNetworks', 'blocks', 'routers', 'pods'] as const) {
      assert.deepEqual([...second.state()[key]], [...known[key]], key)
    }
    assert.deepEqual([...second.state().interfaces], [...known.interfaces])
    assert.equal((await second.findPod({ namespace: 'default', name: 'here', uid: 'u-1' }))?.name, 'here')

    server.removeSilently(VMI, 'default/pod-1-x')
    server.put(VMI, vmi(2))
    await server.listen()
    await eventually(() =>
      assert.deepEqual(
        [...second.state().interfaces.values()].map(({ name }) => name),
        ['pod-2-x'],
      ),
    )
    assert.deepEqual(rejectedTexts(second), [])
    // An own object that only the disk knew about can still be withdrawn.
    await second.withdraw('IPAMBlock', 'a')
    assert.equal(server.get(BLOCK, 'a'), undefined)
  })

  /** The state folder as a daemon that is killed now leaves it. */
  function killedNow(): string {
    const state = mkdtempSync(join(folder, 'killed-'))
    cpSync(join(folder, 'state'), state, { recursive: true })
    return state
  }

  const journals = (state = join(folder, 'state')) => readdirSync(state).filter((name) => name.includes('journal'))

  it('knows without a server what came and went a moment before it was killed', async () => {
    server.put('/pods', pod('old', { uid: 'u-0' }))
    server.put(VMI, vmi(1))
    const first = await started()
    await eventually(() => assert.ok(existsSync(join(folder, 'state/cluster.json'))))
    server.put('/pods', pod('new', { uid: 'u-1', annotations: { 'vrouter.dev/x': '1' } }))
    server.put(VMI, vmi(2))
    server.put(VN, network('late', { subnets: [{ cidr: '10.9.0.0/16' }] }))
    server.remove('/pods', 'default/old')
    server.remove(VMI, 'default/pod-1-x')
    await eventually(() => {
      const { pods, interfaces, virtualNetworks } = first.state()
      assert.deepEqual([[...pods.keys()], interfaces.size, virtualNetworks.size], [['u-1'], 1, 3])
    })
    const state = killedNow()
    const known = first.state()
    await server.close()
    // What a write that was cut off leaves at the end counts for nothing.
    appendFileSync(join(state, journals(state)[0]!), '{"kind":"Pod","key":"default/half","val')
    const second = await started({ state })
    assert.deepEqual([...second.state().virtualNetworks].sort(), [...known.virtualNetworks].sort())
    assert.deepEqual([...second.state().pods], [...known.pods])
    assert.deepEqual([...second.state().interfaces], [...known.interfaces])
    assert.equal(
      (await second.findPod({ namespace: 'default', name: 'new', uid: 'u-1' }))?.annotations['vrouter.dev/x'],
      '1',
    )
  })

  it('begins what it keeps anew when its journal has outgrown it, and loses nothing meanwhile', async () => {
    const source = await started()
    await eventually(() => assert.ok(existsSync(join(folder, 'state/cluster.json'))))
    const [before] = journals()
    const bulk = 'x'.repeat(8000)
    for (let i = 0; i < 60; i++) server.put('/pods', pod(`p${i}`, { uid: `u-${i}`, annotations: { bulk } }))
    await eventually(() => assert.notEqual(journals()[0], before))
    for (let i = 60; i < 70; i++) server.put('/pods', pod(`p${i}`, { uid: `u-${i}` }))
    await eventually(() => assert.equal(source.state().pods.size, 70))
    await eventually(() => assert.equal(journals().length, 1))
    const state = killedNow()
    await server.close()
    assert.equal((await started({ state })).state().pods.size, 70)
  })

  it('does not use a state on disk that is damaged or another node’s', async () => {
    const first = await started()
    await first[Symbol.asyncDispose]()
    const path = join(folder, 'state/cluster.json')
    const text = readFileSync(path, 'utf8')
    await server.close()
    for (const bad of [text.slice(0, text.length / 2), text.replace(NODE, 'node-9'), '', 'null']) {
      writeFileSync(path, bad)
      const source = make()
      let isStarted = false
      void source
        .start(() => undefined)
        .then(
          () => {
            isStarted = true
          },
          () => undefined,
        )
      await sleep(500)
      assert.equal(isStarted, false, bad.slice(0, 30))
      await source[Symbol.asyncDispose]()
    }
  })

  it('resumes a watch where it stood, and lists again when that version is forgotten', async () => {
    const source = await started()
    await eventually(() => assert.equal(server.watches, WATCHES))
    const lists = () =>
      server.requests.filter(
        ({ isWatch, method, path }) => !isWatch && method === 'GET' && path.endsWith('/virtualmachineinterfaces'),
      ).length
    const before = lists()
    server.cut()
    server.put(VMI, vmi(1))
    await eventually(() => assert.equal(source.state().interfaces.size, 1))
    server.endWatches()
    server.put(VMI, vmi(2))
    await eventually(() => assert.equal(source.state().interfaces.size, 2))
    assert.equal(lists(), before)

    server.removeSilently(VMI, 'default/pod-1-x')
    server.compact()
    server.cut()
    await eventually(() =>
      assert.deepEqual(
        [...source.state().interfaces.values()].map(({ name }) => name),
        ['pod-2-x'],
      ),
    )
    assert.ok(lists() > before)
  })

  it('survives half lines, nonsense, and events without a name; nothing is lost', async () => {
    const source = await started()
    for (const [index, spoil] of [
      (line: string) => line.slice(0, line.length / 2),
      () => '{"type":"ADDED","object":{}}\n',
      () => 'nonsense\n',
      () => '{"type":"SOMETHING","object":{"metadata":{"name":"a"}}}\n',
      () => '{"type":"ERROR","object":{"code":500,"message":"etcdserver: leader changed"}}\n',
      () => '\n\nnull\n',
    ].entries()) {
      await eventually(() => assert.equal(server.watches, WATCHES))
      server.onWatchLine = (line) => {
        server.onWatchLine = (other) => other
        setTimeout(() => server.cut(), 5)
        return spoil(line)
      }
      server.put(VMI, vmi(index))
      await eventually(() => assert.equal(source.state().interfaces.size, index + 1))
    }
  })

  it('takes a silent watch for dead', async () => {
    const source = await started({ timings: { idleMs: 200 } })
    await eventually(() => assert.equal(server.watches, WATCHES))
    const watches = () => server.requests.filter(({ isWatch }) => isWatch).length
    const before = watches()
    for (let i = 0; i < 10; i++) {
      server.bookmark()
      await sleep(50)
    }
    assert.equal(watches(), before)
    server.onWatchLine = () => undefined
    server.put(VMI, vmi(1))
    server.onWatchLine = (line) => line
    await eventually(() => assert.equal(source.state().interfaces.size, 1))
  })

  it('obeys 429, retries 500, and reads the token again when it is refused', async () => {
    let refusals = 0
    let unauthorized = 0
    server.intercept = ({ path, authorization, isWatch }, response) => {
      if (isWatch || !path.endsWith('/virtualnetworks')) return false
      if (authorization !== 'Bearer secret-2') {
        unauthorized++
        writeFileSync(join(folder, 'token'), 'secret-2')
        answer(response, 401, statusBody(401, 'Unauthorized'))
        return true
      }
      refusals++
      if (refusals === 1) answer(response, 500, statusBody(500, 'etcdserver: no leader'))
      else if (refusals === 2) answer(response, 429, statusBody(429, 'too many requests'), { 'retry-after': '0' })
      else if (refusals === 3) response.end('<html>proxy</html>')
      else if (refusals === 4) response.destroy()
      else if (refusals === 5) answer(response, 200, { kind: 'List', metadata: {}, items: [] })
      else return false
      return true
    }
    const source = await started({ timings: { unreachableMs: 5000, unsyncedMs: 5000 } })
    assert.deepEqual([unauthorized, refusals], [1, 6])
    assert.ok(source.state().virtualNetworks.has(RED))
  })

  it('begins a list again whose continuation is forgotten, and keeps everything meanwhile', async () => {
    for (let i = 0; i < 25; i++) server.put(VMI, vmi(i))
    const source = await started({ timings: { pageSize: 5 } })
    const sizes = new Set<number>()
    let forgotten = 0
    server.intercept = ({ path, query }) => {
      sizes.add(source.state().interfaces.size)
      if (path.endsWith('/virtualmachineinterfaces') && query.has('continue') && forgotten++ < 2) server.compact()
      return false
    }
    server.compact()
    server.cut()
    server.put(VMI, vmi(99))
    server.compact()
    await eventually(() => assert.equal(source.state().interfaces.size, 26))
    assert.deepEqual([...sizes].sort(), sizes.has(26) ? [25, 26] : [25])
  })

  it('tells nobody to wait while the server hangs or is away', async () => {
    const source = await started({ timings: { writeMs: 400 } })
    await source.publish({ kind: 'VirtualRouter', object: router() })
    server.intercept = ({ method }) => method === 'PATCH' || method === 'POST'
    let startedAt = performance.now()
    await assert.rejects(source.publish({ kind: 'VirtualRouter', object: router(NODE, '192.168.0.9') }), {
      code: 'API_UNREACHABLE',
    })
    const many = await Promise.allSettled(
      Array.from({ length: 100 }, (_, i) =>
        source.publish({ kind: 'VirtualMachineInterface', object: ownInterface(i) }),
      ),
    )
    assert.ok(many.every((one) => one.status === 'rejected'))
    // One after the other they would take 40 s.
    assert.ok(performance.now() - startedAt < 20_000, `${performance.now() - startedAt} ms`)
    await server.close()
    startedAt = performance.now()
    await assert.rejects(source.publish({ kind: 'IPAMBlock', object: block('a', '10.1.0.0/26') }, { create: true }), {
      code: 'API_UNREACHABLE',
    })
    assert.ok(performance.now() - startedAt < 20_000)
    assert.equal(source.state().routers.get(NODE)?.address, '192.168.0.1')
  })

  it('leaves an interface out whose namespace is being deleted, and refuses what is forbidden otherwise', async () => {
    const source = await started()
    const message =
      'virtualmachineinterfaces "x" is forbidden: unable to create new content in namespace default because it is being terminated'
    let details: object = { causes: [{ reason: 'NamespaceTerminating', field: 'metadata.namespace', message }] }
    server.intercept = ({ method }, response) => {
      if (method !== 'PATCH') return false
      response.writeHead(403, { 'content-type': 'application/json' })
      response.end(
        JSON.stringify({ kind: 'Status', status: 'Failure', code: 403, reason: 'Forbidden', message, details }),
      )
      return true
    }
    await source.publish({ kind: 'VirtualMachineInterface', object: ownInterface(1) })
    assert.equal(source.state().interfaces.size, 0)
    // The words alone decide nothing: they are people's.
    details = {}
    await assert.rejects(source.publish({ kind: 'VirtualMachineInterface', object: ownInterface(1) }), {
      code: 'API_FORBIDDEN',
    })
  })

  it('does not let old news undo what was just written or removed', async () => {
    const source = await started()
    await source.publish({ kind: 'VirtualMachineInterface', object: ownInterface(1) })
    await source.publish({ kind: 'VirtualMachineInterface', object: { ...ownInterface(1), label: 99 } })
    const stale = structuredClone(server.get(VMI, 'default/pod-1-x')!)
    await source.publish({ kind: 'VirtualMachineInterface', object: { ...ownInterface(1), label: 100 } })
    await eventually(() => assert.equal(server.watches, WATCHES))
    const labels = new Set<number>()
    const watchLabels = setInterval(() => labels.add(source.state().interfaces.values().next().value?.label ?? 0), 1)
    server.replay(VMI, 'MODIFIED', stale)
    await sleep(50)
    assert.deepEqual([...labels], [100])
    const last = structuredClone(server.get(VMI, 'default/pod-1-x')!)
    await source.withdraw('VirtualMachineInterface', 'pod-1-x')
    labels.clear()
    server.replay(VMI, 'MODIFIED', last)
    await sleep(50)
    clearInterval(watchLabels)
    assert.equal(source.state().interfaces.size, 0)
    assert.deepEqual([...labels], [0])
  })

  it('sets aside what it can’t accept, keeps what it accepted before, and overlooks fields of newer versions', async () => {
    server.put(VN, network('bad', { subnets: [{ cidr: '10.2.0.1/16' }] }))
    server.put(VN, network('newer', { subnets: [{ cidr: '10.3.0.0/16', dns: ['10.3.0.9'] }], colour: { deep: true } }))
    server.put(ROUTER, { metadata: { name: 'node-2' }, spec: { ...specOf(router('node-2', '192.168.0.2')) } })
    const source = await started()
    assert.ok(source.state().virtualNetworks.has('default-domain:k8s-default:newer'))
    assert.equal(source.state().virtualNetworks.has('default-domain:k8s-default:bad'), false)
    assert.match(
      rejectedTexts(source).join('\n'),
      /VirtualNetwork default\/bad spec.subnets\[0\].cidr: .*10\.2\.0\.0\/16/,
    )

    server.put(ROUTER, {
      metadata: { name: 'node-2' },
      spec: { ...specOf(router('node-2', '192.168.0.3')), encapsulations: ['SRv6'] },
    })
    await eventually(() =>
      assert.match(rejectedTexts(source).join('\n'), /VirtualRouter node-2 spec.encapsulations.*last accepted/s),
    )
    assert.equal(source.state().routers.get('node-2')?.address, '192.168.0.2')
    server.put(ROUTER, { metadata: { name: 'node-2' }, spec: { ...specOf(router('node-2', '192.168.0.3')) } })
    await eventually(() => assert.equal(source.state().routers.get('node-2')?.address, '192.168.0.3'))
    assert.doesNotMatch(rejectedTexts(source).join('\n'), /VirtualRouter/)
    server.remove(VN, 'default/bad')
    await eventually(() => assert.deepEqual(rejectedTexts(source), []))
  })

  it('lets the older of two networks with one name count, whatever they are called', async () => {
    const claim = { fqName: RED }
    server.put(
      VN,
      network(
        'a-thief',
        { ...claim, subnets: [{ cidr: '10.9.0.0/16' }] },
        { creationTimestamp: '2026-05-05T00:00:00Z' },
      ),
    )
    const source = await started()
    assert.equal(source.state().virtualNetworks.get(RED)?.subnets[0]?.cidr, '10.1.0.0/16')
    assert.match(
      rejectedTexts(source).join(),
      /VirtualNetwork default\/a-thief : is defined .*\(VirtualNetwork default\/red\)/,
    )
  })

  it('tells of two interfaces with one uuid, and of the one that is left', async () => {
    server.put(VMI, vmi(1))
    server.put(VMI, { ...vmi(1), metadata: { name: 'copy', namespace: 'default' } })
    const source = await started()
    assert.deepEqual(
      [...source.state().interfaces.values()].map(({ name }) => name),
      ['copy'],
    )
    assert.match(
      rejectedTexts(source).join(),
      /VirtualMachineInterface default\/pod-1-x spec.uuid: .*default\/copy too/,
    )
    server.remove(VMI, 'default/copy')
    await eventually(() => assert.deepEqual(rejectedTexts(source), []))
    assert.deepEqual(
      [...source.state().interfaces.values()].map(({ name }) => name),
      ['pod-1-x'],
    )
  })

  it('waits for kinds that aren’t installed yet, and says so', async () => {
    server.missing.add('vrouter.dev')
    const source = await started({ timings: { unreachableMs: 3000, unsyncedMs: 3000 } })
    assert.match(rejectedTexts(source).join('\n'), /virtualnetworks\.vrouter\.dev : is not installed/)
    assert.ok(source.state().rejected.every(({ isStale }) => isStale === true))
    server.missing.clear()
    await eventually(() => assert.ok(source.state().virtualNetworks.has(RED)))
    await eventually(() => assert.deepEqual(rejectedTexts(source), []))
    // A server that loses its kinds for a while takes nothing away.
    server.missing.add('vrouter.dev')
    server.compact()
    server.cut()
    await eventually(() => assert.match(rejectedTexts(source).join('\n'), /is not installed/))
    assert.ok(source.state().virtualNetworks.has(RED))
  })

  it('tells its last words before it ends, and waits for no server that is away', async () => {
    const report = {
      object: { kind: 'Node', name: NODE },
      type: 'Warning',
      reason: 'GatewayLost',
      message: 'x',
    } as const
    const first = await started()
    for (let i = 0; i < 20; i++) first.report({ ...report, message: `${i}` })
    await first[Symbol.asyncDispose]()
    assert.equal(server.all('/events').length, 20)
    const [event] = server.all('/events') as unknown as { reason: string; metadata: { namespace: string } }[]
    assert.equal(event?.reason, 'GatewayLost')
    assert.equal(event?.metadata.namespace, 'default')
    const second = await started()
    server.intercept = ({ path }, response) => {
      if (!path.endsWith('/events')) return false
      response.destroy()
      return true
    }
    second.report(report)
    const begun = performance.now()
    await second[Symbol.asyncDispose]()
    assert.ok(performance.now() - begun < 20_000)
  })

  it('gathers reports into Events, and tells a pod by a condition until it works', async () => {
    server.put('/pods', pod('pod-3', { uid: 'u-3' }))
    const source = await started()
    const report = {
      object: { kind: 'Pod', namespace: 'default', name: 'pod-3', uid: 'u-3' },
      type: 'Warning',
      reason: 'NetworkMissing',
      message: 'there is no network blue',
    } as const
    for (let i = 0; i < 10; i++) source.report(report)
    source.report({ object: { kind: 'Node', name: NODE }, type: 'Warning', reason: 'RouterAddressTaken', message: 'x' })
    await eventually(() => assert.equal(server.all('/events').length, 2))
    await sleep(50)
    const [event] = server.all('/events') as unknown as {
      involvedObject: object
      message: string
      count: number
      metadata: { namespace: string }
    }[]
    assert.deepEqual(event!.involvedObject, {
      apiVersion: 'v1',
      kind: 'Pod',
      namespace: 'default',
      name: 'pod-3',
      uid: 'u-3',
    })
    assert.equal(event!.message, report.message)
    const condition = () => {
      const patch = server.requests.findLast(({ path }) => path.endsWith('/pods/pod-3/status'))
      const { status } = (patch?.body ?? {}) as { status?: { conditions: { status: string; message: string }[] } }
      return status?.conditions[0]
    }
    await eventually(() => assert.equal(condition()?.status, 'False'))
    assert.equal(condition()?.message, report.message)
    source.report({ ...report, reason: 'NodeCannotReachPod', message: 'its probes fail', isWorking: true })
    await eventually(() => assert.equal(server.all('/events').length, 3))
    assert.equal(condition()?.message, report.message, 'what works has no condition')
    server.put('/pods', {
      ...pod('pod-3', { uid: 'u-3' }),
      status: { conditions: [{ type: 'vrouter.dev/NetworkReady', status: 'False' }] },
    })
    await sleep(50)
    await source.publish({ kind: 'VirtualMachineInterface', object: ownInterface(3, 'u-3') })
    await eventually(() => assert.equal(condition()?.status, 'True'))
    server.intercept = ({ path }, response) => {
      if (!path.endsWith('/events')) return false
      answer(response, 403, statusBody(403, 'forbidden'))
      return true
    }
    source.report({ ...report, reason: 'Other' })
    await server.close()
    source.report({ ...report, reason: 'Another' })
  })

  it('says that the server is away, and that it is back', async () => {
    const source = await started({ timings: { awayMs: 200 } })
    await eventually(() => assert.equal(server.watches, WATCHES))
    await server.close()
    await eventually(() => assert.match(rejectedTexts(source).join(), /API server : can not be reached/))
    await server.listen()
    await eventually(() => assert.deepEqual(rejectedTexts(source), []))
  })
})

function specOf({ name: _, ...spec }: ReturnType<typeof router>) {
  return spec
}
