/**
 * One vRouter without a daemon: the objects loaded into the kernel, their maps at hand, in a network namespace of its own with the
 * devices that a test wants. Everything goes with the object; nothing is pinned.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFileSync, existsSync } from 'node:fs'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { BpfObject } from '@kube-vrouter/linux/bpf/object'
import {
  encodeSkbContext,
  linkCreateTcx,
  programTestRun,
  type SkbContext,
  TcxAttach,
  type TestRunResult,
} from '@kube-vrouter/linux/bpf/syscall'
import { isErrno } from '@kube-vrouter/linux/errors'
import { close } from '@kube-vrouter/linux/ffi'
import { createNamed, deleteNamed, namedPath, withNamespace } from '@kube-vrouter/linux/namespace'
import { ip4Number, ip6Bytes, macBytes } from '../../src/maps/addresses.ts'
import * as c from '../../src/maps/constants.ts'
import { type MapName, mapDefinitions } from '../../src/maps/definitions.ts'
import { reasonsSeen } from '../../src/maps/drops.ts'
import { type PinnedMaps, typedMaps } from '../../src/maps/open.ts'
import {
  flowAllocCodec,
  type GlobalsStruct,
  type NexthopStruct,
  type RouteStruct,
  type VifStruct,
} from '../../src/maps/structs.ts'
import { decode, encode, u32Codec } from '../../src/maps/table.ts'
import { AGENT_MAC, ROUTER_MAC } from '../../src/model/names.ts'

export { AGENT_MAC, ROUTER_MAC }

export const BUILD = new URL('../build/', import.meta.url).pathname
const PROGRAMS = ['tap', 'fabric', 'outside', 'vhost', 'agent'] as const
export type Program = (typeof PROGRAMS)[number]

/** Why the tests of this folder can't run here, or undefined. */
export function cannotRun(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root'
  if (!existsSync(`${BUILD}tap.bpf.o`)) return 'needs the objects: make -C daemon/datapath'
  return undefined
}

/** Small enough to load in a moment; a test that fills a table passes its own. */
export const SIZES: Partial<Record<MapName, number>> = {
  vifs: 64,
  vif_devices: 64,
  vif_addresses: 64,
  vif_stats: 64,
  vif_state: 64,
  vif_drop_stats: 64,
  peers4: 64,
  peers6: 64,
  nexthops: 512,
  nexthop_checks: 512,
  composites: 16,
  mpls: 256,
  vrfs: 64,
  vrf_stats: 65,
  route4_host: 1024,
  route4_lpm: 1024,
  route6_host: 1024,
  route6_lpm: 1024,
  bridge: 1024,
  flow4: 4096,
  flow6: 4096,
  flow_slots: 8192,
  flow_free: 8192,
  flow_closed: 4096,
  vrf_flows: 64,
  fragments: 256,
  service_fronts: 1024,
  service_backs: 4096,
  service_affinity: 256,
  service_ranges: 64,
  service_stats: 64,
  announced: 64,
}

export interface NodeOptions {
  readonly sizes?: Partial<Record<MapName, number>>
  /** Flow entries that may be used; default: all slots. */
  readonly flows?: number
}

export class TestNode implements Disposable {
  readonly name = `kv-${randomBytes(4).toString('hex')}`
  readonly maps: PinnedMaps
  /** The raw maps by name. */
  readonly raw = new Map<MapName, BpfMap>()
  readonly objects = new Map<string, BpfObject>()
  readonly #undo = new DisposableStack()

