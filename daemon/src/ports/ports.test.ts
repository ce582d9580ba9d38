import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { MemorySource } from '../../../test/doubles/memory-source.ts'
import { contains, mustParseAddress, mustParseCidr } from '../model/address.ts'
import { defaultSubnet } from '../model/built-in-networks.ts'
import { defaultPodNetwork, interfaceUuid, networkFqName, tapName, uuidOf } from '../model/names.ts'
import type { Pod, VirtualNetwork } from '../model/objects.ts'
import { missingBlocks } from '../model/publish.ts'
import type { AllocateReply, AllocateRequest } from '../port-api/messages.ts'
import type { PortsOptions } from './options.ts'
import { Ports } from './ports.ts'

function network(fqName: string, subnets: readonly string[], blockSize4 = 26): VirtualNetwork {
  const name = fqName.slice(fqName.lastIndexOf(':') + 1)
  return {
    namespace: 'default',
    name,
    fqName,
    uuid: uuidOf('vn', fqName),
    subnets: subnets.map((cidr) => defaultSubnet(cidr)),
    blockSize4,
    blockSize6: 122,
  }
}

const DEFAULT = defaultPodNetwork('k8s')
const RED = networkFqName('k8s', 'default', 'red')

function request(containerId: string, fields: Partial<AllocateRequest> = {}): AllocateRequest {
  return {
    op: 'allocate',
    containerId,
    ifname: 'eth0',
    netns: `/run/netns/${containerId}`,
    network: 'net',
    pod: { namespace: 'default', name: `pod-${containerId}`, uid: `uid-${containerId}` },
    ...fields,
  }
}

const key = (containerId: string) => ({ containerId, ifname: 'eth0' })

