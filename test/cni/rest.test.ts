/**
 * The REST API of Contrail's agent, as Contrail's own CNI plugin and OpenStack's clients use it: the calls of their ADD and DEL in their order, with the
 * devices and files that they make.
 */

import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { projectOfNamespace, uuidOf } from '@kube-vrouter/daemon/model/names'
import { type RestServer, startRest } from '@kube-vrouter/daemon/port-api/rest/server'
import { NetworkNamespace } from '@kube-vrouter/linux/namespace'
import { skipBecause } from '../skip.ts'
import { clean, type Json, Node } from './node.ts'

describe('the REST API of Contrail’s agent', function () {
  this.timeout(30_000)
  let node: Node
  let folder: string
  let rest: RestServer
  let isProgrammed: boolean
  const logged: string[] = []

  before(function () {
    skipBecause(this, process.getuid?.() === 0 ? undefined : 'needs root')
  })
  beforeEach(async () => {
    node = new Node()
    folder = mkdtempSync(join(tmpdir(), 'kv-rest-'))
    isProgrammed = true
    logged.length = 0
    await start()
  })
  afterEach(async () => {
    await rest[Symbol.asyncDispose]()
    await node[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  async function start(): Promise<void> {
    const ports = await node.startDaemon({
      programmed: (_, signal) =>
        isProgrammed
          ? Promise.resolve({ vif: 3, vrf: 2 })
          : new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('late')))),
    })
    const say = (_: object, message: string) => void logged.push(message)
    const options = { enabled: true, address: '127.0.0.1', port: 0, portsDir: folder, staleSeconds: 60 }
    const server = await startRest({
      config: { cluster: { name: 'k8s', domain: 'cluster.local' }, portApi: { rest: options } },
      ports,
      source: node.source,
      hasDevice: (name) => node.inNode((route) => route.link(name)) !== undefined,
      log: { info: say, warn: say },
    })
    assert.ok(server)
    rest = server
  }

  async function restart(): Promise<void> {
    await rest[Symbol.asyncDispose]()
    await node.stopDaemon()
    await start()
  }

  async function call(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; json: Json; text: string }> {
    const response = await fetch(`http://127.0.0.1:${rest.address.port}${path}`, {
      method,
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    assert.equal(response.headers.get('content-type'), 'application/json; charset=UTF-8')
    assert.equal(response.statusText, 'OK')
    const text = await response.text()
    return { status: response.status, json: JSON.parse(text), text }
  }

  /** A tap and its peer in the pod, as Contrail's plugin makes them. */
  function makeTap(netns: string, name: string): void {
    using namespace = NetworkNamespace.open(netns)
    node.inNode((route) => route.createVeth({ name, peer: { name: 'eth0', netnsFd: namespace.fd } }))
  }

  const name = 'k8s__default__web-0'

  /** The calls of its ADD. Returns what it would configure. */
  async function addPod(netns: string, containerId: string): Promise<{ config: Json; vm: Json }> {
    const [config] = (await call('GET', `/vm-cfg/${name}`)).json
    const tap = `tapeth0-${config['vm-uuid'].slice(0, 6)}`
    makeTap(netns, tap)
    const record = {
      time: '2024-03-01 09:15:00.12 +0000 UTC',
      'vm-id': containerId,
      'vm-uuid': config['vm-uuid'],
      'vm-name': name,
      'host-ifname': tap,
      'vm-ifname': 'eth0',
      'vm-namespace': netns,
      'vn-uuid': config['vn-id'],
      'vmi-uuid': config.id,
    }
    mkdirSync(join(folder, 'vm', name), { recursive: true })
    writeFileSync(join(folder, 'vm', name, config.id), JSON.stringify(record))
    assert.deepEqual(await call('POST', '/vm', record), { status: 200, json: {}, text: '{}' })
    const { status, json } = await call('GET', `/vm/${config['vm-uuid']}/${config.id}`)
    assert.equal(status, 200)
    return { config, vm: json[0] }
  }

  it('serves ADD and DEL of Contrail’s CNI plugin', async () => {
    const netns = node.pod()
    const { config, vm } = await addPod(netns, '5f1c0e6f2a41')
    const [port] = node.ports!.all()
    const uid = uuidOf('vm', name)
    const network = uuidOf('vn', port!.vn)
    assert.deepEqual(config, {
      id: port!.uuid,
      'vm-uuid': uid,
      'vn-id': network,
      'vn-name': port!.vn,
      'mac-address': port!.mac,
      'sub-interface': false,
      'vlan-id': 65535,
      annotations: [
        '{cluster:k8s}',
        '{index:0/1}',
        '{interface:eth0}',
        '{kind:Pod}',
        '{name:web-0}',
        '{namespace:default}',
        '{network:default}',
        '{owner:k8s}',
        '{project:k8s-default}',
      ],
    })
    const { time, ...rest } = vm
    assert.match(time, /^\d{4}-[A-Z][a-z]{2}-\d\d \d\d:\d\d:\d\d\.\d{6}$/)
    assert.deepEqual(rest, {
      id: port!.uuid,
      'instance-id': uid,
      'vn-id': network,
      'vm-project-id': uuidOf('project', projectOfNamespace('k8s', 'default')),
      'mac-address': port!.mac,
      'system-name': `tapeth0-${uid.slice(0, 6)}`,
      'rx-vlan-id': 65535,
      'tx-vlan-id': 65535,
      'vhostuser-mode': 0,
      'ip-address': port!.addresses[0],
      plen: 16,
      'dns-server': '10.1.0.2',
      gateway: '10.1.0.1',
      'v6-ip-address': port!.addresses[1],
      'v6-dns-server': 'fd00:1::2',
      'v6-gateway': 'fd00:1::1',
      author: 'contrail-vrouter-agent',
    })
    assert.equal(port!.tap, vm['system-name'])
    assert.equal(
      port!.ifindex,
      node.inNode((route) => route.link(port!.tap)!.index),
    )
    // the plugin's own file stays as it was
    assert.equal(JSON.parse(readFileSync(join(folder, 'vm', name, port!.uuid), 'utf8'))['vm-id'], '5f1c0e6f2a41')

    node.inNode((route) => route.deleteLink(port!.tap))
    assert.deepEqual((await call('DELETE', `/vm/${uid}`, { 'vm-uuid': uid })).json, {})
    assert.deepEqual(node.leftovers(), clean)
    assert.deepEqual(readdirSync(join(folder, 'vm')), [])
    assert.equal((await call('GET', `/vm/${uid}`)).status, 404)
    assert.deepEqual((await call('DELETE', `/vm/${uid}`)).json, {}, 'again')
  })

  it('answers 404 until the pod exists and its interface forwards', async () => {
    const missing = { status: 404, json: { error: '{ Not Found }' } }
    const brief = ({ status, json }: Json) => ({ status, json })
    for (const path of [
      '/vm-cfg/k8s__nowhere__web',
      '/vm-cfg/other__default__web',
      '/vm-cfg/web',
      `/vm/${uuidOf('vm', 'x')}`,
    ])
      assert.deepEqual(brief(await call('GET', path)), missing, path)
    isProgrammed = false
    const netns = node.pod()
    const [config] = (await call('GET', `/vm-cfg/${name}`)).json
    makeTap(netns, 'tapeth0-abc')
    const vm = { 'vm-uuid': config['vm-uuid'], 'vn-uuid': config['vn-id'], 'vmi-uuid': config.id, 'vm-name': name }
    assert.equal((await call('POST', '/vm', { ...vm, 'host-ifname': 'tapeth0-abc' })).status, 200)
    assert.deepEqual(brief(await call('GET', `/vm/${config['vm-uuid']}`)), missing)
    isProgrammed = true
    assert.equal((await call('GET', `/vm/${config['vm-uuid']}`)).json[0]['system-name'], 'tapeth0-abc')
    // where the plugin left no file the agent writes one
    assert.equal(JSON.parse(readFileSync(join(folder, 'vm', name, config.id), 'utf8')).author, 'contrail-vrouter-agent')
  })

  it('pretty prints with four blanks, and knows no other paths', async () => {
    assert.match((await call('GET', `/vm-cfg/${name}`)).text, /^\[\n {4}\{\n {8}"id": "/)
    const unknown = { error: 'Unknown Request' }
    for (const [method, path] of [
      ['GET', '/'],
      ['GET', '/vm/'],
      ['GET', `/vm/${uuidOf('vm', 'x').toUpperCase()}`],
      ['POST', '/vm/'],
      ['PUT', '/port'],
      ['GET', '/vm-cfg/'],
    ] as const) {
      const { status, json } = await call(method, path)
      assert.deepEqual([status, json], [404, unknown], `${method} ${path}`)
    }
  })

  it('refuses bodies by name of what is wrong, and takes nothing of them', async () => {
    const vm = {
      ...{ 'vm-uuid': uuidOf('vm', 'x'), 'vn-uuid': uuidOf('vn', 'x'), 'vmi-uuid': uuidOf('vmi', 'x') },
      ...{ 'vm-name': name, 'host-ifname': 'tapx' },
    }
    for (const [path, body, message] of [
      ['/vm', '{', /^\{ Invalid Json string ==> \{ \}$/],
      ['/vm', [vm], /^\{ Unexpected Json string/],
      ['/vm', { ...vm, 'vm-uuid': undefined }, /member vm-uuid is missing/],
      ['/vm', { ...vm, 'host-ifname': '../x' }, /member host-ifname has the value "\.\.\/x"/],
      ['/vm', { ...vm, 'vm-name': '..' }, /member vm-name/],
      ['/vm', vm, /is not known; ask for \/vm-cfg/],
      ['/port', { ...vmPort(), 'mac-address': '00:00:00:00:00:00' }, /Invalid MAC, Use xx:xx:xx:xx:xx:xx format/],
      ['/port', { ...vmPort(), 'vn-id': '00000000-0000-0000-0000-000000000000' }, /Invalid VN uuid/],
      ['/port', { ...vmPort(), 'vn-id': uuidOf('vn', 'nowhere') }, /Invalid VN uuid .*there is no such network/],
      ['/port', { ...vmPort(), type: 7 }, /member type has the value 7/],
      ['/port', [vmPort(), { ...vmPort(), id: 'x' }], /member id/],
      ['/gateway', [{ interface: 'vgw', 'routing-instance': 'x' }], /no simple gateways/],
      ['/gateway', {}, /no list of gateways/],
    ] as const) {
      const { status, json } = await call('POST', path, body)
      assert.equal(status, 500, JSON.stringify(body))
      assert.match(json.error, message)
    }
    assert.deepEqual((await call('DELETE', '/gateway', [{ interface: 'vgw' }])).json, {})
    assert.deepEqual(node.leftovers().records, [])
    assert.deepEqual(readdirSync(folder), [])
    const browser = await fetch(`http://127.0.0.1:${rest.address.port}/syncports`, {
      method: 'POST',
      headers: { Origin: 'http://example.com' },
    })
    assert.equal(browser.status, 403)
  })

  // ---- ports of orchestrators

  function vmPort(more: object = {}): Json {
    return {
      id: '4b6d1c9e-52f0-11ef-9a01-525400a1b2c3',
      'instance-id': 'c0ffee00-52f0-11ef-9a01-525400a1b2c3',
      'display-name': 'vm-1',
      'ip-address': '10.1.9.9',
      'ip6-address': '::',
      'vn-id': node.source.virtualNetworks.values().next().value!.uuid,
      'vm-project-id': '77770001-52f0-11ef-9a01-525400a1b2c3',
      'mac-address': '02:4B:6d:1c:9e:52',
      'system-name': 'tap4b6d1c9e-52',
      type: 0,
      'rx-vlan-id': -1,
      'tx-vlan-id': 4294967295,
      ...more,
    }
  }

  it('adds a port of a VM, before or after its device is there, and removes it', async () => {
    const port = vmPort()
    assert.deepEqual((await call('POST', '/port', port)).json, {})
    const [first] = node.ports!.all()
    assert.deepEqual(
      [first!.uuid, first!.mac, first!.addresses[0], first!.tap, first!.ifindex],
      [port.id, '02:4b:6d:1c:9e:52', '10.1.9.9', 'tap4b6d1c9e-52', undefined],
    )
    makeTap(node.pod(), 'tap4b6d1c9e-52')
    node.ports!.refresh()
    assert.ok(node.ports!.all()[0]!.ifindex)
    const { time, ...stored } = (await call('GET', `/port/${port.id}`)).json
    assert.ok(time)
    assert.deepEqual(stored, {
      ...port,
      ...{ 'mac-address': '02:4b:6d:1c:9e:52', 'rx-vlan-id': 65535, 'tx-vlan-id': 65535 },
      ...{ 'vhostuser-mode': 0, 'link-state': 1, author: 'contrail-vrouter-agent' },
    })
    assert.deepEqual(JSON.parse(readFileSync(join(folder, port.id), 'utf8')), { ...stored, time })
    const { addresses } = node.ports!.all()[0]!
    assert.deepEqual((await call('POST', '/port', port)).json, {}, 'again')
    assert.deepEqual(node.ports!.all()[0]!.addresses, addresses)
    assert.deepEqual((await call('POST', '/port', { ...port, 'ip-address': '10.1.9.10' })).json, {}, 'changed')
    assert.equal(node.ports!.all()[0]!.addresses[0], '10.1.9.10')
    assert.equal((await call('PUT', `/enable-port/${port.id}`)).status, 500)
    node.inNode((route) => route.deleteLink('tap4b6d1c9e-52'))
    assert.deepEqual((await call('DELETE', `/port/${port.id}`)).json, {})
    assert.deepEqual((await call('DELETE', `/port/${port.id}`)).json, {})
    assert.equal((await call('GET', `/port/${port.id}`)).status, 404)
    assert.deepEqual(node.leftovers(), clean)
  })

  it('keeps remote ports and their link state', async () => {
    const port = vmPort({ type: 2 })
    assert.deepEqual((await call('POST', '/port', port)).json, {})
    assert.equal((await call('GET', `/port/${port.id}`)).json['link-state'], 0)
    assert.deepEqual((await call('PUT', `/enable-port/${port.id}`)).json, {})
    assert.equal((await call('GET', `/port/${port.id}`)).json['link-state'], 1)
    assert.match((await call('PUT', `/disable-port/${uuidOf('vmi', 'x')}`)).json.error, /Port not found/)
    assert.deepEqual(node.ports!.all(), [])
  })

  it('removes what an orchestrator does not announce again, and leaves pods alone', async () => {
    const ids = [1, 2, 3].map((i) => uuidOf('vmi', `p${i}`))
    const ports = ids.map((id, i) =>
      vmPort({
        id,
        'ip-address': `10.1.9.${i + 1}`,
        'mac-address': `02:00:00:00:00:0${i + 1}`,
        'system-name': `tap${i}`,
      }),
    )
    assert.deepEqual((await call('POST', '/port', ports)).json, {})
    await addPod(node.pod(), 'c1')
    const left = () =>
      node
        .ports!.all()
        .map(({ containerId }) => containerId)
        .sort()
    await restartWithStaleSeconds(0.05)
    assert.equal(left().length, 4)
    assert.deepEqual((await call('POST', '/syncports')).json, {})
    assert.deepEqual((await call('POST', '/port', ports[1])).json, {})
    for (let i = 0; i < 100 && left().length > 2; i++) await new Promise((resolve) => setTimeout(resolve, 10))
    assert.deepEqual(left(), [ids[1], uuidOf('vm', name)].sort())
    assert.deepEqual(readdirSync(folder).sort(), [ids[1], 'vm'].sort())
  })

  /** As the schema would not allow, to be quick. */
  async function restartWithStaleSeconds(staleSeconds: number): Promise<void> {
    await rest[Symbol.asyncDispose]()
    const options = { enabled: true, address: '127.0.0.1', port: 0, portsDir: folder, staleSeconds }
    rest = (await startRest({
      config: { cluster: { name: 'k8s', domain: 'cluster.local' }, portApi: { rest: options } },
      ports: node.ports!,
      source: node.source,
      hasDevice: () => true,
      log: { info: () => undefined, warn: () => undefined },
    }))!
  }

  it('takes up after a restart what the files tell of, but for devices that are gone', async () => {
    const { config } = await addPod(node.pod(), 'c1')
    makeTap(node.pod(), 'tap4b6d1c9e-52')
    await call('POST', '/port', vmPort())
    const gone = vmPort({
      id: uuidOf('vmi', 'gone'),
      'system-name': 'tapgone',
      'ip-address': '',
      'mac-address': '02:0:0:0:0:1',
    })
    assert.deepEqual((await call('POST', '/port', gone)).json, {})
    writeFileSync(join(folder, uuidOf('vmi', 'junk')), '{')
    mkdirSync(join(folder, 'not-a-uuid'))
    // records of our own may be lost: the files are enough for the orchestrator's ports
    const ofPorts = () =>
      node
        .ports!.all()
        .map(({ uuid, addresses, tap }) => ({ uuid, addresses, tap }))
        .sort((a, b) => (a.uuid < b.uuid ? -1 : 1))
    const before = ofPorts()
    await restart()
    assert.deepEqual(
      ofPorts(),
      before.filter(({ tap }) => tap !== 'tapgone'),
    )
    assert.ok(node.ports!.all().every(({ ifindex }) => ifindex !== undefined))
    assert.ok(logged.some((message) => message.startsWith('Interface does not exist in OS')))
    assert.ok(logged.includes('a port file can not be read'))
    assert.ok(!existsSync(join(folder, uuidOf('vmi', 'gone'))))
    assert.equal((await call('GET', `/vm/${config['vm-uuid']}`)).status, 200)
  })

  it('is not served unless the configuration wants it', async () => {
    const off = { enabled: false, address: '127.0.0.1', port: 0, portsDir: folder, staleSeconds: 60 }
    const server = await startRest({
      config: { cluster: { name: 'k8s', domain: 'cluster.local' }, portApi: { rest: off } },
      ports: node.ports!,
      source: node.source,
      hasDevice: () => true,
      log: { info: () => undefined, warn: () => undefined },
    })
    assert.equal(server, undefined)
  })
})
