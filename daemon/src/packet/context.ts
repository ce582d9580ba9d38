/**
 * What packets are answered from: the router's own addresses in every VRF, and who is behind every vif. `contextFromTables`
 * makes it from the tables (pure), the main thread sends the worker what is different from before (`deltaBetween`), and `CompiledContext` is
 * what is looked up per packet.
 */

import { parseAddress, parseMac } from '@kube-vrouter/linux/address'
import { isEqual } from '../model/equal.ts'
import { ROUTER_MAC } from '../model/names.ts'
import type { Address, Mac } from '../model/objects.ts'
import type { Route, RouteChange, RouteLog, Tables, Vif } from '../model/tables.ts'
import { isInside } from './address.ts'
import type { Service } from './service.ts'

/** What the worker answers from. */
export interface RouterContext {
  /** Router side MAC of every tap. */
  readonly routerMac: Mac
  /** By VRF id. */
  readonly vrfs: ReadonlyMap<number, VrfContext>
  /** What is asked of others, because somebody answers it. */
  readonly services: readonly Service[]
}

/** What the main thread knows besides: it tells those who are asked (answerers.ts) who asks. */
export interface PacketContext extends RouterContext {
  /** Pods' interfaces, by vif id. */
  readonly vifs: ReadonlyMap<number, VifContext>
}

/** A pod's interface: whose packets come by it. */
export interface VifContext {
  readonly vrf: number
  readonly mac: Mac
  readonly addresses: readonly Address[]
  /** The attachment (Port.uuid). */
  readonly port?: string
}

/** What is different in a context: entries that are undefined are gone. Absent: as before. */
export interface ContextDelta {
  readonly routerMac?: Mac
  readonly services?: readonly Service[]
  readonly vrfs: readonly (readonly [id: number, vrf: VrfContext | undefined])[]
  /** Ids that no interface has any more. */
  readonly goneVifs: readonly number[]
}

export interface VrfContext {
  /** Gateway and service addresses: what is sent to them is for the router itself. */
  readonly own: readonly Address[]
  /** Subnets and the address that the router speaks with in each; in the underlay the node's own address. */
  readonly subnets: readonly RouterSubnet[]
}

export interface RouterSubnet {
  readonly address: Address
  readonly prefixLength: number
  /** Source of the errors that the router sends into this subnet. */
  readonly router: Address
}

export const EMPTY_CONTEXT: PacketContext = { routerMac: ROUTER_MAC, vrfs: new Map(), vifs: new Map(), services: [] }

/** The context of these tables. A VRF without gateway (a subnet all of whose addresses are remote has one as well) gets no entry. */
export function contextFromTables(
  tables: Pick<Tables, 'vrfs' | 'vifs' | 'inet' | 'inet6' | 'routeLog'>,
): PacketContext {
  const vrfs = new Map<number, VrfContext>()
  const hosts = tables.vifs.filter(({ type }) => type === 'host')
  const { routeLog = NO_LOG } = tables
  const before = known.get(routeLog)
  const made = new Map<number, Known>()
  for (const { id } of tables.vrfs) {
    const routes = knownOf(id, tables.inet.get(id) ?? NONE, tables.inet6.get(id) ?? NONE, before?.get(id), routeLog)
    made.set(id, routes)
    const routed = routes.context
    const host = hosts.filter(({ vrf }) => vrf === id).flatMap(hostSubnets)
    const vrf = host.length === 0 ? routed : { ...routed, subnets: [...routed.subnets, ...host] }
    if (vrf.own.length > 0 || vrf.subnets.length > 0) vrfs.set(id, vrf)
  }
  known.set(routeLog, made)
  const pods = tables.vifs.filter(({ type }) => type === 'virtual')
  const vifs = new Map(pods.map((vif) => [vif.id, vifContext(vif)]))
  return { routerMac: pods[0]?.mac ?? ROUTER_MAC, vrfs, vifs, services: [] }
}

/** The same objects for vifs that are the same, so that most are compared by identity. */
const vifContexts = new WeakMap<Vif, VifContext>()

function vifContext(vif: Vif): VifContext {
  let context = vifContexts.get(vif)
  if (context === undefined) {
    const { vrf, peerMac = ROUTER_MAC, ip4 = [], ip6 = [], moreAddresses = [], port } = vif
    const addresses = [ip4, ip6, moreAddresses].flat()
    context = { vrf, mac: peerMac, addresses, ...(port !== undefined && { port }) }
    vifContexts.set(vif, context)
  }
  return context
}

/** Undefined: they say the same to the worker. */
export function deltaBetween(before: PacketContext, after: PacketContext): ContextDelta | undefined {
  const vrfs = changes(before.vrfs, after.vrfs)
  const goneVifs = goneFrom(before.vifs, after.vifs)
  const isSameMac = before.routerMac === after.routerMac
  const isSameServices = isEqual(before.services, after.services)
  if (vrfs.length === 0 && goneVifs.length === 0 && isSameMac && isSameServices) return undefined
  return {
    vrfs,
    goneVifs,
    ...(!isSameMac && { routerMac: after.routerMac }),
    ...(!isSameServices && { services: after.services }),
  }
}

function changes<T>(before: ReadonlyMap<number, T>, after: ReadonlyMap<number, T>): [number, T | undefined][] {
  const gone = goneFrom(before, after).map((id): [number, undefined] => [id, undefined])
  return [...gone, ...[...after].filter(([id, one]) => !isEqual(before.get(id), one))]
}

function goneFrom(before: ReadonlyMap<number, unknown>, after: ReadonlyMap<number, unknown>): number[] {
  return [...before.keys()].filter((id) => !after.has(id))
}

