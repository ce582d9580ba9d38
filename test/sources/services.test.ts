/** Services, EndpointSlices and ServiceCIDRs of an API server. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silent } from '../../daemon/src/log.ts'
import { MapView } from '../../daemon/src/sources/kubernetes/map-view.ts'
import { KubernetesSource, type KubernetesSourceOptions } from '../../daemon/src/sources/kubernetes/source.ts'
import { until } from '../patience.ts'
import { answer, FakeApiServer, type FakeObject, statusBody } from './fake-api-server.ts'
import { NODE, namespace, network, node } from './kubernetes-objects.ts'

const SERVICES = '/services'
const SLICES = 'discovery.k8s.io/endpointslices'
const RANGES = 'networking.k8s.io/servicecidrs'
const POOLS = 'vrouter.dev/loadbalancerpools'

const service = (
  name: string,
  index = 1,
  more: { spec?: object; labels?: Record<string, string> } = {},
): FakeObject => ({
  metadata: { name, namespace: 'default', labels: more.labels },
  spec: { type: 'ClusterIP', clusterIP: `10.96.${index >> 8}.${index & 255}`, ports: [{ port: 80 }], ...more.spec },
})

const slice = (
  name: string,
  of: string,
  addresses: readonly string[],
  more: { labels?: Record<string, string> } = {},
): FakeObject => ({
  metadata: { name, namespace: 'default', labels: { 'kubernetes.io/service-name': of, ...more.labels } },
  addressType: 'IPv4',
  ports: [{ name: '', port: 8080, protocol: 'TCP' }],
  endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
})

const range = (name: string, ...cidrs: string[]): FakeObject => ({ metadata: { name }, spec: { cidrs } })

describe('the kubernetes source, of Services', () => {
  let server: FakeApiServer
  let folder: string
  let open: KubernetesSource[]

  beforeEach(async () => {
    server = await FakeApiServer.start()
    folder = mkdtempSync(join(tmpdir(), 'vrouter-services-'))
    open = []
    server.put('/namespaces', namespace('default'))
    server.put('/nodes', node())
    server.put('vrouter.dev/virtualnetworks', network('red', { subnets: [{ cidr: '10.1.0.0/16' }] }))
    server.put(RANGES, range('kubernetes', '10.96.0.0/16'))
  })
  afterEach(async () => {
    for (const source of open) await source[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  async function started(more: Partial<KubernetesSourceOptions> = {}): Promise<KubernetesSource> {
    writeFileSync(join(folder, 'token'), 'secret-1\n')
    writeFileSync(join(folder, 'ca.crt'), '')
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
      ...more,
      timings: {
        ...{ unreachableMs: 300, unsyncedMs: 600, missingMs: 50 },
        backOff: { firstMs: 10, leastMs: 5, maxMs: 50 },
      },
    })
    open.push(source)
    await source.start(() => undefined)
    return source
  }

  const eventually = (check: () => void) =>
    until('what the test waits for', () => {
      check()
      return true
    })

  const names = (source: KubernetesSource) => [...(source.state().services?.keys() ?? ['unknown'])].sort()

  it('are known when all of them and all of their endpoints are, and not before', async () => {
    server.put(SERVICES, service('web'))
    server.put(SLICES, slice('web-1', 'web', ['10.1.0.5']))
    let isHeld = true
    server.intercept = ({ path, isWatch }, response) => {
      if (!isHeld || isWatch || !path.endsWith('/endpointslices') || path.includes('/namespaces/')) return false
      answer(response, 500, statusBody(500, 'not yet'))
      return true
    }
    const source = await started()
    await eventually(() =>
      assert.ok(server.requests.some(({ path, isWatch }) => isWatch && path.endsWith('/services'))),
    )
    const { services, slices, serviceRanges, virtualNetworks } = source.state()
    assert.deepEqual([services, slices, serviceRanges], [undefined, undefined, undefined])
    assert.ok(virtualNetworks.size > 0)
    isHeld = false
    await eventually(() => assert.deepEqual(names(source), ['default/web']))
    assert.deepEqual([...source.state().slices!.keys()], ['default/web-1'])
    assert.deepEqual(source.state().serviceRanges, ['10.96.0.0/16'])
    assert.deepEqual(
      source.state().services!.get('default/web')!.uid,
      server.get(SERVICES, 'default/web')!.metadata.uid,
    )
    assert.deepEqual(source.state().rejected, [])
  })

  it('come and go with what makes them ours', async () => {
    const none = { spec: { clusterIP: 'None' } }
    const other = { labels: { 'service.kubernetes.io/service-proxy-name': 'other' } }
    server.put(SERVICES, service('a'))
    server.put(SERVICES, service('headless', 2, none))
    server.put(SERVICES, service('others', 3, other))
    server.put(SLICES, slice('a-1', 'a', ['10.1.0.5']))
    server.put(SLICES, slice('h-1', 'headless', ['10.1.0.6'], { labels: { 'service.kubernetes.io/headless': '' } }))
    const source = await started()
    await eventually(() => assert.deepEqual(names(source), ['default/a']))
    assert.deepEqual([...source.state().slices!.keys()], ['default/a-1'])
    const [list] = server.requests.filter(({ path, isWatch }) => path === '/api/v1/services' && !isWatch)
    assert.equal(
      list!.query.get('labelSelector'),
      '!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless',
    )
    // Labels and addresses change while it runs.
    server.put(SERVICES, service('others', 3))
    server.put(SERVICES, service('headless', 2))
    await eventually(() => assert.deepEqual(names(source), ['default/a', 'default/headless', 'default/others']))
    server.put(SERVICES, service('a', 1, other))
    server.put(SERVICES, service('headless', 2, none))
    server.put(SLICES, { ...slice('a-1', 'a', ['10.1.0.5']), metadata: { name: 'a-1', namespace: 'default' } })
    await eventually(() => assert.deepEqual(names(source), ['default/others']))
    await eventually(() => assert.equal(source.state().slices!.size, 0))
    assert.deepEqual(source.state().rejected, [])
  })

  it('change one by one: the state names what changed', async () => {
    for (let i = 1; i <= 50; i++) {
      server.put(SERVICES, service(`s${i}`, i))
      server.put(SLICES, slice(`s${i}-1`, `s${i}`, [`10.1.0.${i}`]))
    }
    const source = await started()
    await eventually(() => assert.equal(source.state().slices?.size, 50))
    await eventually(() => assert.equal(server.watches, 13))
    const before = source.state()
    server.put(SLICES, slice('s7-1', 's7', ['10.1.0.7', '10.1.1.7']))
    await eventually(() => assert.equal(source.state().slices!.get('default/s7-1')!.endpoints.length, 2))
    const after = source.state()
    assert.ok(after.slices instanceof MapView)
    assert.deepEqual([...after.slices.changedSince(before.slices)!], ['default/s7-1'])
    assert.equal(after.services, before.services)
    assert.equal(after.serviceRanges, before.serviceRanges)
    assert.equal(after.virtualNetworks, before.virtualNetworks)
  })

  it('come with the zone of the node, as its label says', async () => {
    const inZone = (zone: string): FakeObject => ({
      metadata: { name: NODE, labels: { 'topology.kubernetes.io/zone': zone } },
    })
    const source = await started()
    assert.equal(source.state().zone, undefined)
    server.put('/nodes', inZone('z1'))
    await eventually(() => assert.equal(source.state().zone, 'z1'))
    await until('the file', () => readFileSync(join(folder, 'state/cluster.json'), 'utf8') !== '')
    server.put('/nodes', inZone('z2'))
    await eventually(() => assert.equal(source.state().zone, 'z2'))
    await source[Symbol.asyncDispose]()
    await server.close()
    const next = await started()
    assert.equal(next.state().zone, 'z2')
  })

  it('that can’t be served are set aside, and what was last accepted of them stays', async () => {
    server.put(SERVICES, service('web'))
    const source = await started()
    await eventually(() => assert.deepEqual(names(source), ['default/web']))
    server.put(SERVICES, service('web', 1, { spec: { clusterIP: '10.96.0' } }))
    await eventually(() =>
      assert.deepEqual(
        source.state().rejected.map(({ object, field, message }) => `${object} ${field} ${message}`),
        [
          'Service default/web spec.clusterIPs[0] is not an IPv4 or IPv6 address (what was last accepted of it stays in force)',
        ],
      ),
    )
    assert.deepEqual(source.state().services!.get('default/web')!.clusterIps, ['10.96.0.1'])
    // Fields of newer versions are nobody's mistake.
    server.put(SERVICES, service('web', 2, { spec: { newer: { x: 1 } } }))
    await eventually(() => assert.deepEqual(source.state().services!.get('default/web')!.clusterIps, ['10.96.0.2']))
    assert.deepEqual(source.state().rejected, [])
  })

  it('follow the ranges of the cluster; where it has none, those of the configuration', async () => {
    const source = await started({ serviceRanges: ['10.200.0.0/16'] })
    await eventually(() => assert.deepEqual(source.state().serviceRanges, ['10.96.0.0/16']))
    server.put(RANGES, range('more', '10.97.0.0/16', 'fd00:96::/108'))
    await eventually(() =>
      assert.deepEqual(source.state().serviceRanges, ['10.96.0.0/16', '10.97.0.0/16', 'fd00:96::/108']),
    )
    server.remove(RANGES, 'kubernetes')
    await eventually(() => assert.deepEqual(source.state().serviceRanges, ['10.97.0.0/16', 'fd00:96::/108']))
    await source[Symbol.asyncDispose]()

    server.missing.add('networking.k8s.io')
    const old = await started({ serviceRanges: ['10.200.0.0/16'], state: join(folder, 'old') })
    await eventually(() => assert.deepEqual(old.state().serviceRanges, ['10.200.0.0/16']))
    assert.deepEqual(old.state().rejected, [])
  })

  it('come with the pools of load balancer addresses, from the disk too; a cluster without that kind has none', async () => {
    server.put(POOLS, { metadata: { name: 'public' }, spec: { addresses: ['192.0.2.64/28'] } })
    server.put(POOLS, { metadata: { name: 'bad' }, spec: { addresses: ['192.0.2'] } })
    const source = await started()
    await eventually(() => assert.deepEqual([...(source.state().pools?.keys() ?? [])], ['public']))
    assert.match(source.state().rejected[0]?.object ?? '', /^LoadBalancerPool bad/)
    const known = source.state().pools!
    server.put(POOLS, { metadata: { name: 'more' }, spec: { addresses: ['198.51.100.0/28'] } })
    await eventually(() => assert.deepEqual([...source.state().pools!.keys()].sort(), ['more', 'public']))
    assert.notEqual(source.state().pools, known)
    await source[Symbol.asyncDispose]()
    await server.close()
    const next = await started()
    assert.deepEqual([...next.state().pools!.keys()].sort(), ['more', 'public'])
    assert.deepEqual(next.state().pools!.get('public')!.ranges, [{ first: '192.0.2.64', last: '192.0.2.79' }])
    await server.listen()

    server.intercept = ({ path }, response) => {
      if (!path.endsWith('/loadbalancerpools')) return false
      answer(response, 404, statusBody(404, 'not found'))
      return true
    }
    server.put(SERVICES, service('web'))
    const old = await started({ state: join(folder, 'old') })
    await eventually(() => assert.deepEqual(names(old), ['default/web']))
    assert.deepEqual([[...old.state().pools!.keys()], old.state().rejected], [[], []])
  })

  it('are known from the disk while the server is away, with what came and went a moment before', async () => {
    server.put(SERVICES, service('web'))
    server.put(SERVICES, service('gone', 2))
    server.put(SLICES, slice('web-1', 'web', ['10.1.0.5']))
    const source = await started()
    await eventually(() => assert.deepEqual(names(source), ['default/gone', 'default/web']))
    await until('the file', () => {
      const text = readFileSync(join(folder, 'state/cluster.json'), 'utf8')
      return text.includes('"web-1"') && text.includes('"hasServices":true')
    })
    server.remove(SERVICES, 'default/gone')
    server.put(SERVICES, service('new', 3))
    server.put(SLICES, slice('web-1', 'web', ['10.1.0.6']))
    await eventually(() => assert.deepEqual(names(source), ['default/new', 'default/web']))
    await eventually(() => assert.equal(source.state().slices!.get('default/web-1')!.endpoints[0]!.address, '10.1.0.6'))
    const known = source.state()
    await source[Symbol.asyncDispose]()
    await server.close()

    const next = await started()
    assert.deepEqual(new Map(next.state().services), new Map(known.services))
    assert.deepEqual(new Map(next.state().slices), new Map(known.slices))
    assert.deepEqual(next.state().serviceRanges, known.serviceRanges)
    await server.listen()
    server.remove(SERVICES, 'default/new')
    await eventually(() => assert.deepEqual(names(next), ['default/web']))
  })

  it('of which the disk knows only some are unknown', async () => {
    server.put(SERVICES, service('web'))
    server.put(SLICES, slice('web-1', 'web', ['10.1.0.5']))
    server.intercept = ({ path, isWatch }, response) => {
      if (isWatch || path !== '/apis/discovery.k8s.io/v1/endpointslices') return false
      answer(response, 403, statusBody(403, 'forbidden'))
      return true
    }
    const source = await started()
    await until('the service on disk', () =>
      readFileSync(join(folder, 'state/cluster.json'), 'utf8').includes('"10.96.0.1"'),
    )
    await eventually(() =>
      assert.match(
        source.state().rejected.map(({ object, message }) => `${object} ${message}`)[0] ?? '',
        /^endpointslices\.discovery\.k8s\.io may not be read/,
      ),
    )
    await source[Symbol.asyncDispose]()
    await server.close()
    const next = await started()
    assert.ok(next.state().virtualNetworks.size > 0)
    assert.deepEqual(names(next), ['unknown'])
  })

  it('complete after the file was written are complete on disk, too', async () => {
    server.put(SERVICES, service('web'))
    server.put(SLICES, slice('web-1', 'web', ['10.1.0.5']))
    let isHeld = true
    server.intercept = ({ path, isWatch }, response) => {
      if (!isHeld || isWatch || path !== '/apis/discovery.k8s.io/v1/endpointslices') return false
      answer(response, 500, statusBody(500, 'not yet'))
      return true
    }
    const source = await started()
    await until('the file', () =>
      readFileSync(join(folder, 'state/cluster.json'), 'utf8').includes('"hasServices":false'),
    )
    isHeld = false
    await eventually(() => assert.deepEqual(names(source), ['default/web']))
    await source[Symbol.asyncDispose]()
    await server.close()
    const next = await started()
    assert.deepEqual(names(next), ['default/web'])
    assert.deepEqual([...next.state().slices!.keys()], ['default/web-1'])
  })
})
