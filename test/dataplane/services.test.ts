/** Fronts and backs of Services in the real kernel: written whole, left alone while nobody knows them, found again, repaired, and told when there is no room. */

import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '@kube-vrouter/daemon/config/config'
import { Dataplane } from '@kube-vrouter/daemon/dataplane/dataplane'
import { createLog } from '@kube-vrouter/daemon/log'
import { ip4Number } from '@kube-vrouter/daemon/maps/addresses'
import { FLOW_ACTION_NAT, FLOW_ACTIVE } from '@kube-vrouter/daemon/maps/constants'
import { openMaps } from '@kube-vrouter/daemon/maps/open'
import { backsOf, compareFronts, type KernelFront, listFronts, listRanges } from '@kube-vrouter/daemon/maps/services'
import { flowAllocCodec, flowCodec } from '@kube-vrouter/daemon/maps/structs'
import { decode, encode, u32Codec } from '@kube-vrouter/daemon/maps/table'
import type { BackSet, Front, Tables, Vif } from '@kube-vrouter/daemon/model/tables'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { SystemError } from '@kube-vrouter/linux/errors'
import { close } from '@kube-vrouter/linux/ffi'
import { openTap } from '@kube-vrouter/linux/tap'
import { NO_CONTEXT } from '../../daemon/src/maps/flows.ts'
import { until } from '../patience.ts'
import { buildObjects, requireRoot, Sandbox } from './sandbox.ts'

const limits: Config['limits'] = {
  ...{ vifs: 256, vrfs: 64, nexthops: 1024, labels: 512, routes: 1024, flows4: 1024, flows6: 512 },
  ...{ services: 64, backends: 1024, flowsPerVif: 100, trapRate: 100, trapBurst: 200 },
}

