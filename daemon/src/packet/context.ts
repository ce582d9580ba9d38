/**
 * What the packet worker must know of the model: the router's own addresses in every VRF. `contextFromTables` makes it from the tables
 * (pure), the main thread sends it to the worker, and `compileContext` turns it into what is looked up per packet.
 */

import { parseAddress, parseMac } from '@kube-vrouter/linux/address'
import { isEqual } from '../model/equal.ts'
import type { Address, Mac } from '../model/objects.ts'
import type { Route, Tables, Vif } from '../model/tables.ts'
import { isInside } from './address.ts'

export interface PacketContext {
  /** Router side MAC of every tap. */
  readonly routerMac: Mac
  /** By VRF id. */
  readonly vrfs: ReadonlyMap<number, VrfContext>
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

export const ROUTER_MAC: Mac = '00:00:5e:00:01:00'
export const EMPTY_CONTEXT: PacketContext = { routerMac: ROUTER_MAC, vrfs: new Map() }

/** The context of these tables. A VRF without gateway (a subnet all of whose addresses are remote has one as well) gets no entry. */
export function contextFromTables(tables: Pick<Tables, 'vrfs' | 'vifs' | 'inet' | 'inet6'>): PacketContext {
  const vrfs = new Map<number, VrfContext>()
  const hosts = tables.vifs.filter(({ type }) => type === 'host')
  for (const { id } of tables.vrfs) {
    const context = withHosts(
      contextOfRoutes(tables.inet.get(id), tables.inet6.get(id)),
      hosts.filter(({ vrf }) => vrf === id),
    )
    if (context.own.length > 0 || context.subnets.length > 0) vrfs.set(id, context)
  }
  return { routerMac: tables.vifs.find(({ type }) => type === 'virtual')?.mac ?? ROUTER_MAC, vrfs }
}

const NO_ROUTES: readonly Route[] = []
const contexts = new WeakMap<readonly Route[], { readonly inet6: readonly Route[]; readonly context: VrfContext }>()

/** Of the routes of a VRF; the same object for the same lists. */
function contextOfRoutes(inet: readonly Route[] = NO_ROUTES, inet6: readonly Route[] = NO_ROUTES): VrfContext {
  const known = contexts.get(inet)
  if (known?.inet6 === inet6) return known.context
  const routes = [...ownRoutes(inet), ...ownRoutes(inet6)]
  const own = routes.filter(({ kind }) => kind === 'gateway' || kind === 'service').map(({ address }) => address)
  const gateways = routes.filter(({ kind }) => kind === 'gateway').map(({ address }) => parseAddress(address))
  const subnets: RouterSubnet[] = []
  for (const route of routes.filter(({ kind }) => kind === 'subnet')) {
    const network = parseAddress(route.address)
    const gateway = gateways.findIndex((address) => isInside(address, network, route.prefixLength))
    const router = gateway < 0 ? undefined : routes.filter(({ kind }) => kind === 'gateway')[gateway]!.address
    if (router !== undefined) subnets.push({ address: route.address, prefixLength: route.prefixLength, router })
  }
  const context = { own, subnets }
  contexts.set(inet, { inet6, context })
  return context
}

/** In the underlay the router speaks with the node's own addresses. */
function withHosts(context: VrfContext, hosts: readonly Vif[]): VrfContext {
  if (hosts.length === 0) return context
  const subnets = hosts.flatMap(({ ip4, ip6 }): RouterSubnet[] => [
    ...(ip4 === undefined ? [] : [{ address: '0.0.0.0', prefixLength: 0, router: ip4 }]),
    ...(ip6 === undefined ? [] : [{ address: '::', prefixLength: 0, router: ip6 }]),
  ])
  return { own: context.own, subnets: [...context.subnets, ...subnets] }
}

/** Whether two contexts say the same. */
export function isSameContext(a: PacketContext, b: PacketContext): boolean {
  if (a.routerMac !== b.routerMac || a.vrfs.size !== b.vrfs.size) return false
  for (const [id, vrf] of a.vrfs) if (!isEqual(vrf, b.vrfs.get(id))) return false
  return true
}

const known = new WeakMap<readonly Route[], readonly Route[]>()

/** Of tens of thousands of routes, those few that the router itself has a part in. Lists that didn't change aren't searched again. */
function ownRoutes(routes: readonly Route[] = []): readonly Route[] {
  let own = known.get(routes)
  if (own === undefined) {
    own = routes.filter(({ kind }) => kind === 'gateway' || kind === 'service' || kind === 'subnet')
    known.set(routes, own)
  }
  return own
}

/** A context as the responder uses it: bytes instead of text. */
export interface CompiledContext {
  readonly routerMac: Uint8Array
  readonly vrfs: ReadonlyMap<number, CompiledVrf>
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

export function compileContext(context: PacketContext): CompiledContext {
  const vrfs = new Map<number, CompiledVrf>()
  for (const [id, { own, subnets }] of context.vrfs) {
    vrfs.set(id, {
      own: new Set(own.map((address) => addressKey(parseAddress(address)))),
      subnets: subnets.map(({ address, prefixLength, router }) => ({
        network: parseAddress(address),
        prefixLength,
        router: parseAddress(router),
      })),
    })
  }
  return { routerMac: parseMac(context.routerMac), vrfs }
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