  constructor(options: NodeOptions = {}) {
    const sizes = { ...SIZES, ...options.sizes }
    using undo = new DisposableStack()
    undo.use(createNamed(this.name))
    undo.defer(() => deleteNamed(this.name))
    const reuse: Record<string, number> = {}
    for (const name of [...PROGRAMS, 'ageing', 'import', 'endpoints'] as const) {
      const object = undo.use(BpfObject.open(`${BUILD}${name}.bpf.o`))
      for (const map of object.mapNames()) {
        const size = sizes[map as MapName]
        if (reuse[map] !== undefined) object.reuseMap(map, reuse[map])
        else if (size !== undefined) object.setMaxEntries(map, size)
      }
      object.load()
      for (const map of object.mapNames()) reuse[map] ??= object.mapFd(map)
      this.objects.set(name, object)
    }
    for (const name of Object.keys(mapDefinitions) as MapName[]) {
      if (reuse[name] !== undefined) this.raw.set(name, undo.use(BpfMap.fromFd(reuse[name])))
    }
    this.maps = typedMaps((name) => this.raw.get(name)!, { [Symbol.dispose]: () => undefined })
    this.maps.globals.set(0, {
      abi: c.DATAPATH_ABI,
      epoch: 1,
      underlayIp: 0,
      underlayMtu: 1500,
      fabricIfindex: 0,
      vhostIfindex: 0,
      agentIfindex: 0,
      hashSeed: 0x1234,
      trapRate: 1000,
      trapBurst: 1000,
      maxVifs: sizes.vif_stats!,
      maxVrfs: sizes.vrfs!,
      maxLabels: sizes.mpls!,
      maxNexthops: sizes.nexthops!,
      ageTcpS: 300,
      ageOtherS: 60,
      routerMac: macBytes(ROUTER_MAC),
      vhostMac: macBytes('02:00:00:00:00:00'),
      agentMac: macBytes(AGENT_MAC),
      tunnelDscp: c.TUNNEL_DSCP_COPY,
      daemonSeenNs: 0n,
      underlayIp6: new Uint8Array(16),
      snatPort: 0,
      snatPorts: 0,
      hostNh: 0,
      options: 0,
      natFromNs: 0n,
    })
    this.setFlowRoom(options.flows ?? sizes.flow_slots!, sizes.flow4!, sizes.flow6!)
    this.setNexthop(c.NH_ID_INVALID, { type: c.NH_DISCARD })
    this.setNexthop(c.NH_ID_DISCARD, { type: c.NH_DISCARD })
    this.#undo = undo.move()
  }

  [Symbol.dispose](): void {
    this.#noteDrops()
    this.#undo[Symbol.dispose]()
  }

