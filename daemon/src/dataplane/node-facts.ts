/** What the kernel says about the underlay, as the model's NodeFacts. `factsOf` is pure; `readNode` asks the kernel. */
import {
  AddressFlag,
  type AddressInfo,
  type LinkInfo,
  NEIGHBOUR_VALID,
  type NeighbourInfo,
  type RouteInfo,
  type RouteSocket,
  RouteTable,
  RouteType,
  Scope,
} from '@kube-vrouter/linux/netlink/route'
import { VrouterError } from '../errors.ts'
import { VROUTER_PROTOCOL } from '../ground/route-protocol.ts'
import { ip4Number } from '../maps/addresses.ts'
import type { FabricRoute, NodeFacts, OtherDevice } from '../model/facts.ts'

export interface DeviceNames {
  readonly nic: string
  readonly vhost: string
  readonly agent: string
}

export interface NodeState {
  readonly nic: LinkInfo
  readonly vhost: LinkInfo
  readonly agent: LinkInfo
  /** Of the NIC and of vhost0. */
  readonly addresses: readonly AddressInfo[]
  /** All other devices that have an address, and these. */
  readonly others?: { readonly links: readonly LinkInfo[]; readonly addresses: readonly AddressInfo[] }
  /** IPv4, main table. */
  readonly routes: readonly RouteInfo[]
  /** IPv4, of the NIC and of vhost0. */
  readonly neighbours: readonly NeighbourInfo[]
}

/** Throws UNDERLAY_MISSING, or DEVICE_FAILED when vhost0 or pkt0 doesn't exist. */
export function readNode(route: RouteSocket, names: DeviceNames): NodeState {
  const nic = route.link(names.nic)
  if (!nic) throw VrouterError.of('UNDERLAY_MISSING', { wanted: names.nic })
  const [vhost, agent] = [names.vhost, names.agent].map((device) => {
    const link = route.link(device)
    if (!link) throw VrouterError.of('DEVICE_FAILED', { device, reason: "it doesn't exist" })
    return link
  }) as [LinkInfo, LinkInfo]
  const both = [vhost.index, nic.index]
  const addresses = route.addresses()
  const others = addresses.filter(
    ({ index, scope }) => scope === Scope.UNIVERSE && ![...both, agent.index].includes(index),
  )
  return {
    nic,
    vhost,
    agent,
    addresses: both.flatMap((index) => addresses.filter((one) => one.index === index)),
    others: {
      links: [...new Set(others.map(({ index }) => index))].flatMap((index) => route.link(index) ?? []),
      addresses: others,
    },
    routes: route.routes({ table: RouteTable.MAIN, family: 4 }),
    neighbours: both.flatMap((index) => route.neighbours({ index, family: 4 })),
  }
}

/**
 * The address is that of vhost0, or, before the migration, that of the NIC; of several the one that reaches the gateway. Throws
 * UNDERLAY_NO_ADDRESS when neither has one.
 */
export function factsOf(node: string, state: NodeState): NodeFacts {
  const { nic, vhost, agent } = state
  const addresses4 = state.addresses.filter(({ family }) => family === 4)
  const holder = addresses4.some(({ index }) => index === vhost.index) ? vhost : nic
  const candidates = addresses4.filter(
    ({ index, scope, flags }) =>
      index === holder.index && scope === Scope.UNIVERSE && (flags & AddressFlag.SECONDARY) === 0,
  )
  const routes = fabricRoutes(state.routes, holder.index)
  const gateway = routes.find(({ prefixLength }) => prefixLength === 0)?.gateway
  const own =
    candidates.find(({ address, prefixLength }) => gateway !== undefined && isInside(gateway, address, prefixLength)) ??
    candidates[0]
  if (!own) throw VrouterError.of('UNDERLAY_NO_ADDRESS', { device: holder.name })
  const address6 = address6Of(state.addresses, holder.index)
  return {
    node,
    underlay: {
      name: nic.name,
      ifindex: nic.index,
      mac: nic.mac ?? '00:00:00:00:00:00',
      mtu: nic.mtu,
      address: own.address,
      prefixLength: own.prefixLength,
      gateway,
      ...(address6 !== undefined && { address6 }),
    },
    vhost: { name: vhost.name, ifindex: vhost.index },
    agent: { name: agent.name, ifindex: agent.index },
    fabricRoutes: routes,
    otherRoutes: otherRoutes(state.routes, [nic.index, vhost.index]),
    otherDevices: otherDevices(state),
    neighbours: knownNeighbours(state.neighbours, holder.index),
  }
}

