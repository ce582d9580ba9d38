/** The controller against a real kube-apiserver, with the rights of rbac.md: everything that needs the real one to be believed. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { API_VERSIONS, type Kind } from '@kube-vrouter/daemon/sources/objects/decode'
import { ApiServer, end, eventually, skipWithoutApiServer } from './api-server.ts'
import { ACCOUNT, ControllerProcess, NAMESPACE, prepare } from './process.ts'

interface Condition {
  readonly type: string
  readonly status: string
  readonly reason: string
  readonly message: string
}

interface Answer {
  readonly metadata: {
    readonly resourceVersion: string
    readonly finalizers?: readonly string[]
    readonly labels?: Readonly<Record<string, string>>
  }
  readonly spec: Readonly<Record<string, unknown>> & { readonly taints?: readonly { readonly key: string }[] }
  readonly status?: Readonly<Record<string, unknown>> & { readonly conditions?: readonly Condition[] }
}

const object = (kind: Kind, name: string, spec: object, more: object = {}) => ({
  apiVersion: API_VERSIONS[kind],
  kind,
  metadata: { name, ...(/Network|Interface/.test(kind) && { namespace: 'default' }), ...more },
  spec,
})
const network = (name: string, cidr = '10.1.0.0/16', spec: object = {}, more: object = {}) =>
  object('VirtualNetwork', name, { subnets: [{ cidr }], ...spec }, more)
const fq = (name: string) => `default-domain:k8s-default:${name}`
const block = (name: string, vn: string, cidr: string, node: string) =>
  object('IPAMBlock', name, { network: fq(vn), cidr, node })
const router = (name: string, address: string) =>
  object('VirtualRouter', name, { address, encapsulations: ['MPLSoUDP'], vrfLabels: {}, vhostLabel: 16 })
const vmi = (pod: string, vn: string, address: string, node: string, uid: string, number = 1) =>
  object('VirtualMachineInterface', `${pod}-x`, {
    uuid: `00000000-0000-0000-0000-${String(number).padStart(12, '0')}`,
    network: fq(vn),
    node,
    pod: { name: pod, uid },
    containerId: `c${number}`,
    interface: 'eth0',
    mac: '02:00:00:00:00:01',
    addresses: [address],
    label: 16 + number,
  })
const node = (name: string) => ({ apiVersion: 'v1', kind: 'Node', metadata: { name } })
const namespace = (name: string, annotations: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, annotations },
})
const pod = (name: string, where: string, labels: object, nodeName: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: where, labels },
  spec: { nodeName, containers: [{ name: 'c', image: 'none' }] },
})
const agentLabels = { 'app.kubernetes.io/name': 'kube-vrouter', 'app.kubernetes.io/component': 'vrouter' }

describe('the controller on a real API server', function () {
  this.timeout(120_000)
  let api: ApiServer

  before(async function () {
    skipWithoutApiServer(this)
    api = await ApiServer.start([ACCOUNT])
    await prepare(api)
  })
  after(async () => api?.[Symbol.asyncDispose]())

  const get = (kind: string, name: string, where?: string) => api.get<Answer>(kind, name, where)
  const status = async (kind: string, name: string, where = 'default') => (await get(kind, name, where)).status ?? {}
  const condition = async (kind: string, name: string, type: string, where?: string) =>
    (await get(kind, name, where)).status?.conditions?.find((one) => one.type === type)
  const exists = async (kind: string, name: string) => (await api.kubectl(['get', kind, name])).status === 0
  const setReady = (name: string, isReady: boolean) => {
    const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'False', message: isReady ? '' : 'starting' }]
    const patch = JSON.stringify({ status: { conditions } })
    return api.run(['patch', 'pod', name, '-n', NAMESPACE, '--subresource=status', '--type=strategic', '-p', patch])
  }
  const leads = (one: ControllerProcess) =>
    eventually(`${one.identity} leads`, async () => (await one.metric('vrouter_controller_leader')) === 1)

  it('accepts networks, shows the built-in ones, and answers probes', async () => {
    await using controller = new ControllerProcess(api, 'one', 8087)
    await api.apply(
      network('red'),
      network('blue', '10.1.0.0/16', { virtualNetworkNetworkID: 5000 }),
      namespace('iso', { 'vrouter.dev/isolation': 'true' }),
    )
    await eventually('red', async () => (await status('vn', 'red'))['state'] === 'Success')
    await eventually('built-in', async () => (await status('vn', 'k8s-iso-pod-network', 'iso'))['state'] === 'Success')
    assert.equal((await status('vn', 'blue'))['virtualNetworkNetworkID'], 5000)
    assert.deepEqual((await get('vn', 'red', 'default')).metadata.finalizers, ['vrouter.dev/in-use'])
    assert.match(await api.run(['get', 'vn', 'red']), /\nred +10\.1\.0\.0\/16 +4\d\d\d +Success +0 /)
    for (const path of ['/healthz', '/readyz'])
      assert.deepEqual(await controller.get(path), { status: 200, text: 'ok\n' })
    assert.equal((await controller.get('/else')).status, 404)
    // All that it may read it can read, and what this server hasn't is no problem.
    assert.equal(await controller.metric('vrouter_controller_watch_problems'), 0)
    assert.equal(await controller.metric('vrouter_controller_objects{kind="apiServices"}'), 1)
    // The range of Services, as the server itself tells it.
    const { spec } = await api.get<{ spec: { cidrs: string[] } }>('servicecidr', 'kubernetes')
    await api.apply(network('services', spec.cidrs[0]))
    await eventually('overlap', async () =>
      String((await status('vn', 'services'))['observation']).includes(
        `overlaps the addresses of Services (${spec.cidrs[0]})`,
      ),
    )
    await api.run(['delete', 'vn', 'services'])
    // It comes to rest: what is settled isn't written again.
    const before = (await get('vn', 'red', 'default')).metadata.resourceVersion
    await sleep(2500)
    assert.equal((await get('vn', 'red', 'default')).metadata.resourceVersion, before)
    assert.deepEqual(controller.complaints, [])
  })

  it('keeps VNIs over restarts, though a network that has none yet is older', async () => {
    const vni = (await status('vn', 'red'))['virtualNetworkNetworkID']
    await api.run([
      'patch',
      'vn',
      'blue',
      '--subresource=status',
      '--type=merge',
      '-p',
      '{"status":{"virtualNetworkNetworkID":null}}',
    ])
    await api.run(['patch', 'vn', 'blue', '--type=merge', '-p', `{"spec":{"virtualNetworkNetworkID":${vni}}}`])
    await using controller = new ControllerProcess(api, 'two', 8087)
    await eventually('conflict', async () => (await status('vn', 'blue'))['state'] === 'Failure')
    assert.equal((await status('vn', 'red'))['virtualNetworkNetworkID'], vni)
    assert.match(
      String((await status('vn', 'blue'))['observation']),
      /is that of VirtualNetwork default\/red: choose another/,
    )
    await eventually('event', async () =>
      (await api.run(['get', 'events', '--field-selector', 'involvedObject.name=blue'])).includes('VniTaken'),
    )
    await api.run(['patch', 'vn', 'blue', '--type=merge', '-p', '{"spec":{"virtualNetworkNetworkID":5000}}'])
    await eventually('solved', async () => (await status('vn', 'blue'))['state'] === 'Success')
    assert.deepEqual(controller.complaints, [])
  })

  it('tells a namespace what is wrong with its annotation, as condition and Event', async () => {
    await using controller = new ControllerProcess(api, 'three', 8087)
    await api.apply(namespace('shop', { 'vrouter.dev/network': 'default/green' }))
    const words =
      "namespace shop: annotation vrouter.dev/network names default-domain:k8s-default:green, which doesn't exist"
    const found = await eventually('condition', () => condition('ns', 'shop', 'NetworkReady'))
    assert.deepEqual([found.status, found.reason, found.message], ['False', 'NetworkMissing', words])
    await eventually('event', async () => (await api.run(['get', 'events', '-n', 'shop'])).includes(words))
    await api.apply(network('green'))
    await eventually('ready', async () => (await condition('ns', 'shop', 'NetworkReady'))?.status === 'True')
    assert.deepEqual(controller.complaints, [])
  })

  it('tells once that a policy isn’t enforced, whichever controller leads, and waits for no kind that isn’t installed', async () => {
    const crd = {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: {
        name: 'adminnetworkpolicies.policy.networking.k8s.io',
        annotations: { 'api-approved.kubernetes.io': 'unapproved, for a test' },
      },
      spec: {
        group: 'policy.networking.k8s.io',
        names: { kind: 'AdminNetworkPolicy', plural: 'adminnetworkpolicies' },
        scope: 'Cluster',
        versions: [{ name: 'v1alpha1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
      },
    }
    await api.apply(crd)
    await api.run(['wait', '--for=condition=Established', 'crd', crd.metadata.name])
    await api.apply(
      {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'NetworkPolicy',
        metadata: { name: 'deny', namespace: 'default' },
        spec: { podSelector: {} },
      },
      { apiVersion: 'policy.networking.k8s.io/v1alpha1', kind: 'AdminNetworkPolicy', metadata: { name: 'deny-all' } },
    )
    const told = async () => {
      const columns =
        'custom-columns=K:.involvedObject.kind,V:.involvedObject.apiVersion,N:.involvedObject.name,R:.reason'
      const lines = await api.run([
        'get',
        'events',
        '--field-selector=reason=NotEnforced',
        '--no-headers',
        '-o',
        columns,
      ])
      return lines
        .trim()
        .split('\n')
        .map((line) => line.split(/ +/).join(' '))
        .sort()
    }
    const wanted = [
      'AdminNetworkPolicy policy.networking.k8s.io/v1alpha1 deny-all NotEnforced',
      'NetworkPolicy networking.k8s.io/v1 deny NotEnforced',
    ]
    for (const identity of ['policies', 'policies-again']) {
      await using controller = new ControllerProcess(api, identity, 8087)
      await eventually('told', async () => (await told()).join() === wanted.join())
      await eventually('ready', async () => (await controller.get('/readyz')).status === 200)
      await eventually(
        'done',
        async () =>
          ((await controller.metric('vrouter_controller_actions_total{action="event",outcome="done"}')) ?? 0) >= 2,
      )
      assert.deepEqual(await told(), wanted)
      assert.deepEqual(controller.complaints, [])
    }
  })

  it('keeps a network that is deleted until its pods are gone, and says who they are', async () => {
    await using controller = new ControllerProcess(api, 'four', 8087)
    await api.apply(node('n1'), network('used', '10.3.0.0/16'))
    await eventually('finalizer', async () => (await get('vn', 'used', 'default')).metadata.finalizers?.length === 1)
    await api.apply(pod('web', 'default', {}, 'n1'))
    const { uid } = (await get('pod', 'web', 'default')).metadata as unknown as { uid: string }
    await api.apply(block('used-1', 'used', '10.3.0.0/26', 'n1'), vmi('web', 'used', '10.3.0.5', 'n1', uid))
    await api.run(['delete', 'vn', 'used', '--wait=false'])
    const said = await eventually('observation', async () => (await status('vn', 'used'))['observation'])
    assert.equal(said, 'is being deleted: waits for 1 pod (default/web)')
    assert.equal((await status('vn', 'used'))['state'], 'Pending')
    await sleep(4000)
    assert.ok(await exists('vmi', 'web-x'))
    // Gone without a word to anybody: the census finds the interface without a pod, then blocks and network go.
    await api.run(['delete', 'pod', 'web', '--grace-period=0', '--force'])
    await eventually('interface goes', async () => !(await exists('vmi', 'web-x')), 30_000)
    await eventually('network goes', async () => !(await exists('vn', 'used')), 30_000)
    assert.equal(await exists('ib', 'used-1'), false)
    assert.deepEqual(controller.complaints, [])
  })

  it('clears what nodes left behind, reports what contradicts, and lets be what belongs to nodes that exist', async () => {
    await using controller = new ControllerProcess(api, 'five', 8087)
    await api.apply(
      router('n1', '192.0.2.1'),
      router('old', '192.0.2.1'),
      block('red-1', 'red', '10.1.0.0/26', 'n1'),
      block('red-2', 'red', '10.1.0.32/27', 'old'),
      vmi('gone', 'red', '10.1.0.40', 'old', '', 7),
    )
    await eventually('conflict', async () =>
      (await api.run(['get', 'events'])).includes('is the address of VirtualRouter n1 too'),
    )
    await eventually(
      'garbage',
      async () => !(await exists('vr', 'old')) && !(await exists('ib', 'red-2')) && !(await exists('vmi', 'gone-x')),
    )
    assert.ok((await exists('vr', 'n1')) && (await exists('ib', 'red-1')))
    assert.ok(controller.lines.some(({ msg }) => msg === 'delete blocks red-2: node old is gone'))
    assert.deepEqual(controller.complaints, [])
  })

  it('frees the address of a pod whose node’s daemon is dead: seconds after the pod was removed, and not before', async () => {
    await using controller = new ControllerProcess(api, 'fixed', 8087)
    const name = '10-1-9-9-32.red.k8s-default'
    await api.apply(node('n1'), pod('till', 'default', {}, 'n1'))
    const status = { phase: 'Running', podIP: '10.1.9.9', podIPs: [{ ip: '10.1.9.9' }] }
    const patch = JSON.stringify({ status })
    await api.run(['patch', 'pod', 'till', '--subresource=status', '--type=merge', '-p', patch])
    const { uid } = (await get('pod', 'till', 'default')).metadata as unknown as { uid: string }
    await api.apply(block(name, 'red', '10.1.9.9/32', 'n1'), vmi('till', 'red', '10.1.9.9', 'n1', uid, 9))
    // Its interface object is lost, but the pod lives: the API server is asked, and says so.
    await api.run(['delete', 'vmi', 'till-x'])
    const putOff = /^vrouter_controller_actions_total\{action="delete",outcome="put off"\} [1-9]/m
    await eventually('put off', async () => putOff.test((await controller.get('/metrics')).text), 60_000)
    assert.ok(await exists('ib', name))
    await api.run(['delete', 'pod', 'till', '--grace-period=0', '--force'])
    await eventually('the block goes', async () => !(await exists('ib', name)), 60_000)
    assert.deepEqual(controller.complaints, [])
  })

  it('opens nodes to pods when their daemon is ready, and closes them when there is none', async () => {
    await using controller = new ControllerProcess(api, 'six', 8087)
    const taint = 'node.vrouter.dev/agent-not-ready'
    const taints = async () => (await get('node', 'n1')).spec.taints?.map(({ key }) => key) ?? []
    await eventually('closed', async () => (await taints()).includes(taint))
    assert.equal((await condition('node', 'n1', 'NetworkUnavailable'))?.status, 'True')
    await api.apply(pod('vrouter-n1', NAMESPACE, agentLabels, 'n1'))
    await setReady('vrouter-n1', true)
    await eventually('open', async () => !(await taints()).includes(taint))
    assert.equal((await condition('node', 'n1', 'NetworkUnavailable'))?.status, 'False')
    // Taints of others stay.
    assert.ok((await taints()).includes('node.kubernetes.io/not-ready'))
    await eventually('told', async () => (await condition('vr', 'n1', 'Ready'))?.status === 'True')
    assert.match(await api.run(['get', 'vr']), /n1 +192\.0\.2\.1 +MPLSoUDP +True /)
    await setReady('vrouter-n1', false)
    await sleep(1000)
    assert.ok(!(await taints()).includes(taint))
    await eventually('closed again', async () => (await taints()).includes(taint))
    await setReady('vrouter-n1', true)
    await eventually('open again', async () => !(await taints()).includes(taint))
    assert.deepEqual(controller.complaints, [])
  })

  it('has one leader; another takes over when it is killed, and at once when it is stopped', async () => {
    await using a = new ControllerProcess(api, 'a', 8087)
    await leads(a)
    await using b = new ControllerProcess(api, 'b', 8088)
    await eventually('b is ready', async () => (await b.get('/readyz')).status === 200)
    assert.equal(await b.metric('vrouter_controller_leader'), 0)
    await end(a.child, 'SIGKILL')
    const killedAt = Date.now()
    await leads(b)
    const killedMs = Date.now() - killedAt
    await api.apply(network('after-kill', '10.4.0.0/16'))
    await eventually('work goes on', async () => (await status('vn', 'after-kill'))['state'] === 'Success')
    await using c = new ControllerProcess(api, 'c', 8089)
    await eventually('c is ready', async () => (await c.get('/readyz')).status === 200)
    const stoppedAt = Date.now()
    await end(b.child, 'SIGTERM')
    await leads(c)
    const stoppedMs = Date.now() - stoppedAt
    assert.ok(stoppedMs < killedMs, `${stoppedMs} ms, and ${killedMs} ms after a kill`)
    const lease = await get('lease', 'vrouter-controller', NAMESPACE)
    assert.equal(lease.spec['holderIdentity'], 'c')
    assert.deepEqual([...a.complaints, ...b.complaints, ...c.complaints], [])
  })

  it('stops leading when it hangs, and doesn’t write when it wakes up beside another leader', async () => {
    await using a = new ControllerProcess(api, 'hung', 8087)
    await leads(a)
    await using b = new ControllerProcess(api, 'next', 8088)
    await eventually('ready', async () => (await b.get('/readyz')).status === 200)
    a.child.kill('SIGSTOP')
    await leads(b)
    a.child.kill('SIGCONT')
    await eventually('gives up', async () => (await a.metric('vrouter_controller_leader')) === 0)
    assert.ok(a.isRunning)
    assert.equal((await get('lease', 'vrouter-controller', NAMESPACE)).spec['holderIdentity'], 'next')
  })

  it('lives through an API server that is away, then goes on; nothing is taken away because of it', async () => {
    await using controller = new ControllerProcess(api, 'patient', 8087)
    await leads(controller)
    await eventually('settled', async () => (await controller.get('/readyz')).status === 200)
    await sleep(1000)
    const before = await api.run(['get', 'vn,ib,vr,vmi', '-A', '-o', 'name'])
    await api.silence()
    await eventually('leads no more', async () => (await controller.metric('vrouter_controller_leader')) === 0)
    await sleep(6000)
    assert.ok(controller.isRunning)
    assert.equal((await controller.get('/healthz')).status, 200)
    await api.serve()
    await leads(controller)
    await api.apply(network('after-outage', '10.5.0.0/16'))
    await eventually('work goes on', async () => (await status('vn', 'after-outage'))['state'] === 'Success', 60_000)
    await api.run(['delete', 'vn', 'after-outage'])
    await sleep(4000)
    assert.equal(await api.run(['get', 'vn,ib,vr,vmi', '-A', '-o', 'name']), before)
    assert.deepEqual(controller.complaints, [])
  })

  it('gives Services addresses of pools, and takes them back', async () => {
    await using controller = new ControllerProcess(api, 'pools', 8087)
    const service = (name: string, spec: object = {}, annotations: object = {}) => ({
      ...{ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default', annotations } },
      spec: { type: 'LoadBalancer', loadBalancerClass: 'vrouter.dev/load-balancer', ports: [{ port: 80 }], ...spec },
    })
    const ingress = async (name: string) =>
      (await status('service', name))['loadBalancer'] as { ingress?: { ip: string; ipMode: string }[] }
    const ip = async (name: string) => (await ingress(name)).ingress?.[0]?.ip
    await api.apply(
      object('LoadBalancerPool', 'public', { addresses: ['192.0.2.64-192.0.2.65'] }),
      service('web'),
      service('asks', {}, { 'vrouter.dev/load-balancer-ips': '192.0.2.64' }),
      service('theirs', { loadBalancerClass: 'example.com/lb' }),
      { ...service('classless'), spec: { type: 'LoadBalancer', ports: [{ port: 80 }] } },
    )
    await eventually('asks', async () => (await ip('asks')) === '192.0.2.64')
    await eventually('web', async () => (await ip('web')) === '192.0.2.65')
    assert.deepEqual((await ingress('web')).ingress, [{ ip: '192.0.2.65', ipMode: 'VIP' }])
    await api.apply(service('late'))
    const of = 'vrouter.dev/LoadBalancer'
    await eventually('late', async () => (await condition('service', 'late', of))?.reason === 'PoolExhausted')
    await eventually('the pool says so', async () => {
      const { assigned, conditions } = (await get('loadbalancerpool', 'public')).status ?? {}
      return (
        assigned === 2 && conditions?.some(({ type, status: on }) => type === 'Exhausted' && on === 'True') === true
      )
    })
    const patch = '{"spec":{"type":"ClusterIP","loadBalancerClass":null}}'
    await api.run(['patch', 'service', 'web', '--type=merge', '-p', patch])
    await eventually('late has it', async () => (await ip('late')) === '192.0.2.65')
    assert.equal((await ingress('web')).ingress, undefined)
    assert.equal(await condition('service', 'web', of), undefined)
    for (const name of ['theirs', 'classless']) assert.deepEqual(await status('service', name), { loadBalancer: {} })
    assert.match(await api.run(['get', 'lbp', 'public']), /\npublic +\["192\.0\.2\.64-192\.0\.2\.65"\] .* 2 +True /)
    assert.deepEqual(controller.complaints, [])
    await api.run(['delete', 'service', 'web', 'asks', 'theirs', 'classless', 'late'])
  })

  it('leaves objects with fields of a newer version as they are', async () => {
    await api.run([
      'patch',
      'crd',
      'virtualnetworks.vrouter.dev',
      '--type=json',
      '-p',
      JSON.stringify([
        {
          op: 'add',
          path: '/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/ofTomorrow',
          value: { type: 'integer' },
        },
        {
          op: 'add',
          path: '/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/ofTomorrow',
          value: { type: 'integer' },
        },
      ]),
    ])
    await eventually('the new field', async () => {
      return (
        (
          await api.kubectl(['apply', '-f', '-'], {
            input: JSON.stringify(network('newer', '10.6.0.0/16', { ofTomorrow: 7 })),
          })
        ).status === 0
      )
    })
    await api.run(['patch', 'vn', 'newer', '--subresource=status', '--type=merge', '-p', '{"status":{"ofTomorrow":8}}'])
    await using controller = new ControllerProcess(api, 'older', 8087)
    await eventually('accepted', async () => (await status('vn', 'newer'))['state'] === 'Success')
    const { spec, status: said } = await get('vn', 'newer', 'default')
    assert.deepEqual([spec['ofTomorrow'], said!['ofTomorrow']], [7, 8])
    assert.deepEqual(controller.complaints, [])
  })
})