  /** For drops.test.ts, which runs when all others are over. */
  #noteDrops(): void {
    const file = process.env['KV_DROPS_REACHED']
    if (file === undefined) return
    for (const reason of reasonsSeen(this.maps.dropStats.get(0)!).keys()) appendFileSync(file, `${reason}\n`)
  }

  // ---- the namespace

  get path(): string {
    return namedPath(this.name)
  }

  /** Runs a command inside the namespace; returns what it printed. */
  run(command: string, ...args: string[]): string {
    return execFileSync('nsenter', [`--net=${this.path}`, command, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }

  /** `ip` with its arguments in one string. */
  ip(args: string): string {
    return this.run('ip', ...args.split(' '))
  }

  ifindex(device: string): number {
    return Number(this.ip(`-o link show dev ${device}`).split(':', 1)[0])
  }

  /** A veth pair whose other end stays here too: enough for test runs, which need a device of a given index. Returns its index. */
  device(name: string): number {
    return this.devicesWith([name])[0]!
  }

  /** Several of them, with further lines for `ip`, by one command: starting one costs more than what it does. */
  devicesWith(names: readonly string[], lines: readonly string[] = []): number[] {
    const added = names.map((name) => `link add ${name} type veth peer name ${name}-x`)
    const commands = [...added, ...lines].map((line) => `ip ${line}`)
    const listed = this.run('sh', '-ec', [...commands, 'ip -o link show'].join('\n'))
    return names.map((name) => Number(new RegExp(`^(\\d+): ${name}@`, 'm').exec(listed)![1]))
  }

  attach(program: Program, ifindex: number): void {
    const programFd = this.objects.get(program)!.programFd(program)
    const attach = program === 'vhost' ? TcxAttach.EGRESS : TcxAttach.INGRESS
    const link = withNamespace(this.path, () => linkCreateTcx({ programFd, ifindex, attach }))
    this.#undo.defer(() => close(link))
  }

  // ---- running programs by hand

  /** Runs the program once on the frame, as if it had come by the device. */
  send(program: Program, ifindex: number, frame: Uint8Array, context: SkbContext = {}, repeat = 1): TestRunResult {
    const fd = this.objects.get(program)!.programFd(program)
    const run = { data: frame, context: encodeSkbContext({ ...context, ifindex }), repeat, outputSize: 70000 }
    for (let attempt = 1; ; attempt++) {
      try {
        return withNamespace(this.path, () => programTestRun(fd, run))
      } catch (error) {
        // A repeated run ends early when the thread has a signal pending, which Node's own may be.
        if (!isErrno(error, 'EINTR') || repeat === 1 || attempt === 20) throw error
      }
    }
  }

  /** Later fragments that wait for their first one. */
  waiting(): number {
    let sum = 0
    for (const { value } of this.raw.get('held_counts')!.entries()) sum += Buffer.from(value).readUInt32LE()
    return sum
  }

  /** Runs a program of ageing.bpf.o; returns its result as a signed number. */
  call(program: 'start_ageing' | 'age_now'): number {
    return programTestRun(this.objects.get('ageing')!.programFd(program), {}).retval | 0
  }

  // ---- the tables

  setGlobals(change: Partial<GlobalsStruct>): void {
    this.maps.globals.set(0, { ...this.maps.globals.get(0)!, ...change })
  }

  raiseEpoch(): void {
    this.setGlobals({ epoch: this.maps.globals.get(0)!.epoch + 1 })
  }

  /** Room for so many flow entries in all, and for no more than so many of each family. */
  setFlowRoom(size: number, size4 = size, size6 = size): void {
    const alloc = this.raw.get('flow_alloc')!
    const current = decode(flowAllocCodec, alloc.lookup(encode(u32Codec, 0))!)
    const ip4 = { ...current.ip4, size: size4 }
    alloc.update(
      encode(u32Codec, 0),
      encode(flowAllocCodec, { ...current, size, ip4, ip6: { ...current.ip6, size: size6 } }),
    )
  }

  setVif(
    vif: Partial<Omit<VifStruct, 'mac' | 'peerMac' | 'ip4' | 'ip6'>> & VifAddresses & { id: number; ifindex: number },
  ): void {
    this.maps.vifs.set(vif.ifindex, {
      flags: 0,
      vrf: 0,
      nhId: 0,
      mtu: 1500,
      maxFlows: 0,
      label: 0,
      type: c.VIF_VIRTUAL,
      name: `vif${vif.id}`,
      ...vif,
      mac: macBytes(vif.mac ?? ROUTER_MAC),
      peerMac: macBytes(vif.peerMac ?? '00:00:00:00:00:00'),
      ip4: vif.ip4 === undefined ? 0 : ip4Number(vif.ip4),
      ip6: vif.ip6 === undefined ? new Uint8Array(16) : ip6Bytes(vif.ip6),
    })
    this.maps.vifDevices.set(vif.id, vif.ifindex)
  }

  setNexthop(id: number, nexthop: NexthopFields): void {
    this.maps.nexthops.set(id, {
      family: c.NH_AF_INET,
      flags: c.NH_FLAG_VALID,
      vrf: 0,
      oif: 0,
      ifindex: 0,
      keyNh: 0,
      mtu: 0,
      oifType: 0,
      ...nexthop,
      rewriteLen: nexthop.to === undefined ? 0 : 14,
      rewrite:
        nexthop.to === undefined
          ? new Uint8Array(14)
          : Buffer.concat([macBytes(nexthop.to), macBytes(nexthop.from ?? ROUTER_MAC), Buffer.of(8, 0)]),
      sip: nexthop.sip === undefined ? 0 : ip4Number(nexthop.sip),
      dip: nexthop.dip === undefined ? 0 : ip4Number(nexthop.dip),
    })
  }

  /** A COMPOSITE nexthop. */
  setComposite(id: number, flags: number, members: readonly number[], family: number = c.NH_AF_BRIDGE): void {
    const entries = members.map((nh) => ({ nh, label: c.LABEL_NONE }))
    this.maps.composites.set(id, { count: members.length, hashFields: 0, members: entries })
    this.setNexthop(id, { type: c.NH_COMPOSITE, family, flags: c.NH_FLAG_VALID | flags })
  }

  setRoute(
    vrf: number,
    prefix: string,
    nh: number,
    options: Partial<Omit<RouteStruct, 'mac'>> & { mac?: string } = {},
  ): void {
    const [address, length] = prefix.split('/') as [string, string]
    const plen = Number(length)
    const route: RouteStruct = {
      label: c.LABEL_NONE,
      macIndex: c.LABEL_NONE,
      flags: options.mac === undefined ? 0 : c.ROUTE_HAS_MAC,
      plen,
      ...options,
      nh,
      mac: macBytes(options.mac ?? '00:00:00:00:00:00'),
    }
    if (options.mac !== undefined && options.flags !== undefined)
      (route as { flags: number }).flags = options.flags | c.ROUTE_HAS_MAC
    const { host4, lpm4, host6, lpm6 } = this.routeTables()
    if (address.includes(':')) {
      const ip = ip6Bytes(address)
      if (plen === 128) host6.set({ vrf, ip }, route)
      else lpm6.set({ prefixlen: 32 + plen, vrf, ip }, route)
    } else {
      const ip = ip4Number(address)
      if (plen === 32) host4.set({ vrf, ip }, route)
      else lpm4.set({ prefixlen: 32 + plen, vrf, ip }, route)
    }
  }

  routeTables(): PinnedMaps['routes'] {
    return this.maps.routes
  }

  setBridge(vrf: number, mac: string, nh: number, label?: number): void {
    const flags = c.BRIDGE_VALID | (label === undefined ? 0 : c.BRIDGE_LABEL_VALID)
    this.maps.bridge.set(
      { vrf, mac: macBytes(mac) },
      { nh, label: label ?? c.LABEL_NONE, flags, index: 0, packets: 0n },
    )
  }

  setLabel(label: number, nh: number): void {
    this.maps.mpls.set(label, nh)
  }

  /** The underlay's VRFs take what comes from outside the cluster, others don't unless asked to. */
  setVrf(id: number, forwardingVrf = id, takesOutside = forwardingVrf === 0): void {
    const flags = c.VRF_VALID | (takesOutside ? c.VRF_TAKES_OUTSIDE : 0)
    this.maps.vrfs.set(id, { flags, label: 0, nh: 0, forwardingVrf })
  }

  /** Another node: tunnels are taken from it. */
  setPeer(address: string, address6?: string, nh = 0): void {
    const node = ip4Number(address)
    this.maps.peers.inet.set({ ip: node }, { nh, node })
    if (address6 !== undefined) this.maps.peers.inet6.set({ ip: ip6Bytes(address6) }, { nh, node })
  }

  unsetPeer(address: string, address6?: string): void {
    this.maps.peers.inet.delete({ ip: ip4Number(address) })
    if (address6 !== undefined) this.maps.peers.inet6.delete({ ip: ip6Bytes(address6) })
  }
}

export interface VifAddresses {
  readonly mac?: string
  readonly peerMac?: string
  readonly ip4?: string
  readonly ip6?: string
}

export interface NexthopFields extends Partial<Omit<NexthopStruct, 'rewrite' | 'sip' | 'dip' | 'rewriteLen'>> {
  readonly type: number
  readonly to?: string
  readonly from?: string
  readonly sip?: string
  readonly dip?: string
}