describe('ports', () => {
  let state: string
  let source: MemorySource
  let now: number
  let changes: number
  const links = new Map<string, number>()
  const alive = new Set<string>()
  const messages: string[] = []
  const open: Ports[] = []

  beforeEach(() => {
    state = mkdtempSync(join(tmpdir(), 'kv-ports-'))
    source = new MemorySource([network(DEFAULT, ['10.1.0.0/16', 'fd00:1::/64']), network(RED, ['10.9.0.0/27'], 29)])
    now = Date.parse('2026-01-01T00:00:00Z')
    changes = 0
    links.clear()
    alive.clear()
    messages.length = 0
  })
  afterEach(async () => {
    for (const ports of open.splice(0)) await ports[Symbol.asyncDispose]()
    rmSync(state, { recursive: true })
  })

  async function start(overrides: Partial<PortsOptions> = {}): Promise<Ports> {
    const say = (_: object, message: string) => void messages.push(message)
    const ports = new Ports({
      source,
      node: 'n1',
      cluster: { name: 'k8s', domain: 'cluster.local' },
      state,
      log: { info: () => undefined, warn: say, error: say },
      podMtu: () => 1468,
      nodeAddresses: () => ['192.0.2.11', '2001:db8::11'],
      linkIndex: (name) => links.get(name),
      onPortsChanged: () => changes++,
      programmed: async () => ({ vif: 3, vrf: 2 }),
      readiness: () => ({ ready: true }),
      maxPorts: 1000,
      isNamespaceAlive: async (path) => alive.has(path),
      now: () => now,
      ...overrides,
    })
    open.push(ports)
    await ports.start()
    return ports
  }

  const attach = async (ports: Ports, containerId: string, fields: Partial<AllocateRequest> = {}) => {
    const reply = await ports.allocate(request(containerId, fields))
    links.set(reply.tap, links.size + 10)
    alive.add(`/run/netns/${containerId}`)
    await ports.register({ op: 'register', ...key(containerId), ifindex: links.get(reply.tap)! })
    return reply
  }
  const recordFile = (containerId: string) => join(state, 'ports', `${containerId}-eth0.json`)
  const code = (wanted: string, retry?: boolean) => (error: { code?: string; retry?: boolean }) => {
    assert.equal(error.code, wanted)
    if (retry !== undefined) assert.equal(error.retry, retry)
    return true
  }
  const red = { 'vrouter.dev/network': 'red' }

  const podOf = (containerId: string, more: Partial<Pod> = {}): Pod => ({
    namespace: 'default',
    name: `pod-${containerId}`,
    uid: `uid-${containerId}`,
    labels: {},
    annotations: {},
    hostNetwork: false,
    phase: 'Running',
    addresses: [],
    ...more,
  })
  const knows = (...pods: Pod[]) => {
    for (const pod of pods) source.pods.set(pod.uid, pod)
  }

  it('believes the cluster before the runtime about a pod', async () => {
    const ports = await start()
    const annotations = { ...red, 'vrouter.dev/mac': '02:00:00:00:00:09' }
    knows(podOf('c1', { annotations, labels: { app: 'web' } }))
    await attach(ports, 'c1', {
      annotations: { 'vrouter.dev/network': 'nowhere', 'vrouter.dev/addresses': '10.9.0.20' },
      labels: { app: 'db', tier: 'x' },
    })
    const [port] = ports.all()
    assert.equal(port!.vn, RED)
    assert.equal(port!.mac, '02:00:00:00:00:09')
    assert.deepEqual(port!.addresses, ['10.9.0.20'])
    assert.deepEqual(port!.labels, { app: 'web', tier: 'x' })
    assert.equal(port!.networkFrom, 'pod')
    assert.deepEqual(source.reports, [])
  })

  describe('of the node', () => {
    const web = { hostPort: 8080, containerPort: 80, protocol: 'tcp' } as const
    const asking = (...portMappings: NonNullable<AllocateRequest['portMappings']>) => ({ portMappings })

    it('are kept with the port, over a restart and in its file', async () => {
      const mappings = [web, { ...web, hostPort: 53, protocol: 'udp', hostIp: '2001:DB8::11' }] as const
      const wanted = [web, { ...web, hostPort: 53, protocol: 'udp', hostIp: '2001:db8::11' }]
      const ports = await start()
      await attach(ports, 'c1', asking(...mappings, web))
      assert.deepEqual(ports.all()[0]!.hostPorts, wanted)
      assert.deepEqual((await start()).all()[0]!.hostPorts, wanted)
      await ports.release({ op: 'release', ...key('c1') })
      assert.deepEqual((await start()).all(), [])
    })

    it('are not those that an earlier daemon wrote down for another plugin', async () => {
      const ports = await start()
      await attach(ports, 'c1')
      const record = JSON.parse(readFileSync(recordFile('c1'), 'utf8'))
      writeFileSync(recordFile('c1'), JSON.stringify({ ...record, portMappings: [web] }))
      const [port] = (await start()).all()
      assert.equal(port!.hostPorts, undefined)
    })

    const refused = (fields: Partial<AllocateRequest>, wanted: string, message: RegExp, retry: boolean) => async () => {
      const ports = await start()
      await attach(ports, 'c1', asking(web, { ...web, hostPort: 9000, hostIp: '192.0.2.11' }))
      await assert.rejects(
        ports.allocate(request('c2', fields)),
        (error: Error & { readonly code?: string; readonly retry?: boolean }) => {
          assert.match(error.message, message)
          return code(wanted, retry)(error)
        },
      )
      // Nothing of it is left.
      assert.equal(ports.all().length, 1)
      await attach(ports, 'c2')
    }
    const sctp = { ...web, protocol: 'sctp' } as const
    const taken = /^host port 8080\/tcp( of \S+)? is that of pod default\/pod-c1$/
    it('are one pod’s', refused(asking(web), 'HOST_PORT_IN_USE', taken, true))
    it(
      'are one pod’s at an address of them all',
      refused(asking({ ...web, hostIp: '::' }), 'HOST_PORT_IN_USE', taken, true),
    )
    it(
      'are one pod’s at all addresses',
      refused(asking({ ...web, hostPort: 9000 }), 'HOST_PORT_IN_USE', /^host port 9000\/tcp is that of/, true),
    )
    it(
      'are one pod’s at all addresses of a family',
      refused(
        asking({ ...web, hostPort: 9000, hostIp: '0.0.0.0' }),
        'HOST_PORT_IN_USE',
        /of 0\.0\.0\.0 is that of/,
        true,
      ),
    )
    it(
      'of SCTP keep their number',
      refused(asking(sctp), 'HOST_PORT_SCTP', /^host port 8080\/sctp leads to port 80/, false),
    )
    it(
      'have one destination',
      refused(
        asking({ ...web, hostPort: 1 }, { ...web, hostPort: 1, containerPort: 2 }),
        'HOST_PORT_TWICE',
        /^host port 1\/tcp is asked for twice/,
        false,
      ),
    )
    it(
      'are at its addresses',
      refused(
        asking({ ...web, hostIp: '127.0.0.1' }),
        'HOST_PORT_ADDRESS',
        /^host port 8080\/tcp of 127\.0\.0\.1 can't lead to a pod with .*: this node has 192\.0\.2\.11, 2001:db8::11$/,
        true,
      ),
    )
    it(
      'are of a family of the pod',
      refused(
        { ...asking({ ...web, hostIp: '::' }), annotations: red },
        'HOST_PORT_ADDRESS',
        /of :: can't lead to a pod with 10\.9\.0\.\d+:/,
        true,
      ),
    )

    it('may be another pod’s for another protocol, address or family', async () => {
      const ports = await start()
      await attach(ports, 'c1', asking({ ...web, hostIp: '0.0.0.0' }))
      await attach(ports, 'c2', asking({ ...web, hostIp: '::' }))
      await attach(ports, 'c3', asking({ ...web, protocol: 'udp' }))
    })

    it('pass on to the next sandbox of the pod, and from one whose tap is gone', async () => {
      const ports = await start()
      await attach(ports, 'c1', asking(web))
      const pod = { namespace: 'default', name: 'pod-c1', uid: 'uid-c1' }
      await attach(ports, 'c2', { ...asking(web), pod })
      assert.deepEqual(
        ports.all().map(({ hostPorts }) => hostPorts),
        [[web], [web]],
      )
      links.clear()
      ports.refresh()
      await attach(ports, 'c3', asking(web))
    })
  })

  it('refuses for now a pod that a cluster doesn’t know', async () => {
    const ports = await start()
    knows(podOf('other'))
    await assert.rejects(attach(ports, 'c1'), code('POD_MISSING', true))
    knows(podOf('c1'))
    await attach(ports, 'c1')
    assert.equal(ports.all().length, 1)
    source.findPod = async () => Promise.reject(new Error('no API server answers'))
    await assert.rejects(attach(ports, 'c2'), code('SOURCE_AWAY', true))
  })

  it('tells the cluster why a pod has no network, in the words that the runtime gets', async () => {
    const ports = await start({ programTimeoutMs: 20, programmed: () => new Promise(() => undefined) })
    knows(podOf('c1', { annotations: { 'vrouter.dev/network': 'nowhere' } }), podOf('c2'))
    const words = async (work: Promise<unknown>) => {
      const error = await work.then(
        () => assert.fail('it worked'),
        (cause: { message: string; remedy: string }) => cause,
      )
      return `${error.message}; ${error.remedy}`
    }
    const first = await words(attach(ports, 'c1'))
    const second = await words(attach(ports, 'c2'))
    const object = (containerId: string) => ({
      kind: 'Pod',
      namespace: 'default',
      name: `pod-${containerId}`,
      uid: `uid-${containerId}`,
    })
    assert.deepEqual(source.reports, [
      { object: object('c1'), type: 'Warning', reason: 'NetworkMissing', message: first },
      { object: object('c2'), type: 'Warning', reason: 'ProgramTimeout', message: second },
    ])
    assert.match(first, /names default-domain:k8s-default:nowhere, which doesn't exist; create the VirtualNetwork/)
  })

  it('refuses a pod that may have been meant to be elsewhere, until that is mended', async () => {
    const ports = await start()
    knows(podOf('c1', { annotations: { 'vrouter.dev/netwrok': 'red' } }))
    await assert.rejects(attach(ports, 'c1'), code('ANNOTATION_UNCLEAR', true))
    assert.match(source.reports[0]!.message, /did you mean vrouter.dev\/network\?; correct the key or its value/)
    assert.deepEqual([source.reports[0]!.reason, source.reports[0]!.isWorking], ['AnnotationUnclear', undefined])
    knows(podOf('c1', { annotations: red }))
    await attach(ports, 'c1')
    assert.equal(ports.all()[0]!.vn, RED)

    source.namespaces.set('shop', { name: 'shop', labels: {}, annotations: { 'vrouter.dev/isolation': 'yes' } })
    knows(podOf('c2', { namespace: 'shop' }))
    const pod = { namespace: 'shop', name: 'pod-c2', uid: 'uid-c2' }
    await assert.rejects(attach(ports, 'c2', { pod }), code('ANNOTATION_UNCLEAR', true))
    assert.equal(ports.all().length, 1)
  })

  it('tells of annotations that do nothing, and starts the pod', async () => {
    const ports = await start()
    const annotations = { 'vrouter.dev/adresses': '10.1.0.7', 'opencontrail.org/fip-pool': '{}' }
    knows(podOf('c1', { annotations }))
    await attach(ports, 'c1')
    assert.deepEqual(
      source.reports.map(({ type, reason, message, isWorking }) => [type, reason, message, isWorking]),
      [
        [
          'Warning',
          'AnnotationUnclear',
          'annotation vrouter.dev/adresses is not known; did you mean vrouter.dev/addresses?',
          true,
        ],
        [
          'Normal',
          'AnnotationUnclear',
          'annotation opencontrail.org/fip-pool is not known here, and does nothing',
          true,
        ],
      ],
    )
  })

  it('says nothing to the cluster while the daemon isn’t ready: the runtime tries again', async () => {
    const ports = await start({ readiness: () => ({ ready: false, message: 'starting', podsAffected: false }) })
    knows(podOf('c1'))
    await assert.rejects(attach(ports, 'c1'), code('NOT_READY', true))
    assert.deepEqual(source.reports, [])
  })

  it('tells once of pods that somebody else gave their addresses, and leaves them alone', async () => {
    const ports = await start()
    knows(
      podOf('c1', { addresses: ['10.1.0.9'] }),
      podOf('old', { addresses: ['172.16.0.5'] }),
      podOf('host', { hostNetwork: true, addresses: ['192.0.2.1'] }),
    )
    await attach(ports, 'c1')
    await ports.maintain()
    assert.deepEqual(ports.unmanaged(), [], 'its deletion may be under way')
    await ports.maintain()
    await ports.maintain()
    assert.deepEqual(
      ports.unmanaged().map(({ name }) => name),
      ['pod-old'],
    )
    assert.deepEqual(
      source.reports.map(({ object, reason }) => `${object.name} ${reason}`),
      ['pod-old NotInNetwork'],
    )
    source.pods.delete('uid-old')
    await ports.maintain()
    assert.deepEqual(ports.unmanaged(), [])
  })

  it('tells once of pods whose network is another one by now', async () => {
    const ports = await start()
    source.namespaces.set('default', { name: 'default', labels: {}, annotations: {} })
    await attach(ports, 'c1')
    source.namespaces.set('default', { name: 'default', labels: {}, annotations: red })
    const before = changes
    await ports.maintain()
    await ports.maintain()
    assert.deepEqual(
      source.reports.map(({ reason, isWorking }) => [reason, isWorking]),
      [['NetworkChanged', true]],
    )
    assert.match(
      source.reports[0]!.message,
      /stays there; a pod that starts now would be in default-domain:k8s-default:red/,
    )
    assert.equal(changes, before + 1)
    assert.equal(ports.all()[0]!.vn, DEFAULT)
  })

  it('keeps a block that the source doesn’t take back, and never uses one that it gave', async () => {
    const ports = await start({ idleBlockMs: 60_000, quarantineMs: 0 })
    await attach(ports, 'c2', { annotations: red })
    const [block] = [...source.blocks.values()]
    await ports.release({ op: 'release', ...key('c2') })
    await ports.maintain()
    now += 61_000
    const { withdraw } = source
    source.withdraw = async () => Promise.reject(new Error('away'))
    await ports.maintain()
    assert.match(messages.join(), /could not be given back/)
    source.withdraw = withdraw
    await ports.maintain()
    assert.equal(source.blocks.size, 0)
    // The watch lags behind: it still shows the block as ours, while another node has it.
    source.blocks.set(block!.name, block!)
    source.onPublish = ({ object }) => {
      if (object.name === block!.name) throw Object.assign(new Error('taken'), { code: 'BLOCK_TAKEN' })
    }
    const again = await attach(ports, 'c3', { annotations: red })
    const address = mustParseAddress(again.addresses[0]!.address)
    assert.ok(!contains(mustParseCidr(block!.cidr), address), `${again.addresses[0]!.address} is in ${block!.cidr}`)
  })

  it('gives the blocks of a deleted network back at once, when its last pod is gone', async () => {
    const ports = await start()
    await attach(ports, 'c2', { annotations: red })
    source.virtualNetworks.set(RED, { ...source.virtualNetworks.get(RED)!, isDeleted: true })
    await ports.maintain()
    await ports.maintain()
    assert.equal(source.blocks.size, 1)
    await ports.release({ op: 'release', ...key('c2') })
    await ports.maintain()
    await ports.maintain()
    assert.equal(source.blocks.size, 0)
  })

  describe('an address that a pod asks for outside the blocks of its node', () => {
    const fixed = { annotations: { 'vrouter.dev/addresses': '10.1.99.9' } }
    const singles = () => [...source.blocks.values()].filter(({ cidr }) => cidr === '10.1.99.9/32')
    const until = async (isTrue: () => boolean) => {
      for (let i = 0; i < 1000 && !isTrue(); i++) await new Promise((resolve) => setTimeout(resolve, 1))
      assert.ok(isTrue())
    }
    /** The node's interface object, as its daemon publishes it. */
    const publish = (ports: Ports, node: string) => {
      for (const { uuid, mac, vn, pod, namespace, addresses, containerId, ifname } of ports.all())
        source.interfaces.set(uuid, {
          name: uuid,
          namespace,
          uuid,
          vn,
          node,
          pod,
          containerId,
          ifname,
          mac,
          addresses,
          label: 17,
        })
    }

    it('is free for other nodes as soon as the pod is gone, long before upkeep; the ordinary block stays', async () => {
      const one = await start({ node: 'n1' })
      const two = await start({ node: 'n2', state: join(state, 'n2') })
      await attach(one, 'c1', fixed)
      assert.equal(singles()[0]?.node, 'n1')
      await assert.rejects(two.allocate(request('c2', fixed)), code('ADDRESS_IN_USE', true))
      await one.release({ op: 'release', ...key('c1') })
      await until(() => singles().length === 0)
      assert.equal(source.blocks.size, 1, 'that of the IPv6 address')
      await two.allocate(request('c2', fixed))
      assert.equal(singles()[0]?.node, 'n2')
      await assert.rejects(one.allocate(request('c3', fixed)), code('ADDRESS_IN_USE', true))
    })

    it('stays with the node where a pod of the same name is made anew at once', async () => {
      const ports = await start()
      for (let i = 0; i < 5; i++) {
        await attach(ports, `c${i}`, fixed)
        assert.equal(singles()[0]?.node, 'n1')
        await ports.release({ op: 'release', ...key(`c${i}`) })
      }
      await until(() => singles().length === 0)
    })

    it('is given back by upkeep where the source didn’t take it back at once', async () => {
      const ports = await start()
      await attach(ports, 'c1', fixed)
      const { withdraw } = source
      source.withdraw = async () => Promise.reject(new Error('away'))
      await ports.release({ op: 'release', ...key('c1') })
      await until(() => messages.some((text) => /could not be given back/.test(text)))
      assert.equal(singles().length, 1)
      source.withdraw = withdraw
      await ports.maintain()
      assert.equal(singles().length, 0)
    })

    it('given back while the daemon is dead goes to one successor, and the daemon that returns lets go of it', async () => {
      const before = await start({ node: 'n1' })
      await attach(before, 'c1', fixed)
      publish(before, 'n1')
      await before[Symbol.asyncDispose]()
      // The pod is removed from the cluster, and with it its interface object; the controller frees the block.
      source.interfaces.clear()
      source.blocks.delete(singles()[0]!.name)
      const [two, three] = await Promise.all(['n2', 'n3'].map((node) => start({ node, state: join(state, node) })))
      const asked = await Promise.allSettled([two!, three!].map((ports) => ports.allocate(request('c2', fixed))))
      assert.deepEqual(asked.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
      const [owner] = singles()
      const again = await start({ node: 'n1' })
      assert.equal(again.all().length, 1, 'its runtime hasn’t deleted it yet')
      assert.deepEqual(missingBlocks('n1', again.all(), source.state()), [])
      assert.deepEqual(singles(), [owner])
      await again.release({ op: 'release', ...key('c1') })
      await again.maintain()
      assert.deepEqual(singles(), [owner])
    })
  })

  it('gives a block back when no port has used it for long, and never one that is in use', async () => {
    const ports = await start({ idleBlockMs: 60_000, quarantineMs: 1000 })
    await attach(ports, 'c1')
    await attach(ports, 'c2', { annotations: red })
    assert.equal(source.blocks.size, 3)
    await ports.release({ op: 'release', ...key('c2') })
    await ports.maintain()
    now += 59_000
    await ports.maintain()
    assert.equal(source.blocks.size, 3, 'too early')
    await attach(ports, 'c3', { annotations: red })
    await ports.maintain()
    now += 59_000
    await ports.maintain()
    assert.equal(source.blocks.size, 3, 'used again meanwhile')
    await ports.release({ op: 'release', ...key('c3') })
    await ports.maintain()
    now += 60_000
    await ports.maintain()
    assert.deepEqual(
      [...source.blocks.values()].map(({ vn }) => vn),
      [DEFAULT, DEFAULT],
    )
    await attach(ports, 'c4', { annotations: red })
    assert.equal(source.blocks.size, 3)
  })

  it('gives one address of each family, the names and the routes', async () => {
    const ports = await start()
    const reply = await ports.allocate(request('c1', { labels: { app: 'web' } }))
    assert.equal(reply.tap, tapName('c1', 'eth0'))
    assert.equal(reply.uuid, interfaceUuid('c1', 'eth0'))
    assert.match(reply.mac, /^02:/)
    assert.deepEqual(
      [reply.mtu, reply.tapMac, reply.existed, reply.registered],
      [1468, '00:00:5e:00:01:00', false, false],
    )
    const [v4, v6] = reply.addresses
    assert.match(v4!.address, /^10\.1\./)
    assert.deepEqual([v4!.prefixLength, v4!.gateway], [16, '10.1.0.1'])
    assert.match(v6!.address, /^fd00:1::/)
    assert.deepEqual(reply.routes, [
      { destination: '0.0.0.0/0', gateway: '10.1.0.1' },
      { destination: '::/0', gateway: 'fd00:1::1' },
    ])
    assert.deepEqual(reply.dns, { nameservers: ['10.1.0.2', 'fd00:1::2'], domain: 'cluster.local' })
    const [port] = ports.all()
    assert.equal(port!.ifindex, undefined)
    assert.deepEqual(port!.labels, { app: 'web' })
    assert.equal(changes, 1)
    assert.ok([...source.blocks.values()].every(({ node }) => node === 'n1'))
  })

  it('records an allocation before it answers, and a restarted daemon has the same ports', async () => {
    const first = await start()
    const asked = await attach(first, 'c1')
    const before = first.all()
    const second = await start()
    assert.deepEqual(second.all(), before)
    const again = await second.allocate(request('c1'))
    assert.deepEqual(again, { ...asked, existed: true, registered: true })
  })

  it('answers an allocation before the disk has it, and a registration after', async () => {
    const disk = Promise.withResolvers<void>()
    const ports = await start({ sync: () => disk.promise })
    const reply = await ports.allocate(request('c1'))
    // Who is killed now forgets nothing.
    assert.deepEqual((await start()).all(), ports.all())
    links.set(reply.tap, 10)
    let isRegistered = false
    const registered = ports.register({ op: 'register', ...key('c1'), ifindex: 10 }).then(() => {
      isRegistered = true
    })
    await new Promise((resolve) => setTimeout(resolve, 20))
    assert.equal(isRegistered, false)
    disk.resolve()
    await registered
  })

  it('refuses a registration whose record the disk didn’t take, and forgets that with the record', async () => {
    let isBroken = true
    const sync = async () => {
      if (isBroken) throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
    }
    const ports = await start({ sync })
    const reply = await ports.allocate(request('c1'))
    links.set(reply.tap, 10)
    const register = { op: 'register', ...key('c1'), ifindex: 10 } as const
    await assert.rejects(ports.register(register), code('RECORD_FAILED'))
    await ports.release({ op: 'release', ...key('c1') })
    isBroken = false
    await attach(ports, 'c1')
  })

  it('answers a repeated allocation the same, also for several at one time', async () => {
    const ports = await start()
    source.onPublish = () => new Promise((resolve) => setTimeout(resolve, 5))
    const replies = await Promise.all(Array.from({ length: 8 }, () => ports.allocate(request('c1'))))
    assert.equal(new Set(replies.map(({ addresses }) => JSON.stringify(addresses))).size, 1)
    assert.equal(replies.filter(({ existed }) => !existed).length, 1)
    assert.equal(ports.all().length, 1)
  })

  it('keeps attachments of one pod apart by container and interface', async () => {
    const ports = await start()
    const pod = { namespace: 'default', name: 'web', uid: 'u' }
    const replies: AllocateReply[] = []
    for (const [containerId, ifname] of [
      ['old', 'eth0'],
      ['new', 'eth0'],
      ['new', 'net1'],
    ] as const) {
      replies.push(
        await ports.allocate(
          request(containerId, { ifname, pod, ...(ifname === 'net1' && { virtualNetwork: 'red' }) }),
        ),
      )
    }
    assert.equal(new Set(replies.flatMap(({ addresses }) => addresses.map(({ address }) => address))).size, 5)
    assert.equal(new Set(replies.map(({ mac }) => mac)).size, 3)
    await ports.release({ op: 'release', ...key('old') })
    assert.equal(ports.all().length, 2)
  })

  it('never gives an address twice, nor a reserved one, whoever asks when', async () => {
    const ports = await start({ quarantineMs: 0 })
    const given = await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        ports.allocate(request(`c${i}`, i % 3 === 0 ? {} : { annotations: i < 30 ? red : {} })),
      ),
    )
    const addresses = given.map(({ addresses: [v4] }) => v4!.address)
    assert.equal(new Set(addresses).size, 60)
    for (const reserved of ['10.9.0.0', '10.9.0.1', '10.9.0.2', '10.9.0.31', '10.1.0.0', '10.1.0.1', '10.1.0.2']) {
      assert.ok(!addresses.includes(reserved), reserved)
    }
  })

  it('takes the next block when another node has it, seen or not', async () => {
    const ports = await start()
    const { addresses } = await ports.allocate(request('probe', { annotations: red }))
    await ports.release({ op: 'release', ...key('probe') })
    const mine = [...source.blocks.values()].find(({ vn }) => vn === RED)!
    assert.ok(addresses[0])
    // another daemon was faster: the same block, not shown yet
    source.blocks.delete(mine.name)
    source.hidden.set(mine.name, { ...mine, node: 'n2' })
    const other = await start({ state: mkdtempSync(join(state, 'other-')) })
    const reply = await other.allocate(request('c1', { annotations: red }))
    const block = [...source.blocks.values()].find(({ vn }) => vn === RED)!
    assert.notEqual(block.cidr, mine.cidr)
    assert.ok(reply.addresses[0])
  })

  it('uses a block that it claimed before the source shows it', async () => {
    source.showsBlocks = false
    const ports = await start()
    for (let i = 0; i < 5; i++) await ports.allocate(request(`c${i}`))
    assert.equal(source.hidden.size, 2, 'one block of each family')
  })

  it('says when the subnet is exhausted, and gives again what was released', async () => {
    const ports = await start({ quarantineMs: 60_000 })
    let count = 0
    await assert.rejects(
      async () => {
        for (;;) await ports.allocate(request(`c${count++}`, { annotations: red }))
      },
      code('SUBNET_EXHAUSTED', true),
    )
    // 32 addresses less network, broadcast, gateway and service
    assert.equal(ports.all().length, 28)
    assert.ok(!existsSync(recordFile(`c${count - 1}`)))
    await ports.release({ op: 'release', ...key('c7') })
    const [again] = (await ports.allocate(request('late', { annotations: red }))).addresses
    assert.ok(again)
  })

  it('lets a released address rest while there are others', async () => {
    const ports = await start({ quarantineMs: 60_000 })
    const [first] = (await ports.allocate(request('c1'))).addresses
    await ports.release({ op: 'release', ...key('c1') })
    const [second] = (await ports.allocate(request('c2'))).addresses
    assert.notEqual(second!.address, first!.address)
    now += 60_001
    const [third] = (await ports.allocate(request('c3'))).addresses
    assert.equal(third!.address, first!.address)
  })

  it('gives the address that a pod asks for, to one pod', async () => {
    const ports = await start()
    const annotations = { 'vrouter.dev/network': 'red', 'vrouter.dev/addresses': '10.9.0.9' }
    const reply = await ports.allocate(request('c1', { annotations }))
    assert.equal(reply.addresses[0]!.address, '10.9.0.9')
    await assert.rejects(ports.allocate(request('c2', { annotations })), code('ADDRESS_IN_USE', true))
    const reserved = { ...annotations, 'vrouter.dev/addresses': '10.9.0.1' }
    await assert.rejects(ports.allocate(request('c3', { annotations: reserved })), code('ADDRESS_RESERVED', false))
  })

  it('refuses what names no network, and holds nothing then', async () => {
    const ports = await start()
    const missing = { annotations: { 'vrouter.dev/network': 'nowhere' } }
    await assert.rejects(ports.allocate(request('c1', missing)), code('NETWORK_MISSING', true))
    const pod = { namespace: 'nowhere', name: 'p', uid: 'u' }
    await assert.rejects(ports.allocate(request('c1', { pod })), code('NAMESPACE_MISSING', true))
    assert.deepEqual([ports.all(), readdirSync(join(state, 'ports')), changes], [[], [], 0])
  })

  it('refuses what the source can not claim, and goes on afterwards', async () => {
    const ports = await start()
    source.onPublish = () => {
      throw new Error('the store is away')
    }
    await assert.rejects(ports.allocate(request('c1')), code('BLOCK_CLAIM_FAILED', true))
    source.onPublish = () => undefined
    assert.ok((await ports.allocate(request('c1'))).ok)
  })

  it('does not claim for ever when the source never shows its blocks as its own', async () => {
    const ports = await start()
    const shown = source.state.bind(source)
    source.state = () => {
      const blocks = [...source.blocks].map(([name, block]) => [name, { ...block, node: 'n2' }] as const)
      return { ...shown(), blocks: new Map(blocks) }
    }
    await assert.rejects(ports.allocate(request('c1')), code('BLOCK_CLAIM_FAILED', true))
  })

  it('holds nothing when the record can not be written', async () => {
    const ports = await start()
    rmSync(join(state, 'ports'), { recursive: true })
    await assert.rejects(ports.allocate(request('c1')), code('RECORD_FAILED', true))
    assert.deepEqual([ports.all(), changes], [[], 0])
    mkdirSync(join(state, 'ports'))
    assert.equal((await ports.allocate(request('c1'))).existed, false)
  })

  it('refuses more ports than the datapath has room for', async () => {
    const ports = await start({ maxPorts: 1 })
    await ports.allocate(request('c1'))
    await assert.rejects(ports.allocate(request('c2')), code('PORT_LIMIT', true))
    assert.ok((await ports.allocate(request('c1'))).existed)
  })

  it('reports an allocation at once where its network is new on the node, else with its registration', async () => {
    const ports = await start()
    await ports.allocate(request('c1'))
    assert.equal(changes, 1)
    await ports.allocate(request('c2'))
    assert.equal(changes, 1)
    await ports.allocate(request('c3', { annotations: red }))
    assert.equal(changes, 2)
    await ports.register({ op: 'register', ...key('c2'), ifindex: 7 })
    assert.equal(changes, 3)
  })

  it('answers register when the datapath is programmed, not before', async () => {
    const gate = Promise.withResolvers<{ vif: number; vrf: number }>()
    const ports = await start({ programmed: () => gate.promise })
    await ports.allocate(request('c1'))
    const registering = ports.register({ op: 'register', ...key('c1'), ifindex: 7 })
    assert.equal(
      await Promise.race([registering, new Promise((resolve) => setTimeout(resolve, 30, 'waiting'))]),
      'waiting',
    )
    assert.equal(ports.all()[0]!.ifindex, 7)
    gate.resolve({ vif: 5, vrf: 4 })
    assert.deepEqual(await registering, { ok: true, vif: 5, vrf: 4 })
  })

  it('gives up a register after its time, for a reason, or when the port is released', async () => {
    const never = await start({ programmed: () => new Promise(() => undefined), programTimeoutMs: 30 })
    await never.allocate(request('c1'))
    const register = { op: 'register', ...key('c1'), ifindex: 7 } as const
    await assert.rejects(never.register(register), code('PROGRAM_TIMEOUT', true))

    const stuck = await start({
      programmed: () => new Promise(() => undefined),
      programTimeoutMs: 30,
      obstacle: (uuid) => (uuid === never.all()[0]!.uuid ? 'no label number is left (limit 64)' : 'of another port'),
      state: mkdtempSync(join(state, 's-')),
    })
    await stuck.allocate(request('c1'))
    await assert.rejects(stuck.register(register), {
      code: 'PROGRAM_TIMEOUT',
      message: 'the datapath was not programmed within 30 ms: no label number is left (limit 64)',
    })

    const refusing = await start({
      programmed: () => Promise.reject(new Error('map full')),
      state: mkdtempSync(join(state, 's-')),
    })
    await refusing.allocate(request('c1'))
    await assert.rejects(refusing.register(register), { code: 'PROGRAM_FAILED', message: /map full/ })

    const slow = await start({ programmed: () => new Promise(() => undefined), state: mkdtempSync(join(state, 's-')) })
    await slow.allocate(request('c1'))
    const registering = assert.rejects(slow.register(register), code('RELEASED', false))
    await slow.release({ op: 'release', ...key('c1') })
    await registering
    await assert.rejects(slow.register(register), code('NOT_ALLOCATED', false))
  })

  it('releases what is there, and what is not', async () => {
    const ports = await start()
    await attach(ports, 'c1')
    await ports.release({ op: 'release', ...key('c1') })
    await ports.release({ op: 'release', ...key('c1') })
    assert.deepEqual(ports.all(), [])
    assert.ok(!existsSync(recordFile('c1')))
  })

  it('tells of complete attachments only', async () => {
    const ports = await start()
    await assert.rejects(ports.get({ op: 'get', ...key('c1') }), code('NOT_ATTACHED'))
    await ports.allocate(request('c1'))
    await assert.rejects(ports.get({ op: 'get', ...key('c1') }), code('NOT_ATTACHED'))
    const reply = await attach(ports, 'c1')
    const found = { verified: [], mismatches: [] }
    assert.deepEqual(await ports.get({ op: 'get', ...key('c1') }), {
      ...reply,
      existed: true,
      registered: true,
      ...found,
    })
    links.delete(reply.tap)
    ports.refresh()
    await assert.rejects(ports.get({ op: 'get', ...key('c1') }), code('NOT_ATTACHED'))
  })

  it('lists the attachments of one network', async () => {
    const ports = await start()
    await ports.allocate(request('c1'))
    await ports.allocate(request('c2', { network: 'other' }))
    assert.deepEqual(await ports.list({ op: 'list', network: 'net' }), { ok: true, attachments: [key('c1')] })
  })

  it('follows the taps: away, back under another index', async () => {
    const ports = await start()
    const { tap } = await attach(ports, 'c1')
    assert.equal(ports.refresh(), false)
    links.delete(tap)
    changes = 0
    assert.equal(ports.refresh(), true)
    assert.equal(ports.all()[0]!.ifindex, undefined)
    links.set(tap, 99)
    ports.refresh()
    assert.equal(ports.all()[0]!.ifindex, 99)
    assert.equal(changes, 2)
  })

  it('gives no index to a tap that was never registered', async () => {
    const ports = await start()
    const { tap } = await ports.allocate(request('c1'))
    links.set(tap, 12)
    ports.refresh()
    assert.equal(ports.all()[0]!.ifindex, undefined)
  })

  it('removes, after a while, what has neither tap nor namespace', async () => {
    const ports = await start({ garbageMs: 60_000 })
    const { tap } = await attach(ports, 'gone')
    await attach(ports, 'tapless')
    await attach(ports, 'nsless')
    links.delete(tap)
    links.delete(tapName('tapless', 'eth0'))
    alive.delete('/run/netns/gone')
    alive.delete('/run/netns/nsless')
    now += 3_600_000
    ports.refresh()
    await ports.maintain()
    assert.equal(ports.all().length, 3, 'its tap has only just been missed')
    now += 60_001
    await ports.maintain()
    assert.deepEqual(
      ports.all().map(({ containerId }) => containerId),
      ['tapless', 'nsless'],
    )
    assert.ok(messages.some((message) => /tap and network namespace are gone/.test(message)))
  })

  it('removes at its start what a reboot took', async () => {
    await attach(await start(), 'c1')
    links.clear()
    alive.clear()
    now += 3_600_000
    const ports = await start()
    assert.deepEqual(ports.all(), [])
    assert.ok(!existsSync(recordFile('c1')))
  })

  it('replays deletions of the time when it was down', async () => {
    await attach(await start(), 'c1')
    mkdirSync(join(state, 'deletes'))
    writeFileSync(join(state, 'deletes/c1-eth0.json'), '{"containerId":"c1"')
    writeFileSync(join(state, 'deletes/unknown-eth0.json'), '{}')
    const ports = await start()
    assert.deepEqual(ports.all(), [])
    assert.deepEqual(readdirSync(join(state, 'deletes')), [])
  })

  it('lets a queued deletion end before the attachment is made anew', async () => {
    const ports = await start()
    await attach(ports, 'c1')
    mkdirSync(join(state, 'deletes'))
    writeFileSync(join(state, 'deletes/c1-eth0.json'), '{}')
    const reply = await ports.allocate(request('c1'))
    assert.equal(reply.existed, false)
    await ports.maintain()
    assert.equal(ports.all().length, 1)
  })

  describe('a second interface of a pod', () => {
    const BLUE = networkFqName('k8s', 'default', 'blue')
    const second = (containerId: string, fields: Partial<AllocateRequest> = {}) =>
      request(containerId, { ifname: 'eth1', virtualNetwork: 'blue', ...fields })
    beforeEach(
      () => void source.virtualNetworks.set(BLUE, network(BLUE, ['10.7.0.0/24', '10.8.0.0/24', 'fd00:7::/64'])),
    )

    it('goes to the network that is named, with ways to that network only', async () => {
      const ports = await start()
      const first = await ports.allocate(request('c1'))
      const reply = await ports.allocate(second('c1'))
      assert.deepEqual(
        reply.addresses.map(({ gateway }) => gateway),
        ['10.7.0.1', 'fd00:7::1'],
      )
      assert.deepEqual(reply.routes, [{ destination: '10.8.0.0/24', gateway: '10.7.0.1' }])
      assert.deepEqual(reply.dns, { nameservers: [] })
      assert.deepEqual(
        first.routes.map(({ destination }) => destination),
        ['0.0.0.0/0', '::/0'],
      )
      assert.equal(new Set([first, reply].flatMap(({ uuid, tap, mac }) => [uuid, tap, mac])).size, 6)
      assert.deepEqual(
        ports.all().map(({ vn, ifname, networkFrom }) => [vn, ifname, networkFrom]),
        [
          [DEFAULT, 'eth0', 'default'],
          [BLUE, 'eth1', 'attachment'],
        ],
      )
      // A restarted daemon says the same, whatever became of the network's subnets.
      const more = network(BLUE, ['10.7.0.0/24', '10.8.0.0/24', '10.9.9.0/24', 'fd00:7::/64'])
      source.virtualNetworks.set(BLUE, more)
      const again = await start()
      assert.deepEqual(await again.allocate(second('c1')), { ...reply, existed: true })
      assert.deepEqual(await again.allocate(request('c1')), { ...first, existed: true })
    })

    for (const [what, name] of [
      ['by name', 'blue'],
      ['with its namespace', 'default/blue'],
      ['by FQ name', BLUE],
    ] as const)
      it(`takes a network ${what}`, async () => {
        const ports = await start()
        await ports.allocate(request('c1'))
        await ports.allocate(second('c1', { virtualNetwork: name }))
        assert.equal(ports.all()[1]!.vn, BLUE)
      })

    it('goes to the network that the pod names for it, or its namespace, unless the runtime names one', async () => {
      const ports = await start()
      const GREEN = networkFqName('k8s', 'default', 'green')
      source.virtualNetworks.set(GREEN, network(GREEN, ['10.6.0.0/24']))
      source.namespaces.set('default', {
        ...{ name: 'default', labels: {} },
        annotations: { 'vrouter.dev/networks': 'blue@eth1, red@eth2' },
      })
      const attached = async (containerId: string, networks: string | undefined, fields: Partial<AllocateRequest>) => {
        const annotations: Record<string, string> = networks === undefined ? {} : { 'vrouter.dev/networks': networks }
        await ports.allocate(request(containerId, { annotations }))
        await ports.allocate(request(containerId, { ifname: 'eth1', annotations, ...fields }))
        return ports
          .all()
          .flatMap((port) => (port.containerId === containerId ? [`${port.networkFrom} ${port.vn}`] : []))
      }
      assert.deepEqual(await attached('c1', undefined, {}), [`default ${DEFAULT}`, `namespace ${BLUE}`])
      assert.deepEqual(await attached('c2', 'green@eth1', {}), [`default ${DEFAULT}`, `pod ${GREEN}`])
      const named = { virtualNetwork: 'red' }
      assert.deepEqual(await attached('c3', 'green@eth1', named), [`default ${DEFAULT}`, `attachment ${RED}`])
      assert.deepEqual(await attached('c4', 'green@eth0', {}), [`pod ${GREEN}`, `namespace ${BLUE}`])
      // Where nothing is said, nothing is assumed.
      await assert.rejects(attached('c5', 'green@eth0', { ifname: 'eth3' }), code('NETWORK_UNNAMED', false))
      await assert.rejects(attached('c6', undefined, { ifname: 'eth3' }), code('NETWORK_TWICE', false))
    })

    it('is refused, as the first one is, where the list of networks can’t be read', async () => {
      const ports = await start()
      for (const ifname of ['eth0', 'eth1']) {
        const annotations = { 'vrouter.dev/networks': 'blue' }
        const refused = ports.allocate(request('c1', { ifname, annotations }))
        await assert.rejects(refused, code('NETWORKS_ANNOTATION', false))
        await assert.rejects(refused, /pod default\/pod-c1: annotation vrouter.dev\/networks has the entry "blue"/)
      }
      assert.deepEqual(ports.all(), [])
    })

    it('in the same network is refused in words, named or not, and may be repeated once the first is gone', async () => {
      const ports = await start()
      await attach(ports, 'c1')
      for (const again of [{ virtualNetwork: DEFAULT }, { virtualNetwork: undefined }]) {
        const refused = ports.allocate(second('c1', again))
        await assert.rejects(refused, code('NETWORK_TWICE', false))
        await assert.rejects(refused, /pod default\/pod-c1 is in network \S+ already, with interface eth0/)
      }
      assert.equal(ports.all().length, 1)
      // Another sandbox of the same pod is another life of it.
      await ports.allocate(request('c2', { pod: request('c1').pod }))
      await ports.release({ op: 'release', ...key('c1') })
      assert.equal((await ports.allocate(second('c1', { virtualNetwork: undefined }))).routes.length, 2)
    })

    it('to a network that is not there, or is no name, is refused with the interface', async () => {
      const ports = await start()
      await ports.allocate(request('c1'))
      await assert.rejects(
        ports.allocate(second('c1', { virtualNetwork: 'nowhere' })),
        /interface eth1 names .*nowhere/,
      )
      await assert.rejects(ports.allocate(second('c1', { virtualNetwork: 'a b' })), code('NETWORK_ANNOTATION', false))
    })

    it('heeds no annotation of the pod: addresses and MAC there are the first one’s', async () => {
      const ports = await start()
      const annotations = { 'vrouter.dev/addresses': '10.1.0.9', 'vrouter.dev/mac': '02:00:00:00:00:09' }
      const first = await ports.allocate(request('c1', { annotations }))
      const reply = await ports.allocate(second('c1', { annotations }))
      assert.equal(first.addresses[0]!.address, '10.1.0.9')
      assert.match(reply.addresses[0]!.address, /^10\.7\.0\./)
      assert.notEqual(reply.mac, first.mac)
      const asked = await ports.allocate(second('c2', { addresses: ['10.8.0.77'], mac: '02:00:00:00:00:0a' }))
      assert.deepEqual([asked.addresses[0]!.address, asked.mac], ['10.8.0.77', '02:00:00:00:00:0a'])
    })

    it('of several asked for at once one has the default routes, and each network one', async () => {
      const ports = await start()
      const all = await Promise.allSettled([
        ...['eth0', 'eth1'].map((ifname) => ports.allocate(request('c1', { ifname }))),
        ...['net1', 'net2'].map((ifname) => ports.allocate(second('c1', { ifname }))),
      ])
      const replies = all.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
      assert.equal(replies.length, 2)
      const withDefault = replies.filter(({ routes }) => routes.some(({ destination }) => destination === '0.0.0.0/0'))
      assert.equal(withDefault.length, 1)
      assert.equal(new Set(ports.all().map(({ vn }) => vn)).size, 2)
    })

    it('goes alone, and the other stays', async () => {
      const ports = await start()
      await attach(ports, 'c1')
      await ports.allocate(second('c1'))
      await ports.release({ op: 'release', containerId: 'c1', ifname: 'eth1' })
      assert.deepEqual(
        ports.all().map(({ ifname }) => ifname),
        ['eth0'],
      )
      await ports.allocate(second('c1'))
      await ports.release({ op: 'release', ...key('c1') })
      assert.deepEqual(
        ports.all().map(({ ifname }) => ifname),
        ['eth1'],
      )
      // The next first one has the default routes.
      assert.equal((await ports.allocate(request('c1'))).routes.length, 2)
    })

    it('is restored from its interface object as what it was', async () => {
      const before = await start()
      await attach(before, 'c1')
      const reply = await before.allocate(second('c1'))
      const [, port] = before.all()
      const { uuid, mac, vn, pod, namespace, addresses } = port!
      source.interfaces.set(uuid, {
        ...{ name: 'x', namespace, uuid, vn, node: 'n1', pod, containerId: 'c1', ifname: 'eth1', mac, addresses },
        label: 17,
      })
      writeFileSync(join(state, 'ports/c1-eth1.json'), '{')
      const ports = await start()
      assert.deepEqual((await ports.allocate(second('c1'))).routes, reply.routes)
      assert.equal(ports.all().find(({ ifname }) => ifname === 'eth1')!.isSecondary, true)
      // Its network isn't the pod's own, and was never meant to be.
      knows(podOf('c1'))
      source.namespaces.set('default', { name: 'default', labels: {}, annotations: {} })
      await ports.maintain()
      assert.deepEqual(
        source.reports.filter(({ reason }) => reason === 'NetworkChanged'),
        [],
      )
    })

    it('is no news of a pod that would be elsewhere now', async () => {
      const ports = await start()
      await attach(ports, 'c1')
      await ports.allocate(second('c1'))
      await ports.maintain()
      assert.deepEqual(source.reports, [])
    })
  })

  describe('addresses that a pod may use beside its own', () => {
    const allowed = (addresses: string) => ({ annotations: { 'vrouter.dev/allowed-addresses': addresses } })

    it('are its alone, and none of its interface’s', async () => {
      const ports = await start()
      const reply = await attach(ports, 'c1', allowed('10.1.9.9, FD00:1::0:99'))
      assert.equal(reply.addresses.length, 2)
      const [port] = ports.all()
      assert.deepEqual(port!.addresses, [...reply.addresses.map(({ address }) => address), '10.1.9.9', 'fd00:1::99'])
      // Nobody else gets one, whoever asks how.
      await assert.rejects(ports.allocate(request('c2', allowed('10.1.9.9'))), code('ADDRESS_IN_USE', true))
      const named = { annotations: { 'vrouter.dev/addresses': '10.1.9.9' } }
      await assert.rejects(ports.allocate(request('c2', named)), code('ADDRESS_IN_USE', true))
      await assert.rejects(
        ports.allocate(request('c2', allowed(reply.addresses[0]!.address))),
        code('ADDRESS_IN_USE', true),
      )
      const again = await start()
      assert.deepEqual(again.all(), [{ ...port!, ifindex: links.get(port!.tap) }])
      assert.deepEqual((await again.allocate(request('c1'))).addresses, reply.addresses)
      // Its end gives them back: to whatever node the next one is on.
      await again.release({ op: 'release', ...key('c1') })
      await again.maintain()
      assert.ok(![...source.blocks.values()].some(({ cidr }) => cidr === '10.1.9.9/32' || cidr === 'fd00:1::99/128'))
      assert.equal((await again.allocate(request('c3', allowed('10.1.9.9')))).existed, false)
    })

    it('are refused where they are no addresses, or nobody’s to give', async () => {
      const ports = await start()
      const fifteen = Array.from({ length: 15 }, (_, i) => `10.1.9.${i + 1}`).join(',')
      for (const [text, wanted] of [
        ['10.1.9.9/24', 'ALLOWED_ADDRESSES'],
        ['10.1.9.9 10.1.9.10', 'ALLOWED_ADDRESSES'],
        ['10.1.9.9,10.1.9.9', 'ALLOWED_ADDRESSES'],
        [fifteen, 'ALLOWED_ADDRESSES'],
        ['192.0.2.9', 'ADDRESS_OUTSIDE'],
        ['10.1.0.1', 'ADDRESS_RESERVED'],
      ] as const)
        await assert.rejects(ports.allocate(request('c1', allowed(text))), code(wanted, false), text)
      assert.deepEqual(ports.all(), [])
    })

    it('are known again from the interface object, each what it was', async () => {
      const before = await start()
      const reply = await attach(before, 'c1', allowed('10.1.9.9,fd00:1::99'))
      const [port] = before.all()
      const { uuid, mac, vn, pod, namespace, addresses } = port!
      source.interfaces.set(uuid, {
        ...{ name: 'x', namespace, uuid, vn, node: 'n1', pod, containerId: 'c1', ifname: 'eth0', mac, addresses },
        label: 17,
      })
      writeFileSync(recordFile('c1'), '{')
      const ports = await start()
      assert.deepEqual(ports.all()[0]!.addresses, addresses)
      assert.deepEqual((await ports.allocate(request('c1'))).addresses, reply.addresses)
    })

    it('are the first interface’s', async () => {
      const ports = await start()
      await ports.allocate(request('c1', allowed('10.1.9.9')))
      await ports.allocate(request('c1', { ifname: 'eth1', virtualNetwork: 'red', ...allowed('10.1.9.9') }))
      assert.deepEqual(ports.all()[1]!.addresses.length, 1)
    })
  })

  describe('a MAC address that a pod asks for', () => {
    const RESERVED: readonly [mac: string, whose: RegExp][] = [
      ['00:00:5e:00:01:00', /the gateway's own/],
      ['00:00:5e:00:01:07', /virtual routers/],
      ['00:00:5e:00:02:ff', /virtual routers/],
      ['00:00:00:00:00:01', /agent's own/],
      ['00:00:00:00:00:00', /nobody's/],
      ['ff:ff:ff:ff:ff:ff', /broadcast/],
      ['01:00:5e:00:00:01', /group/],
      ['33:33:00:00:00:01', /group/],
    ]
    for (const [mac, whose] of RESERVED) {
      it(`is refused for good when it is ${mac}, by annotation and by the runtime`, async () => {
        const ports = await start()
        for (const asked of [{ mac }, { annotations: { 'vrouter.dev/mac': mac } }]) {
          const refused = ports.allocate(request('c1', asked))
          await assert.rejects(refused, code('MAC_RESERVED', false))
          await assert.rejects(refused, whose)
        }
        assert.deepEqual(ports.all(), [])
      })
    }

    const published = (more: object) => ({
      ...{ name: 'x', namespace: 'shop', uuid: uuidOf('vmi', 'other/eth0'), vn: DEFAULT, node: 'n2' },
      ...{ pod: { name: 'till', uid: 'u' }, containerId: 'other', ifname: 'eth0', mac: '02:00:00:00:00:09' },
      ...{ addresses: ['10.1.9.9'], label: 17, ...more },
    })

    it('is refused while a pod of its network on another node has it, with who that is', async () => {
      const ports = await start()
      const other = published({})
      source.interfaces.set(other.uuid, other)
      const refused = ports.allocate(request('c1', { mac: other.mac }))
      await assert.rejects(refused, code('MAC_IN_USE', true))
      await assert.rejects(refused, /shop\/till on node n2 has the MAC address 02:00:00:00:00:09 already/)
      source.interfaces.delete(other.uuid)
      assert.equal((await ports.allocate(request('c1', { mac: other.mac }))).mac, other.mac)
    })

    it('may be one that a pod of another network has', async () => {
      const ports = await start()
      const other = published({ vn: RED, addresses: ['10.9.0.9'] })
      source.interfaces.set(other.uuid, other)
      assert.equal((await ports.allocate(request('c1', { mac: other.mac }))).mac, other.mac)
    })

    it('goes to one of two that ask at the same time', async () => {
      const ports = await start()
      const mac = '02:00:00:00:00:09'
      const both = await Promise.allSettled(['c1', 'c2'].map((id) => ports.allocate(request(id, { mac }))))
      assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
      assert.equal(ports.all().length, 1)
    })

    it('is free again as soon as this node has deleted its pod, though the source still shows it', async () => {
      const ports = await start()
      const mac = '02:00:00:00:00:09'
      const { uuid } = await attach(ports, 'c1', { mac })
      source.interfaces.set(uuid, published({ uuid, node: 'n1', mac }))
      await ports.release({ op: 'release', ...key('c1') })
      assert.equal((await ports.allocate(request('c2', { mac }))).mac, mac)
    })
  })

  it('restores a corrupt record from the interface object, or says that it is lost', async () => {
    const before = await start()
    const reply = await attach(before, 'c1')
    await attach(before, 'c2')
    const { uuid, mac, vn, pod, namespace, addresses } = before.all()[0]!
    const vmi = { name: 'x', namespace, uuid, vn, node: 'n1', pod, ...key('c1'), mac, addresses, label: 17 }
    source.interfaces.set(uuid, vmi)
    writeFileSync(recordFile('c1'), '{"schema":1')
    writeFileSync(recordFile('c2'), '')
    const ports = await start()
    assert.deepEqual(
      ports.all().map(({ containerId, ifindex }) => [containerId, ifindex]),
      [['c1', links.get(reply.tap)]],
    )
    const again = await ports.allocate(request('c1'))
    assert.deepEqual(again.addresses, reply.addresses)
    assert.equal(messages.length, 2)
    JSON.parse(readFileSync(recordFile('c1'), 'utf8'))
  })

  it('restores ports whose records are lost from interface objects, where their taps are there', async () => {
    const before = await start()
    const replies = [await attach(before, 'c1'), await attach(before, 'c2')]
    const second = await before.allocate(request('c1', { ifname: 'eth1', virtualNetwork: 'red' }))
    links.set(second.tap, 30)
    const published = before.all()
    for (const { uuid, mac, vn, pod, namespace, addresses, containerId, ifname } of published) {
      const vmi = { name: uuid, namespace, uuid, vn, node: 'n1', pod, containerId, ifname, mac, addresses, label: 17 }
      source.interfaces.set(uuid, vmi)
    }
    // Another node's pod, and one whose deletion was under way.
    const [other] = source.interfaces.values()
    source.interfaces.set('other', { ...other!, uuid: 'other', containerId: 'other', node: 'n2' })
    links.set(tapName('other', 'eth0'), 99)
    links.delete(replies[1]!.tap)
    rmSync(join(state, 'ports'), { recursive: true })
    const ports = await start()
    assert.deepEqual(
      ports.all().map(({ containerId, ifname, ifindex, vn }) => [containerId, ifname, ifindex, vn]),
      [
        ['c1', 'eth0', links.get(replies[0]!.tap), DEFAULT],
        ['c1', 'eth1', 30, RED],
      ],
    )
    assert.equal(messages.filter((text) => /is lost; it was restored/.test(text)).length, 2)
    const again = await ports.allocate(request('c1'))
    assert.deepEqual(
      [again.addresses, again.routes, again.mac],
      [replies[0]!.addresses, replies[0]!.routes, replies[0]!.mac],
    )
    assert.deepEqual((await ports.allocate(request('c1', { ifname: 'eth1' }))).routes, [])
    assert.equal(readdirSync(join(state, 'ports')).length, 2)
  })

  it('leaves alone the address of an own interface object that has no record', async () => {
    const before = await start()
    await attach(before, 'c1')
    const { uuid, mac, vn, pod, namespace, addresses } = before.all()[0]!
    const vmi = { name: 'x', namespace, uuid, vn, node: 'n1', pod, ...key('c1'), mac, addresses, label: 17 }
    source.interfaces.set(uuid, vmi)
    rmSync(recordFile('c1'))
    const ports = await start()
    const reply = await ports.allocate(request('c2'))
    assert.ok(!addresses.includes(reply.addresses[0]!.address))
  })

  it('refuses ADD while it is not ready, but keeps answering for what is there', async () => {
    let ready = true
    const ports = await start({
      readiness: () => (ready ? { ready } : { ready, message: 'not in sync', podsAffected: true }),
    })
    await attach(ports, 'c1')
    await ports.status()
    ready = false
    await assert.rejects(ports.status(), code('DATAPATH_BROKEN'))
    await assert.rejects(ports.allocate(request('c2')), code('DATAPATH_BROKEN', true))
    await ports.release({ op: 'release', ...key('c1') })
    assert.deepEqual(ports.all(), [])
  })

  it('holds an address for exactly the ports there are, after any sequence of requests and restarts', async () => {
    const step = fc.record({
      op: fc.constantFrom('allocate', 'register', 'release', 'restart'),
      container: fc.integer({ min: 0, max: 9 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const folder = mkdtempSync(join(state, 'run-'))
        const given = new Map<string, string>()
        let ports = await start({ state: folder, quarantineMs: 0 })
        for (const { op, container } of steps) {
          const id = `c${container}`
          switch (op) {
            case 'allocate': {
              const address = (await ports.allocate(request(id, { annotations: red }))).addresses[0]!.address
              assert.equal(address, given.get(id) ?? address, 'a repeat answers the same')
              given.set(id, address)
              break
            }
            case 'register':
              links.set(tapName(id, 'eth0'), 100 + container)
              await ports.register({ op: 'register', ...key(id), ifindex: 100 + container }).catch((error) => {
                assert.equal(given.has(id), false)
                assert.equal(error.code, 'NOT_ALLOCATED')
              })
              break
            case 'release':
              await ports.release({ op: 'release', ...key(id) })
              given.delete(id)
              break
            default:
              ports = await start({ state: folder, quarantineMs: 0 })
          }
          const held = ports.all().map(({ containerId, addresses }) => [containerId, addresses[0]])
          assert.deepEqual(new Map(held as [string, string][]), given)
          assert.equal(new Set(given.values()).size, given.size)
        }
      }),
      { numRuns: 30 },
    )
  })
})
