/** Routes of VRF 0, the underlay: who offers them to the RIB, and the routes of the kernel's that lead the host's own packets there. */
import { bitsOf, contains, familyOf, formatAddress, mustParseAddress } from './address.ts'
import {
  type DefaultNetwork,
  DefaultNetworkRoutes,
  type DefaultReach,
  type DefaultSubnet,
} from './contributors/default-network.ts'
import { ServiceAddresses } from './contributors/services.ts'
import { TenantPods } from './contributors/tenant-pods.ts'
import { type UnderlayInput, UnderlayRoutes } from './contributors/underlay.ts'
import type { NodeFacts } from './facts.ts'
import { NODE_GATEWAY } from './names.ts'
import { NodeToPods, type ReachedPod } from './node-to-pods.ts'
import type { Address, SourceState } from './objects.ts'
import { IN_FABRIC } from './rib/preferences.ts'
import type { VrfRib } from './rib/rib.ts'
import type { ServiceRoute, ServiceRoutes } from './services/service-routes.ts'
import type { HostRoute, Problem } from './tables.ts'

export interface FabricInput extends UnderlayInput {
  readonly source: Pick<SourceState, 'virtualNetworks' | 'routers'>
  /** Addresses that the host itself speaks to. */
  readonly hostPeers: readonly Address[]
  readonly defaultNetwork: DefaultNetwork
  readonly services: ServiceRoutes
}

export class FabricRoutes {
  readonly #underlay: UnderlayRoutes
  readonly #default: DefaultNetworkRoutes
  readonly #tenants: TenantPods
  readonly #services: ServiceAddresses
  readonly #nodeToPods = new NodeToPods()

  constructor(rib: VrfRib) {
    this.#underlay = new UnderlayRoutes(rib)
    this.#default = new DefaultNetworkRoutes(rib)
    this.#tenants = new TenantPods(rib)
    this.#services = new ServiceAddresses(rib, IN_FABRIC)
  }

  *update(input: FabricInput, problems: Problem[]): Generator<void, readonly HostRoute[]> {
    const { facts, defaultNetwork, services } = input
    const isThere = defaultNetwork.network !== undefined || defaultNetwork.pods.length > 0
    const reach = yield* this.#default.update(defaultNetwork, isThere, facts, problems)
    const subnets = reach.subnets.map(({ prefix }) => prefix)
    const known = isThere ? { ...defaultNetwork, subnets } : undefined
    const reached = this.#nodeToPods.compute({ ...input, defaultNetwork: known, held: reach.held }, problems)
    const hasInet6 = facts.underlay.address6 !== undefined
    this.#tenants.update(reached, hasInet6 && services.host.some(({ address }) => familyOf(address) === 6))
    this.#services.update(services.allIsolated, services.everywhere)
    this.#underlay.update(input, subnets)
    const hostRoutes = [
      ...reach.subnets.flatMap((subnet) => hostRoute(subnet, facts)),
      ...podHostRoutes(reached, reach, facts),
      ...services.host.flatMap((route) => serviceHostRoute(route, facts)),
    ]
    // A place has one: that of a pod, if a Service should have its address, too.
    return [
      ...new Map(hostRoutes.toReversed().map((one) => [`${one.destination}/${one.prefixLength}`, one])).values(),
    ].reverse()
  }
}

function hostRoute({ prefix, gateway }: DefaultSubnet, { underlay }: NodeFacts): HostRoute[] {
  const source = prefix.family === 4 ? underlay.address : underlay.address6
  if (source === undefined) return []
  return [{ destination: formatAddress(prefix), prefixLength: prefix.length, gateway, source }]
}

/** The host's own packets to Services meet the datapath, with an address that answers come back to. */
function serviceHostRoute({ address, prefixLength }: ServiceRoute, { underlay }: NodeFacts): HostRoute[] {
  const family = familyOf(address)
  const source = family === 4 ? underlay.address : underlay.address6
  return source === undefined ? [] : [{ destination: address, prefixLength, gateway: NODE_GATEWAY[family], source }]
}

/** One route for each pod that the default network's routes don't lead to: no more of the host's traffic than that is ours. */
function podHostRoutes(
  reached: readonly ReachedPod[],
  { subnets }: DefaultReach,
  { underlay }: NodeFacts,
): HostRoute[] {
  return reached.flatMap(({ address }) => {
    const parsed = mustParseAddress(address)
    const source = parsed.family === 4 ? underlay.address : underlay.address6
    if (source === undefined || subnets.some(({ prefix }) => contains(prefix, parsed))) return []
    return [{ destination: address, prefixLength: bitsOf(parsed.family), gateway: NODE_GATEWAY[parsed.family], source }]
  })
}