const ETHERNET = 1

/** What is enslaved to a bridge, a bond or a VRF isn't where the kernel's routes lead. */
function otherDevices({ others }: NodeState): OtherDevice[] {
  return (others?.links ?? [])
    .filter(({ type, up, masterIndex }) => type === ETHERNET && up && masterIndex === undefined)
    .map(({ name, index, mtu, kind }) => {
      const address = others!.addresses.find(
        (one) => one.family === 4 && one.index === index && (one.flags & AddressFlag.SECONDARY) === 0,
      )?.address
      const address6 = address6Of(others!.addresses, index)
      return {
        ...{ name, ifindex: index, mtu },
        ...(kind !== undefined && { kind }),
        ...(address !== undefined && { address }),
        ...(address6 !== undefined && { address6 }),
      }
    })
    .filter(({ address, address6 }) => address !== undefined || address6 !== undefined)
    .sort((a, b) => a.ifindex - b.ifindex)
}

/** The address that stays: neither temporary nor about to end; of several the one with the lowest number, whatever order the kernel tells them in. */
function address6Of(addresses: readonly AddressInfo[], index: number): string | undefined {
  const unusable = AddressFlag.SECONDARY | AddressFlag.TENTATIVE | AddressFlag.DADFAILED | AddressFlag.DEPRECATED
  return addresses
    .filter(
      (one) => one.family === 6 && one.index === index && one.scope === Scope.UNIVERSE && (one.flags & unusable) === 0,
    )
    .map(({ address }) => address)
    .sort()[0]
}

/** One route per destination, the one with the lowest metric; sorted by address, then shorter prefix first. */
function fabricRoutes(routes: readonly RouteInfo[], index: number): FabricRoute[] {
  const best = new Map<string, { route: FabricRoute; metric: number }>()
  for (const info of routes) {
    if (info.type !== RouteType.UNICAST || info.tos !== 0 || info.protocol === VROUTER_PROTOCOL) continue
    const path = info.multipath?.find(({ oif }) => oif === index)
    if (info.oif !== index && path === undefined) continue
    const gateway = path ? path.gateway : info.gateway
    if (gateway?.includes(':')) continue // an IPv4 route through an IPv6 gateway: the underlay is IPv4
    const metric = info.metric ?? 0
    const key = `${info.destination}/${info.prefixLength}`
    if (metric >= (best.get(key)?.metric ?? Number.POSITIVE_INFINITY)) continue
    best.set(key, { metric, route: { destination: info.destination, prefixLength: info.prefixLength, gateway } })
  }
  return [...best.values()]
    .map(({ route }) => route)
    .sort((a, b) => ip4Number(a.destination) - ip4Number(b.destination) || a.prefixLength - b.prefixLength)
}

/** Everything that is reached, or refused, without the underlay's devices; sorted as `fabricRoutes`. */
function otherRoutes(routes: readonly RouteInfo[], devices: readonly number[]): FabricRoute[] {
  const found = new Map<string, FabricRoute>()
  for (const { destination, prefixLength, oif, multipath, protocol } of routes) {
    const isUnderlay = [oif, ...(multipath ?? []).map((path) => path.oif)].some((one) => devices.includes(one ?? 0))
    if (isUnderlay || prefixLength === 0 || protocol === VROUTER_PROTOCOL) continue
    found.set(`${destination}/${prefixLength}`, { destination, prefixLength })
  }
  return [...found.values()].sort(
    (a, b) => ip4Number(a.destination) - ip4Number(b.destination) || a.prefixLength - b.prefixLength,
  )
}

function knownNeighbours(neighbours: readonly NeighbourInfo[], index: number): Map<string, string> {
  const known = new Map<string, string>()
  for (const neighbour of neighbours) {
    const { address, mac, state } = neighbour
    if (neighbour.index === index && mac !== undefined && (state & NEIGHBOUR_VALID) !== 0) known.set(address, mac)
  }
  return new Map([...known].sort(([a], [b]) => ip4Number(a) - ip4Number(b)))
}

function isInside(address: string, network: string, prefixLength: number): boolean {
  const mask = prefixLength === 0 ? 0 : (-1 << (32 - prefixLength)) >>> 0
  return ((ip4Number(address) ^ ip4Number(network)) & mask) === 0
}

/** Nothing that the model looks at differs. */
export function isSameFacts(a: NodeFacts, b: NodeFacts): boolean {
  return JSON.stringify([a, ...a.neighbours]) === JSON.stringify([b, ...b.neighbours])
}