/** In the underlay the router speaks with the node's own address. */
function hostSubnets({ ip4, ip6 }: Vif): RouterSubnet[] {
  return [
    ...(ip4 === undefined ? [] : [{ address: '0.0.0.0', prefixLength: 0, router: ip4 }]),
    ...(ip6 === undefined ? [] : [{ address: '::', prefixLength: 0, router: ip6 }]),
  ]
}

interface Known {
  readonly inet: readonly Route[]
  readonly inet6: readonly Route[]
  readonly context: VrfContext
}

const NONE: readonly Route[] = []

const NO_LOG: RouteLog = { changesBetween: () => undefined }

/** What was made last, by VRF id, for each log that tells what is different since. */
const known = new WeakMap<RouteLog, ReadonlyMap<number, Known>>()

/** What the routes of a VRF say, under the same identity as long as those are the same ones that the router itself has a part in. */
function knownOf(
  vrf: number,
  inet: readonly Route[],
  inet6: readonly Route[],
  before: Known | undefined,
  log: RouteLog,
): Known {
  if (before !== undefined && before.inet === inet && before.inet6 === inet6) return before
  const isSame =
    before !== undefined &&
    hasSameOwn(before.inet, inet, log.changesBetween(vrf, 4, before.inet, inet)) &&
    hasSameOwn(before.inet6, inet6, log.changesBetween(vrf, 6, before.inet6, inet6))
  return { inet, inet6, context: isSame ? before.context : contextOf(inet, inet6) }
}

function hasSameOwn(
  before: readonly Route[],
  after: readonly Route[],
  changes: readonly RouteChange[] | undefined,
): boolean {
  return before === after || changes?.some((one) => isOwnRoute(one.before) || isOwnRoute(one.after)) === false
}

/** The router itself has a part in it. */
function isOwnRoute(route: Route | undefined): boolean {
  return route?.kind === 'gateway' || route?.kind === 'service' || route?.kind === 'subnet'
}

function contextOf(inet: readonly Route[], inet6: readonly Route[]): VrfContext {
  // Of tens of thousands of routes a few.
  const routes = [...inet.filter(isOwnRoute), ...inet6.filter(isOwnRoute)]
  const gateways = routes
    .filter(({ kind }) => kind === 'gateway')
    .map(({ address }) => ({ address, parsed: parseAddress(address) }))
  const subnets = routes.flatMap(({ kind, address, prefixLength }): RouterSubnet[] => {
    if (kind !== 'subnet') return []
    const network = parseAddress(address)
    const router = gateways.find(({ parsed }) => isInside(parsed, network, prefixLength))?.address
    return router === undefined ? [] : [{ address, prefixLength, router }]
  })
  const own = routes.filter(({ kind }) => kind !== 'subnet').map(({ address }) => address)
  return { own, subnets }
}

/** A context as the responder uses it: bytes instead of text. */
export interface CompiledContext {
  readonly routerMac: Uint8Array
  readonly vrfs: ReadonlyMap<number, CompiledVrf>
  readonly services: ReadonlySet<Service>
}

export interface CompiledVrf {
  /** Own addresses, as hex of their bytes. */
  readonly own: ReadonlySet<string>
  readonly subnets: readonly {
    readonly network: Uint8Array
    readonly prefixLength: number
    readonly router: Uint8Array
  }[]
}

export function compileContext(context: RouterContext): CompiledContext {
  const whole = { routerMac: context.routerMac, services: context.services, vrfs: [...context.vrfs], goneVifs: [] }
  return withDelta({ routerMac: new Uint8Array(6), vrfs: new Map(), services: new Set() }, whole)
}

/** Only what is different is compiled again. */
export function withDelta(context: CompiledContext, { routerMac, services, vrfs }: ContextDelta): CompiledContext {
  const compiled = new Map(context.vrfs)
  for (const [id, vrf] of vrfs) {
    if (vrf === undefined) compiled.delete(id)
    else compiled.set(id, compileVrf(vrf))
  }
  return {
    routerMac: routerMac === undefined ? context.routerMac : parseMac(routerMac),
    services: services === undefined ? context.services : new Set(services),
    vrfs: vrfs.length === 0 ? context.vrfs : compiled,
  }
}

function compileVrf({ own, subnets }: VrfContext): CompiledVrf {
  return {
    own: new Set(own.map((address) => addressKey(parseAddress(address)))),
    subnets: subnets.map(({ address, prefixLength, router }) => ({
      network: parseAddress(address),
      prefixLength,
      router: parseAddress(router),
    })),
  }
}

export function isOwn(vrf: CompiledVrf, address: Uint8Array): boolean {
  return vrf.own.has(addressKey(address))
}

/** The router's address towards `peer`: of the subnet that holds it, else the first one of its family. */
export function routerAddress(vrf: CompiledVrf, peer: Uint8Array): Uint8Array | undefined {
  let first: Uint8Array | undefined
  for (const { network, prefixLength, router } of vrf.subnets) {
    if (network.length !== peer.length) continue
    if (isInside(peer, network, prefixLength)) return router
    first ??= router
  }
  return first
}

/** True for the all-ones address of one of the VRF's IPv4 subnets (RFC 3021: /31 and /32 have none). */
export function isSubnetBroadcast(vrf: CompiledVrf, address: Uint8Array): boolean {
  return vrf.subnets.some(({ network, prefixLength }) => {
    if (network.length !== 4 || address.length !== 4 || prefixLength === 0 || prefixLength > 30) return false
    if (!isInside(address, network, prefixLength)) return false
    const hostBits = 0xffffffff >>> prefixLength
    const value = new DataView(address.buffer, address.byteOffset, 4).getUint32(0)
    return (value & hostBits) >>> 0 === hostBits
  })
}

function addressKey(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}