describe('Services in the kernel', function () {
  this.timeout(60_000)
  let sandbox: Sandbox
  let objects: string
  let pins: string
  let runs = 0
  const lines: Record<string, unknown>[] = []
  const { updateBatch, update } = BpfMap.prototype

  before(function () {
    requireRoot(this)
    sandbox = new Sandbox()
    objects = buildObjects(join(sandbox.folder, 'objects'))
    sandbox.run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'wire')
    for (const device of ['wire', 'eth0']) sandbox.run('ip', 'link', 'set', device, 'up')
    close(openTap({ name: 'vhost0', persist: true }).fd)
    sandbox.run('ip', 'link', 'set', 'vhost0', 'up')
    sandbox.run('ip', 'addr', 'add', '192.0.2.11/24', 'dev', 'vhost0')
  })
  after(() => sandbox?.[Symbol.dispose]())

  beforeEach(() => {
    lines.length = 0
    pins = join(sandbox.bpffs, `services${runs++}`)
  })
  afterEach(() => {
    Object.assign(BpfMap.prototype, { updateBatch, update })
    rmSync(pins, { recursive: true, force: true })
  })

  const open = (changes: Partial<Config['limits']> = {}) =>
    Dataplane.open({
      config: {
        node: 'node-1',
        paths: {
          ...{ state: sandbox.folder, run: sandbox.folder, pins, objects },
          ...{ cniConf: '', cniBin: '/opt/cni/bin', sysctl: '/proc/sys' },
        },
        limits: { ...limits, ...changes },
        ageing: { tcpSeconds: 180, otherSeconds: 60 },
        snat: { enabled: true, ports: '61000-65535', interfaces: [], linkLocal: false },
        tunnels: { dscp: 'copy', peers: [], oldPort: false },
        underlay: { vhost: 'vhost0', agent: 'pkt0' },
      },
      nic: 'eth0',
      log: createLog('info', { write: (line) => lines.push(JSON.parse(line)) }),
    })

  function tablesOf(dataplane: Dataplane, fronts?: readonly Front[]): Tables {
    const { underlay, vhost, agent } = dataplane.facts()
    const common = { vrf: 0, flowNexthop: 0, mtu: 1500, flags: 0, maxFlows: 0, mac: underlay.mac }
    const vifs: Vif[] = [
      { ...common, id: 0, type: 'physical', name: underlay.name, ifindex: underlay.ifindex },
      { ...common, id: 1, type: 'host', name: vhost.name, ifindex: vhost.ifindex },
      { ...common, id: 2, type: 'agent', name: agent.name, ifindex: agent.ifindex },
    ]
    return {
      ...{ vrfs: [{ id: 0, name: 'ip-fabric', uuid: '', forwardingVrf: 0 }], vifs, nexthops: [], labels: [] },
      ...{ inet: new Map(), inet6: new Map(), bridge: new Map(), neighbours: [], peers: [], hostRoutes: [] },
      ...(fronts && { fronts }),
      problems: [],
    }
  }

  const set = (...hosts: readonly number[]): BackSet => ({
    backs: hosts.map((host) => ({ address: `10.1.${host >> 8}.${host & 255}`, port: 8080 })),
    whenEmpty: 'reject',
  })
  const front = (n: number, inside: BackSet, more: Partial<Front> = {}): Front => ({
    ...{ vrf: 3, address: `10.96.${n >> 8}.${n & 255}`, listener: { protocol: 'TCP', port: 80 }, kind: 'cluster-ip' },
    ...{ service: { namespace: 'default', name: `s${n}`, port: 'http', family: 4 }, id: n, inside, outside: inside },
    ...{ local: inside },
    ...more,
  })

  /** What each front chooses from, as a program would see it. */
  async function inKernel(): Promise<string[]> {
    using tools = openMaps(pins)
    const fronts: KernelFront[] = []
    for await (const slice of listFronts(tools.services)) fronts.push(...slice)
    return fronts.sort(compareFronts).map((one) => {
      const backs = backsOf(tools.services, one.inside, one.address.includes(':') ? 6 : 4)
      return `${one.address}:${one.port}/${one.protocol} ${backs.map(({ address, port }) => `${address}:${port}`).join()}`
    })
  }
  const wanted = (fronts: readonly Front[]) =>
    fronts.map(({ address, listener, inside }) => {
      const backs = inside.backs.map((back) => `${back.address}:${back.port}`).join()
      return `${address}:${listener?.port ?? 0}/${listener === undefined ? 0 : 6} ${backs}`
    })

  it('are as the model says, IPv4 and IPv6, with their ranges, and nothing is written the second time', async () => {
    await using dataplane = await open()
    const six: Front = {
      ...front(3, { backs: [{ address: 'fd00:1::7', port: 9 }], whenEmpty: 'drop' }, { address: 'fd00:96::3' }),
      sourceRanges: ['2001:db8::/32'],
    }
    const { listener: _, ...itself } = front(1, set())
    const fronts = [itself, front(1, set(1, 2)), front(2, set()), six]
    const tables = tablesOf(dataplane, fronts)
    assert.deepEqual((await dataplane.apply(tables)).problems, [])
    assert.deepEqual(await inKernel(), wanted(fronts))
    const ranges: string[] = []
    for await (const slice of listRanges(dataplane.maps.services))
      ranges.push(...slice.map(({ service, source }) => `${service} ${source}`))
    assert.deepEqual(ranges, ['3 2001:db8::/32'])
    assert.equal((await dataplane.apply(tables)).written, 0)
  })

  it('stay as they are when a daemon starts that knows no Services yet, and are found again by one that does', async () => {
    const fronts = () => [front(1, set(1, 2, 3)), front(2, set(7))]
    {
      await using dataplane = await open()
      await dataplane.apply(tablesOf(dataplane, fronts()))
    }
    await using dataplane = await open()
    assert.equal((await dataplane.apply(tablesOf(dataplane))).deleted, 0)
    assert.deepEqual(await inKernel(), wanted(fronts()))
    const { written, deleted } = await dataplane.apply(tablesOf(dataplane, fronts()))
    assert.deepEqual([written, deleted], [0, 0])
    await dataplane.apply(tablesOf(dataplane, [front(1, set(2, 3))]))
    assert.deepEqual(await inKernel(), wanted([front(1, set(2, 3))]))
  })

  it('come through a change of the limits, though the source has not answered yet', async () => {
    const fronts = [front(1, set(1, 2, 3), { sourceRanges: ['192.0.2.0/24'] }), front(2, set(7))]
    {
      await using dataplane = await open()
      await dataplane.apply(tablesOf(dataplane, fronts))
    }
    await using dataplane = await open({ services: 128, backends: 2048 })
    await dataplane.apply(tablesOf(dataplane))
    assert.equal(dataplane.maps.services.backs.maxEntries, 2048)
    assert.deepEqual(await inKernel(), wanted(fronts))
    assert.equal((await dataplane.apply(tablesOf(dataplane, fronts))).written, 0)
  })

  it('are whole at every write, and whole again after a daemon that was stopped at any of them', async () => {
    const before = [front(1, set(1, 2)), front(2, set(3)), front(3, set(4, 5, 6))]
    const after = [front(1, set(1, 9)), front(3, set(8)), front(4, set(2))]
    const isEither = new Set([...wanted(before), ...wanted(after)])
    for (let stopAt = 0, isDone = false; !isDone; stopAt++) {
      pins = join(sandbox.bpffs, `stopped${runs}-${stopAt}`)
      {
        await using dataplane = await open()
        await dataplane.apply(tablesOf(dataplane, before))
      }
      {
        await using dataplane = await open()
        let writes = 0
        const count = (map: BpfMap) => {
          if (!map.name.startsWith('service_')) return
          if (writes++ >= stopAt) throw new SystemError('bpf', 12, 'stopped')
        }
        BpfMap.prototype.updateBatch = function (...args) {
          count(this)
          updateBatch.apply(this, args)
        }
        BpfMap.prototype.update = function (...args) {
          count(this)
          update.apply(this, args)
        }
        await dataplane.apply(tablesOf(dataplane, after))
        isDone = writes <= stopAt
        Object.assign(BpfMap.prototype, { updateBatch, update })
      }
      for (const line of await inKernel()) assert.ok(isEither.has(line), `stopped at ${stopAt}: ${line}`)
      await using dataplane = await open()
      assert.deepEqual((await dataplane.apply(tablesOf(dataplane, after))).problems, [])
      assert.deepEqual(await inKernel(), wanted(after))
      await dataplane[Symbol.asyncDispose]()
      rmSync(pins, { recursive: true, force: true })
    }
  })

  it('are repaired when others change them', async () => {
    await using dataplane = await open()
    const nodePort = { vrf: 0, address: '192.0.2.11', kind: 'node-port' } as const
    const ranged = { sourceRanges: ['192.0.2.0/24'] }
    const fronts = [front(3, set(4), nodePort), front(1, set(1, 2)), front(2, set(3), ranged)]
    await dataplane.apply(tablesOf(dataplane, fronts))
    const told: (string | undefined)[] = []
    dataplane.onDamage((damage) => told.push(damage))
    using tools = openMaps(pins, { readOnly: false })
    const { fronts: table, backs, ranges, nodePorts } = tools.services
    const listens = () => nodePorts.get(0)!.bits.some(Boolean)
    for (const [name, harm] of [
      ['service_fronts', () => table.delete([...table.entries()][0]![0])],
      ['service_backs', () => backs.map.update(encode(u32Codec, 1), new Uint8Array(backs.map.valueSize))],
      ['service_ranges', () => ranges.delete([...ranges.entries()][0]![0])],
      ['node_ports', () => nodePorts.set(0, { bits: new Uint8Array(nodePorts.get(0)!.bits.length) })],
    ] as const) {
      harm()
      await until(`${name}: told and repaired`, () => told.some((text) => text?.includes(name) === true))
      await until(`${name}: whole again`, () => told.at(-1) === undefined)
      assert.deepEqual(await inKernel(), wanted(fronts))
      assert.equal([...ranges.entries()].length, 1)
      assert.ok(listens())
      told.length = 0
    }
  })

  it('that find no room are told with the table and their name, and the others work', async () => {
    await using dataplane = await open()
    const fronts = Array.from({ length: 129 }, (_, n) => front(n, set()))
    const { problems } = await dataplane.apply(tablesOf(dataplane, fronts))
    const [problem] = problems
    assert.equal(problems.length, 1)
    assert.match(problem!.object, /^Service default\/s128, port http \(IPv4\): front 10\.96\.0\.128 port 80/)
    assert.match(problem!.message, /table service_fronts is full \(128 entries\)/)
    assert.deepEqual(await inKernel(), wanted(fronts.slice(0, 128)))
    const large = front(1, set(...Array.from({ length: 1000 }, (_, n) => n)))
    const [short] = (await dataplane.apply(tablesOf(dataplane, [large, front(2, set(7))]))).problems
    assert.match(short!.object, /^Service default\/s1, port http/)
    assert.match(short!.message, /table service_backs is full \(1024 entries\)/)
    assert.deepEqual((await inKernel()).slice(1), wanted([front(2, set(7))]))
  })

  it('end flows to an endpoint that is gone, with the program that they are loaded with', async () => {
    await using dataplane = await open()
    const { flow4, alloc, slots } = dataplane.maps.flows
    const udp = { listener: { protocol: 'UDP', port: 53 } } as const
    await dataplane.apply(tablesOf(dataplane, [front(1, set(1, 2), udp)]))
    const ends = { sip: ip4Number('10.1.0.7'), dip: ip4Number('10.96.0.1') }
    const key = { nhId: 20, ...ends, sport: 4000, dport: 53, proto: 17, context: NO_CONTEXT }
    const back = { ...key, sip: ip4Number('10.1.0.2'), dip: key.sip, sport: 8080, dport: 4000 }
    const flow = decode(flowCodec, new Uint8Array(flowCodec.size))
    const counts = decode(flowAllocCodec, alloc.lookup(encode(u32Codec, 0))!)
    for (const [index, one] of [key, back].entries()) {
      flow4.set(one, { ...flow, index, rindex: 1 - index, flags: FLOW_ACTIVE, action: FLOW_ACTION_NAT })
      const slot = Buffer.alloc(slots.valueSize)
      slot[0] = 2
      slot.set(encode(flow4.key, one), 4)
      slots.update(encode(u32Codec, index), slot)
    }
    const ip4 = { ...counts.ip4, entries: 2 }
    alloc.update(encode(u32Codec, 0), encode(flowAllocCodec, { ...counts, next: 2, added: 2n, ip4 }))
    await dataplane.apply(tablesOf(dataplane, [front(1, set(1, 2, 3), udp)]))
    assert.ok(flow4.get(key))
    await dataplane.apply(tablesOf(dataplane, [front(1, set(1, 3), udp)]))
    await until('the flow has ended', () => !flow4.get(key) && !flow4.get(back))
    await until('it is told', () => lines.some(({ msg }) => /flows to endpoints of Services/.test(String(msg))))
  })

  it('count from zero when a number is another Service’s', async () => {
    await using dataplane = await open()
    const { stats } = dataplane.maps.services
    await dataplane.apply(tablesOf(dataplane, [front(1, set(1))]))
    const counted = new Uint8Array(stats.map.elementSize).fill(1)
    stats.map.update(encode(u32Codec, 1), counted)
    await dataplane.apply(tablesOf(dataplane, [front(1, set(2)), front(1, set(2), { vrf: 4 })]))
    assert.notEqual(stats.get(1)!.connections, 0n)
    await dataplane.apply(tablesOf(dataplane, []))
    await dataplane.apply(tablesOf(dataplane, [front(1, set(1), { address: '10.96.7.7' })]))
    assert.deepEqual(stats.get(1), { connections: 0n, refused: 0n, dropped: 0n })
  })
})
