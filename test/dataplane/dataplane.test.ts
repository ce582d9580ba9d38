/** The dataplane against the real kernel: adopt, write, attach, repair, restart. Programs are stand-ins; the maps are the real ones. */

import assert from 'node:assert/strict'
import { readdirSync, rmSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '@kube-vrouter/daemon/config/config'
import { Dataplane } from '@kube-vrouter/daemon/dataplane/dataplane'
import type { ApplyResult } from '@kube-vrouter/daemon/dataplane/passes'
import { VROUTER_PROTOCOL } from '@kube-vrouter/daemon/ground/route-protocol'
import { createLog, type Log } from '@kube-vrouter/daemon/log'
import { ip4Number, ip4Text, ip6Bytes, ip6Text } from '@kube-vrouter/daemon/maps/addresses'
import { NH_FLAG_SNAT, NH_FLAG_VALID } from '@kube-vrouter/daemon/maps/constants'
import { readGlobals } from '@kube-vrouter/daemon/maps/globals'
import { nexthopById } from '@kube-vrouter/daemon/maps/nexthops'
import { openMaps } from '@kube-vrouter/daemon/maps/open'
import { lookupRoute } from '@kube-vrouter/daemon/maps/routes'
import { flowAllocCodec, flowCodec } from '@kube-vrouter/daemon/maps/structs'
import { decode, encode, u32Codec } from '@kube-vrouter/daemon/maps/table'
import { vifById } from '@kube-vrouter/daemon/maps/vifs'
import type { NumberedNexthop, Route, Tables, Vif } from '@kube-vrouter/daemon/model/tables'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { linkDetach, objGet, queryTcx, TcxAttach } from '@kube-vrouter/linux/bpf/syscall'
import { close } from '@kube-vrouter/linux/ffi'
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { newIngressFilter, newIngressQdisc } from '@kube-vrouter/linux/netlink/traffic-control'
import { readSysctl } from '@kube-vrouter/linux/sysctl'
import { openTap } from '@kube-vrouter/linux/tap'
import { NO_CONTEXT } from '../../daemon/src/maps/flows.ts'
import { longestTurnMs } from '../event-loop.ts'
import { until as untilTrue } from '../patience.ts'
import { buildObjects, requireRoot, Sandbox } from './sandbox.ts'

const limits: Config['limits'] = {
  ...{ vifs: 256, vrfs: 64, nexthops: 1024, labels: 512, routes: 32768, flows4: 1024, flows6: 512 },
  ...{ services: 64, backends: 512, flowsPerVif: 100, trapRate: 100, trapBurst: 200 },
}

describe('Dataplane', function () {
  this.timeout(30_000)
  let sandbox: Sandbox
  let objects: string
  let changedObjects: string
  let pinsCount = 0
  let pins: string
  const lines: Record<string, unknown>[] = []
  let onLine: (line: Record<string, unknown>) => void = () => {}
  const log: Log = createLog('debug', {
    write: (text) => {
      const line = JSON.parse(text)
      lines.push(line)
      onLine(line)
    },
  })
  const problemsLogged = () => lines.filter(({ level }) => level === 'warn' || level === 'error').map(({ msg }) => msg)

  before(function () {
    requireRoot(this)
    sandbox = new Sandbox()
    objects = buildObjects(join(sandbox.folder, 'objects'))
    changedObjects = buildObjects(join(sandbox.folder, 'changed'), { variant: 1 })
    sandbox.run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'wire')
    sandbox.run('ip', 'link', 'set', 'wire', 'up')
    sandbox.run('ip', 'link', 'set', 'eth0', 'up')
    makeVhost()
  })
  after(() => sandbox?.[Symbol.dispose]())

  function makeVhost(): void {
    close(openTap({ name: 'vhost0', persist: true }).fd)
    sandbox.run('ip', 'link', 'set', 'vhost0', 'up')
    sandbox.run('ip', 'addr', 'add', '192.0.2.11/24', 'dev', 'vhost0')
    sandbox.run('ip', 'route', 'add', 'default', 'via', '192.0.2.1', 'dev', 'vhost0')
  }

  beforeEach(() => {
    pins = join(sandbox.bpffs, `vrouter${pinsCount++}`)
    lines.length = 0
  })

  afterEach(() => {
    using route = RouteSocket.open()
    for (const { name, index } of route.links()) if (name.startsWith('tap')) route.deleteLink(index)
    rmSync(pins, { recursive: true, force: true }) // takes the programs off
  })

  const open = (
    changes: { objects?: string; limits?: Partial<Config['limits']>; resyncMs?: number; interfaces?: string[] } = {},
  ) =>
    Dataplane.open({
      config: {
        node: 'node-1',
        paths: {
          state: sandbox.folder,
          run: sandbox.folder,
          pins,
          objects: changes.objects ?? objects,
          cniConf: '',
          cniBin: '/opt/cni/bin',
          sysctl: '/proc/sys',
        },
        limits: { ...limits, ...changes.limits },
        ageing: { tcpSeconds: 180, otherSeconds: 60 },
        snat: { enabled: true, ports: '61000-65535', interfaces: changes.interfaces ?? [], linkLocal: false },
        tunnels: { dscp: 'copy', peers: [], oldPort: false },
        underlay: { vhost: 'vhost0', agent: 'pkt0' },
      },
      nic: 'eth0',
      log,
      resyncMs: changes.resyncMs,
    })

  // ---- the pods and tables of these tests

  const tapName = (n: number) => `tap${n.toString(16).padStart(12, '0')}`

  function addTap(n: number): number {
    sandbox.run('ip', 'link', 'add', tapName(n), 'type', 'veth', 'peer', 'name', `pod${n}`)
    return ifindexOf(tapName(n))
  }

  function ifindexOf(device: string): number {
    using route = RouteSocket.open()
    return route.link(device)!.index
  }

  const isUp = (device: string): boolean => {
    using route = RouteSocket.open()
    return route.link(device)!.up
  }

  /** Tables of a node with pods 1…n (vif 2 + i, nexthop 20 + i) and `remote` /32s of other nodes. */
  function tablesOf(dataplane: Dataplane, pods: readonly number[], remote = 0, more: Partial<Tables> = {}): Tables {
    const { underlay, vhost, agent } = dataplane.facts()
    const common = { vrf: 0, flowNexthop: 0, mtu: 1500, flags: 0, maxFlows: 0, mac: underlay.mac }
    const vifs: Vif[] = [
      { ...common, id: 0, type: 'physical', name: underlay.name, ifindex: underlay.ifindex },
      { ...common, id: 1, type: 'host', name: vhost.name, ifindex: vhost.ifindex },
      { ...common, id: 2, type: 'agent', name: agent.name, ifindex: agent.ifindex },
      ...pods.map(
        (n): Vif => ({
          ...{ ...common, id: 2 + n, type: 'virtual', name: tapName(n), ifindex: ifindexOf(tapName(n)), vrf: 2 },
          ...{ flowNexthop: 20 + n, peerMac: '02:00:00:00:00:01', ip4: `10.1.0.${n}`, label: 16 + n },
        }),
      ),
    ]
    const numbered = (id: number, nexthop: NumberedNexthop['nexthop']) => ({
      id,
      nexthop,
      isValid: true,
      references: 1,
    })
    const nexthops = [
      numbered(0, { type: 'discard' }),
      numbered(1, { type: 'discard' }),
      numbered(5, {
        ...({ type: 'tunnel', encapsulation: 'MPLSoUDP', source: '192.0.2.11', destination: '192.0.2.12' } as const),
        ...{ via: '192.0.2.12', dstMac: '02:00:00:00:00:bb', srcMac: underlay.mac, mtu: 1468 },
      }),
      ...pods.map((n) =>
        numbered(20 + n, {
          ...({ type: 'encap', family: 'inet', vif: 2 + n, vrf: 2, policy: true, role: 'interface' } as const),
          ...{ dstMac: '02:00:00:00:00:01', srcMac: '00:00:5e:00:01:00' },
        }),
      ),
    ]
    const flags = { arpProxy: true, arpFlood: false, arpTrap: false }
    const route = (address: string, nexthop: number, label: number): Route => ({
      ...{ address, prefixLength: 32, paths: [], nexthop, label, flags, kind: 'pod' },
    })
    const remoteRoutes = Array.from({ length: remote }, (_, i) => route(`10.2.${i >> 8}.${i & 255}`, 5, 100))
    return {
      vrfs: [
        { id: 0, name: 'ip-fabric', uuid: '', forwardingVrf: 0 },
        { id: 2, name: 'red', uuid: '', vn: 'red', label: 16, nexthop: 1, forwardingVrf: 2 },
      ],
      vifs,
      nexthops,
      labels: pods.map((n) => ({ label: 16 + n, nexthop: 20 + n })),
      inet: new Map([[2, [...pods.map((n) => route(`10.1.0.${n}`, 20 + n, 16 + n)), ...remoteRoutes]]]),
      inet6: new Map(),
      bridge: new Map([[2, [{ mac: '02:00:00:00:00:01', index: 1, nexthop: 21, floodDhcp: false, peer: 'Local' }]]]),
      neighbours: ['192.0.2.12'],
      peers: [],
      hostRoutes: [],
      problems: [],
      ...more,
    }
  }

  const settled = (result: ApplyResult) => {
    const { written, deleted, attached, problems } = result
    return { written, deleted, attached, problems: problems.length }
  }
  const nothing = { written: 0, deleted: 0, attached: 0, problems: 0 }

  const epochOf = (dataplane: Dataplane) => readGlobals(dataplane.maps.globals).epoch
  const programsOn = (device: string, attach: 46 | 47 = TcxAttach.INGRESS) =>
    queryTcx(ifindexOf(device), attach).programs

  const until = (condition: () => boolean, what: string) => untilTrue(what, condition)

  // ---- what is put into the kernel

  it('brings tables, programs and neighbours into the kernel, and does nothing the second time', async () => {
    addTap(1)
    await using dataplane = await open()
    assert.deepEqual(programsOn('eth0'), [], 'nothing is in service before the first tables')
    const tables = tablesOf(dataplane, [1], 300)
    const first = await dataplane.apply(tables)
    assert.deepEqual(first.problems, [])
    assert.equal(first.attached, 4)

    using tools = openMaps(pins)
    assert.equal(vifById(tools.vifs, tools.vifDevices, 3)?.name, tapName(1))
    assert.equal(lookupRoute(tools.routes, 2, '10.1.0.1')?.nexthop, 21)
    assert.equal(lookupRoute(tools.routes, 2, '10.2.1.43')?.label, 100)
    assert.equal(nexthopById(tools.nexthops, 21)?.ifindex, ifindexOf(tapName(1)))
    const globals = readGlobals(tools.globals)
    assert.deepEqual(
      [globals.abi, globals.underlayIp, globals.fabricIfindex, globals.vhostIfindex, globals.agentIfindex],
      [1, 0xc000020b, ifindexOf('eth0'), ifindexOf('vhost0'), ifindexOf('pkt0')],
    )
    assert.notEqual(globals.hashSeed, 0)
    for (const [device, attach] of [
      ['eth0', TcxAttach.INGRESS],
      ['vhost0', TcxAttach.EGRESS],
      ['pkt0', TcxAttach.INGRESS],
      [tapName(1), TcxAttach.INGRESS],
    ] as const) {
      assert.equal(programsOn(device, attach).length, 1, device)
    }
    assert.deepEqual(readdirSync(join(pins, 'links')).sort(), ['agent-2', 'fabric-0', 'tap-3', 'vhost-1'])
    assert.match(sandbox.run('ip', 'neigh', 'show', 'dev', 'vhost0'), /^192\.0\.2\.12 .*managed.*proto 118/m)

    const epoch = epochOf(dataplane)
    assert.deepEqual(settled(await dataplane.apply(tablesOf(dataplane, [1], 300))), nothing)
    assert.equal(epochOf(dataplane), epoch, 'no change, no new epoch')
  })

  it('takes a tap up only with its program on it, quiet towards the host, and down before it loses it', async () => {
    addTap(1)
    await using dataplane = await open()
    assert.equal(isUp(tapName(1)), false)
    await dataplane.apply(tablesOf(dataplane, [1]))
    assert.equal(isUp(tapName(1)), true)
    const conf = (family: string, key: string) => readSysctl(['net', family, 'conf', tapName(1), key])
    assert.deepEqual(
      [conf('ipv4', 'forwarding'), conf('ipv4', 'proxy_arp'), conf('ipv4', 'arp_ignore')],
      ['0', '0', '8'],
    )
    assert.equal(conf('ipv6', 'disable_ipv6'), '1')
    await dataplane.apply(tablesOf(dataplane, []))
    assert.equal(isUp(tapName(1)), false)
    assert.equal(programsOn(tapName(1)).length, 0)
    assert.deepEqual(readdirSync(join(pins, 'links')).sort(), ['agent-2', 'fabric-0', 'vhost-1'])
    assert.equal(vifById(dataplane.maps.vifs, dataplane.maps.vifDevices, 3), undefined)
    assert.equal(lookupRoute(dataplane.maps.routes, 2, '10.1.0.1'), undefined)
    assert.equal(nexthopById(dataplane.maps.nexthops, 21), undefined)
  })

  it('finds in the kernel what a port needs, and names what is missing, different or detached', async () => {
    addTap(1)
    await using dataplane = await open()
    const tables = tablesOf(dataplane, [1], 3)
    const vifs = tables.vifs.map((vif) => (vif.id === 3 ? { ...vif, port: 'u1' } : vif))
    await dataplane.apply({ ...tables, vifs })
    const whole = dataplane.verifyPort('u1')
    assert.deepEqual(whole.mismatches, [])
    assert.deepEqual(whole.verified, [
      `program tap on ${tapName(1)}`,
      'nexthop 21',
      'label 17',
      'bridge entry 02:00:00:00:00:01 of VRF 2',
      'route 10.1.0.1/32 of VRF 2',
      'device of vif 3',
      `vif with ifindex ${ifindexOf(tapName(1))}`,
    ])
    assert.equal(dataplane.verifyPort('u2').mismatches.length, 1)

    dataplane.maps.vifDevices.set(3, 99)
    dataplane.maps.mpls.set(17, 0)
    const link = objGet(join(pins, 'links/tap-3'))
    linkDetach(link)
    close(link)
    assert.deepEqual(dataplane.verifyPort('u1').mismatches, [
      `program tap is not attached to ${tapName(1)}`,
      'label 17 is different in the kernel',
      'device of vif 3 is different in the kernel',
    ])
    await dataplane.resync()
    assert.deepEqual(dataplane.verifyPort('u1').mismatches, [])
  })

  const filtersOn = (device: string) => sandbox.run('tc', 'filter', 'show', 'dev', device, 'ingress')
  const qdiscsOn = (device: string) => sandbox.run('tc', 'qdisc', 'show', 'dev', device)

  it('gives the tap of a new pod its program by a filter at once, and its link when it is quiet', async () => {
    await using dataplane = await open()
    await dataplane.apply(tablesOf(dataplane, []))
    addTap(1)
    assert.deepEqual(settled(await dataplane.apply(tablesOf(dataplane, [1]))).attached, 1)
    assert.match(filtersOn(tapName(1)), /bpf .*tap direct-action/)
    assert.equal(isUp(tapName(1)), true)
    assert.deepEqual(programsOn(tapName(1)), [])
    assert.deepEqual(settled(await dataplane.apply(tablesOf(dataplane, [1]))), nothing)
    const vifs = tablesOf(dataplane, [1]).vifs.map((vif) => (vif.id === 3 ? { ...vif, port: 'u1' } : vif))
    await dataplane.apply({ ...tablesOf(dataplane, [1]), vifs })
    assert.deepEqual(dataplane.verifyPort('u1').mismatches, [])
    sandbox.run('tc', 'filter', 'del', 'dev', tapName(1), 'ingress')
    assert.deepEqual(dataplane.verifyPort('u1').mismatches, [`program tap is not attached to ${tapName(1)}`])
    await until(() => programsOn(tapName(1)).length === 1, 'the link')
    await until(() => filtersOn(tapName(1)).trim() === '', 'no filter any more')
    assert.deepEqual(readdirSync(join(pins, 'links')).sort(), ['agent-2', 'fabric-0', 'tap-3', 'vhost-1'])
    assert.deepEqual(dataplane.verifyPort('u1').mismatches, [])
  })

  it('makes no links in a resync for taps that wait for them: each takes the kernel a while, and a new pod would wait for all', async () => {
    await using dataplane = await open({ resyncMs: 60_000 })
    await dataplane.apply(tablesOf(dataplane, []))
    for (const n of [1, 2, 3]) addTap(n)
    await dataplane.apply(tablesOf(dataplane, [1, 2, 3]))
    sandbox.run('tc', 'filter', 'del', 'dev', tapName(2), 'ingress')
    await dataplane.resync()
    assert.match(filtersOn(tapName(1)), /bpf .*tap direct-action/)
    assert.deepEqual(
      [1, 2, 3].map((n) => programsOn(tapName(n)).length),
      [0, 1, 0],
    )
    await until(() => [1, 3].every((n) => programsOn(tapName(n)).length === 1), 'the links')
  })

  it('takes a provisional tap out of service as any other, and makes links of all when it is closed', async () => {
    {
      await using dataplane = await open()
      await dataplane.apply(tablesOf(dataplane, []))
      for (const n of [1, 2, 3]) addTap(n)
      await dataplane.apply(tablesOf(dataplane, [1, 2, 3]))
      await dataplane.apply(tablesOf(dataplane, [1, 3]))
      assert.equal(isUp(tapName(2)), false)
      assert.equal(filtersOn(tapName(2)).trim(), '')
      // The device goes while it waits for its link.
      sandbox.run('ip', 'link', 'del', tapName(3))
    }
    assert.equal(programsOn(tapName(1)).length, 1)
    assert.equal(filtersOn(tapName(1)).trim(), '')
    assert.deepEqual(readdirSync(join(pins, 'links')).sort(), ['agent-2', 'fabric-0', 'tap-3', 'vhost-1'])
    assert.deepEqual(problemsLogged(), [])
  })

  it('removes the filter of a daemon that was killed before it made the link, and leaves those of others alone', async () => {
    for (const n of [1, 2]) addTap(n)
    {
      await using dataplane = await open()
      await dataplane.apply(tablesOf(dataplane, [1]))
    }
    // As a killed daemon leaves it: a filter and no link. And another one that somebody else made.
    const program = objGet(join(pins, 'programs/tap'))
    using route = RouteSocket.open()
    const index = ifindexOf(tapName(2))
    route.applyAll([
      newIngressQdisc(index),
      newIngressFilter({ index, priority: 0x7652 }, program, 'ours'),
      newIngressFilter({ index, priority: 9 }, program, 'theirs'),
    ])
    close(program)
    assert.match(filtersOn(tapName(2)), /ours/)
    await using dataplane = await open()
    await dataplane.apply(tablesOf(dataplane, [1, 2]))
    assert.equal(programsOn(tapName(2)).length, 1)
    assert.doesNotMatch(filtersOn(tapName(2)), /ours/)
    assert.match(filtersOn(tapName(2)), /pref 9 bpf .*theirs/)
  })

  it('puts no filter where somebody else filters already', async () => {
    await using dataplane = await open()
    await dataplane.apply(tablesOf(dataplane, []))
    addTap(1)
    sandbox.run('tc', 'qdisc', 'add', 'dev', tapName(1), 'ingress')
    await dataplane.apply(tablesOf(dataplane, [1]))
    assert.equal(programsOn(tapName(1)).length, 1)
    assert.match(qdiscsOn(tapName(1)), /ingress/)
    assert.equal(filtersOn(tapName(1)).trim(), '')
  })

  it('raises the epoch once for a change of routes, and not for others', async () => {
    addTap(1)
    await using dataplane = await open()
    const tables = tablesOf(dataplane, [1], 10)
    await dataplane.apply(tables)
    const epoch = epochOf(dataplane)
    await dataplane.apply({ ...tables, labels: [...tables.labels, { label: 99, nexthop: 1 }] })
    assert.equal(epochOf(dataplane), epoch)
    await dataplane.apply(tablesOf(dataplane, [1], 8))
    assert.equal(epochOf(dataplane), epoch + 1)
  })

  it('takes tunnels from the nodes that there are, and lets flows learn who came and went', async () => {
    await using dataplane = await open()
    const tables = tablesOf(dataplane, [])
    const { inet, inet6 } = dataplane.maps.peers
    const seen = () => [[...inet.entries()].map(([{ ip }]) => ip4Text(ip)).sort(), [...inet6.entries()].length]
    await dataplane.apply({
      ...tables,
      peers: [{ address: '192.0.2.2', address6: 'fd00::2' }, { address: '192.0.2.3' }],
    })
    assert.deepEqual(seen(), [['192.0.2.2', '192.0.2.3'], 1])
    assert.equal(inet6.get({ ip: ip6Bytes('fd00::2') })!.node, ip4Number('192.0.2.2'))
    const epoch = epochOf(dataplane)
    await dataplane.apply({ ...tables, peers: [{ address: '192.0.2.3' }] })
    assert.deepEqual(seen(), [['192.0.2.3'], 0])
    assert.equal(epochOf(dataplane), epoch + 1)
    // what others did to them is repaired
    inet.set({ ip: ip4Number('192.0.2.66') }, { nh: 0, node: ip4Number('192.0.2.66') })
    inet.delete({ ip: ip4Number('192.0.2.3') })
    await dataplane.resync()
    assert.deepEqual(seen(), [['192.0.2.3'], 0])
    assert.ok(epochOf(dataplane) > epoch + 1)
  })

  it('lets flows learn of a change that a pass could not finish', async () => {
    addTap(1)
    await using dataplane = await open()
    const tables = tablesOf(dataplane, [1], 10)
    await dataplane.apply(tables)
    const epoch = epochOf(dataplane)
    const next = tablesOf(dataplane, [1], 11)
    const { vifs } = next
    const isWritten = () => lookupRoute(dataplane.maps.routes, 2, '10.2.0.10') !== undefined
    let failures = 0
    const failing = {
      ...next,
      get vifs() {
        if (failures === 0 && isWritten()) {
          failures++
          throw new Error('no more of this pass')
        }
        return vifs
      },
    }
    await assert.rejects(dataplane.apply(failing), /no more of this pass/)
    await until(() => epochOf(dataplane) > epoch, 'flows look again')
    assert.deepEqual([failures, isWritten()], [1, true])
  })

  it('believes no node that the programs remember from before it was killed', async () => {
    const before = await open()
    await before.apply(tablesOf(before, []))
    using cache = BpfMap.openPinned(join(pins, 'maps', 'peer_cache'))
    const slot = encode(u32Codec, 7)
    cache.update(slot, Buffer.alloc(8, 0xff))
    await before[Symbol.asyncDispose]()

    await using after = await open()
    await after.apply(tablesOf(after, []))
    assert.deepEqual(Buffer.from(cache.lookup(slot)!), Buffer.alloc(8))
  })

  it('tells the datapath of SNAT only while a network wants it, and lets flows learn of that', async () => {
    addTap(1)
    await using dataplane = await open()
    const tables = tablesOf(dataplane, [1])
    const snat = {
      id: 9,
      nexthop: { type: 'vrf-translate', vrf: 0, snat: true },
      isValid: true,
      references: 1,
    } as const
    const seen = () => {
      const { snatPort, snatPorts, hostNh } = readGlobals(dataplane.maps.globals)
      return { snatPort, snatPorts, hostNh }
    }
    const host = { ...tables.vifs[1]!, flowNexthop: 7 }
    await dataplane.apply({ ...tables, vifs: tables.vifs.with(1, host) })
    assert.deepEqual(seen(), { snatPort: 0, snatPorts: 0, hostNh: 7 })
    const epoch = epochOf(dataplane)
    const wanted = { ...tables, vifs: tables.vifs.with(1, host), nexthops: [...tables.nexthops, snat] }
    await dataplane.apply(wanted)
    assert.deepEqual(seen(), { snatPort: 61000, snatPorts: 4536, hostNh: 7 })
    assert.equal(nexthopById(dataplane.maps.nexthops, 9)!.flags, NH_FLAG_VALID + NH_FLAG_SNAT)
    assert.equal(epochOf(dataplane), epoch + 1)
    await dataplane.apply({ ...wanted })
    assert.equal(epochOf(dataplane), epoch + 1)
    await dataplane.apply({ ...tables, vifs: tables.vifs.with(1, host) })
    assert.deepEqual(seen(), { snatPort: 0, snatPorts: 0, hostNh: 7 })
    assert.equal(epochOf(dataplane), epoch + 2)
  })

  describe('ways out beside the underlay', () => {
    const snat = {
      id: 9,
      nexthop: { type: 'vrf-translate', vrf: 0, snat: true },
      isValid: true,
      references: 1,
    } as const
    const withSnat = (dataplane: Dataplane): Tables => {
      const tables = tablesOf(dataplane, [])
      return { ...tables, nexthops: [...tables.nexthops, snat] }
    }
    const exits = (dataplane: Dataplane) =>
      [...dataplane.maps.exits.entries()].map(([ifindex, { ip, mtu, ip6 }]) => [
        ifindex,
        ip4Text(ip),
        mtu,
        ip6Text(ip6),
      ])
    const entry = () => [ifindexOf('exit0'), '198.51.100.1', 1400, '2001:db8:77::1']
    const apply = async (dataplane: Dataplane) => settled(await dataplane.apply(withSnat(dataplane)))

    beforeEach(() => {
      sandbox.run('ip', 'link', 'add', 'exit0', 'type', 'veth', 'peer', 'name', 'wire2')
      sandbox.run('ip', 'link', 'add', 'unnamed', 'type', 'veth', 'peer', 'name', 'wire3')
      for (const device of ['exit0', 'wire2', 'unnamed', 'wire3']) sandbox.run('ip', 'link', 'set', device, 'up')
      sandbox.run('ip', 'link', 'set', 'exit0', 'mtu', '1400')
      sandbox.run('ip', 'addr', 'add', '198.51.100.1/24', 'dev', 'exit0')
      sandbox.run('ip', 'addr', 'add', '2001:db8:77::1/64', 'dev', 'exit0', 'nodad')
      sandbox.run('ip', 'addr', 'add', '203.0.113.1/24', 'dev', 'unnamed')
    })
    afterEach(() => {
      using route = RouteSocket.open()
      for (const name of ['exit0', 'unnamed']) {
        const link = route.link(name)
        if (link !== undefined) route.deleteLink(link.index)
      }
    })

    it('are opened while a network wants SNAT, with the program on them first, and flows learn of that', async () => {
      await using dataplane = await open({ interfaces: ['exit0'] })
      await dataplane.apply(tablesOf(dataplane, []))
      assert.deepEqual([exits(dataplane), programsOn('exit0').length], [[], 0])
      const epoch = epochOf(dataplane)
      assert.equal((await apply(dataplane)).problems, 0)
      assert.deepEqual([exits(dataplane), programsOn('exit0').length, programsOn('unnamed').length], [[entry()], 1, 0])
      assert.ok(epochOf(dataplane) > epoch)
      await dataplane.apply(tablesOf(dataplane, []))
      assert.deepEqual([exits(dataplane), programsOn('exit0').length], [[], 0])
      assert.ok(!readdirSync(join(pins, 'links')).some((name) => name.startsWith('outside-')))
    })

    it('are none that isn’t named and doesn’t stand for hardware', async () => {
      await using dataplane = await open({ interfaces: ['auto'] })
      await apply(dataplane)
      assert.deepEqual([exits(dataplane), programsOn('exit0').length], [[], 0])
    })

    it('stay as they are when the daemon is killed and comes back', async () => {
      const before = await open({ interfaces: ['exit0'] })
      await apply(before)
      const [program] = programsOn('exit0')
      await before[Symbol.asyncDispose]()
      assert.deepEqual(programsOn('exit0'), [program])
      await using after = await open({ interfaces: ['exit0'] })
      const epoch = epochOf(after)
      assert.deepEqual(await apply(after), nothing)
      assert.deepEqual([programsOn('exit0'), exits(after), epochOf(after)], [[program], [entry()], epoch])
    })

    it('follow their addresses, and go with their device', async () => {
      await using dataplane = await open({ interfaces: ['exit0'] })
      await apply(dataplane)
      const changed = async (what: string, isSo: () => boolean) => {
        await until(isSo, what)
        await apply(dataplane)
      }
      const device = () => dataplane.facts().otherDevices?.find(({ name }) => name === 'exit0')
      sandbox.run('ip', 'addr', 'del', '198.51.100.1/24', 'dev', 'exit0')
      await changed('the facts without the address', () => device()?.address === undefined)
      assert.deepEqual(exits(dataplane), [entry().with(1, '0.0.0.0')])
      sandbox.run('ip', 'link', 'set', 'exit0', 'down')
      await changed('the facts without the device', () => device() === undefined)
      assert.deepEqual([exits(dataplane), programsOn('exit0').length], [[], 0])
      sandbox.run('ip', 'link', 'set', 'exit0', 'up')
      sandbox.run('ip', 'addr', 'add', '198.51.100.1/24', 'dev', 'exit0')
      sandbox.run('ip', 'addr', 'replace', '2001:db8:77::1/64', 'dev', 'exit0', 'nodad')
      await changed(
        'the facts with all of it',
        () => device()?.address !== undefined && device()?.address6 !== undefined,
      )
      assert.deepEqual([exits(dataplane), programsOn('exit0').length], [[entry()], 1])
      sandbox.run('ip', 'link', 'del', 'exit0')
      await changed('the facts without the device', () => device() === undefined)
      assert.deepEqual(exits(dataplane), [])
    })

    it('get back what others have taken: the program, or the entry', async () => {
      await using dataplane = await open({ interfaces: ['exit0'] })
      await apply(dataplane)
      dataplane.maps.exits.delete(ifindexOf('exit0'))
      const link = objGet(join(pins, 'links', `outside-${ifindexOf('exit0')}`))
      linkDetach(link)
      close(link)
      assert.equal(programsOn('exit0').length, 0)
      await dataplane.resync()
      assert.deepEqual([exits(dataplane), programsOn('exit0').length], [[entry()], 1])
    })
  })

  it('lets an entry that is refused stop nothing else, and writes it as soon as it can', async () => {
    addTap(1)
    await using dataplane = await open({ limits: { routes: 20 } })
    const { problems } = await dataplane.apply(tablesOf(dataplane, [1], 30))
    assert.equal(problems.length, 11)
    assert.match(problems[0]!.message, /table route4_host is full \(20 entries\)/)
    assert.match(problems[0]!.object, /^route 10\.2\.0\.\d+\/32 of VRF 2$/)
    assert.equal(lookupRoute(dataplane.maps.routes, 2, '10.1.0.1')?.nexthop, 21)
    assert.equal(programsOn(tapName(1)).length, 1)
    const errors = lines.filter(({ level }) => level === 'error').length
    await sleep(700)
    assert.equal(lines.filter(({ level }) => level === 'error').length, errors, 'a problem is logged once')
    assert.deepEqual((await dataplane.apply(tablesOf(dataplane, [1], 15))).problems, [])
    assert.ok(lookupRoute(dataplane.maps.routes, 2, '10.2.0.14'))
    assert.ok(lines.some(({ msg }) => /table route4_host is nearly full: 20 of 20/.test(String(msg))))
  })

  it('warns of a flow table that is nearly full, once', async () => {
    addTap(1)
    await using dataplane = await open()
    const { alloc } = dataplane.maps.flows
    const counters = decode(flowAllocCodec, alloc.lookup(encode(u32Codec, 0))!)
    const fill = (share: number) => {
      const added = counters.deleted + BigInt(Math.round(counters.size * share))
      alloc.update(encode(u32Codec, 0), encode(flowAllocCodec, { ...counters, added }))
    }
    const warnings = () => lines.filter(({ msg }) => /table flow_slots is nearly full/.test(String(msg))).length
    fill(0.7)
    await dataplane.apply(tablesOf(dataplane, [1]))
    assert.equal(warnings(), 0)
    fill(0.9)
    await dataplane.apply(tablesOf(dataplane, [1]))
    await dataplane.apply(tablesOf(dataplane, [1]))
    assert.equal(warnings(), 1)
  })

  it('makes a problem of a vif whose device is gone', async () => {
    addTap(1)
    addTap(2)
    await using dataplane = await open()
    const tables = tablesOf(dataplane, [1, 2])
    sandbox.run('ip', 'link', 'del', tapName(1))
    const { problems, attached } = await dataplane.apply(tables)
    assert.deepEqual([problems.length, problems[0]?.object, attached], [1, `vif 3 (${tapName(1)})`, 4])
    addTap(1)
    assert.deepEqual((await dataplane.apply(tablesOf(dataplane, [1, 2]))).problems, [])
  })

  // ---- restart

  it('adopts everything after it was killed: nothing is written, and the running programs stay', async () => {
    for (const n of [1, 2, 3]) addTap(n)
    const before = await open()
    await before.apply(tablesOf(before, [1, 2, 3], 500))
    const programs = programsOn(tapName(2))
    const ids = readdirSync(join(pins, 'maps')).length
    const epoch = epochOf(before)
    await before[Symbol.asyncDispose]()
    assert.deepEqual(programsOn(tapName(2)), programs, 'the network outlives the daemon')

    await using after = await open()
    const tables = tablesOf(after, [1, 2, 3], 500)
    assert.deepEqual(settled(await after.apply(tables)), nothing)
    assert.deepEqual(programsOn(tapName(2)), programs)
    assert.equal(readdirSync(join(pins, 'maps')).length, ids)
    assert.equal(epochOf(after), epoch)
    assert.deepEqual(problemsLogged(), [])
  })

  it('loads nothing anew while the object files are the same', async () => {
    const restart = async (changes: Parameters<typeof open>[0] = {}) => {
      lines.length = 0
      await using dataplane = await open(changes)
      await dataplane.apply(tablesOf(dataplane, []))
      return {
        program: programsOn('eth0')[0]?.programId,
        loads: lines.filter(({ msg }) => /^loaded /.test(String(msg))).length,
      }
    }
    const first = await restart()
    assert.equal(first.loads, 6)
    assert.deepEqual(await restart(), { program: first.program, loads: 0 })
    rmSync(join(sandbox.folder, 'datapath.json'))
    assert.deepEqual(await restart(), { program: first.program, loads: 6 }, 'compared, and the running ones kept')
    assert.deepEqual(await restart(), { program: first.program, loads: 0 })
    assert.notEqual((await restart({ objects: changedObjects })).program, first.program)
  })

  it('forgets what flows of a removed pod had learnt', async () => {
    addTap(1)
    addTap(2)
    await using dataplane = await open()
    await dataplane.apply(tablesOf(dataplane, [1, 2]))
    const { flow4 } = dataplane.maps.flows
    const key = (nhId: number) => ({ nhId, sip: 1, dip: 2, sport: 3, dport: 4, proto: 17, context: NO_CONTEXT })
    const flow = { ...decode(flowCodec, new Uint8Array(flowCodec.size)), nh: 1 }
    flow4.set(key(21), flow)
    flow4.set(key(22), flow)
    flow4.set(key(30), { ...flow, nh: 22 })
    flow4.set(key(31), { ...flow, srcNh: 22 })
    await dataplane.apply(tablesOf(dataplane, [1]))
    await until(() => [...flow4.entries()].length === 1, 'flows of the removed nexthop are gone')
    assert.ok(flow4.get(key(21)))
  })

  it('lets who gets a used vif id count from zero, and leaves the counters of the others', async () => {
    addTap(1)
    addTap(2)
    await using dataplane = await open()
    const { vifStats } = dataplane.maps
    const count = (id: number) =>
      vifStats.map.update(encode(u32Codec, id), new Uint8Array(vifStats.map.elementSize).fill(1))
    await dataplane.apply(tablesOf(dataplane, [1, 2]))
    count(3)
    count(4)
    await dataplane.apply(tablesOf(dataplane, [2]))
    await dataplane.apply(tablesOf(dataplane, [1, 2]))
    assert.equal(vifStats.get(3)?.rxPackets, 0n)
    assert.notEqual(vifStats.get(4)?.rxPackets, 0n)
  })

  it('removes at the start what is nobody’s any more, and keeps the rest', async () => {
    for (const n of [1, 2]) addTap(n)
    const before = await open()
    await before.apply(tablesOf(before, [1, 2], 100))
    await before[Symbol.asyncDispose]()
    sandbox.run('ip', 'link', 'del', tapName(2))

    await using after = await open()
    const result = await after.apply(tablesOf(after, [1], 50))
    assert.equal(result.written, 0)
    assert.ok(result.deleted >= 50)
    assert.equal(lookupRoute(after.maps.routes, 2, '10.1.0.2'), undefined)
    assert.equal(lookupRoute(after.maps.routes, 2, '10.1.0.1')?.nexthop, 21)
    assert.deepEqual(readdirSync(join(pins, 'links')).sort(), ['agent-2', 'fabric-0', 'tap-3', 'vhost-1'])
  })

  it('puts a changed program into the running links', async () => {
    addTap(1)
    const before = await open()
    await before.apply(tablesOf(before, [1]))
    const [old] = programsOn(tapName(1))
    await before[Symbol.asyncDispose]()
    await using after = await open({ objects: changedObjects })
    assert.equal(programsOn(tapName(1))[0]?.programId, old?.programId, 'not before the tables are there')
    await after.apply(tablesOf(after, [1]))
    const [updated, ...others] = programsOn(tapName(1))
    assert.deepEqual(others, [])
    assert.equal(updated?.linkId, old?.linkId)
    assert.notEqual(updated?.programId, old?.programId)
  })

  it('makes maps of another size anew beside the old ones, which serve until the programs change over', async () => {
    addTap(1)
    const before = await open()
    await before.apply(tablesOf(before, [1], 20))
    await before[Symbol.asyncDispose]()
    const size = () => {
      using tools = openMaps(pins)
      return [tools.routes.host4.maxEntries, lookupRoute(tools.routes, 2, '10.1.0.1')?.nexthop]
    }
    await using after = await open({ limits: { routes: 1000 } })
    assert.deepEqual(size(), [32768, 21])
    const { problems } = await after.apply(tablesOf(after, [1], 20))
    assert.deepEqual(problems, [])
    assert.deepEqual(size(), [1000, 21])
    assert.deepEqual(readdirSync(join(pins, 'maps-new')), [])
  })

  // ---- damage

  it('repairs what others have damaged', async () => {
    addTap(1)
    await using dataplane = await open({ resyncMs: 60_000 })
    await dataplane.apply(tablesOf(dataplane, [1], 50))
    using tools = openMaps(pins, { readOnly: false })
    const key = { vrf: 2, ip: 0x0a010001 }
    tools.routes.host4.delete(key)
    tools.routes.host4.set(
      { vrf: 2, ip: 0x0a090909 },
      { nh: 5, label: 1, macIndex: 0, mac: new Uint8Array(6), flags: 0, plen: 32 },
    )
    tools.mpls.set(17, 999)
    for (const pin of ['maps/vifs', 'programs/tap', 'links/vhost-1', 'links/tap-3']) unlinkSync(join(pins, pin))
    const fabric = objGet(join(pins, 'links/fabric-0'))
    linkDetach(fabric)
    close(fabric)
    sandbox.run('ip', 'link', 'set', tapName(1), 'down')
    sandbox.run('ip', 'neigh', 'del', '192.0.2.12', 'dev', 'vhost0')

    const result = await dataplane.resync()
    assert.deepEqual(result.problems, [])
    assert.equal(tools.routes.host4.get(key)?.nh, 21)
    assert.equal(tools.routes.host4.get({ vrf: 2, ip: 0x0a090909 }), undefined)
    assert.equal(tools.mpls.get(17), 21)
    for (const [device, attach] of [
      ['eth0', TcxAttach.INGRESS],
      ['vhost0', TcxAttach.EGRESS],
      [tapName(1), TcxAttach.INGRESS],
    ] as const) {
      assert.equal(programsOn(device, attach).length, 1, device)
    }
    for (const pin of ['maps/vifs', 'programs/tap', 'links/vhost-1', 'links/tap-3', 'links/fabric-0']) {
      assert.ok(readdirSync(join(pins, pin, '..')).includes(pin.split('/')[1]!), pin)
    }
    assert.equal(isUp(tapName(1)), true)
    assert.match(sandbox.run('ip', 'neigh', 'show', 'dev', 'vhost0'), /192\.0\.2\.12 .*managed/)
    assert.ok(problemsLogged().some((msg) => /entries of route4_host were changed by others/.test(String(msg))))
  })

  it('notices by itself when a tap is taken down, a program detached or pkt0 deleted', async () => {
    addTap(1)
    await using dataplane = await open()
    await dataplane.apply(tablesOf(dataplane, [1]))
    sandbox.run('ip', 'link', 'set', tapName(1), 'down')
    await until(() => isUp(tapName(1)), 'the tap is up again')
    const link = objGet(join(pins, 'links/tap-3'))
    linkDetach(link)
    close(link)
    assert.equal(programsOn(tapName(1)).length, 0)
    await until(() => programsOn(tapName(1)).length === 1, 'the program is back')
    const agents: number[] = []
    dataplane.onFacts(({ agent }) => agents.push(agent.ifindex))
    sandbox.run('ip', 'link', 'del', 'pkt0')
    await until(() => agents.length > 0, 'pkt0 is back')
    assert.equal(agents.at(-1), ifindexOf('pkt0'))
  })

  it('repairs what is damaged at the end of a pass', async () => {
    await using dataplane = await open({ resyncMs: 600_000 })
    const { monitor } = dataplane.watch
    using route = RouteSocket.open()
    const wanted = { destination: '198.51.100.1', prefixLength: 32, gateway: '192.0.2.1', source: '192.0.2.11' }
    const isThere = () => route.routes({ family: 4 }).find(({ destination }) => destination === wanted.destination)
    onLine = ({ msg }) => {
      if (msg !== 'the kernel has the desired tables') return
      onLine = () => {}
      const lost = isThere()!
      sandbox.run('ip', 'route', 'del', `${wanted.destination}/32`)
      // Word of it comes now, and not a second time.
      monitor.emit('event', { kind: 'route', action: 'del', route: lost })
      monitor.removeAllListeners('event')
    }
    await dataplane.apply({ ...tablesOf(dataplane, []), hostRoutes: [wanted] })
    await until(() => isThere() !== undefined, 'the host route is back')
  })

  it('repairs what it has no word of', async () => {
    await using dataplane = await open({ resyncMs: 600_000 })
    const { monitor } = dataplane.watch
    await dataplane.apply(tablesOf(dataplane, []))
    monitor.removeAllListeners('event')
    sandbox.run('ip', 'link', 'del', 'pkt0')
    await until(() => sandbox.run('ip', '-br', 'link').includes('pkt0'), 'pkt0 is back')
    sandbox.run('ip', 'neigh', 'del', '192.0.2.12', 'dev', 'vhost0')
    monitor.emit('resync')
    await until(
      () => sandbox.run('ip', 'neigh', 'show', 'dev', 'vhost0').includes('192.0.2.12'),
      'the neighbour is back',
    )
  })

  it('takes a pod that goes, and what it removes itself, for no damage; a lost host route is', async () => {
    addTap(1)
    addTap(2)
    await using dataplane = await open({ resyncMs: 60_000 })
    const host = (destination: string) => ({
      ...{ destination, prefixLength: 32, gateway: '192.0.2.1', source: '192.0.2.11' },
    })
    const [first, second] = [host('198.51.100.1'), host('198.51.100.2')]
    const neighbours = ['192.0.2.12']
    await dataplane.apply({ ...tablesOf(dataplane, [1, 2]), hostRoutes: [first, second], neighbours })
    await sleep(400)
    // Whether everything was read anew shows in this one.
    using tools = openMaps(pins, { readOnly: false })
    tools.mpls.set(40, 999)
    sandbox.run('ip', 'link', 'del', tapName(1))
    await dataplane.apply({ ...tablesOf(dataplane, [2]), hostRoutes: [second], neighbours: [] })
    await sleep(500)
    assert.equal(tools.mpls.get(40), 999)
    using route = RouteSocket.open()
    const routes = () =>
      route.routes({ family: 4 }).flatMap((one) => (one.protocol === VROUTER_PROTOCOL ? [one.destination] : []))
    assert.deepEqual(routes(), [second.destination])
    sandbox.run('ip', 'route', 'del', `${second.destination}/32`)
    await until(() => routes().includes(second.destination), 'the host route is back')
    await until(() => tools.mpls.get(40) !== 999, 'the label is repaired')
  })

  // ---- facts

  it('follows the underlay: routes, neighbours, taps', async () => {
    await using dataplane = await open()
    const facts = dataplane.facts()
    assert.deepEqual(
      [facts.underlay.address, facts.underlay.prefixLength, facts.underlay.gateway, facts.underlay.mtu],
      ['192.0.2.11', 24, '192.0.2.1', 1500],
    )
    assert.deepEqual(facts.fabricRoutes, [
      { destination: '0.0.0.0', prefixLength: 0, gateway: '192.0.2.1' },
      { destination: '192.0.2.0', prefixLength: 24, gateway: undefined },
    ])
    let calls = 0
    dataplane.onFacts(() => calls++)
    sandbox.run('ip', 'route', 'add', '198.51.100.0/24', 'via', '192.0.2.9')
    await until(() => dataplane.facts().fabricRoutes.length === 3, 'the new route is a fact')
    sandbox.run(
      'ip',
      'neigh',
      'replace',
      '192.0.2.9',
      'lladdr',
      '02:00:00:00:00:09',
      'nud',
      'reachable',
      'dev',
      'vhost0',
    )
    await until(() => dataplane.facts().neighbours.get('192.0.2.9') === '02:00:00:00:00:09', 'the neighbour is a fact')
    const before = calls
    sandbox.run('ip', 'neigh', 'replace', '192.0.2.9', 'lladdr', '02:00:00:00:00:09', 'nud', 'stale', 'dev', 'vhost0')
    await sleep(100)
    assert.equal(calls, before, 'a state that changes nothing for us is no news')
    let taps = new Map<string, number>()
    dataplane.watch.onTaps((found) => {
      taps = new Map(found)
    })
    const ifindex = addTap(9)
    await until(() => taps.get(tapName(9)) === ifindex, 'the tap came')
    sandbox.run('ip', 'link', 'del', tapName(9))
    await until(() => !taps.has(tapName(9)), 'the tap went')
    sandbox.run('ip', 'route', 'del', '198.51.100.0/24')
    sandbox.run('ip', 'neigh', 'del', '192.0.2.9', 'dev', 'vhost0')
  })

  it('serves the pods on although vhost0 is gone, and is whole again when it is back', async () => {
    addTap(1)
    await using dataplane = await open()
    await dataplane.apply(tablesOf(dataplane, [1]))
    sandbox.run('ip', 'link', 'del', 'vhost0')
    addTap(2)
    const { problems } = await dataplane.apply(tablesOf(dataplane, [1, 2], 5, { neighbours: ['192.0.2.14'] }))
    assert.ok(problems.some(({ object }) => object === 'neighbour 192.0.2.14'))
    assert.match(filtersOn(tapName(2)), /tap direct-action/)
    assert.equal(lookupRoute(dataplane.maps.routes, 2, '10.2.0.4')?.nexthop, 5)
    const old = dataplane.facts().vhost.ifindex
    makeVhost()
    await until(() => dataplane.facts().vhost.ifindex !== old, 'the new vhost0 is a fact')
    assert.deepEqual((await dataplane.apply(tablesOf(dataplane, [1, 2]))).problems, [])
    assert.equal(programsOn('vhost0', TcxAttach.EGRESS).length, 1)
  })

  it('prunes its own managed neighbours only', async () => {
    sandbox.run('ip', 'neigh', 'add', '192.0.2.77', 'dev', 'vhost0', 'managed')
    await using dataplane = await open()
    const tables = tablesOf(dataplane, [])
    await dataplane.apply({ ...tables, neighbours: ['192.0.2.12', '192.0.2.13'] })
    await dataplane.apply({ ...tables, neighbours: ['192.0.2.13'] })
    using route = RouteSocket.open()
    const managed = route.neighbours({ index: ifindexOf('vhost0'), family: 4 }).filter((n) => n.managed)
    assert.deepEqual(managed.map(({ address, protocol }) => [address, protocol]).sort(), [
      ['192.0.2.13', VROUTER_PROTOCOL],
      ['192.0.2.77', undefined],
    ])
    sandbox.run('ip', 'neigh', 'del', '192.0.2.77', 'dev', 'vhost0')
  })

  // ---- size

  it('never holds up the event loop for long while it writes 20 000 routes', async () => {
    await using dataplane = await open()
    const tables = tablesOf(dataplane, [], 20_000)
    let ms = 0
    const longest = await longestTurnMs(async () => {
      const started = performance.now()
      assert.deepEqual((await dataplane.apply(tables)).problems, [])
      ms = performance.now() - started
      await dataplane.resync()
    })
    console.log(`      20 000 routes in ${Math.round(ms)} ms; longest stall ${Math.round(longest)} ms`)
    // 20 ms are usual.
    assert.ok(longest < 250, `the event loop stood still for ${longest} ms`)
    assert.equal(lookupRoute(dataplane.maps.routes, 2, '10.2.78.31')?.nexthop, 5)
  })

  it('takes over 100 pods with less work than it made them with', async () => {
    const pods = Array.from({ length: 100 }, (_, i) => i + 1)
    for (const n of pods) addTap(n)
    // CPU time: other work on the machine doesn't count.
    const start = async () => {
      const started = process.threadCpuUsage()
      const dataplane = await open()
      const result = await dataplane.apply(tablesOf(dataplane, pods, 1000))
      const { user, system } = process.threadCpuUsage(started)
      await dataplane[Symbol.asyncDispose]()
      return { result, ms: (user + system) / 1000 }
    }
    const first = await start()
    const second = await start()
    assert.deepEqual(settled(second.result), nothing)
    console.log(`      ${Math.round(first.ms)} ms at first, ${Math.round(second.ms)} ms to take over`)
    assert.ok(second.ms < first.ms, `${second.ms} ms, ${first.ms} ms at first`)
  })

  it('refuses folders outside a bpf file system, and missing objects', async () => {
    await assert.rejects(open({ objects: '/nonexistent' }), { code: 'OBJECTS_MISSING', remedy: /build:datapath/ })
    pins = join(sandbox.folder, 'pins')
    await assert.rejects(open(), { code: 'PINS_NOT_BPFFS', remedy: /Mount one/ })
  })
})
